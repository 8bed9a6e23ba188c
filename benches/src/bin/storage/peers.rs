//! The same rows into the same tables by nothing but the database: one transaction, sorted, prepared beforehand.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use mintcode_core::ports::NewVouchers;
use mintcode_core::testing::sample;
use mintcode_core::voucher::{Mask, VoucherHash};
use rusqlite::Connection;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::Error;

/// A mask as it is stored.
const MASK: &str = "ABCDWXYZ";

/// Rows as they would be minted.
pub(crate) fn rows(count: u32) -> Vec<(VoucherHash, Mask)> {
    NewVouchers::from(sample::batch(&sample::sku("tg"), count).1).in_key_order()
}

/// Inserts `rows` into the file, which has the SKU `tg`, with the settings of the store's writer.
pub(crate) fn sqlite(file: &Path, rows: &[(VoucherHash, Mask)]) -> Result<Duration, Error> {
    let connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8192;
         PRAGMA cache_size = -32768; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON",
    )?;
    let started = Instant::now();
    connection.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO every_batch (number, id, sku, label, shape, key_id, count, minted_by, minted_at)
             VALUES (9, 'bat', 'tg', 'TG', '{}', x'01020304', 0, 'peer', 0)",
    )?;
    let sql = "INSERT INTO voucher (hash, batch, mask, state) VALUES (?1, 9, ?2, 'issued')";
    let mut insert = connection.prepare(sql)?;
    for (hash, _) in rows {
        insert.execute((hash.to_bytes(), MASK))?;
    }
    drop(insert);
    connection.execute_batch("COMMIT")?;
    Ok(started.elapsed())
}

/// Writes `rows` as PostgreSQL reads them fastest.
pub(crate) fn write_binary(file: &Path, rows: &[(VoucherHash, Mask)]) -> Result<(), Error> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    out.write_all(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0")?;
    for (hash, _) in rows {
        let fields: [&[u8]; 4] =
            [&hash.to_bytes(), &9_i64.to_be_bytes(), MASK.as_bytes(), b"issued".as_slice()];
        out.write_all(&4_i16.to_be_bytes())?;
        for field in fields {
            out.write_all(&i32::try_from(field.len())?.to_be_bytes())?;
            out.write_all(field)?;
        }
    }
    out.write_all(&(-1_i16).to_be_bytes())?;
    Ok(out.flush()?)
}

/// Has the server copy a file of [`write_binary`] into its table of vouchers; the schema has the SKU `tg`.
pub(crate) async fn postgres(client: &Client, file: &Path) -> Result<Duration, Error> {
    let started = Instant::now();
    client
        .batch_execute(&format!(
            "BEGIN;
             INSERT INTO batch (number, id, sku, label, shape, key_id, count, minted_by, minted_at)
                 OVERRIDING SYSTEM VALUE
                 VALUES (9, 'bat', 'tg', 'TG', '{{}}', '\\x01020304', 0, 'peer', 0);
             COPY voucher (hash, batch, mask, state) FROM '{}' (FORMAT binary);
             COMMIT",
            file.display()
        ))
        .await?;
    Ok(started.elapsed())
}
