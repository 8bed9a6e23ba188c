//! Storage in a PostgreSQL database that any number of processes share.

mod alerts;
mod begin;
mod books;
mod budgets;
mod catalogue;
mod changes;
mod commit;
mod committer;
mod connection;
mod counters;
mod limits;
mod migrations;
mod notices;
mod orphans;
mod outlook;
mod ownership;
mod purge;
mod redemptions;
mod reports;
mod tls;
mod trails;
mod transaction;
mod url;
mod vouchers;
mod workers;

use std::sync::Arc;

use mintcode_core::voucher::KeyId;

pub use self::connection::Limits;
pub use self::url::{BadPostgresUrl, PostgresUrl};

use self::committer::Committer;
use self::connection::Database;
use self::migrations::{Migrated, MigrationError};
use self::notices::Notices;
use crate::vault::{Secrets, Vault};

/// Why a database could not be opened. Texts name no password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such server or database, a wrong password, too many connections, …
    #[error("the database {url} cannot be reached")]
    Unreachable {
        /// The database.
        url: PostgresUrl,
        /// Why.
        source: mintcode_core::ports::supplier::BoxError,
    },
    /// Its tables are another program's.
    #[error("{url} is a database of another program; name another database")]
    Foreign {
        /// The database.
        url: PostgresUrl,
    },
    /// A later version of this program used it.
    #[error(
        "the database {url} has schema {found}, this program knows schemas up to {known}; use a newer version of it"
    )]
    NewerSchema {
        /// The database.
        url: PostgresUrl,
        /// The schema's version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A migration ran there that differs from the one this program has.
    #[error(
        "migration {version} of the database {url} differs from this program's; use the version that made it"
    )]
    ChangedMigration {
        /// The database.
        url: PostgresUrl,
        /// The migration's number.
        version: i64,
    },
    /// The server is older than what this program is written for.
    #[error("the server of {url} is PostgreSQL {found}; this program needs 15 or newer")]
    OldServer {
        /// The database.
        url: PostgresUrl,
        /// The server's version.
        found: String,
    },
    /// The server would lose acknowledged commits with a loss of power.
    #[error(
        "the server of {url} runs with {setting} = off, which loses what it has acknowledged; switch it on"
    )]
    NotDurable {
        /// The database.
        url: PostgresUrl,
        /// The setting.
        setting: &'static str,
    },
    /// What it holds is sealed with a key that needs another secret.
    #[error(
        "the database {url} is sealed with the voucher secret of fingerprint {secret}, which is not given; \
         set it as MINTCODE_VOUCHER_SECRET, or add it to MINTCODE_VOUCHER_SECRET_PREVIOUS"
    )]
    MissingSecret {
        /// The database.
        url: PostgresUrl,
        /// The secret's fingerprint.
        secret: KeyId,
    },
    /// The key that seals its documents was changed.
    #[error("the data key of {url} is damaged; restore the database from a backup")]
    DamagedKey {
        /// The database.
        url: PostgresUrl,
    },
}

/// Storage in a PostgreSQL database, version 15 or newer. Implements [`Storage`](mintcode_core::ports::Storage),
/// [`Catalogue`](mintcode_core::ports::Catalogue), [`Vouchers`](mintcode_core::ports::Vouchers),
/// [`Reports`](mintcode_core::ports::Reports), [`Alerts`](mintcode_core::ports::Alerts),
/// [`Workers`](mintcode_core::ports::Workers), [`Orphans`](mintcode_core::ports::Orphans) and, shared by all processes,
/// [`Limits`](mintcode_core::ports::Limits).
///
/// It goes by the database's clock for all that workers share. A change that was asked for is carried through whether or
/// not its caller waits for it. A connection that is lost is replaced with the next call; what was under way there is
/// [`Unavailable`](mintcode_core::ports::StorageError::Unavailable) before its commit was sent and
/// [`Unknown`](mintcode_core::ports::StorageError::Unknown) afterwards.
pub struct PostgresStore {
    database: Database,
    vault: Arc<Vault>,
    committer: Committer,
    notices: Arc<Notices>,
}

impl PostgresStore {
    /// Connects, makes the tables where there are none, and brings the schema up to date. Any number of processes may do so
    /// at once.
    ///
    /// Without `secrets` everything works but what reads or changes redemptions, orphans and inboxes: that is
    /// [`Unavailable`](mintcode_core::ports::StorageError::Unavailable).
    pub async fn open(url: &PostgresUrl, secrets: Option<&Secrets>) -> Result<Self, OpenError> {
        Self::open_with(url, secrets, Limits::default()).await
    }

    /// As [`PostgresStore::open`], for a server: a data key that a previous secret wraps is wrapped with the current one, so
    /// that the previous one is no longer needed once every server has the current one.
    pub async fn open_serving(url: &PostgresUrl, secrets: &Secrets) -> Result<Self, OpenError> {
        let (database, migrated) = Self::migrated(url, Some(secrets), Limits::default(), true).await?;
        Ok(Self::started(database, migrated.vault))
    }

    /// As [`PostgresStore::open`], with other limits than the usual ones.
    pub async fn open_with(
        url: &PostgresUrl,
        secrets: Option<&Secrets>,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let (database, migrated) = Self::migrated(url, secrets, limits, false).await?;
        Ok(Self::started(database, migrated.vault))
    }

    /// Brings the schema up to date, or makes it. Returns the versions before and after; `None` where there was none before.
    pub async fn migrate(
        url: &PostgresUrl,
        secrets: Option<&Secrets>,
    ) -> Result<(Option<i64>, i64), OpenError> {
        let (database, migrated) = Self::migrated(url, secrets, Limits::default(), false).await?;
        database.close();
        Ok((migrated.from, migrations::newest()))
    }

    fn started(database: Database, vault: Vault) -> Self {
        let (vault, notices) = (Arc::new(vault), Arc::new(Notices::start(&database)));
        let committer = Committer::start(&database, &vault, &notices);
        Self { database, vault, committer, notices }
    }

    async fn migrated(
        url: &PostgresUrl,
        secrets: Option<&Secrets>,
        limits: Limits,
        rewrap: bool,
    ) -> Result<(Database, Migrated), OpenError> {
        let of = || url.clone();
        let database =
            Database::new(url, limits).map_err(|source| OpenError::Unreachable { url: of(), source })?;
        let migrated = migrations::run(&database, secrets, rewrap).await.map_err(|error| match error {
            MigrationError::Unreachable(source) => OpenError::Unreachable { url: of(), source },
            MigrationError::Foreign => OpenError::Foreign { url: of() },
            MigrationError::Newer { found, known } => OpenError::NewerSchema { url: of(), found, known },
            MigrationError::Changed { version } => OpenError::ChangedMigration { url: of(), version },
            MigrationError::OldServer { found } => OpenError::OldServer { url: of(), found },
            MigrationError::NotDurable { setting } => OpenError::NotDurable { url: of(), setting },
            MigrationError::MissingSecret(secret) => OpenError::MissingSecret { url: of(), secret },
            MigrationError::DamagedKey => OpenError::DamagedKey { url: of() },
        })?;
        Ok((database, migrated))
    }

    /// Commits that stored changes of redemptions so far. Concurrent changes share one, so there are fewer than changes.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.committer.commits()
    }

    /// Gives up every connection once what is under way is over, and refuses everything that comes later.
    pub fn close(&self) {
        self.database.close();
    }
}
