//! Storage in one SQLite file.

mod alerts;
mod backup;
mod begin;
mod books;
mod budgets;
mod catalogue;
mod changes;
mod commit;
mod connection;
mod counters;
mod earlier;
mod examine;
mod migrations;
mod minting;
mod orphans;
mod outlook;
mod ownership;
mod purge;
mod readers;
mod redemptions;
mod reports;
mod serve_lock;
mod staging;
mod temporary;
mod trails;
mod vouchers;
mod workers;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mintcode_core::ports::StorageError;
use mintcode_core::voucher::KeyId;
use rusqlite::Connection;

pub use self::backup::{BackupError, BackupSummary, backup};
pub use self::connection::Durability;
use self::migrations::MigrationError;
use self::readers::Readers;
use self::serve_lock::{LockError, ServeLock};
use self::temporary::TemporaryDirectory;
use self::writer::Writer;
use crate::rows::Row;
use crate::vault::{Secrets, Vault};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such directory, no permission, no SQLite file, a full disk, …
    #[error("the database {path} cannot be opened")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// It, its directory or its file system is read-only.
    #[error("the database {path} cannot be written to; make it and its directory writable for this user")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A SQLite file that something else made.
    #[error("{path} is a database of another program; name another file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program used it.
    #[error(
        "the database {path} has schema {found}, this program knows schemas up to {known}; use a newer version of it"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema's version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A migration ran there that differs from the one this program has.
    #[error(
        "migration {version} of the database {path} differs from this program's; use the version that made it"
    )]
    ChangedMigration {
        /// The file.
        path: PathBuf,
        /// The migration's number.
        version: i64,
    },
    /// What it holds could not be brought up to date.
    #[error(
        "what the database {path} holds cannot be brought up to date; go on with the version that made it"
    )]
    Earlier {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
    /// It was sealed with a secret that is not given.
    #[error(
        "the database {path} is sealed with the voucher secret of fingerprint {secret}, which is not given; \
         set it as MINTCODE_VOUCHER_SECRET, or add it to MINTCODE_VOUCHER_SECRET_PREVIOUS"
    )]
    MissingSecret {
        /// The file.
        path: PathBuf,
        /// The secret's fingerprint.
        secret: KeyId,
    },
    /// Its data key was changed, so that nothing sealed with it opens any more.
    #[error("the data key of the database {path} is damaged; restore a backup")]
    DamagedKey {
        /// The file.
        path: PathBuf,
    },
    /// An earlier version filled it, and what that stored openly is to be sealed.
    #[error(
        "what the database {path} holds has to be sealed, which needs the voucher secret; \
         set MINTCODE_VOUCHER_SECRET"
    )]
    NeedsSecret {
        /// The file.
        path: PathBuf,
    },
    /// Another server uses it.
    #[error("another server uses the database {path}; stop it first or name another file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The database would lose acknowledged commits with a loss of power, as on some network file systems.
    #[error("the file system of {path} cannot keep a durable database; use a local disk")]
    NotDurable {
        /// The file.
        path: PathBuf,
    },
    /// The lock, a directory or the writing thread could not be made.
    #[error("{what} cannot be made")]
    Io {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
}

/// Storage in one SQLite file. Implements [`Storage`](mintcode_core::ports::Storage),
/// [`Catalogue`](mintcode_core::ports::Catalogue), [`Vouchers`](mintcode_core::ports::Vouchers),
/// [`Reports`](mintcode_core::ports::Reports), [`Alerts`](mintcode_core::ports::Alerts),
/// [`Workers`](mintcode_core::ports::Workers) and [`Orphans`](mintcode_core::ports::Orphans).
///
/// Dropping it stores what still waits and blocks until that is done.
pub struct SqliteStore {
    // In this order: the writer drains before the lock is given up and a temporary file removed.
    writer: Writer,
    readers: Arc<Readers>,
    vault: Arc<Vault>,
    path: PathBuf,
    _lock: Option<ServeLock>,
    _temporary: Option<TemporaryDirectory>,
}

