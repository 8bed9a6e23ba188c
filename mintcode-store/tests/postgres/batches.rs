//! Counting batches while their vouchers move.

use mintcode_core::ports::{Storage, Vouchers};
use mintcode_core::testing::sample;

use crate::server::{connect, open, schema};
use crate::stage::{begun, minted};

#[tokio::test]
async fn summing_up_changes_no_count() {
    let url = schema().await;
    let store = open(&url).await;
    let hashes = minted(&store, 40).await;
    for (number, hash) in hashes.iter().enumerate().take(20) {
        begun(&store, *hash, number).await.unwrap();
    }
    let raw = connect(&url).await;
    let lines =
        async || -> i64 { raw.query_one("SELECT count(*) FROM batch_count", &[]).await.unwrap().get(0) };
    let before = store.batches(None, 9).await.unwrap();
    assert_eq!((before[0].counts["issued"], before[0].counts["locked"]), (20, 20));
    assert!(lines().await > 40, "nobody waits for a counter");

    store.forget_idle(sample::now()).await.unwrap();
    assert_eq!(lines().await, 2);
    assert_eq!(store.batches(None, 9).await.unwrap(), before);
}
