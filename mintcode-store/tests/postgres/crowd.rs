//! Many at once, each on a connection of its own.

use std::sync::Arc;

use mintcode_core::ports::Storage;
use mintcode_store::PostgresStore;
use mintcode_store::postgres::Limits;

use crate::processes::{Crowd, REDEEMERS, database, redeem, rounds};
use crate::server::{connect, open, schema, secrets};
use crate::stage::{begun, later, minted};

/// Connections of processes that are not this one, by process.
async fn connections(url: &str, named: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    connect(url).await.query_one(sql, &[&named]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_redeemers_in_two_processes_one_wins_each_voucher() {
    let url = schema().await;
    let vouchers = minted(&open(&url).await, rounds()).await;
    // Told apart from other tests by the schema's name.
    let (_, name) = url.rsplit_once("case_").unwrap();
    let mut crowd = Crowd::gather("crowd::a_process_of_redeemers", &format!("{url}&application_name={name}"));
    crowd.race(&vouchers);
    assert!(connections(&url, name).await >= 128, "redeemers shared connections");
    crowd.leave();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of the test above, which starts it"]
async fn a_process_of_redeemers() {
    let mut stores = Vec::new();
    for _ in 0..REDEEMERS {
        // One for this redeemer and one for notices.
        let (url, limits) = (database().parse().unwrap(), Limits { connections: 1, ..Limits::default() });
        let store = PostgresStore::open_with(&url, Some(&secrets()), limits).await.unwrap();
        stores.push(Arc::new(store) as Arc<dyn Storage>);
    }
    redeem(stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_together_shares_a_commit() {
    const REDEMPTIONS: usize = 200;
    let store = Arc::new(open(&schema().await).await);
    let hashes = minted(&store, u32::try_from(REDEMPTIONS).unwrap()).await;
    let mut redemptions = Vec::new();
    for (number, hash) in hashes.iter().enumerate() {
        redemptions.push(begun(&store, *hash, number).await.unwrap());
    }
    let before = store.commits();
    let changes: Vec<_> = redemptions
        .iter()
        .map(|redemption| {
            let (store, commit) = (Arc::clone(&store), later(redemption));
            tokio::spawn(async move { store.commit(commit).await })
        })
        .collect();
    for change in changes {
        change.await.unwrap().unwrap();
    }
    let commits = store.commits() - before;
    assert!(commits < REDEMPTIONS as u64 / 2, "{REDEMPTIONS} changes took {commits} commits");
    for redemption in &redemptions {
        let stored = store.redemption(redemption.id).await.unwrap();
        assert_eq!(stored, Some(later(redemption).next));
    }
}
