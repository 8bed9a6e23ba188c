//! The schema's history, and how a file is brought up to date.

use std::collections::BTreeMap;

use mintcode_core::ports::StorageError;
use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest, Sha256};

use super::earlier;
use crate::rows::hex;

/// Every migration ever released, by number from 1. A released file never changes.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_rules.sql"),
    include_str!("../../migrations/sqlite/0003_workers.sql"),
];

/// The migration that made the books.
const RULES: i64 = 2;

/// Why the schema could not be brought up to date.
#[derive(Debug)]
pub(super) enum MigrationError {
    Sqlite(rusqlite::Error),
    Foreign,
    Newer { found: i64, known: i64 },
    Changed { version: i64 },
    Earlier(StorageError),
}

impl From<rusqlite::Error> for MigrationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Runs what is missing, all or nothing; several processes may do so at once.
pub(super) fn run(connection: &mut Connection) -> Result<(), MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !has_table(&transaction, Some("schema_migration"))? {
        if has_table(&transaction, None)? {
            return Err(MigrationError::Foreign);
        }
        transaction.execute_batch(
            "CREATE TABLE schema_migration (
                version    INTEGER PRIMARY KEY,
                checksum   TEXT NOT NULL,
                applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
            ) STRICT;",
        )?;
    }

    let applied: BTreeMap<i64, String> = transaction
        .prepare("SELECT version, checksum FROM schema_migration")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if let Some(found) = applied.keys().copied().max().filter(|found| *found > known) {
        return Err(MigrationError::Newer { found, known });
    }
    for (version, sql) in (1..).zip(MIGRATIONS) {
        let checksum = checksum(sql);
        match applied.get(&version) {
            Some(stored) if *stored == checksum => {}
            Some(_) => return Err(MigrationError::Changed { version }),
            None => {
                transaction.execute_batch(sql)?;
                transaction.execute(
                    "INSERT INTO schema_migration (version, checksum) VALUES (?1, ?2)",
                    (version, checksum),
                )?;
            }
        }
    }
    // Last, since today's statements need today's schema.
    if !applied.is_empty() && !applied.contains_key(&RULES) {
        earlier::book(&transaction).map_err(MigrationError::Earlier)?;
    }
    transaction.commit()?;
    Ok(())
}

fn has_table(connection: &Connection, name: Option<&str>) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE ?1 IS NULL OR name = ?1)";
    connection.query_row(sql, [name], |row| row.get(0))
}

fn checksum(sql: &str) -> String {
    hex(&Sha256::digest(sql.as_bytes()))
}
