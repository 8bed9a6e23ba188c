//! The schema's history, and how a database is brought up to date.

use std::collections::BTreeMap;

use mintcode_core::ports::StorageError;
use mintcode_core::ports::supplier::BoxError;
use mintcode_core::voucher::KeyId;
use sha2::{Digest, Sha256};

use super::connection::{Connection, Database};
use super::durability::{Durability, Shortcoming};
use super::transaction::{commit, roll_back};
use crate::crash_point::Stored;
use crate::rows::{Row, hex};
use crate::vault::{Secrets, Vault, VaultError, WrappedKey};

/// Every migration ever released, by number from 1. A released file never changes.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/postgres/0001_first.sql"),
    include_str!("../../migrations/postgres/0002_limits.sql"),
];

/// Held, with the name of the schema, while that is looked at or changed. Any number will do, as long as it stays the same.
const LOCK: i32 = 0x6d69_6e74;

/// Why the schema could not be brought up to date.
#[derive(Debug)]
pub(super) enum MigrationError {
    Unreachable(BoxError),
    Foreign,
    Newer { found: i64, known: i64 },
    Changed { version: i64 },
    OldServer { found: String },
    NotDurable { setting: &'static str },
    MissingSecret(KeyId),
    DamagedKey,
}

impl From<VaultError> for MigrationError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::MissingSecret(secret) => Self::MissingSecret(secret),
            VaultError::Damaged => Self::DamagedKey,
        }
    }
}

impl From<tokio_postgres::Error> for MigrationError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Unreachable(Box::new(error))
    }
}

impl From<StorageError> for MigrationError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(source) => Self::Unreachable(source),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

/// What was done to a database.
pub(super) struct Migrated {
    /// The schema's version before; `None` where there was none.
    pub(super) from: Option<i64>,
    /// What opens and seals the documents.
    pub(super) vault: Vault,
}

/// Runs what is missing, all or nothing; several processes may do so at once. With `secrets`, the data key is made where
/// there is none, and wrapped anew where a previous secret wraps it and `rewrap` is wished.
pub(super) async fn run(
    database: &Database,
    secrets: Option<&Secrets>,
    rewrap: bool,
) -> Result<Migrated, MigrationError> {
    let transaction = database.begin("BEGIN").await?;
    match migrate(&transaction, secrets, rewrap).await {
        Ok(migrated) => {
            commit(&transaction, &[Stored::called("migrations")]).await?;
            Ok(migrated)
        }
        Err(error) => {
            roll_back(&transaction).await;
            Err(error)
        }
    }
}

async fn migrate(
    connection: &Connection,
    secrets: Option<&Secrets>,
    rewrap: bool,
) -> Result<Migrated, MigrationError> {
    let server = Durability::read(connection).await?;
    for shortcoming in server.shortcomings() {
        match shortcoming {
            Shortcoming::OldServer => return Err(MigrationError::OldServer { found: server.version }),
            Shortcoming::NoFsync => return Err(MigrationError::NotDurable { setting: "fsync" }),
            Shortcoming::NoFullPageWrites => {
                return Err(MigrationError::NotDurable { setting: "full_page_writes" });
            }
            Shortcoming::NoSynchronousCommit => {
                return Err(MigrationError::NotDurable { setting: "synchronous_commit" });
            }
            // It can be looked at all the same.
            Shortcoming::ReadOnly => {}
        }
    }
    // Others may be at it for longer than usual statements take.
    connection.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    let sql = "SELECT pg_advisory_xact_lock($1, hashtext(coalesce(current_schema(), '')))";
    connection.execute(sql, &[&LOCK]).await?;
    if !has_table(connection, Some("schema_migration")).await? {
        if has_table(connection, None).await? {
            return Err(MigrationError::Foreign);
        }
        connection
            .batch_execute(
                "CREATE TABLE schema_migration (
                    version    bigint PRIMARY KEY,
                    checksum   text NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT now()
                )",
            )
            .await?;
    }

    let applied = applied(connection).await?.unwrap_or_default();
    let known = newest();
    if let Some(found) = applied.keys().copied().max().filter(|found| *found > known) {
        return Err(MigrationError::Newer { found, known });
    }
    for (version, sql) in (1_i64..).zip(MIGRATIONS) {
        let checksum = checksum(sql);
        match applied.get(&version) {
            Some(stored) if *stored == checksum => {}
            Some(_) => return Err(MigrationError::Changed { version }),
            None => {
                connection.batch_execute(sql).await?;
                let sql = "INSERT INTO schema_migration (version, checksum) VALUES ($1, $2)";
                connection.execute(sql, &[&version, &checksum]).await?;
            }
        }
    }
    let vault = vault(connection, secrets, rewrap).await?;
    Ok(Migrated { from: applied.into_keys().max(), vault })
}

/// The migrations that ran, with their checksums; `None` where no version of this program has been.
pub(super) async fn applied(
    connection: &Connection,
) -> Result<Option<BTreeMap<i64, String>>, tokio_postgres::Error> {
    if !has_table(connection, Some("schema_migration")).await? {
        return Ok(None);
    }
    let rows = connection.query("SELECT version, checksum FROM schema_migration", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, _>>().map(Some)
}

/// The newest schema that this program knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

async fn vault(
    connection: &Connection,
    secrets: Option<&Secrets>,
    rewrap: bool,
) -> Result<Vault, MigrationError> {
    let Some(secrets) = secrets else { return Ok(Vault::locked()) };
    let sql = "SELECT id, wrapped, secret_key_id FROM data_key ORDER BY id DESC LIMIT 1";
    let Some(row) = connection.query_opt(sql, &[]).await? else {
        let (vault, key) = Vault::make(secrets);
        put_key(connection, &key).await?;
        return Ok(vault);
    };
    let stored = WrappedKey {
        number: u32::try_from(row.try_get::<_, i64>(0)?).map_err(|_| MigrationError::DamagedKey)?,
        wrapped: row.try_get(1)?,
        secret: Row::of("data_key", "secret_key_id").key_id(row.try_get(2)?)?,
    };
    let vault = Vault::unlock(secrets, &stored)?;
    if rewrap && let Some(again) = Vault::rewrap(secrets, &stored)? {
        put_key(connection, &again).await?;
    }
    Ok(vault)
}

async fn put_key(connection: &Connection, key: &WrappedKey) -> Result<(), tokio_postgres::Error> {
    let sql = "INSERT INTO data_key (id, wrapped, secret_key_id) VALUES ($1, $2, $3)
               ON CONFLICT (id) DO UPDATE SET wrapped = excluded.wrapped, secret_key_id = excluded.secret_key_id";
    let secret = key.secret.to_bytes();
    connection.execute(sql, &[&i64::from(key.number), &key.wrapped, &secret.as_slice()]).await.map(drop)
}

/// Whether the schema that tables are made in has the table of that name, or any table.
async fn has_table(connection: &Connection, name: Option<&str>) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables
                   WHERE schemaname = current_schema() AND ($1::text IS NULL OR tablename = $1))";
    connection.query_one(sql, &[&name]).await?.try_get(0)
}

fn checksum(sql: &str) -> String {
    hex(&Sha256::digest(sql.as_bytes()))
}
