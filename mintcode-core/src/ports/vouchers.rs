//! Keeps batches and vouchers: the storage of minting and support work.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::storage::StorageError;
use crate::ids::{BatchId, RedemptionId, SkuId};
use crate::redemption::{AttemptRow, Redemption, Status};
use crate::voucher::{BatchNonce, KeyId, Label, Mask, Shape, Voucher, VoucherHash};

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
    /// There is no such SKU, or it is archived.
    NoSku,
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

/// A voucher and everything that happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherTrail {
    /// The voucher.
    pub voucher: Voucher,
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
}

impl From<&Redemption> for RedemptionTrail {
    fn from(redemption: &Redemption) -> Self {
        Self {
            id: redemption.id,
            status: redemption.status(),
            created_at: redemption.created_at,
            updated_at: redemption.updated_at,
            attempts: redemption.attempt_rows(),
        }
    }
}

/// Keeps batches and vouchers. Every method is one transaction.
#[async_trait]
pub trait Vouchers: Send + Sync {
    /// Stores a batch with all its vouchers (state `issued`), or nothing. `vouchers` are distinct.
    async fn insert_batch(
        &self,
        batch: NewBatch,
        vouchers: Vec<(VoucherHash, Mask)>,
    ) -> Result<Inserted, StorageError>;

    /// A batch with its counts, or `None`.
    async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError>;

    /// Batches with their counts, newest first, minted before `before` (by id) if given, at most `limit`.
    async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<BatchSummary>, StorageError>;

    /// Destroys the batch's nonce. `false` where there is no such batch; sealing twice changes nothing.
    async fn seal_batch(&self, id: BatchId) -> Result<bool, StorageError>;

    /// Seals every batch minted before `minted_before`, and returns how many.
    async fn seal_batches(&self, minted_before: DateTime<Utc>) -> Result<u64, StorageError>;

    /// The labels and shapes under which codes were minted, each pair once.
    async fn labels(&self) -> Result<Vec<(Label, Shape)>, StorageError>;

    /// The voucher that has one of the hashes, with its trail.
    async fn trail(&self, hashes: &[VoucherHash]) -> Result<Option<VoucherTrail>, StorageError>;

    /// The trails of vouchers shown under `mask`, at most `limit`.
    async fn trails_by_mask(&self, mask: Mask, limit: u32) -> Result<Vec<VoucherTrail>, StorageError>;
}
