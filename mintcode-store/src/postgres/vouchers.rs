//! Batches and vouchers.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::ids::{BatchId, PlanId};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::vouchers::{
    BatchSummary, ChangeError, Inserted, NewBatch, SecretUse, VoucherTrail, Vouchers,
};
use mintcode_core::voucher::{
    Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash, VoucherState,
};

use super::connection::Connection;
use super::transaction::{Parameters, execute, lock_name, row, rows};
use super::{PostgresStore, catalogue, changes, trails};
use crate::rows::{BatchRow, Row, VoucherRow, json, mask, micros, resting_name};

/// Vouchers that one statement inserts.
const CHUNK: usize = 10_000;

const BATCH: &str =
    "number, id, sku, label, shape, key_id, nonce, count, expires_at, note, minted_by, minted_at,
    idempotency_key, fingerprint, replaces";

#[async_trait]
impl Vouchers for PostgresStore {
    async fn insert_batch(
        &self,
        batch: NewBatch,
        vouchers: Vec<(VoucherHash, Mask)>,
    ) -> Result<Inserted, StorageError> {
        let mut in_key_order: Vec<_> =
            vouchers.into_iter().enumerate().map(|(place, (hash, mask))| (hash, mask, place)).collect();
        in_key_order.sort_unstable_by_key(|(hash, _, _)| *hash);
        let minted = Arc::new((batch, in_key_order));
        let inserted = self.database.write(move |connection| {
            let minted = Arc::clone(&minted);
            async move { insert_batch(&connection, &minted.0, &minted.1).await }
        });
        match inserted.await {
            Ok(inserted) => Ok(inserted),
            Err(NotInserted::Duplicate(places)) => Ok(Inserted::Duplicate(places)),
            Err(NotInserted::Storage(error)) => Err(error),
        }
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

/// Why a batch is taken back.
#[derive(Debug, thiserror::Error)]
enum NotInserted {
    #[error("some codes are stored already")]
    Duplicate(Vec<usize>),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

async fn insert_batch(
    connection: &Connection,
    batch: &NewBatch,
    vouchers: &[(VoucherHash, Mask, usize)],
) -> Result<Inserted, NotInserted> {
    if let Some((key, fingerprint)) = &batch.idempotency {
        // Requests with one key come one after the other.
        lock_name(connection, &format!("minting {key}")).await?;
        let sql = format!("SELECT {BATCH} FROM batch WHERE idempotency_key = $1");
        if let Some((_, earlier)) = row(connection, &sql, &[key], numbered_batch_row).await? {
            let earlier = earlier.read()?;
            let is_same = earlier.idempotency.as_ref().is_some_and(|(_, stored)| stored == fingerprint);
            return Ok(if is_same {
                Inserted::Replay(Box::new(earlier))
            } else {
                Inserted::IdempotencyMismatch
            });
        }
    }
    if let Some(replaced) = batch.replaces {
        // Held first, so that it is replaced once.
        let voucher = hold(connection, &[replaced]).await?;
        let sql = format!(
            "SELECT {BATCH} FROM batch WHERE number = (SELECT batch FROM voucher WHERE replaces = $1)"
        );
        let hash = replaced.to_bytes();
        if let Some((_, earlier)) = row(connection, &sql, &[&hash.as_slice()], numbered_batch_row).await? {
            return Ok(Inserted::Replay(Box::new(earlier.read()?)));
        }
        if voucher.is_none_or(|voucher| voucher.state != VoucherState::Fulfilled) {
            return Ok(Inserted::NotFulfilled);
        }
    }
    let Some(sku) = catalogue::load_to_mint(connection, batch.sku.as_str())
        .await?
        .filter(|sku| !sku.archived || batch.replaces.is_some())
    else {
        return Ok(Inserted::NoSku);
    };
    if sku.label != batch.label {
        return Err(StorageError::Conflict.into());
    }
    let number = insert_batch_row(connection, batch).await?.ok_or(StorageError::Conflict)?;
    insert_vouchers(connection, batch, number, vouchers).await?;
    let sql = "INSERT INTO batch_count (batch, state, vouchers) VALUES ($1, 'issued', $2)";
    let inserted = i64::try_from(vouchers.len()).unwrap_or(i64::MAX);
    execute(connection, sql, &[&number, &inserted], || Row::of("batch_count", &number)).await?;
    Ok(Inserted::New)
}

async fn insert_vouchers(
    connection: &Connection,
    batch: &NewBatch,
    number: i64,
    vouchers: &[(VoucherHash, Mask, usize)],
) -> Result<(), NotInserted> {
    let sql = "INSERT INTO voucher (hash, batch, mask, state, expires_at, replaces)
               SELECT hash, $1, mask, 'issued', $4, $5 FROM unnest($2::bytea[], $3::text[]) AS minted (hash, mask)
               ON CONFLICT (hash) DO NOTHING";
    let expires_at = batch.expires_at.map(micros);
    let replaces = batch.replaces.map(|hash| hash.to_bytes().to_vec());
    let mut duplicates = Vec::new();
    for chunk in vouchers.chunks(CHUNK) {
        let hashes: Vec<_> = chunk.iter().map(|(hash, _, _)| hash.to_bytes().to_vec()).collect();
        let masks: Vec<_> = chunk.iter().map(|(_, shown, _)| mask(*shown)).collect();
        let row = || Row::of("batch", &batch.id);
        let parameters: Parameters<'_> = &[&number, &hashes, &masks, &expires_at, &replaces];
        if execute(connection, sql, parameters, row).await? == chunk.len() as u64 {
            continue;
        }
        let sql = "SELECT hash FROM voucher WHERE hash = ANY($1) AND batch <> $2";
        let taken: HashSet<Vec<u8>> =
            rows(connection, sql, &[&hashes, &number], |row| row.try_get(0)).await?.into_iter().collect();
        let places = chunk.iter().filter(|(hash, _, _)| taken.contains(&hash.to_bytes()[..]));
        duplicates.extend(places.map(|(_, _, place)| *place));
    }
    if duplicates.is_empty() {
        return Ok(());
    }
    duplicates.sort_unstable();
    Err(NotInserted::Duplicate(duplicates))
}

/// The batch's number; `None` where there is one of its id.
async fn insert_batch_row(connection: &Connection, batch: &NewBatch) -> Result<Option<i64>, StorageError> {
    let id = batch.id.to_string();
    let sql = "SELECT 1 FROM batch WHERE id = $1";
    if row(connection, sql, &[&id], |_| Ok(())).await?.is_some() {
        return Ok(None);
    }
    let sql = "INSERT INTO batch (id, sku, label, shape, key_id, nonce, count, expires_at, note, minted_by, minted_at,
                   idempotency_key, fingerprint, replaces)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
               ON CONFLICT (id) DO NOTHING RETURNING number";
    let (key, fingerprint) = batch.idempotency.as_ref().map(|(key, print)| (key, print)).unzip();
    let (key_id, replaces) = (batch.key_id.to_bytes(), batch.replaces.map(VoucherHash::to_bytes));
    row(
        connection,
        sql,
        &[
            &id,
            &batch.sku.as_str(),
            &batch.label.as_str(),
            &json(&batch.shape),
            &key_id.as_slice(),
            &batch.nonce.as_ref().map(|nonce| nonce.expose().as_slice()),
            &i64::from(batch.count),
            &batch.expires_at.map(micros),
            &batch.note,
            &batch.minted_by,
            &micros(batch.minted_at),
            &key,
            &fingerprint,
            &replaces.as_ref().map(<[u8; 16]>::as_slice),
        ],
        |row| row.try_get(0),
    )
    .await
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

fn numbered_batch_row(row: &tokio_postgres::Row) -> Result<(i64, BatchRow), tokio_postgres::Error> {
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
