//! Many at once, each on a connection of its own.

use std::sync::Arc;

use mintcode_core::ports::{Begun, Storage};
use mintcode_core::voucher::Refusal;
use mintcode_store::PostgresStore;
use mintcode_store::postgres::Limits;

use crate::server::{open, schema, secrets};
use crate::stage::{begun, later, minted, rdm, wish};

const REDEEMERS: usize = 64;
const STORES: usize = 8;

/// `MINTCODE_TEST_ROUNDS`, or 500.
fn rounds() -> u32 {
    std::env::var("MINTCODE_TEST_ROUNDS").map_or(500, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_redeemers_of_a_voucher_one_wins() {
    let url = schema().await;
    let limits = Limits { connections: REDEEMERS / STORES + 1, ..Limits::default() };
    let mut stores = Vec::new();
    for _ in 0..STORES {
        stores.push(Arc::new(
            PostgresStore::open_with(&url.parse().unwrap(), Some(&secrets()), limits).await.unwrap(),
        ));
    }
    let vouchers = minted(&stores[0], rounds()).await;
    for (round, voucher) in vouchers.into_iter().enumerate() {
        let redeeming: Vec<_> = (0..REDEEMERS)
            .map(|redeemer| {
                let store = Arc::clone(&stores[redeemer % STORES]);
                let mut wish = wish(voucher, round);
                wish.id = rdm(round * REDEEMERS + redeemer);
                tokio::spawn(async move { store.begin(wish).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for begun in redeeming {
            match begun.await.unwrap() {
                Begun::New(_) => won += 1,
                Begun::Refused(Refusal::Busy) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!(won, 1, "round {round}");
    }
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
