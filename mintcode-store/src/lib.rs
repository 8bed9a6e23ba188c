//! Storage for `mintcode-core`.
//!
//! [`SqliteStore`] keeps everything in one SQLite file: one writer shares its commits among all who wait, every answer
//! comes after the commit is on disk, and readers have connections of their own. It passes the conformance suite of
//! `mintcode_core::testing`. [`DatabaseUrl`] reads what an operator configures.
//!
//! Times of vouchers and batches are kept to the microsecond; finer parts are cut off. Redemptions are kept exactly.

mod database_url;
mod rows;
pub mod sqlite;

pub use self::database_url::{BadDatabaseUrl, DatabaseUrl};
pub use self::sqlite::{Durability, OpenError, SqliteStore};
