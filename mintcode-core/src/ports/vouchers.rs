//! Keeps batches and vouchers: the storage of minting and support work.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::new_vouchers::NewVouchers;
use super::storage::StorageError;
use crate::ids::{BatchId, RedemptionId, SkuId};
use crate::ledger::{self, Entry};
use crate::redemption::{AttemptRow, Redemption, Status};
use crate::voucher::{
    BatchNonce, IllegalVoucherMove, KeyId, Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash,
};

/// A batch as it is minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatch {
    /// Its id.
    pub id: BatchId,
    /// What it was minted for.
    pub sku: SkuId,
    /// The SKU's label, by which its codes are tagged.
    pub label: Label,
    /// The shape of its codes.
    pub shape: Shape,
    /// The secret that keys it.
    pub key_id: KeyId,
    /// From which its codes can be derived again; `None` for one that is sealed, such as an import.
    pub nonce: Option<BatchNonce>,
    /// How many vouchers it has.
    pub count: u32,
    /// When its vouchers stop being good.
    pub expires_at: Option<DateTime<Utc>>,
    /// The operator's note.
    pub note: Option<String>,
    /// Who minted it.
    pub minted_by: String,
    /// When.
    pub minted_at: DateTime<Utc>,
    /// The keyed hash of the minting request's idempotency key, and a fingerprint of the request.
    pub idempotency: Option<(String, String)>,
    /// The fulfilled voucher in whose place its one voucher is issued.
    pub replaces: Option<VoucherHash>,
}

/// What became of a batch that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Stored.
    New,
    /// The idempotency key was used for the same request before: that batch.
    Replay(Box<NewBatch>),
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// The request with that idempotency key, or one for some of these codes, is still being stored. Nothing was stored.
    InFlight,
    /// There is no such SKU, or it is archived; what replaces another voucher is issued all the same.
    NoSku,
    /// The voucher that is to be replaced is not fulfilled, or there is none. Nothing was stored.
    NotFulfilled,
    /// Codes that are stored already, by their place in the batch. Nothing was stored.
    Duplicate(Vec<usize>),
}

/// A batch and what became of its vouchers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// The batch.
    pub batch: NewBatch,
    /// Vouchers by the name of their state; every name is present.
    pub counts: BTreeMap<&'static str, u64>,
}

/// What a voucher secret is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The secret's fingerprint.
    pub secret: KeyId,
    /// Vouchers that can be redeemed.
    pub live_vouchers: u64,
    /// Batches whose codes can be had again.
    pub unsealed_batches: u64,
}

/// A voucher and everything that happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherTrail {
    /// The voucher.
    pub voucher: Voucher,
    /// The voucher that was issued in its place.
    pub replaced_by: Option<VoucherHash>,
    /// Its redemptions, oldest first.
    pub redemptions: Vec<RedemptionTrail>,
}

/// A redemption in a voucher's trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedemptionTrail {
    /// Its id.
    pub id: RedemptionId,
    /// Where it stands.
    pub status: Status,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Its attempts, by number.
    pub attempts: Vec<AttemptRow>,
    /// What it stands for in the books; what was booked and undone is left out.
    pub ledger: Vec<Entry>,
}

impl From<&Redemption> for RedemptionTrail {
    fn from(redemption: &Redemption) -> Self {
        Self {
            id: redemption.id,
            status: redemption.status(),
            created_at: redemption.created_at,
            updated_at: redemption.updated_at,
            attempts: redemption.attempt_rows(),
            ledger: ledger::implied(redemption),
        }
    }
}

/// Why a voucher was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such voucher.
    #[error("no such voucher")]
    NoVoucher,
    /// Not where it stands.
    #[error(transparent)]
    NotAllowed(#[from] IllegalVoucherMove),
    /// Storage failed.
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

/// Keeps batches and vouchers. Every method is one transaction, as whoever asks can tell: a storage may take in a large
/// batch in steps, so that others get their turn in between, while nothing of it is to be seen before the last one.
#[async_trait]
pub trait Vouchers: Send + Sync {
    /// Stores a batch with all its vouchers (state `issued`), or nothing. `vouchers` are distinct. A fulfilled voucher is
    /// replaced once: asked again, the batch that replaced it comes back as [`Inserted::Replay`].
    ///
    /// Takes memory for the vouchers' hashes and masks, and for nothing else that grows with their number. Where whoever
    /// asked stops waiting, all of them may be stored all the same.
    async fn insert_batch(&self, batch: NewBatch, vouchers: NewVouchers) -> Result<Inserted, StorageError>;

    /// Removes what is left of batches whose storing ended half-way, as with a process that was killed, and returns how
    /// many vouchers that were. Nobody could see any of them.
    async fn remove_leftovers(&self, now: DateTime<Utc>) -> Result<u64, StorageError>;

    /// A batch with its counts, or `None`.
    async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError>;

    /// Batches with their counts, newest first, minted before `before` (by id) if given, at most `limit`.
    async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<BatchSummary>, StorageError>;

    /// Applies an operator's event to a voucher and returns it as it is then. Where a voucher is voided that a redemption
    /// owns, [`Wish::Cancel`](crate::redemption::Wish::Cancel) is put into that redemption's inbox in the same transaction.
    async fn change_voucher(&self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError>;

    /// Cancels every voucher of the batch that is `issued`, and returns how many; `None` where there is no such batch.
    async fn void_batch(&self, id: BatchId, reason: &VoidReason) -> Result<Option<u64>, StorageError>;

    /// Lets at most `limit` vouchers expire that are `issued` or `retryable_failed` and whose end has come, and returns
    /// how many.
    async fn expire_vouchers(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError>;

    /// Destroys the batch's nonce. `false` where there is no such batch; sealing twice changes nothing.
    async fn seal_batch(&self, id: BatchId) -> Result<bool, StorageError>;

    /// Seals every batch minted before `minted_before`, and returns how many.
    async fn seal_batches(&self, minted_before: DateTime<Utc>) -> Result<u64, StorageError>;

    /// Which voucher secrets are still needed, by their fingerprints in order: for vouchers that can be redeemed (state
    /// `issued`, `locked`, `redeeming` or `retryable_failed`), or for batches that are not sealed.
    async fn secrets_in_use(&self) -> Result<Vec<SecretUse>, StorageError>;

    /// The labels and shapes under which codes were minted, each pair once.
    async fn labels(&self) -> Result<Vec<(Label, Shape)>, StorageError>;

    /// The voucher that has one of the hashes, with its trail.
    async fn trail(&self, hashes: &[VoucherHash]) -> Result<Option<VoucherTrail>, StorageError>;

    /// The trails of vouchers shown under `mask`, at most `limit`.
    async fn trails_by_mask(&self, mask: Mask, limit: u32) -> Result<Vec<VoucherTrail>, StorageError>;
}
