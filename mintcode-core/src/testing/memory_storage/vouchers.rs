//! Batches, vouchers and their trails.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStorage, State};
use crate::ids::BatchId;
use crate::ports::{BatchSummary, Inserted, NewBatch, RedemptionTrail, StorageError, VoucherTrail, Vouchers};
use crate::voucher::{Label, Mask, Shape, Voucher, VoucherHash, VoucherState};

#[async_trait]
impl Vouchers for MemoryStorage {
    async fn insert_batch(
        &self,
        batch: NewBatch,
        vouchers: Vec<(VoucherHash, Mask)>,
    ) -> Result<Inserted, StorageError> {
        self.transaction(|state| state.insert_batch(batch, vouchers))
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError> {
        self.transaction(|state| {
            let batch = state.batches.iter().find(|batch| batch.id == id);
            Ok(batch.map(|batch| state.summary(batch)))
        })
    }

    async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<BatchSummary>, StorageError> {
        self.transaction(|state| {
            let end = match before {
                None => state.batches.len(),
                Some(before) => state.batches.iter().position(|batch| batch.id == before).unwrap_or(0),
            };
            let newest_first = state.batches[..end].iter().rev();
            Ok(newest_first.take(limit as usize).map(|batch| state.summary(batch)).collect())
        })
    }

    async fn seal_batch(&self, id: BatchId) -> Result<bool, StorageError> {
        self.transaction(|state| {
            let batch = state.batches.iter_mut().find(|batch| batch.id == id);
            Ok(batch.map(|batch| batch.nonce = None).is_some())
        })
    }

    async fn seal_batches(&self, minted_before: DateTime<Utc>) -> Result<u64, StorageError> {
        self.transaction(|state| {
            let due = |batch: &&mut NewBatch| batch.minted_at < minted_before && batch.nonce.is_some();
            Ok(state.batches.iter_mut().filter(due).map(|batch| batch.nonce = None).count() as u64)
        })
    }

    async fn labels(&self) -> Result<Vec<(Label, Shape)>, StorageError> {
        self.transaction(|state| {
            let mut labels: Vec<_> =
                state.batches.iter().map(|batch| (batch.label.clone(), batch.shape)).collect();
            labels.sort();
            labels.dedup();
            Ok(labels)
        })
    }

    async fn trail(&self, hashes: &[VoucherHash]) -> Result<Option<VoucherTrail>, StorageError> {
        self.transaction(|state| {
            let voucher = hashes.iter().find_map(|hash| state.vouchers.get(hash));
            Ok(voucher.map(|voucher| state.trail(voucher)))
        })
    }

    async fn trails_by_mask(&self, mask: Mask, limit: u32) -> Result<Vec<VoucherTrail>, StorageError> {
        self.transaction(|state| {
            let shown = state.vouchers.values().filter(|voucher| voucher.mask == mask);
            Ok(shown.take(limit as usize).map(|voucher| state.trail(voucher)).collect())
        })
    }
}

impl State {
    fn insert_batch(
        &mut self,
        batch: NewBatch,
        vouchers: Vec<(VoucherHash, Mask)>,
    ) -> Result<Inserted, StorageError> {
        if let Some((key, fingerprint)) = &batch.idempotency {
            let same_key =
                |earlier: &&NewBatch| earlier.idempotency.as_ref().is_some_and(|(stored, _)| stored == key);
            if let Some(earlier) = self.batches.iter().find(same_key) {
                let is_same = earlier.idempotency.as_ref().is_some_and(|(_, stored)| stored == fingerprint);
                let replay = || Inserted::Replay(Box::new(earlier.clone()));
                return Ok(if is_same { replay() } else { Inserted::IdempotencyMismatch });
            }
        }
        let Some(sku) = self.skus.get(&batch.sku).filter(|sku| !sku.archived) else {
            return Ok(Inserted::NoSku);
        };
        let is_known = self.batches.iter().any(|earlier| earlier.id == batch.id);
        if is_known || sku.label != batch.label {
            return Err(StorageError::Conflict);
        }
        let places = vouchers.iter().enumerate();
        let duplicates: Vec<_> = places
            .filter(|(_, (hash, _))| self.vouchers.contains_key(hash))
            .map(|(place, _)| place)
            .collect();
        if !duplicates.is_empty() {
            return Ok(Inserted::Duplicate(duplicates));
        }

        for (hash, mask) in vouchers {
            self.vouchers.insert(
                hash,
                Voucher {
                    hash,
                    key_id: batch.key_id,
                    mask,
                    batch: batch.id,
                    sku: batch.sku.clone(),
                    state: VoucherState::Issued,
                    tries: 0,
                    buys: 0,
                    expires_at: batch.expires_at,
                    ready_at: None,
                    start_behind: None,
                    redemption: None,
                },
            );
        }
        self.batches.push(batch);
        Ok(Inserted::New)
    }

    fn summary(&self, batch: &NewBatch) -> BatchSummary {
        let mut counts: std::collections::BTreeMap<_, _> = VoucherState::NAMES.map(|name| (name, 0)).into();
        for voucher in self.vouchers.values().filter(|voucher| voucher.batch == batch.id) {
            *counts.entry(voucher.state.name()).or_default() += 1;
        }
        BatchSummary { batch: batch.clone(), counts }
    }

    fn trail(&self, voucher: &Voucher) -> VoucherTrail {
        let mut redemptions: Vec<_> =
            self.redemptions.values().filter(|redemption| redemption.voucher == voucher.hash).collect();
        redemptions.sort_by_key(|redemption| (redemption.created_at, redemption.id));
        VoucherTrail {
            voucher: voucher.clone(),
            redemptions: redemptions.into_iter().map(RedemptionTrail::from).collect(),
        }
    }
}
