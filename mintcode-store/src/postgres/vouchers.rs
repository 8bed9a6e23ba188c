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

use super::connection::Connection;
use super::transaction::{Parameters, execute, row, rows};
use super::{PostgresStore, changes, trails};
use crate::rows::{BatchRow, Row, VoucherRow, mask, micros, resting_name};

pub(super) const BATCH: &str =
    "number, id, sku, label, shape, key_id, nonce, count, expires_at, note, minted_by, minted_at,
    idempotency_key, fingerprint, replaces";

#[async_trait]
impl Vouchers for PostgresStore {
    async fn insert_batch(&self, batch: NewBatch, vouchers: NewVouchers) -> Result<Inserted, StorageError> {
        self.mint(batch, vouchers).await
    }

    async fn remove_leftovers(&self, _now: DateTime<Utc>) -> Result<u64, StorageError> {
        // A batch is stored within one transaction.
        Ok(0)
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError> {
        let found = self.database.snapshot(|connection| async move {
            let sql = format!("SELECT {BATCH} FROM batch WHERE id = $1");
            Ok(summaries(&connection, &sql, &[&id.to_string()]).await?.pop())
        });
        found.await
    }

    async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<BatchSummary>, StorageError> {
        let found = self.database.snapshot(|connection| async move {
            let sql = format!(
                "SELECT {BATCH} FROM batch
                 WHERE number < CASE WHEN $1::text IS NULL THEN 9223372036854775807
                     ELSE (SELECT number FROM batch WHERE id = $1) END
                 ORDER BY number DESC LIMIT $2"
            );
            let before = before.map(|before| before.to_string());
            summaries(&connection, &sql, &[&before, &i64::from(limit)]).await
        });
        found.await
    }

    async fn change_voucher(&self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError> {
        let vault = Arc::clone(&self.vault);
        let changed = self.database.write(move |connection| {
            let (event, vault) = (event.clone(), Arc::clone(&vault));
            async move { changes::change(&connection, &vault, hash, event).await }
        });
        changed.await
    }

    async fn void_batch(&self, id: BatchId, reason: &VoidReason) -> Result<Option<u64>, StorageError> {
        let what = Arc::new((id.to_string(), reason.clone()));
        let voided = self.database.write(move |connection| {
            let what = Arc::clone(&what);
            async move { changes::void_batch(&connection, &what.0, &what.1).await }
        });
        voided.await
    }

    async fn expire_vouchers(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
        let expired = self
            .database
            .write(move |connection| async move { changes::expire(&connection, now, limit).await });
        expired.await
    }

    async fn seal_batch(&self, id: BatchId) -> Result<bool, StorageError> {
        let sealed = self.database.write(move |connection| async move {
            let sql = "UPDATE batch SET nonce = NULL WHERE id = $1";
            let row = || Row::of("batch", &id);
            Ok::<_, StorageError>(execute(&connection, sql, &[&id.to_string()], row).await? > 0)
        });
        sealed.await
    }

    async fn seal_batches(&self, minted_before: DateTime<Utc>) -> Result<u64, StorageError> {
        let sealed = self.database.write(move |connection| async move {
            let sql = "UPDATE batch SET nonce = NULL WHERE nonce IS NOT NULL AND minted_at < $1";
            let row = || Row::of("batch", &minted_before);
            execute(&connection, sql, &[&micros(minted_before)], row).await
        });
        sealed.await
    }

    async fn secrets_in_use(&self) -> Result<Vec<SecretUse>, StorageError> {
        let connection = self.database.connection().await?;
        let sql = "SELECT key_id, sum(live)::bigint, count(nonce) FROM batch
                   JOIN (SELECT batch,
                           sum(CASE WHEN state IN ('issued', 'locked', 'redeeming', 'retryable_failed')
                               THEN vouchers ELSE 0 END) AS live
                       FROM batch_count GROUP BY batch) AS counted ON batch = number
                   WHERE nonce IS NOT NULL OR live > 0
                   GROUP BY key_id ORDER BY key_id";
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        rows(&connection, sql, &[], read)
            .await?
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
    }

    async fn labels(&self) -> Result<Vec<(Label, Shape)>, StorageError> {
        let connection = self.database.connection().await?;
        let sql = "SELECT DISTINCT label, shape FROM batch";
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let pairs: BTreeSet<_> = rows(&connection, sql, &[], read)
            .await?
            .into_iter()
            .map(|(label, shape): (String, String)| {
                let row = Row::of("batch", &label);
                Ok((row.parse(&label)?, row.json(&shape)?))
            })
            .collect::<Result<_, StorageError>>()?;
        Ok(pairs.into_iter().collect())
    }

    async fn trail(&self, hashes: &[VoucherHash]) -> Result<Option<VoucherTrail>, StorageError> {
        // One snapshot, so that voucher and redemptions are of one moment.
        let found = self
            .database
            .snapshot(|connection| async move { trails::of_hashes(&connection, &self.vault, hashes).await });
        found.await
    }

    async fn trails_by_mask(&self, mask: Mask, limit: u32) -> Result<Vec<VoucherTrail>, StorageError> {
        // Masks have no index: it would cost more than half of what a voucher takes on disk, for a rare question.
        let found = self.database.snapshot(|connection| async move {
            trails::of_mask(&connection, &self.vault, mask, limit).await
        });
        found.await
    }
}

/// Batches as `sql` finds them, with their counts.
async fn summaries(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<BatchSummary>, StorageError> {
    let found = rows(connection, sql, parameters, numbered_batch_row).await?;
    let numbers: Vec<i64> = found.iter().map(|(number, _)| *number).collect();
    let sql =
        "SELECT batch, state, sum(vouchers)::bigint FROM batch_count WHERE batch = ANY($1) GROUP BY 1, 2";
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let lines: Vec<(i64, String, i64)> = rows(connection, sql, &[&numbers], read).await?;
    let mut summaries = Vec::new();
    for (number, batch) in found {
        let mut counts: BTreeMap<_, _> = VoucherState::NAMES.map(|name| (name, 0)).into();
        for (_, state, vouchers) in lines.iter().filter(|(batch, _, _)| *batch == number) {
            let row = Row::of("batch_count", &format!("{number}/{state}"));
            *counts.get_mut(state.as_str()).ok_or_else(|| row.corrupt())? =
                u64::try_from(*vouchers).map_err(|_| row.corrupt())?;
        }
        summaries.push(BatchSummary { batch: batch.read()?, counts });
    }
    Ok(summaries)
}

/// Sums up the lines that redemptions added to the counts of their batches. One process does it at a time.
pub(super) async fn sum_up_counts(connection: &Connection) -> Result<(), StorageError> {
    let sql = "SELECT pg_try_advisory_xact_lock(hashtextextended('counts', 1))";
    if row(connection, sql, &[], |row| row.try_get(0)).await? != Some(true) {
        return Ok(());
    }
    let sql = "WITH many AS (SELECT batch FROM batch_count GROUP BY batch HAVING count(*) > 16),
                   gone AS (DELETE FROM batch_count WHERE batch IN (SELECT batch FROM many) RETURNING *)
               INSERT INTO batch_count (batch, state, vouchers)
                   SELECT batch, state, sum(vouchers) FROM gone GROUP BY batch, state HAVING sum(vouchers) <> 0";
    execute(connection, sql, &[], || Row::of("batch_count", "")).await.map(drop)
}

pub(super) fn numbered_batch_row(
    row: &tokio_postgres::Row,
) -> Result<(i64, BatchRow), tokio_postgres::Error> {
    let batch = BatchRow {
        id: row.try_get("id")?,
        sku: row.try_get("sku")?,
        label: row.try_get("label")?,
        shape: row.try_get("shape")?,
        key_id: row.try_get("key_id")?,
        nonce: row.try_get("nonce")?,
        count: row.try_get("count")?,
        expires_at: row.try_get("expires_at")?,
        note: row.try_get("note")?,
        minted_by: row.try_get("minted_by")?,
        minted_at: row.try_get("minted_at")?,
        idempotency_key: row.try_get("idempotency_key")?,
        fingerprint: row.try_get("fingerprint")?,
        replaces: row.try_get("replaces")?,
    };
    Ok((row.try_get("number")?, batch))
}

/// The first of `hashes` that is a voucher's.
pub(super) async fn find(
    connection: &Connection,
    hashes: &[VoucherHash],
) -> Result<Option<Voucher>, StorageError> {
    let sql = "SELECT hash, mask, state, came_from, tries::bigint, buys::bigint, voucher.expires_at, ready_at, start_behind,
                   redemption, void_reason, voucher.replaces, batch.id, sku, key_id, reset_wished
               FROM voucher JOIN batch ON batch.number = voucher.batch WHERE hash = $1";
    first(connection, sql, hashes).await
}

/// As [`find`], and keeps the voucher from everybody else until the transaction's end.
pub(super) async fn hold(
    connection: &Connection,
    hashes: &[VoucherHash],
) -> Result<Option<Voucher>, StorageError> {
    // Whoever waited for it is given the voucher as it is by then.
    let sql = "SELECT hash, mask, state, came_from, tries::bigint, buys::bigint, voucher.expires_at, ready_at, start_behind,
                   redemption, void_reason, voucher.replaces, batch.id, sku, key_id, reset_wished
               FROM voucher JOIN batch ON batch.number = voucher.batch WHERE hash = $1
               FOR NO KEY UPDATE OF voucher";
    first(connection, sql, hashes).await
}

/// The first of `hashes` for which `sql` finds a voucher.
async fn first(
    connection: &Connection,
    sql: &str,
    hashes: &[VoucherHash],
) -> Result<Option<Voucher>, StorageError> {
    for hash in hashes {
        let hash = hash.to_bytes();
        if let Some(voucher) = row(connection, sql, &[&hash.as_slice()], voucher_row).await? {
            return voucher.read().map(Some);
        }
    }
    Ok(None)
}

/// Vouchers that people are shown as `shown`.
pub(super) async fn find_by_mask(
    connection: &Connection,
    shown: Mask,
    limit: u32,
) -> Result<Vec<Voucher>, StorageError> {
    let sql = "SELECT hash, mask, state, came_from, tries::bigint, buys::bigint, voucher.expires_at, ready_at, start_behind,
                   redemption, void_reason, voucher.replaces, batch.id, sku, key_id, reset_wished
               FROM voucher JOIN batch ON batch.number = voucher.batch WHERE mask = $1 ORDER BY hash LIMIT $2";
    let found = rows(connection, sql, &[&mask(shown), &i64::from(limit)], voucher_row).await?;
    found.into_iter().map(VoucherRow::read).collect()
}

fn voucher_row(row: &tokio_postgres::Row) -> Result<VoucherRow, tokio_postgres::Error> {
    Ok(VoucherRow {
        hash: row.try_get(0)?,
        mask: row.try_get(1)?,
        state: row.try_get(2)?,
        came_from: row.try_get(3)?,
        tries: row.try_get(4)?,
        buys: row.try_get(5)?,
        expires_at: row.try_get(6)?,
        ready_at: row.try_get(7)?,
        start_behind: row.try_get(8)?,
        redemption: row.try_get(9)?,
        void_reason: row.try_get(10)?,
        replaces: row.try_get(11)?,
        batch: row.try_get(12)?,
        sku: row.try_get(13)?,
        key_id: row.try_get(14)?,
        reset_wished: row.try_get(15)?,
    })
}

/// The voucher that was issued in place of `hash`.
pub(super) async fn replacement(
    connection: &Connection,
    hash: VoucherHash,
) -> Result<Option<VoucherHash>, StorageError> {
    let sql = "SELECT hash FROM voucher WHERE replaces = $1";
    let bytes = hash.to_bytes();
    let replacement: Option<Vec<u8>> =
        row(connection, sql, &[&bytes.as_slice()], |row| row.try_get(0)).await?;
    replacement.map(|replacement| Row::of("voucher", &hash).hash(&replacement)).transpose()
}

/// Stores what may change of a voucher.
pub(super) async fn update(connection: &Connection, voucher: &Voucher) -> Result<(), StorageError> {
    let sql = "UPDATE voucher SET state = $2, came_from = $3, tries = $4::bigint, buys = $5::bigint, expires_at = $6,
                   ready_at = $7, start_behind = $8, redemption = $9, void_reason = $10, reset_wished = $11
               WHERE hash = $1";
    let hash = voucher.hash.to_bytes();
    execute(
        connection,
        sql,
        &[
            &hash.as_slice(),
            &voucher.state.name(),
            &voucher.state.from().map(resting_name),
            &i64::from(voucher.tries),
            &i64::from(voucher.buys),
            &voucher.expires_at.map(micros),
            &voucher.ready_at.map(micros),
            &voucher.start_behind.as_ref().map(PlanId::as_str),
            &voucher.redemption.map(|redemption| redemption.to_string()),
            &voucher.void.as_ref().map(VoidReason::as_str),
            &voucher.reset_wished,
        ],
        || Row::of("voucher", &voucher.hash),
    )
    .await
    .map(drop)
}
