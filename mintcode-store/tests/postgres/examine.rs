//! What must never be so is found in a live database, and nothing is found where all is well or somebody is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mintcode_core::ports::StorageError;
use mintcode_core::testing::sample;
use mintcode_store::postgres::{self, Durability};
use mintcode_store::{Finding, PostgresStore};

use crate::examined::{
    DAMAGE, PLANTS, assert_found, delivered, fill, fill_pages, message, minted, plant_documents, waits,
};
use crate::server::{connect, open, schema};

async fn found(store: &PostgresStore) -> Vec<Finding> {
    store.examine(sample::now()).await.unwrap()
}

/// Takes away what keeps the database from ever being so.
const UNGUARDED: &str = "
    DROP INDEX one_live_redemption, one_delivery;
    DO $$ DECLARE guarded record; BEGIN
        FOR guarded IN SELECT conrelid::regclass AS name, conname FROM pg_constraint
                WHERE connamespace = current_schema()::regnamespace AND contype IN ('c', 'f') LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', guarded.name, guarded.conname);
        END LOOP;
        FOR guarded IN SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() LOOP
            EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', guarded.name);
        END LOOP;
    END $$;";

#[tokio::test]
async fn nothing_is_found_where_all_is_well() {
    let store = open(&schema().await).await;
    assert_eq!(found(&store).await, [], "nothing at all");
    fill(&store).await;
    assert_eq!(found(&store).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_violation_is_found() {
    let planting = PLANTS.map(|plant| {
        tokio::spawn(async move {
            let url = schema().await;
            let store = open(&url).await;
            fill(&store).await;
            connect(&url).await.batch_execute(&[UNGUARDED, plant.2].concat()).await.unwrap();
            assert_found(&found(&store).await, plant);
        })
    });
    for planted in planting {
        planted.await.unwrap();
    }
}

#[tokio::test]
async fn every_page_is_looked_at() {
    let url = schema().await;
    let store = open(&url).await;
    let last = fill_pages(&store).await;
    assert_eq!(found(&store).await, []);
    connect(&url).await.batch_execute(DAMAGE).await.unwrap();
    let findings = found(&store).await;
    assert_eq!(findings.iter().map(|finding| &finding.ids[..]).collect::<Vec<_>>(), [[last]]);
}

#[tokio::test]
async fn documents_that_break_an_invariant_are_found() {
    let store = open(&schema().await).await;
    fill(&store).await;
    plant_documents(&store, found).await;
}

#[tokio::test]
async fn documents_are_not_looked_at_without_the_secret() {
    let url = schema().await;
    fill(&open(&url).await).await;
    let locked = PostgresStore::open(&url.parse().unwrap(), None).await.unwrap();
    let refused = locked.examine(sample::now()).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
}

/// Every look is of one moment, so nothing is ever half done in it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_many_are_at_work() {
    const REDEEMERS: u32 = 4;
    const EACH: u32 = 25;
    let url = schema().await;
    let store = Arc::new(open(&url).await);
    let hashes = minted(&*store, REDEEMERS * EACH).await;
    let done = Arc::new(AtomicUsize::new(0));
    let redeeming: Vec<_> = (0..REDEEMERS)
        .zip(hashes.chunks(usize::try_from(EACH).unwrap()))
        .map(|(redeemer, hashes)| {
            let (store, done, hashes) = (Arc::clone(&store), Arc::clone(&done), hashes.to_vec());
            tokio::spawn(async move {
                for (number, hash) in (redeemer * EACH..).zip(hashes) {
                    let waiting = waits(&*store, hash, number).await;
                    delivered(&*store, &waiting, vec![message()]).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let doctor = open(&url).await;
    let mut looks_amid = 0;
    loop {
        let before = done.load(Ordering::Relaxed);
        assert_eq!(found(&doctor).await, []);
        match done.load(Ordering::Relaxed) {
            after if after == hashes.len() => break,
            after => looks_amid += usize::from(after > before),
        }
    }
    assert!(looks_amid > 0, "nobody was at work");
    for redeeming in redeeming {
        redeeming.await.unwrap();
    }
    assert_eq!(found(&doctor).await, []);
}

#[tokio::test]
async fn what_the_server_promises_is_told_without_making_anything() {
    let url = format!("{}%20-csynchronous_commit%3Doff", schema().await).parse().unwrap();
    let told = Durability::of(&url).await.unwrap();
    assert_eq!(told.shortcomings(), [], "{told:?}");
    assert_eq!(told.synchronous_commit, "on", "a session of ours asks for it");
    let (found, known) = postgres::schema(&url).await.unwrap();
    assert_eq!(found, None);
    drop(PostgresStore::open(&url, None).await.unwrap());
    assert_eq!(postgres::schema(&url).await.unwrap(), (Some(known), known));
}
