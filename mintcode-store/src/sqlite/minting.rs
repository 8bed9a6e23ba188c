//! Storing a new batch: what is checked before, and its rows. What is small goes into one transaction.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::vouchers::{Inserted, NewBatch};
use mintcode_core::voucher::{BatchNonce, Mask, VoucherHash, VoucherState};
use rusqlite::Connection;

use super::redemptions::{execute, row};
use super::vouchers::{find, numbered_batch_row};
use super::{catalogue, unavailable};
use crate::rows::{Row, json, mask, micros};

/// Why a batch is taken back.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotInserted {
    #[error("some codes are stored already")]
    Taken(Taken),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Codes of a new batch that somebody else has.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Those of batches that are whole.
    pub(super) stored: HashSet<VoucherHash>,
    /// Whether there are some of a batch that is still being stored, or was.
    pub(super) is_in_flight: bool,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.stored.is_empty() && !self.is_in_flight
    }

    pub(super) fn add(&mut self, more: Self) {
        self.stored.extend(more.stored);
        self.is_in_flight |= more.is_in_flight;
    }
}

/// Stores a batch with its vouchers, which are in key order.
pub(super) fn insert_whole(
    connection: &Connection,
    batch: &NewBatch,
    vouchers: &[(VoucherHash, Mask)],
) -> Result<Inserted, NotInserted> {
    if let Some(answer) = answered_before(connection, batch)? {
        return Ok(answer);
    }
    if let Some(refused) = refusal(connection, batch)? {
        return Ok(refused);
    }
    let number = insert_batch(connection, batch, None)?;
    let taken = insert_vouchers(connection, number, batch, vouchers)?;
    if !taken.is_empty() {
        return Err(NotInserted::Taken(taken));
    }
    insert_count(connection, number, vouchers.len())?;
    Ok(Inserted::New)
}

/// What the batch's request was answered with earlier, or is not to be answered with yet.
pub(super) fn answered_before(
    connection: &Connection,
    batch: &NewBatch,
) -> Result<Option<Inserted>, StorageError> {
    if let Some((key, fingerprint)) = &batch.idempotency {
        let sql = "SELECT * FROM every_batch WHERE idempotency_key = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((numbered_batch_row(row)?, row.get("staged_until")?));
        let earlier = row(connection, sql, [key], read)?;
        if let Some(((number, earlier), staged_until)) = earlier {
            let staged_until: Option<i64> = staged_until;
            if staged_until.is_some_and(|until| until < micros(batch.minted_at)) {
                give_up(connection, number, batch.minted_at)?;
            } else {
                let earlier = earlier.read()?;
                let is_same = earlier.idempotency.as_ref().is_some_and(|(_, stored)| stored == fingerprint);
                return Ok(Some(match staged_until {
                    _ if !is_same => Inserted::IdempotencyMismatch,
                    Some(_) => Inserted::InFlight,
                    None => Inserted::Replay(Box::new(earlier)),
                }));
            }
        }
    }
    if let Some(replaced) = batch.replaces {
        let sql = "SELECT * FROM batch WHERE number = (SELECT batch FROM voucher WHERE replaces = ?1)";
        if let Some((_, earlier)) = row(connection, sql, [replaced.to_bytes()], numbered_batch_row)? {
            return Ok(Some(Inserted::Replay(Box::new(earlier.read()?))));
        }
    }
    Ok(None)
}

/// Why nothing is minted of what the batch is for.
pub(super) fn refusal(connection: &Connection, batch: &NewBatch) -> Result<Option<Inserted>, StorageError> {
    if let Some(replaced) = batch.replaces
        && find(connection, &[replaced])?.is_none_or(|voucher| voucher.state != VoucherState::Fulfilled)
    {
        return Ok(Some(Inserted::NotFulfilled));
    }
    let sku = catalogue::load(connection, batch.sku.as_str())?;
    match sku.filter(|sku| !sku.archived || batch.replaces.is_some()) {
        None => Ok(Some(Inserted::NoSku)),
        Some(sku) if sku.label != batch.label => Err(StorageError::Conflict),
        Some(_) => Ok(None),
    }
}

/// Stores the batch's own row and returns its number; `staged_until` where its vouchers follow in other transactions.
pub(super) fn insert_batch(
    connection: &Connection,
    batch: &NewBatch,
    staged_until: Option<DateTime<Utc>>,
) -> Result<i64, StorageError> {
    let id = batch.id.to_string();
    if row(connection, "SELECT 1 FROM every_batch WHERE id = ?1", [&id], |_| Ok(()))?.is_some() {
        return Err(StorageError::Conflict);
    }
    let sql = "INSERT INTO every_batch (id, sku, label, shape, key_id, nonce, count, expires_at, note, minted_by, minted_at,
                   idempotency_key, fingerprint, replaces, staged_until)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let (key, fingerprint) = batch.idempotency.as_ref().map(|(key, print)| (key, print)).unzip();
    let parameters = (
        &id,
        batch.sku.as_str(),
        batch.label.as_str(),
        json(&batch.shape),
        batch.key_id.to_bytes(),
        batch.nonce.as_ref().map(BatchNonce::expose),
        batch.count,
        batch.expires_at.map(micros),
        &batch.note,
        &batch.minted_by,
        micros(batch.minted_at),
        key,
        fingerprint,
        batch.replaces.map(VoucherHash::to_bytes),
        staged_until.map(micros),
    );
    execute(connection, sql, parameters, || Row::of("batch", &id))?;
    Ok(connection.last_insert_rowid())
}

/// Stores those vouchers that nobody else has, and tells which somebody has.
pub(super) fn insert_vouchers(
    connection: &Connection,
    number: i64,
    batch: &NewBatch,
    vouchers: &[(VoucherHash, Mask)],
) -> Result<Taken, StorageError> {
    let sql = "INSERT INTO voucher (hash, batch, mask, state, expires_at, replaces) VALUES (?1, ?2, ?3, 'issued', ?4, ?5)
               ON CONFLICT (hash) DO NOTHING";
    let mut insert = connection.prepare_cached(sql).map_err(unavailable)?;
    let expires_at = batch.expires_at.map(micros);
    let replaces = batch.replaces.map(VoucherHash::to_bytes);
    let mut taken = Taken::default();
    for (hash, shown) in vouchers {
        let parameters = (hash.to_bytes(), number, mask(*shown), expires_at, replaces);
        if insert.execute(parameters).map_err(unavailable)? == 0 {
            if find(connection, &[*hash])?.is_some() {
                taken.stored.insert(*hash);
            } else {
                taken.is_in_flight = true;
            }
        }
    }
    Ok(taken)
}

/// From then on its vouchers are counted by their state.
pub(super) fn insert_count(
    connection: &Connection,
    number: i64,
    vouchers: usize,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO batch_count (batch, state, vouchers) VALUES (?1, 'issued', ?2)";
    let vouchers = i64::try_from(vouchers).unwrap_or(i64::MAX);
    execute(connection, sql, (number, vouchers), || Row::of("batch_count", &number)).map(drop)
}

/// Leaves a staged batch to be removed, whose key is free from now on, unless it was heard of at `now` or later. Whoever
/// was storing it finds that out with the next step.
pub(super) fn give_up(
    connection: &Connection,
    number: i64,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let sql = "UPDATE every_batch SET staged_until = 0, idempotency_key = NULL, fingerprint = NULL
               WHERE number = ?1 AND staged_until < ?2";
    Ok(execute(connection, sql, (number, micros(now)), || Row::of("batch", &number))? > 0)
}