impl SqliteStore {
    /// Opens the file, or makes it, and brings its schema up to date. Any number of processes may have it open so.
    ///
    /// Without `secrets` everything works but what reads or changes redemptions, orphans and inboxes: that is
    /// [`StorageError::Unavailable`].
    ///
    /// Blocks for as long as that takes: milliseconds, or seconds where another process writes much.
    pub fn open(path: impl AsRef<Path>, secrets: Option<&Secrets>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), secrets, None, None)
    }

    /// Opens the file for the one server that may use it: a second one is refused as long as this store lives.
    /// A data key that a previous secret wraps is wrapped with the current one, so that the previous one is no longer needed.
    pub fn open_serving(path: impl AsRef<Path>, secrets: &Secrets) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let lock = Self::lock(path)?;
        Self::open_with(path, Some(secrets), Some(lock), None)
    }

    /// Brings the schema of the file up to date, or makes the file, while no server uses it. Returns the versions before and
    /// after; `None` where there was no database before.
    pub fn migrate(path: &Path, secrets: Option<&Secrets>) -> Result<(Option<i64>, i64), OpenError> {
        let lock = Self::lock(path)?;
        let connection = connection::open_writer(path).map_err(|source| unusable(path, source))?;
        let applied = migrations::applied(&connection).map_err(|error| opening(path, error))?;
        drop(connection);
        Self::open_with(path, secrets, Some(lock), None)?;
        Ok((applied.into_keys().max(), migrations::newest()))
    }

    fn lock(path: &Path) -> Result<ServeLock, OpenError> {
        ServeLock::take(path).map_err(|error| match error {
            LockError::Held => OpenError::InUse { path: path.to_owned() },
            LockError::Io(source) => {
                OpenError::Io { what: format!("the lock file {}", serve_lock::path(path).display()), source }
            }
        })
    }

    /// A database of its own, removed with the store.
    pub fn open_temporary(secrets: &Secrets) -> Result<Self, OpenError> {
        let directory = TemporaryDirectory::make()
            .map_err(|source| OpenError::Io { what: "a temporary directory".to_owned(), source })?;
        let path = directory.path().join("mintcode.db");
        Self::open_with(&path, Some(secrets), None, Some(directory))
    }

    fn open_with(
        path: &Path,
        secrets: Option<&Secrets>,
        lock: Option<ServeLock>,
        temporary: Option<TemporaryDirectory>,
    ) -> Result<Self, OpenError> {
        let owned = || path.to_owned();
        let unusable = |source| unusable(path, source);
        let mut connection = connection::open_writer(path).map_err(unusable)?;
        if !Durability::of(&connection).map_err(unusable)?.is_full() {
            return Err(OpenError::NotDurable { path: owned() });
        }
        if lock.is_none() {
            connection::keep_little(&connection).map_err(unusable)?;
        }
        let vault = migrations::run(&mut connection, secrets, lock.is_some())
            .map_err(|error| opening(path, error))?;
        let readers = Arc::new(Readers::open(path).map_err(unusable)?);
        let writer = Writer::start(connection)
            .map_err(|source| OpenError::Io { what: "the writing thread".to_owned(), source })?;
        Ok(Self { writer, readers, vault, path: owned(), _lock: lock, _temporary: temporary })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits so far. Concurrent operations share one, so there are fewer than operations.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// What the writing connection promises, read back from it.
    pub async fn durability(&self) -> Result<Durability, StorageError> {
        self.writer.write(|connection| Durability::of(connection).map_err(unavailable)).await
    }

    /// Waits until a commit failed in a way that leaves open what is on disk, and tells why.
    ///
    /// From then on every call is [`StorageError::Unavailable`]; the process should end and be started again.
    /// Never returns where all goes well.
    pub async fn failed(&self) -> Arc<str> {
        self.writer.failed().await
    }

    /// Stores what still waits, folds the log into the file and refuses everything that comes later.
    pub async fn close(&self) -> Result<(), StorageError> {
        self.writer.close().await
    }

    /// A short read, on the caller's own thread.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.writer.check()?;
        self.readers.read(read)
    }

    /// A read that may take long enough to hold up others on the caller's thread.
    async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.writer.check()?;
        let readers = Arc::clone(&self.readers);
        let reading = tokio::task::spawn_blocking(move || readers.read(read)).await;
        reading.unwrap_or_else(|error| Err(StorageError::Unavailable(Box::new(error))))
    }
}

/// The version of the schema of the file at `path`, and the newest one that this program knows. `None` where there is none
/// yet. Changes nothing.
pub fn schema(path: &Path) -> Result<(Option<i64>, i64), OpenError> {
    let connection = connection::open_reader(path).map_err(|source| unusable(path, source))?;
    let applied = migrations::applied(&connection).map_err(|error| opening(path, error))?;
    Ok((applied.into_keys().max(), migrations::newest()))
}

/// Why SQLite keeps the database at `path` from being opened.
fn unusable(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ReadOnly) => OpenError::ReadOnly { path },
        _ => OpenError::Unusable { path, source },
    }
}

/// Why a migration keeps the database at `path` from being opened.
fn opening(path: &Path, error: MigrationError) -> OpenError {
    let path = path.to_owned();
    match error {
        MigrationError::Sqlite(source) => unusable(&path, source),
        MigrationError::Foreign => OpenError::Foreign { path },
        MigrationError::Newer { found, known } => OpenError::NewerSchema { path, found, known },
        MigrationError::Changed { version } => OpenError::ChangedMigration { path, version },
        MigrationError::MissingSecret(secret) => OpenError::MissingSecret { path, secret },
        MigrationError::DamagedKey => OpenError::DamagedKey { path },
        MigrationError::NeedsSecret => OpenError::NeedsSecret { path },
        MigrationError::Earlier(source) => OpenError::Earlier { path, source },
    }
}

/// SQLite did not do it; nothing changed.
fn unavailable(error: rusqlite::Error) -> StorageError {
    StorageError::Unavailable(Box::new(error))
}

/// As [`unavailable`], but what a constraint forbids is a row that fits no state.
fn refused(row: Row) -> impl FnOnce(rusqlite::Error) -> StorageError {
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            tracing::error!(%error, ?row, "a constraint held a change back");
            row.corrupt()
        }
        _ => unavailable(error),
    }
}
