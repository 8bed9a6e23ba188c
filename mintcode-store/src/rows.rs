//! Between the core's values and what columns hold. A row that fits no value is [`StorageError::Corrupt`].

use std::str::FromStr;

use chrono::{DateTime, Utc};
use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::{NewBatch, StorageError};
use mintcode_core::redemption::Redemption;
use mintcode_core::voucher::{BatchNonce, KeyId, Mask, Resting, Voucher, VoucherHash, VoucherState};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::vault::Vault;

/// Names the row that is being read, for whoever has to repair it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    table: &'static str,
    key: String,
}

impl Row {
    pub(crate) fn of(table: &'static str, key: &(impl ToString + ?Sized)) -> Self {
        Self { table, key: key.to_string() }
    }

    /// Table and key.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        (self.table, &self.key)
    }

    pub(crate) fn corrupt(&self) -> StorageError {
        StorageError::Corrupt { table: self.table, row: self.key.clone() }
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, StorageError> {
        serde_json::from_str(text).map_err(|_| self.corrupt())
    }

    pub(crate) fn parse<T: FromStr>(&self, text: &str) -> Result<T, StorageError> {
        text.parse().map_err(|_| self.corrupt())
    }

    pub(crate) fn parse_option<T: FromStr>(&self, text: Option<&str>) -> Result<Option<T>, StorageError> {
        text.map(|text| self.parse(text)).transpose()
    }

    pub(crate) fn time(&self, micros: i64) -> Result<DateTime<Utc>, StorageError> {
        DateTime::from_timestamp_micros(micros).ok_or_else(|| self.corrupt())
    }

    pub(crate) fn times(&self, micros: Option<i64>) -> Result<Option<DateTime<Utc>>, StorageError> {
        micros.map(|micros| self.time(micros)).transpose()
    }

    pub(crate) fn int<T: TryFrom<i64>>(&self, value: i64) -> Result<T, StorageError> {
        T::try_from(value).map_err(|_| self.corrupt())
    }

    fn bytes<const N: usize>(&self, bytes: &[u8]) -> Result<[u8; N], StorageError> {
        bytes.try_into().map_err(|_| self.corrupt())
    }

    pub(crate) fn hash(&self, bytes: &[u8]) -> Result<VoucherHash, StorageError> {
        self.bytes(bytes).map(VoucherHash::from_bytes)
    }

    pub(crate) fn key_id(&self, bytes: &[u8]) -> Result<KeyId, StorageError> {
        self.bytes(bytes).map(KeyId::from_bytes)
    }

    fn hashes(&self, bytes: Option<&[u8]>) -> Result<Option<VoucherHash>, StorageError> {
        bytes.map(|bytes| self.hash(bytes)).transpose()
    }
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("stored values have text as keys and nothing that cannot be written")
}

/// Bytes as people are shown them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A counter as SQL has it: 64 bits with a sign, which no version or epoch outgrows.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The columns of a redemption that are read back.
pub(crate) struct RedemptionRow {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) epoch: i64,
    pub(crate) owner: Option<String>,
    pub(crate) takeovers: i64,
    pub(crate) next: Option<String>,
    /// Sealed.
    pub(crate) state: Vec<u8>,
}

impl RedemptionRow {
    pub(crate) fn read(self, vault: &Vault) -> Result<Redemption, StorageError> {
        let row = Row::of("redemption", &self.id);
        let state: Redemption = vault.open(&row, "state", &self.state)?;
        if state.id.to_string() != self.id {
            return Err(row.corrupt());
        }
        Ok(Redemption {
            version: row.int(self.version)?,
            epoch: row.int(self.epoch)?,
            owner: row.parse_option(self.owner.as_deref())?,
            takeovers: row.int(self.takeovers)?,
            next: row.parse_option(self.next.as_deref())?,
            ..state
        })
    }
}

/// The columns of a voucher, and those of its batch that belong to it.
pub(crate) struct VoucherRow {
    pub(crate) hash: Vec<u8>,
    pub(crate) mask: String,
    pub(crate) state: String,
    pub(crate) came_from: Option<String>,
    pub(crate) tries: i64,
    pub(crate) buys: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) ready_at: Option<i64>,
    pub(crate) start_behind: Option<String>,
    pub(crate) redemption: Option<String>,
    pub(crate) void_reason: Option<String>,
    pub(crate) replaces: Option<Vec<u8>>,
    pub(crate) batch: String,
    pub(crate) sku: String,
    pub(crate) key_id: Vec<u8>,
    pub(crate) reset_wished: bool,
}

impl VoucherRow {
    pub(crate) fn read(self) -> Result<Voucher, StorageError> {
        let row = Row::of("voucher", &hex(&self.hash));
        let from =
            self.came_from.as_deref().map(|name| resting(name).ok_or_else(|| row.corrupt())).transpose()?;
        Ok(Voucher {
            hash: row.hash(&self.hash)?,
            key_id: KeyId::from_bytes(row.bytes(&self.key_id)?),
            mask: read_mask(&self.mask).ok_or_else(|| row.corrupt())?,
            batch: row.parse(&self.batch)?,
            sku: row.parse(&self.sku)?,
            state: VoucherState::read(&self.state, from).ok_or_else(|| row.corrupt())?,
            tries: row.int(self.tries)?,
            buys: row.int(self.buys)?,
            expires_at: row.times(self.expires_at)?,
            ready_at: row.times(self.ready_at)?,
            start_behind: row.parse_option(self.start_behind.as_deref())?,
            redemption: row.parse_option::<RedemptionId>(self.redemption.as_deref())?,
            void: row.parse_option(self.void_reason.as_deref())?,
            replaces: row.hashes(self.replaces.as_deref())?,
            reset_wished: self.reset_wished,
        })
    }
}

fn resting(name: &str) -> Option<Resting> {
    [Resting::Issued, Resting::RetryableFailed].into_iter().find(|resting| resting_name(*resting) == name)
}

pub(crate) fn resting_name(resting: Resting) -> &'static str {
    let state: VoucherState = resting.into();
    state.name()
}

/// The eight symbols that a mask shows.
pub(crate) fn mask(mask: Mask) -> String {
    mask.to_string().replace('*', "")
}

fn read_mask(symbols: &str) -> Option<Mask> {
    let (first, last) = symbols.split_at_checked(4)?;
    format!("{first}****{last}").parse().ok()
}

/// The columns of a batch.
pub(crate) struct BatchRow {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) label: String,
    pub(crate) shape: String,
    pub(crate) key_id: Vec<u8>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) count: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) note: Option<String>,
    pub(crate) minted_by: String,
    pub(crate) minted_at: i64,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) replaces: Option<Vec<u8>>,
}

impl BatchRow {
    pub(crate) fn read(self) -> Result<NewBatch, StorageError> {
        let row = Row::of("batch", &self.id);
        let nonce = self.nonce.map(|nonce| row.bytes(&nonce)).transpose()?;
        Ok(NewBatch {
            id: row.parse(&self.id)?,
            sku: row.parse(&self.sku)?,
            label: row.parse(&self.label)?,
            shape: row.json(&self.shape)?,
            key_id: KeyId::from_bytes(row.bytes(&self.key_id)?),
            nonce: nonce.map(BatchNonce::from_bytes),
            count: row.int(self.count)?,
            expires_at: row.times(self.expires_at)?,
            note: self.note,
            minted_by: self.minted_by,
            minted_at: row.time(self.minted_at)?,
            idempotency: self.idempotency_key.zip(self.fingerprint),
            replaces: row.hashes(self.replaces.as_deref())?,
        })
    }
}
