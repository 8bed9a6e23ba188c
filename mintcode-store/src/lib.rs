//! Storage for `mintcode-core`.
//!
//! [`SqliteStore`] keeps everything in one SQLite file: one writer shares its commits among all who wait, every answer
//! comes after the commit is on disk, and readers have connections of their own. `PostgresStore` (feature `postgres`) keeps
//! everything in a PostgreSQL database that any number of processes share. Both pass the conformance suite of
//! `mintcode_core::testing`. [`DatabaseUrl`] reads what an operator configures.
//!
//! Documents that may hold a phone number or a message are sealed with a key that only the operator's voucher secret opens:
//! a store is opened with [`Secrets`].
//!
//! Redemptions, choices and how sources do are kept exactly; times of vouchers, batches, alerts and the ledger to the
//! microsecond, finer parts are cut off.

mod books;
mod columns;
#[cfg_attr(not(feature = "crash-points"), path = "crash_point/none.rs")]
mod crash_point;
mod database_url;
mod examine;
#[cfg(feature = "postgres")]
pub mod postgres;
mod rows;
pub mod sqlite;
mod vault;

pub use self::database_url::{BadDatabaseUrl, DatabaseUrl};
pub use self::examine::Finding;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
pub use self::sqlite::{BackupError, BackupSummary, Durability, OpenError, SqliteStore};
pub use self::vault::Secrets;
