//! Many at once at one SQLite file, each on a connection of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/crowd.rs"]
mod processes;

use std::path::Path;
use std::sync::Arc;

use mintcode_core::ports::{Catalogue, Put, Storage, Vouchers};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_store::{Secrets, SqliteStore};

use processes::{Crowd, REDEEMERS, database, redeem, rounds};

fn open(path: &Path) -> SqliteStore {
    let secrets = Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)));
    SqliteStore::open(path, Some(&secrets)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_redeemers_in_two_processes_one_wins_each_voucher() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    let store = open(&path);
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, minted) = sample::batch(&sku, rounds());
    let vouchers: Vec<_> = minted.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, minted.into()).await.unwrap();
    let mut crowd = Crowd::gather("a_process_of_redeemers", path.to_str().unwrap());
    crowd.race(&vouchers);
    crowd.leave();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of the test above, which starts it"]
async fn a_process_of_redeemers() {
    let path = database();
    redeem((0..REDEEMERS).map(|_| Arc::new(open(path.as_ref())) as Arc<dyn Storage>).collect()).await;
}
