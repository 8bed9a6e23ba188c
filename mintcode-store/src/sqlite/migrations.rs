//! The schema's history, and how a file is brought up to date.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use mintcode_core::ports::StorageError;
use mintcode_core::voucher::KeyId;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use sha2::{Digest, Sha256};

use super::earlier;
use crate::crash_point::{self, Stored};
use crate::rows::{Row, hex};
use crate::vault::{Secrets, Vault, VaultError, WrappedKey};

/// Every migration ever released, by number from 1. A released file never changes.
const MIGRATIONS: [&str; 5] = [
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_rules.sql"),
    include_str!("../../migrations/sqlite/0003_workers.sql"),
    include_str!("../../migrations/sqlite/0004_sealed.sql"),
    include_str!("../../migrations/sqlite/0005_staged.sql"),
];

/// The migration that made the books.
const RULES: i64 = 2;

/// The migration that seals what was stored openly before.
const SEALED: i64 = 4;

/// The tables that have sealed documents.
const SEALED_TABLES: [&str; 3] = ["redemption", "inbox", "orphan"];

/// Why the schema could not be brought up to date.
#[derive(Debug)]
pub(super) enum MigrationError {
    Sqlite(rusqlite::Error),
    Foreign,
    Newer { found: i64, known: i64 },
    Changed { version: i64 },
    MissingSecret(KeyId),
    DamagedKey,
    NeedsSecret,
    Earlier(StorageError),
}

impl From<VaultError> for MigrationError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::MissingSecret(secret) => Self::MissingSecret(secret),
            VaultError::Damaged => Self::DamagedKey,
        }
    }
}

impl From<rusqlite::Error> for MigrationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Runs what is missing, all or nothing; several processes may do so at once. Returns what opens the documents: with
/// `secrets`, the data key is made where there is none, and wrapped anew where a previous secret wraps it and `rewrap` is
/// wished.
pub(super) fn run(
    connection: &mut Connection,
    secrets: Option<&Secrets>,
    rewrap: bool,
) -> Result<Arc<Vault>, MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = applied(&transaction)?;
    if applied.is_empty() && !has_table(&transaction, Some("schema_migration"))? {
        transaction.execute_batch(
            "CREATE TABLE schema_migration (
                version    INTEGER PRIMARY KEY,
                checksum   TEXT NOT NULL,
                applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
            ) STRICT;",
        )?;
    }
    let (vault, key) = vault(&transaction, secrets, rewrap)?;
    let vault = Arc::new(vault);
    let is_sealed_now = !applied.is_empty() && !applied.contains_key(&SEALED);
    if is_sealed_now && secrets.is_none() && holds_documents(&transaction)? {
        return Err(MigrationError::NeedsSecret);
    }
    give_seal(&transaction, &vault)?;
    for (version, sql) in (1..).zip(MIGRATIONS).skip(applied.len()) {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_migration (version, checksum) VALUES (?1, ?2)",
            (version, checksum(sql)),
        )?;
    }
    transaction.remove_function("seal", 4)?;
    if let Some(key) = key {
        let sql = "INSERT INTO data_key (id, wrapped, secret_key_id) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET wrapped = excluded.wrapped, secret_key_id = excluded.secret_key_id";
        transaction.execute(sql, (key.number, key.wrapped, key.secret.to_bytes()))?;
    }
    // Last, since today's statements need today's schema.
    if !applied.is_empty() && !applied.contains_key(&RULES) {
        earlier::book(&transaction, &vault).map_err(MigrationError::Earlier)?;
    }
    let stored = [Stored::called("migrations")];
    crash_point::before_commit(&stored);
    transaction.commit()?;
    crash_point::after_commit(&stored);
    if is_sealed_now {
        // The log still has what was stored openly, until it is folded in and cut. A reader may keep it from that; then
        // the server's end does it.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(vault)
}

/// The migrations that ran there, each with its checksum, all of which this program has. None in an empty file.
pub(super) fn applied(connection: &Connection) -> Result<BTreeMap<i64, String>, MigrationError> {
    if !has_table(connection, Some("schema_migration"))? {
        return if has_table(connection, None)? { Err(MigrationError::Foreign) } else { Ok(BTreeMap::new()) };
    }
    let applied: BTreeMap<i64, String> = connection
        .prepare("SELECT version, checksum FROM schema_migration")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if let Some(found) = applied.keys().copied().max().filter(|found| *found > newest()) {
        return Err(MigrationError::Newer { found, known: newest() });
    }
    for ((version, stored), sql) in applied.iter().zip(MIGRATIONS) {
        if *stored != checksum(sql) {
            return Err(MigrationError::Changed { version: *version });
        }
    }
    Ok(applied)
}

/// The newest schema that this program knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// What opens the documents, and the data key where it is to be stored.
fn vault(
    connection: &Connection,
    secrets: Option<&Secrets>,
    rewrap: bool,
) -> Result<(Vault, Option<WrappedKey>), MigrationError> {
    let Some(secrets) = secrets else { return Ok((Vault::locked(), None)) };
    let Some(stored) = data_key(connection)? else {
        let (vault, key) = Vault::make(secrets);
        return Ok((vault, Some(key)));
    };
    let vault = Vault::unlock(secrets, &stored)?;
    let again = if rewrap { Vault::rewrap(secrets, &stored)? } else { None };
    Ok((vault, again))
}

fn data_key(connection: &Connection) -> Result<Option<WrappedKey>, MigrationError> {
    if !has_table(connection, Some("data_key"))? {
        return Ok(None);
    }
    let sql = "SELECT id, wrapped, secret_key_id FROM data_key ORDER BY id DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(WrappedKey { number: row.get(0)?, wrapped: row.get(1)?, secret: KeyId::from_bytes(row.get(2)?) })
    };
    Ok(connection.query_row(sql, [], read).optional()?)
}

/// Whether there is anything that an earlier version stored openly.
fn holds_documents(connection: &Connection) -> rusqlite::Result<bool> {
    for table in ["redemption", "orphan"] {
        if has_table(connection, Some(table))?
            && connection
                .query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |row| row.get(0))?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives migrations the function `seal(TABLE, ROW, COLUMN, TEXT)`.
fn give_seal(connection: &Connection, vault: &Arc<Vault>) -> rusqlite::Result<()> {
    // A panic on the way would leave nothing half done in either: a vault does not change.
    let vault = AssertUnwindSafe(Arc::clone(vault));
    connection.create_scalar_function("seal", 4, FunctionFlags::SQLITE_UTF8, move |arguments| {
        let (table, key): (String, String) = (arguments.get(0)?, arguments.get(1)?);
        let (column, text): (String, String) = (arguments.get(2)?, arguments.get(3)?);
        let table = SEALED_TABLES.into_iter().find(|known| *known == table);
        let table = table.ok_or_else(|| rusqlite::Error::UserFunctionError("no such table".into()))?;
        let sealed = vault.seal_text(&Row::of(table, &key), &column, &text);
        sealed.map_err(|error| rusqlite::Error::UserFunctionError(Box::new(error)))
    })
}

fn has_table(connection: &Connection, name: Option<&str>) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE ?1 IS NULL OR name = ?1)";
    connection.query_row(sql, [name], |row| row.get(0))
}

fn checksum(sql: &str) -> String {
    hex(&Sha256::digest(sql.as_bytes()))
}
