//! SQLite ends every random walk where memory ends it.
//!
//! `MINTCODE_TEST_WALKS=1000 cargo nextest run -p mintcode-store --test walks` takes more of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;

use mintcode_core::testing::conformance::{Subject, walks};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_store::{Secrets, SqliteStore};

#[tokio::test(flavor = "multi_thread")]
async fn every_walk_over_sqlite_ends_where_memory_ends() {
    let most = std::env::var("MINTCODE_TEST_WALKS").map_or(3, |walks| walks.parse().unwrap());
    for seed in 1..=most {
        let secrets = Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(seed)));
        let store: Subject = Arc::new(SqliteStore::open_temporary(&secrets).unwrap());
        walks::walk(&store, seed, 600).await;
    }
}
