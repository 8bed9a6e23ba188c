//! Whichever storage is configured, as one thing.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use mintcode_core::ports::{Alerts, Catalogue, Orphans, Reports, Storage, Vouchers, Workers};
use mintcode_store::{DatabaseUrl, OpenError, PostgresStore, SqliteStore};

use crate::exit::{Failure, chain};

/// All that a storage does.
pub(crate) trait Ports: Storage + Catalogue + Vouchers + Reports + Alerts + Workers + Orphans {}

impl<T: Storage + Catalogue + Vouchers + Reports + Alerts + Workers + Orphans> Ports for T {}

/// An open database; clones share it.
#[derive(Clone)]
pub(crate) enum Store {
    /// A file.
    Sqlite(Arc<SqliteStore>),
    /// A server's.
    Postgres(Arc<PostgresStore>),
}

impl Store {
    /// Opens the database, a file with `open_file`.
    pub(crate) async fn open(
        database: &DatabaseUrl,
        open_file: impl FnOnce(PathBuf) -> Result<SqliteStore, OpenError>,
    ) -> Result<Self, Failure> {
        match database {
            DatabaseUrl::Sqlite(path) => Self::of_file(open_file(path.clone())),
            DatabaseUrl::Postgres(url) => match PostgresStore::open(url).await {
                Ok(store) => Ok(Self::Postgres(Arc::new(store))),
                Err(error) => Err(Failure::work(chain(&error))),
            },
        }
    }

    /// What became of opening a file, in words.
    pub(crate) fn of_file(opened: Result<SqliteStore, OpenError>) -> Result<Self, Failure> {
        opened.map(|store| Self::Sqlite(Arc::new(store))).map_err(|error| Failure::work(chain(&error)))
    }

    /// Waits until nothing can be stored any more and the process had better end, and tells why.
    pub(crate) async fn failed(&self) -> Arc<str> {
        match self {
            Self::Sqlite(store) => store.failed().await,
            // A server that is away comes back.
            Self::Postgres(_) => std::future::pending().await,
        }
    }

    /// Stores what still waits, and refuses everything that comes later.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(store) => {
                store.close().await.map_err(|error| Failure::because("the database cannot be closed", &error))
            }
            Self::Postgres(store) => {
                store.close();
                Ok(())
            }
        }
    }
}

impl Deref for Store {
    type Target = dyn Ports;

    fn deref(&self) -> &(dyn Ports + 'static) {
        match self {
            Self::Sqlite(store) => &**store,
            Self::Postgres(store) => &**store,
        }
    }
}
