//! Whichever storage is configured, as one thing.

use std::ops::Deref;
use std::sync::Arc;

use mintcode_core::ports::{Alerts, Catalogue, Orphans, Reports, Storage, Vouchers, Workers};
use mintcode_store::{OpenError, PostgresStore, SqliteStore, postgres};

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
    /// What became of opening a file, in words.
    pub(crate) fn of_file(opened: Result<SqliteStore, OpenError>) -> Result<Self, Failure> {
        opened.map(|store| Self::Sqlite(Arc::new(store))).map_err(|error| Failure::work(chain(&error)))
    }

    /// What became of opening a server's database, in words.
    pub(crate) fn of_server(opened: Result<PostgresStore, postgres::OpenError>) -> Result<Self, Failure> {
        opened.map(|store| Self::Postgres(Arc::new(store))).map_err(|error| Failure::work(chain(&error)))
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
