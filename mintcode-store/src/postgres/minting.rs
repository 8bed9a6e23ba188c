//! Storing a new batch: in one transaction however large, which nobody sees before its COMMIT.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use mintcode_core::ports::NewVouchers;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::supplier::BoxError;
use mintcode_core::ports::vouchers::{Inserted, NewBatch};
use mintcode_core::voucher::{Mask, VoucherHash, VoucherState};
use tokio::sync::OnceCell;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::transaction::{execute, lock_name, row, rows, unavailable};
use super::vouchers::{BATCH, hold, numbered_batch_row};
use super::{PostgresStore, catalogue};
use crate::rows::{Row, json, mask, micros};

/// Hashes that one statement looks for.
const LOOKED_FOR: usize = 10_000;
/// Vouchers between two reports of how far it is.
const REPORTED: usize = 10_000;
/// How often a batch is stored anew whose codes were another's for a moment.
const TRIES: u32 = 3;
/// What the transaction of a large batch is allowed, whatever others are; and how long a second request with the same key
/// waits for the first one.
const LIMITS: &str = "SET LOCAL statement_timeout = '15min'; SET LOCAL lock_timeout = '2s'";

/// Vouchers in key order, made when they are first needed.
type Rows = Arc<Vec<(VoucherHash, Mask)>>;

/// Why a batch is taken back.
#[derive(Debug, thiserror::Error)]
enum NotInserted {
    #[error("some codes are stored already")]
    Taken,
    #[error("the same request is under way")]
    InFlight,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A batch and its vouchers, for as many tries as its transaction takes.
struct Minted {
    batch: NewBatch,
    vouchers: NewVouchers,
    rows: OnceCell<Rows>,
}

impl Minted {
    async fn rows(&self) -> Result<Rows, StorageError> {
        let make = || async {
            let source = self.vouchers.clone();
            let rows = tokio::task::spawn_blocking(move || source.in_key_order()).await;
            rows.map(Arc::new).map_err(|panic| StorageError::Unavailable(Box::new(panic)))
        };
        self.rows.get_or_try_init(make).await.map(Arc::clone)
    }
}

impl PostgresStore {
    pub(super) async fn mint(
        &self,
        batch: NewBatch,
        vouchers: NewVouchers,
    ) -> Result<Inserted, StorageError> {
        let minted = Arc::new(Minted { batch, vouchers, rows: OnceCell::new() });
        for _ in 0..TRIES {
            let trying = Arc::clone(&minted);
            let inserted = self.database.write(move |connection| {
                let minted = Arc::clone(&trying);
                async move { insert_batch(&connection, &minted).await }
            });
            match inserted.await {
                Ok(inserted) => return Ok(inserted),
                Err(NotInserted::InFlight) => return Ok(Inserted::InFlight),
                Err(NotInserted::Storage(error)) => return Err(error),
                Err(NotInserted::Taken) => {
                    let rows = minted.rows().await?;
                    let taken = taken(&*self.database.connection().await?, &rows).await?;
                    if !taken.is_empty() {
                        return Ok(Inserted::Duplicate(minted.vouchers.places_of(&taken)));
                    }
                    // Whoever had them took them back.
                }
            }
        }
        Err(StorageError::Conflict)
    }
}

async fn insert_batch(connection: &Connection, minted: &Minted) -> Result<Inserted, NotInserted> {
    connection.batch_execute(LIMITS).await.map_err(unavailable)?;
    let batch = &minted.batch;
    if let Some((key, fingerprint)) = &batch.idempotency {
        // Requests with one key come one after the other.
        lock_name(connection, &format!("minting {key}")).await.map_err(in_flight)?;
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
    let rows = minted.rows().await?;
    copy_vouchers(connection, minted, number, &rows).await?;
    let sql = "INSERT INTO batch_count (batch, state, vouchers) VALUES ($1, 'issued', $2)";
    let inserted = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    execute(connection, sql, &[&number, &inserted], || Row::of("batch_count", &number)).await?;
    Ok(Inserted::New)
}

/// Sends the vouchers while the server stores them.
async fn copy_vouchers(
    connection: &Connection,
    minted: &Minted,
    number: i64,
    vouchers: &[(VoucherHash, Mask)],
) -> Result<(), NotInserted> {
    let batch = &minted.batch;
    let sql = "COPY voucher (hash, batch, mask, state, expires_at, replaces) FROM STDIN (FORMAT binary)";
    let types = [Type::BYTEA, Type::INT8, Type::TEXT, Type::TEXT, Type::INT8, Type::BYTEA];
    let expires_at = batch.expires_at.map(micros);
    let replaces = batch.replaces.map(VoucherHash::to_bytes);
    let replaces = replaces.as_ref().map(<[u8; 16]>::as_slice);
    let copying = async {
        let mut into = pin!(BinaryCopyInWriter::new(connection.copy_in(sql).await?, &types));
        for some in vouchers.chunks(REPORTED) {
            for (hash, shown) in some {
                let (hash, shown) = (hash.to_bytes(), mask(*shown));
                into.as_mut()
                    .write(&[&hash.as_slice(), &number, &shown, &"issued", &expires_at, &replaces])
                    .await?;
            }
            minted.vouchers.stored(some.len());
        }
        into.finish().await
    };
    match copying.await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Err(NotInserted::Taken),
        // Another batch with one of these codes is under way.
        Err(error) => Err(in_flight(unavailable(error))),
    }
}

/// Those of `vouchers` that are stored.
async fn taken(
    connection: &Connection,
    vouchers: &[(VoucherHash, Mask)],
) -> Result<HashSet<VoucherHash>, StorageError> {
    let sql = "SELECT hash FROM voucher WHERE hash = ANY($1)";
    let mut taken = HashSet::new();
    for some in vouchers.chunks(LOOKED_FOR) {
        let hashes: Vec<_> = some.iter().map(|(hash, _)| hash.to_bytes().to_vec()).collect();
        let found: Vec<Vec<u8>> = rows(connection, sql, &[&hashes], |row| row.try_get(0)).await?;
        for hash in found {
            taken.insert(Row::of("voucher", &"hash").hash(&hash)?);
        }
    }
    Ok(taken)
}

/// A lock that was not to be had is another request's.
fn in_flight(error: StorageError) -> NotInserted {
    let is_locked = |error: &BoxError| {
        let error = error.downcast_ref::<tokio_postgres::Error>();
        error.is_some_and(|error| error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    };
    match error {
        StorageError::Unavailable(error) if is_locked(&error) => NotInserted::InFlight,
        error => error.into(),
    }
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
