//! Batches and vouchers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::ids::{BatchId, PlanId};
use mintcode_core::ports::NewVouchers;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::vouchers::{
    BatchSummary, ChangeError, Inserted, NewBatch, SecretUse, VoucherTrail, Vouchers,
};
use mintcode_core::voucher::{
    Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash, VoucherState,
};
use rusqlite::Connection;

use super::redemptions::{execute, row, rows};
use super::{SqliteStore, changes, trails, unavailable};
use crate::rows::{BatchRow, Row, VoucherRow, mask, micros, resting_name};

#[async_trait]
impl Vouchers for SqliteStore {
    async fn insert_batch(&self, batch: NewBatch, vouchers: NewVouchers) -> Result<Inserted, StorageError> {
        self.mint(batch, vouchers).await
    }

    async fn remove_leftovers(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.remove_given_up(now).await
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT * FROM batch WHERE id = ?1 AND ?2 = 1";
            Ok(summaries(connection, sql, (id.to_string(), 1))?.pop())
        })
    }

    async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<BatchSummary>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT * FROM batch
                       WHERE number < CASE WHEN ?1 IS NULL THEN 9223372036854775807
                           ELSE (SELECT number FROM batch WHERE id = ?1) END
                       ORDER BY number DESC LIMIT ?2";
            summaries(connection, sql, (before.map(|before| before.to_string()), limit))
        })
    }

    async fn change_voucher(&self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError> {
        let vault = Arc::clone(&self.vault);
        self.writer.write(move |connection| changes::change(connection, &vault, hash, event)).await
    }

    async fn void_batch(&self, id: BatchId, reason: &VoidReason) -> Result<Option<u64>, StorageError> {
        let (id, reason) = (id.to_string(), reason.clone());
        self.writer.write(move |connection| changes::void_batch(connection, &id, &reason)).await
    }

    async fn expire_vouchers(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
        self.writer.write(move |connection| changes::expire(connection, now, limit)).await
    }

    async fn seal_batch(&self, id: BatchId) -> Result<bool, StorageError> {
        let id = id.to_string();
        self.writer
            .write(move |connection| {
                let sql = "UPDATE every_batch SET nonce = NULL WHERE id = ?1 AND staged_until IS NULL";
                Ok::<_, StorageError>(execute(connection, sql, [&id], || Row::of("batch", &id))? > 0)
            })
            .await
    }

    async fn seal_batches(&self, minted_before: DateTime<Utc>) -> Result<u64, StorageError> {
        self.writer
            .write(move |connection| {
                let sql = "UPDATE every_batch SET nonce = NULL
                           WHERE nonce IS NOT NULL AND minted_at < ?1 AND staged_until IS NULL";
                let sealed =
                    execute(connection, sql, [micros(minted_before)], || Row::of("batch", &minted_before))?;
                Ok::<_, StorageError>(sealed as u64)
            })
            .await
    }

    async fn secrets_in_use(&self) -> Result<Vec<SecretUse>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT key_id, sum(live), sum(nonce IS NOT NULL) FROM batch
                       JOIN (SELECT batch, sum(iif(state IN ('issued', 'locked', 'redeeming', 'retryable_failed'),
                               vouchers, 0)) AS live
                           FROM batch_count GROUP BY batch) ON batch = number
                       WHERE nonce IS NOT NULL OR live > 0
                       GROUP BY key_id ORDER BY key_id";
            rows(connection, sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .into_iter()
                .map(|(secret, live, unsealed): (Vec<u8>, i64, i64)| {
                    let row = Row::of("batch", "key_id");
                    Ok(SecretUse {
                        secret: row.key_id(&secret)?,
                        live_vouchers: u64::try_from(live).map_err(|_| row.corrupt())?,
                        unsealed_batches: u64::try_from(unsealed).map_err(|_| row.corrupt())?,
                    })
                })
                .collect()
        })
    }

    async fn labels(&self) -> Result<Vec<(Label, Shape)>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT DISTINCT label, shape FROM batch";
            let pairs: BTreeSet<_> = rows(connection, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?
                .into_iter()
                .map(|(label, shape): (String, String)| {
                    let row = Row::of("batch", &label);
                    Ok((row.parse(&label)?, row.json(&shape)?))
                })
                .collect::<Result<_, StorageError>>()?;
            Ok(pairs.into_iter().collect())
        })
    }

    async fn trail(&self, hashes: &[VoucherHash]) -> Result<Option<VoucherTrail>, StorageError> {
        self.read(|connection| trails::of_hashes(connection, &self.vault, hashes))
    }

    async fn trails_by_mask(&self, mask: Mask, limit: u32) -> Result<Vec<VoucherTrail>, StorageError> {
        // Masks have no index: it would cost more than half of what a voucher takes on disk, for a rare question.
        let vault = Arc::clone(&self.vault);
        self.read_long(move |connection| trails::of_mask(connection, &vault, mask, limit)).await
    }
}

