//! What must never be so is found in a live database, and nothing is found where all is well.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/examined.rs"]
mod examined;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mintcode_core::ports::StorageError;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_store::{Finding, Secrets, SqliteStore, sqlite};
use rusqlite::Connection;
use tempfile::TempDir;

use examined::{DAMAGE, PLANTS, assert_found, fill, fill_pages, plant_documents};

fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Some(&secrets())).unwrap()
}

async fn healthy() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    fill(&open(&path)).await;
    (directory, path)
}

async fn found(store: &SqliteStore) -> Vec<Finding> {
    store.examine(sample::now()).await.unwrap()
}

/// Takes away what keeps the database from ever being so.
const UNGUARDED: &str = "
    PRAGMA foreign_keys = OFF;
    PRAGMA ignore_check_constraints = ON;
    DROP INDEX one_live_redemption;
    DROP INDEX one_delivery;
    DROP TRIGGER a_voucher_is_counted_where_it_is;
    DROP TRIGGER an_epoch_only_grows;
    DROP TRIGGER a_fulfilled_voucher_has_a_delivery;
    DROP TRIGGER a_claim_is_never_given_up;
    DROP TRIGGER what_is_booked_never_changes;
    DROP TRIGGER an_attempts_order_is_no_orphan;";

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    let (_directory, path) = healthy().await;
    assert_eq!(found(&open(&path)).await, []);
}

#[tokio::test]
async fn every_planted_violation_is_found() {
    let (directory, path) = healthy().await;
    for (number, plant) in PLANTS.into_iter().enumerate() {
        let planted = directory.path().join(format!("{number}.db"));
        sqlite::backup(&path, &planted).unwrap();
        Connection::open(&planted).unwrap().execute_batch(&[UNGUARDED, plant.2].join("\n")).unwrap();
        assert_found(&found(&open(&planted)).await, plant);
    }
    assert_eq!(found(&open(&path)).await, []);
}

#[tokio::test]
async fn every_page_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    let store = open(&path);
    let last = fill_pages(&store).await;
    assert_eq!(found(&store).await, []);
    Connection::open(&path).unwrap().execute_batch(DAMAGE).unwrap();
    let findings = found(&store).await;
    assert_eq!(findings.iter().map(|finding| &finding.ids[..]).collect::<Vec<_>>(), [[last]]);
}

#[tokio::test]
async fn documents_that_break_an_invariant_are_found() {
    let (_directory, path) = healthy().await;
    plant_documents(&open(&path), found).await;
}

#[tokio::test]
async fn documents_are_not_looked_at_without_the_secret() {
    let (_directory, path) = healthy().await;
    let store = SqliteStore::open(&path, None).unwrap();
    let refused = store.examine(sample::now()).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
}
