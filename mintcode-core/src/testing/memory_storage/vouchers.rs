//! Batches, vouchers and their trails.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStorage, State};
use crate::ids::BatchId;
use crate::ports::{
    BatchSummary, ChangeError, Inbox, Inserted, NewBatch, NewVouchers, RedemptionTrail, SecretUse,
    StorageError, VoucherTrail, Vouchers,
};
use crate::redemption::Wish;
use crate::voucher::{Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash, VoucherState};

#[async_trait]
impl Vouchers for MemoryStorage {
    async fn insert_batch(&self, batch: NewBatch, vouchers: NewVouchers) -> Result<Inserted, StorageError> {
        self.transaction(|state| state.insert_batch(batch, &vouchers))
    }

    async fn remove_leftovers(&self, _now: DateTime<Utc>) -> Result<u64, StorageError> {
        // A batch is stored within one transaction.
        Ok(0)
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

    async fn change_voucher(&self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError> {
        self.transaction(|state| state.change_voucher(hash, event))
    }

    async fn void_batch(&self, id: BatchId, reason: &VoidReason) -> Result<Option<u64>, StorageError> {
        self.transaction(|state| {
            if !state.batches.iter().any(|batch| batch.id == id) {
                return Ok(None);
            }
            let is_due = |voucher: &Voucher| voucher.batch == id && voucher.state == VoucherState::Issued;
            let event = VoucherEvent::Void { reason: reason.clone() };
            Ok(Some(state.apply_to_all(is_due, &event, u32::MAX)))
        })
    }

    async fn expire_vouchers(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
        self.transaction(|state| {
            let is_due = |voucher: &Voucher| {
                matches!(voucher.state, VoucherState::Issued | VoucherState::RetryableFailed)
                    && voucher.expires_at.is_some_and(|end| now >= end)
            };
            Ok(state.apply_to_all(is_due, &VoucherEvent::Expire, limit))
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

    async fn secrets_in_use(&self) -> Result<Vec<SecretUse>, StorageError> {
        self.transaction(|state| Ok(state.secrets_in_use()))
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
    fn insert_batch(&mut self, batch: NewBatch, vouchers: &NewVouchers) -> Result<Inserted, StorageError> {
        if let Some((key, fingerprint)) = &batch.idempotency {
            let same_key =
                |earlier: &&NewBatch| earlier.idempotency.as_ref().is_some_and(|(stored, _)| stored == key);
            if let Some(earlier) = self.batches.iter().find(same_key) {
                let is_same = earlier.idempotency.as_ref().is_some_and(|(_, stored)| stored == fingerprint);
                let replay = || Inserted::Replay(Box::new(earlier.clone()));
                return Ok(if is_same { replay() } else { Inserted::IdempotencyMismatch });
            }
        }
        if let Some(replaced) = batch.replaces {
            if let Some(earlier) = self.batches.iter().find(|earlier| earlier.replaces == Some(replaced)) {
                return Ok(Inserted::Replay(Box::new(earlier.clone())));
            }
            let fulfilled = self.vouchers.get(&replaced);
            if fulfilled.is_none_or(|voucher| voucher.state != VoucherState::Fulfilled) {
                return Ok(Inserted::NotFulfilled);
            }
        }
        let Some(sku) = self.skus.get(&batch.sku).filter(|sku| !sku.archived || batch.replaces.is_some())
        else {
            return Ok(Inserted::NoSku);
        };
        let is_known = self.batches.iter().any(|earlier| earlier.id == batch.id);
        if is_known || sku.label != batch.label {
            return Err(StorageError::Conflict);
        }
        let rows = vouchers.in_key_order();
        let known = rows.iter().map(|(hash, _)| *hash).filter(|hash| self.vouchers.contains_key(hash));
        let known: HashSet<_> = known.collect();
        if !known.is_empty() {
            return Ok(Inserted::Duplicate(vouchers.places_of(&known)));
        }

        vouchers.stored(rows.len());
        for (hash, mask) in rows {
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
                    void: None,
                    reset_wished: false,
                    replaces: batch.replaces,
                },
            );
        }
        self.batches.push(batch);
        Ok(Inserted::New)
    }

    fn change_voucher(&mut self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError> {
        let voucher = self.vouchers.get(&hash).cloned().ok_or(ChangeError::NoVoucher)?;
        let is_void = matches!(event, VoucherEvent::Void { .. });
        let changed = voucher.apply(event)?;
        let is_owned = matches!(changed.state, VoucherState::Locked { .. } | VoucherState::Redeeming { .. });
        if let Some(redemption) = changed.redemption.filter(|_| is_void && is_owned) {
            self.tell(redemption, Inbox::Wish(Wish::Cancel));
        }
        self.vouchers.insert(hash, changed.clone());
        Ok(changed)
    }

    /// Applies `event` to at most `limit` vouchers that are due and can take it, and returns how many.
    fn apply_to_all(&mut self, is_due: impl Fn(&Voucher) -> bool, event: &VoucherEvent, limit: u32) -> u64 {
        let due = self.vouchers.values().filter(|voucher| is_due(voucher)).take(limit as usize);
        let changed: Vec<_> = due.filter_map(|voucher| voucher.clone().apply(event.clone()).ok()).collect();
        let count = changed.len() as u64;
        self.vouchers.extend(changed.into_iter().map(|voucher| (voucher.hash, voucher)));
        count
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
            replaced_by: self
                .vouchers
                .values()
                .find(|it| it.replaces == Some(voucher.hash))
                .map(|it| it.hash),
            redemptions: redemptions.into_iter().map(RedemptionTrail::from).collect(),
        }
    }
}