/// Batches as `sql` finds them, with their counts.
fn summaries(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<BatchSummary>, StorageError> {
    let transaction = connection.unchecked_transaction().map_err(unavailable)?;
    let mut summaries = Vec::new();
    for (number, batch) in rows(&transaction, sql, parameters, numbered_batch_row)? {
        let mut counts: BTreeMap<_, _> = VoucherState::NAMES.map(|name| (name, 0)).into();
        let sql = "SELECT state, vouchers FROM batch_count WHERE batch = ?1";
        for (state, vouchers) in rows(&transaction, sql, [number], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (state, vouchers): (String, i64) = (state, vouchers);
            let row = Row::of("batch_count", &format!("{number}/{state}"));
            *counts.get_mut(state.as_str()).ok_or_else(|| row.corrupt())? =
                u64::try_from(vouchers).map_err(|_| row.corrupt())?;
        }
        summaries.push(BatchSummary { batch: batch.read()?, counts });
    }
    Ok(summaries)
}

pub(super) fn numbered_batch_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, BatchRow)> {
    let batch = BatchRow {
        id: row.get("id")?,
        sku: row.get("sku")?,
        label: row.get("label")?,
        shape: row.get("shape")?,
        key_id: row.get("key_id")?,
        nonce: row.get("nonce")?,
        count: row.get("count")?,
        expires_at: row.get("expires_at")?,
        note: row.get("note")?,
        minted_by: row.get("minted_by")?,
        minted_at: row.get("minted_at")?,
        idempotency_key: row.get("idempotency_key")?,
        fingerprint: row.get("fingerprint")?,
        replaces: row.get("replaces")?,
    };
    Ok((row.get("number")?, batch))
}

/// The first of `hashes` that is a voucher's.
pub(super) fn find(connection: &Connection, hashes: &[VoucherHash]) -> Result<Option<Voucher>, StorageError> {
    let sql = "SELECT hash, mask, state, came_from, tries, buys, voucher.expires_at, ready_at, start_behind, redemption,
                   void_reason, voucher.replaces, batch.id, sku, key_id, reset_wished
               FROM voucher JOIN batch ON batch.number = voucher.batch WHERE hash = ?1";
    for hash in hashes {
        if let Some(voucher) = row(connection, sql, [hash.to_bytes()], voucher_row)? {
            return voucher.read().map(Some);
        }
    }
    Ok(None)
}

/// Vouchers that people are shown as `shown`.
pub(super) fn find_by_mask(
    connection: &Connection,
    shown: Mask,
    limit: u32,
) -> Result<Vec<Voucher>, StorageError> {
    let sql = "SELECT hash, mask, state, came_from, tries, buys, voucher.expires_at, ready_at, start_behind, redemption,
                   void_reason, voucher.replaces, batch.id, sku, key_id, reset_wished
               FROM voucher JOIN batch ON batch.number = voucher.batch WHERE mask = ?1 ORDER BY hash LIMIT ?2";
    rows(connection, sql, (mask(shown), limit), voucher_row)?.into_iter().map(VoucherRow::read).collect()
}

fn voucher_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<VoucherRow> {
    Ok(VoucherRow {
        hash: row.get(0)?,
        mask: row.get(1)?,
        state: row.get(2)?,
        came_from: row.get(3)?,
        tries: row.get(4)?,
        buys: row.get(5)?,
        expires_at: row.get(6)?,
        ready_at: row.get(7)?,
        start_behind: row.get(8)?,
        redemption: row.get(9)?,
        void_reason: row.get(10)?,
        replaces: row.get(11)?,
        batch: row.get(12)?,
        sku: row.get(13)?,
        key_id: row.get(14)?,
        reset_wished: row.get(15)?,
    })
}

/// The voucher that was issued in place of `hash`.
pub(super) fn replacement(
    connection: &Connection,
    hash: VoucherHash,
) -> Result<Option<VoucherHash>, StorageError> {
    let sql = "SELECT hash FROM voucher WHERE replaces = ?1";
    let replacement: Option<Vec<u8>> = row(connection, sql, [hash.to_bytes()], |row| row.get(0))?;
    replacement.map(|replacement| Row::of("voucher", &hash).hash(&replacement)).transpose()
}

/// Stores what may change of a voucher.
pub(super) fn update(connection: &Connection, voucher: &Voucher) -> Result<(), StorageError> {
    let sql = "UPDATE voucher SET state = ?2, came_from = ?3, tries = ?4, buys = ?5, expires_at = ?6, ready_at = ?7,
                   start_behind = ?8, redemption = ?9, void_reason = ?10, reset_wished = ?11
               WHERE hash = ?1";
    let parameters = (
        voucher.hash.to_bytes(),
        voucher.state.name(),
        voucher.state.from().map(resting_name),
        voucher.tries,
        voucher.buys,
        voucher.expires_at.map(micros),
        voucher.ready_at.map(micros),
        voucher.start_behind.as_ref().map(PlanId::as_str),
        voucher.redemption.map(|redemption| redemption.to_string()),
        voucher.void.as_ref().map(VoidReason::as_str),
        voucher.reset_wished,
    );
    execute(connection, sql, parameters, || Row::of("voucher", &voucher.hash)).map(drop)
}
