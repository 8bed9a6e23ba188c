//! Minting: batches of vouchers, downloaded again until they are sealed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ids::{BatchId, SkuId};
use crate::ports::{
    BatchSummary, Catalogue, Clock, Entropy, Inserted, NewBatch, NewVouchers, Progress, SecretUse,
    StorageError, VoucherSource, VoucherTrail, Vouchers,
};
use crate::sku::Sku;
use crate::voucher::{
    BatchError, BatchNonce, CodeError, Codes, Derivation, Mask, Note, Shape, Voucher, VoucherCode,
    VoucherHash, VoucherKeys, hex_text,
};

/// How long a batch can be downloaded again, unless it is sealed earlier.
pub const SEALED_AFTER: Duration = Duration::from_hours(24);
/// The most vouchers in one batch.
pub const MOST_IN_A_BATCH: u32 = 1_000_000;

/// Mints vouchers. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    pub(super) vouchers: Arc<dyn Vouchers>,
    pub(super) catalogue: Arc<dyn Catalogue>,
    pub(super) keys: VoucherKeys,
    pub(super) shape: Shape,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// What is to be minted.
#[derive(Clone, Debug)]
pub struct MintRequest<'a> {
    /// For which SKU.
    pub sku: &'a SkuId,
    /// How many, 1 to [`MOST_IN_A_BATCH`].
    pub count: u32,
    /// How long from now the vouchers are good; `None` for as long as their first redemption allows.
    pub expires_in: Option<Duration>,
    /// The operator's note.
    pub note: Option<Note>,
    /// Who mints.
    pub minted_by: String,
    /// The idempotency key: the same request under the same key gives the same batch again.
    pub idempotency: Option<&'a str>,
}

/// A stored batch with its codes.
pub struct Minted {
    /// The batch.
    pub batch: NewBatch,
    /// Its codes, sorted, made one at a time.
    pub codes: Codes,
    /// Whether the idempotency key brought back an earlier batch.
    pub is_replay: bool,
}

/// The codes of a batch that was asked for again.
#[expect(clippy::large_enum_variant, reason = "one a download, taken apart at once")]
pub enum BatchCodes {
    /// There is no such batch.
    NotFound,
    /// They can no longer be derived.
    Sealed,
    /// Here they are, sorted.
    Open(NewBatch, Codes),
}

