//! PostgreSQL ends every random walk where memory ends it. `MINTCODE_TEST_WALKS` says how many are taken.

use std::sync::Arc;

use mintcode_core::testing::conformance::{Subject, walks};

use crate::server::fresh_store;

#[tokio::test(flavor = "multi_thread")]
async fn every_walk_over_postgres_ends_where_memory_ends() {
    let most = std::env::var("MINTCODE_TEST_WALKS").map_or(3, |walks| walks.parse().unwrap());
    for seed in 1..=most {
        let store: Subject = Arc::new(fresh_store().await);
        walks::walk(&store, seed, 600).await;
    }
}