/// Why nothing was minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// There is no such SKU, or it is archived.
    #[error("no such SKU on sale")]
    NoSku,
    /// Too few or too many.
    #[error("a batch has 1 to {MOST_IN_A_BATCH} vouchers")]
    Count,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The request with the same idempotency key, or one with the same codes, is still being stored.
    #[error("the same is being minted right now")]
    InFlight,
    /// The idempotency key belongs to a batch that is sealed by now.
    #[error("the batch is sealed")]
    Sealed,
    /// Lines of an import that are no codes of this SKU, counted from 1.
    #[error("{} lines are no codes of this SKU", .0.len())]
    NotCodes(Vec<(usize, Option<CodeError>)>),
    /// Lines of an import whose codes stand twice or are stored already, counted from 1.
    #[error("{} lines are codes that were taken in before", .0.len())]
    Duplicate(Vec<usize>),
    /// The batch's secret is missing.
    #[error(transparent)]
    Derive(#[from] BatchError),
    /// Storage failed; the same call may succeed later.
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

impl Issuer {
    /// Mints into `storage` codes of that shape, without an engine: for tools that buy nothing.
    pub fn new<S>(
        storage: Arc<S>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        keys: VoucherKeys,
        shape: Shape,
    ) -> Self
    where
        S: Catalogue + Vouchers + 'static,
    {
        Self { catalogue: Arc::<S>::clone(&storage), vouchers: storage, keys, shape, clock, entropy }
    }

    /// Mints a batch: stored whole before the first code can be read.
    pub async fn mint(&self, request: MintRequest<'_>) -> Result<Minted, MintError> {
        self.mint_told(request, None).await
    }

    /// As [`mint`](Self::mint); `progress` is told while the batch is stored.
    pub async fn mint_told(
        &self,
        request: MintRequest<'_>,
        progress: Option<Progress>,
    ) -> Result<Minted, MintError> {
        if !(1..=MOST_IN_A_BATCH).contains(&request.count) {
            return Err(MintError::Count);
        }
        let sku = self.on_sale(request.sku).await?;
        let nonce = BatchNonce::fresh(|bytes| self.entropy.fill(bytes));
        let idempotency =
            request.idempotency.map(|key| (self.hash("mint key", key), self.fingerprint(&request)));
        let batch = NewBatch {
            nonce: Some(nonce),
            expires_at: request.expires_in.map(|life| self.clock.now() + life),
            note: request.note.clone().map(String::from),
            minted_by: request.minted_by.clone(),
            idempotency,
            ..self.batch_of(&sku, request.count)
        };
        self.insert(batch, progress).await?.ok_or(MintError::NoSku)
    }

    /// Mints one voucher in place of a fulfilled one, or finds the one that was; `None` where `replaced` is not fulfilled.
    pub(super) async fn replace(&self, replaced: &Voucher, by: String) -> Result<Option<Minted>, MintError> {
        let sku = self.catalogue.sku(&replaced.sku).await?.ok_or(MintError::NoSku)?;
        let batch = NewBatch {
            nonce: Some(BatchNonce::fresh(|bytes| self.entropy.fill(bytes))),
            note: Some(format!("in place of {}", replaced.mask)),
            minted_by: by,
            replaces: Some(replaced.hash),
            ..self.batch_of(&sku, 1)
        };
        self.insert(batch, None).await
    }

    /// Stores a batch whose codes are derived; `None` where the voucher that it replaces is not fulfilled.
    async fn insert(&self, batch: NewBatch, progress: Option<Progress>) -> Result<Option<Minted>, MintError> {
        let nonce = batch.nonce.as_ref().ok_or(MintError::Sealed)?;
        let derivation = self.keys.derivation(batch.key_id, nonce, &batch.label, batch.shape, batch.count)?;
        let vouchers = NewVouchers::new(Derived { keys: self.keys.clone(), derivation }).told(progress);
        match self.vouchers.insert_batch(batch.clone(), vouchers).await? {
            Inserted::New => {
                tracing::info!(batch = %batch.id, sku = %batch.sku, count = batch.count, "vouchers are minted");
                Ok(Some(Minted { codes: self.derive(&batch)?, batch, is_replay: false }))
            }
            Inserted::NotFulfilled => Ok(None),
            Inserted::Replay(earlier) if self.is_sealed(&earlier) => Err(MintError::Sealed),
            Inserted::Replay(earlier) => {
                Ok(Some(Minted { codes: self.derive(&earlier)?, batch: *earlier, is_replay: true }))
            }
            Inserted::IdempotencyMismatch => Err(MintError::IdempotencyMismatch),
            Inserted::InFlight => Err(MintError::InFlight),
            Inserted::NoSku => Err(MintError::NoSku),
            Inserted::Duplicate(places) => {
                Err(MintError::Duplicate(places.iter().map(|place| place + 1).collect()))
            }
        }
    }

    /// Takes in codes that were made offline, one per line; the batch is born sealed. All or nothing.
    pub async fn import(
        &self,
        sku: &SkuId,
        lines: &[&str],
        expires_in: Option<Duration>,
        note: Option<Note>,
        minted_by: String,
    ) -> Result<NewBatch, MintError> {
        let sku = self.on_sale(sku).await?;
        let label = self.keys.label(&sku.label);
        let mut wrong = Vec::new();
        let mut rows: Vec<(VoucherHash, Mask)> = Vec::new();
        let mut numbers = Vec::new();
        for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.trim().is_empty()) {
            match VoucherCode::parse(line, &self.shape) {
                Ok(code) if label.matches(&code) == Some(self.keys.current_id()) => {
                    rows.push((self.keys.lookup_hash(&code), code.mask()));
                    numbers.push(number);
                }
                Ok(_) => wrong.push((number, None)),
                Err(error) => wrong.push((number, Some(error))),
            }
        }
        if !wrong.is_empty() {
            return Err(MintError::NotCodes(wrong));
        }
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if !(1..=MOST_IN_A_BATCH).contains(&count) {
            return Err(MintError::Count);
        }
        let mut seen = std::collections::HashSet::new();
        let twice =
            rows.iter().zip(&numbers).filter(|((hash, _), _)| !seen.insert(*hash)).map(|(_, number)| *number);
        let twice: Vec<usize> = twice.collect();
        if !twice.is_empty() {
            return Err(MintError::Duplicate(twice));
        }
        let expires_at = expires_in.map(|life| self.clock.now() + life);
        let batch =
            NewBatch { expires_at, note: note.map(String::from), minted_by, ..self.batch_of(&sku, count) };
        match self.vouchers.insert_batch(batch.clone(), rows.into()).await? {
            Inserted::InFlight => Err(MintError::InFlight),
            Inserted::New | Inserted::Replay(_) | Inserted::IdempotencyMismatch => Ok(batch),
            Inserted::NoSku | Inserted::NotFulfilled => Err(MintError::NoSku),
            Inserted::Duplicate(places) => Err(MintError::Duplicate(
                places.into_iter().filter_map(|place| numbers.get(place).copied()).collect(),
            )),
        }
    }

    /// The codes of a batch again, until it is sealed.
    pub async fn codes(&self, id: BatchId) -> Result<BatchCodes, MintError> {
        let Some(summary) = self.vouchers.batch(id).await? else { return Ok(BatchCodes::NotFound) };
        if self.is_sealed(&summary.batch) {
            return Ok(BatchCodes::Sealed);
        }
        let codes = self.derive(&summary.batch)?;
        Ok(BatchCodes::Open(summary.batch, codes))
    }

    /// Makes a batch's codes underivable for ever. `false` where there is no such batch.
    pub async fn seal(&self, id: BatchId) -> Result<bool, StorageError> {
        self.vouchers.seal_batch(id).await
    }

    /// Removes what is left of mints that died half-way, and returns how many vouchers that were.
    pub(super) async fn remove_leftovers(&self) -> Result<u64, StorageError> {
        self.vouchers.remove_leftovers(self.clock.now()).await
    }

    /// Seals every batch older than [`SEALED_AFTER`], and returns how many.
    pub async fn seal_old(&self) -> Result<u64, StorageError> {
        self.vouchers.seal_batches(self.clock.now() - SEALED_AFTER).await
    }

    /// What needs a voucher secret that is not among the known ones: these vouchers cannot be redeemed, and these codes
    /// not be had.
    pub async fn missing_secrets(&self) -> Result<Vec<SecretUse>, StorageError> {
        let known = self.keys.ids();
        let mut missing = self.vouchers.secrets_in_use().await?;
        missing.retain(|needed| !known.contains(&needed.secret));
        Ok(missing)
    }

    /// Whether the batch's codes can no longer be had.
    #[must_use]
    pub fn is_sealed(&self, batch: &NewBatch) -> bool {
        batch.nonce.is_none() || self.clock.now() >= batch.minted_at + SEALED_AFTER
    }

    /// A batch with its counts.
    pub async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError> {
        self.vouchers.batch(id).await
    }

    /// Batches with their counts, newest first.
    pub async fn batches(
        &self,
        before: Option<BatchId>,
        limit: u32,
    ) -> Result<Vec<BatchSummary>, StorageError> {
        self.vouchers.batches(before, limit).await
    }

    /// Everything that happened to the voucher with this code.
    pub async fn trail(&self, code: &str) -> Result<Option<VoucherTrail>, StorageError> {
        let labels = self.vouchers.labels().await?;
        for (_, shape) in labels {
            if let Ok(code) = VoucherCode::parse(code, &shape) {
                let hashes: Vec<_> =
                    self.keys.lookup_hashes(&code).into_iter().map(|(_, hash)| hash).collect();
                if let Some(trail) = self.vouchers.trail(&hashes).await? {
                    return Ok(Some(trail));
                }
            }
        }
        Ok(None)
    }

    /// The trails of vouchers that are shown under `mask`.
    pub async fn trails_by_mask(&self, mask: Mask) -> Result<Vec<VoucherTrail>, StorageError> {
        self.vouchers.trails_by_mask(mask, 100).await
    }

    async fn on_sale(&self, id: &SkuId) -> Result<Sku, MintError> {
        let sku = self.catalogue.sku(id).await?;
        sku.filter(|sku| !sku.archived).ok_or(MintError::NoSku)
    }

    /// A sealed batch of `sku` without a note or an end.
    fn batch_of(&self, sku: &Sku, count: u32) -> NewBatch {
        NewBatch {
            id: BatchId::draw(&*self.entropy),
            sku: sku.id.clone(),
            label: sku.label.clone(),
            shape: self.shape,
            key_id: self.keys.current_id(),
            nonce: None,
            count,
            expires_at: None,
            note: None,
            minted_by: String::new(),
            minted_at: self.now(),
            idempotency: None,
            replaces: None,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn derive(&self, batch: &NewBatch) -> Result<Codes, MintError> {
        let nonce = batch.nonce.as_ref().ok_or(MintError::Sealed)?;
        Ok(self.keys.derive_batch(batch.key_id, nonce, &batch.label, batch.shape, batch.count)?)
    }

    fn hash(&self, domain: &str, text: &str) -> String {
        hex_text(&self.keys.hmac(domain, text.as_bytes())[..16])
    }

    fn fingerprint(&self, request: &MintRequest<'_>) -> String {
        let MintRequest { sku, count, expires_in, note, minted_by: _, idempotency: _ } = request;
        let note = note.as_ref().map(Note::as_str);
        self.hash("mint request", &format!("{sku}\n{count}\n{expires_in:?}\n{note:?}"))
    }
}

/// The vouchers of a batch whose codes are derived.
struct Derived {
    keys: VoucherKeys,
    derivation: Derivation,
}

impl VoucherSource for Derived {
    fn count(&self) -> usize {
        self.derivation.count() as usize
    }

    fn make(&self, places: Range<usize>) -> Vec<(VoucherHash, Mask)> {
        let place = |place: usize| u32::try_from(place).unwrap_or(self.derivation.count());
        let codes = self.derivation.codes(place(places.start)..place(places.end));
        codes.map(|code| (self.keys.lookup_hash(&code), code.mask())).collect()
    }
}
