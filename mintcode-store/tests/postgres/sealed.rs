//! Documents are sealed here as well.

use std::sync::Arc;

use mintcode_core::ports::storage::Inbox;
use mintcode_core::ports::{Catalogue, Put, Storage, StorageError};
use mintcode_core::redemption::Wish;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};
use mintcode_store::postgres::{OpenError, PostgresUrl};
use mintcode_store::{PostgresStore, Secrets};

use crate::server::{connect, open, schema};
use crate::stage::{begun, minted, rdm};

fn keyed(current: &str, previous: &[&str]) -> Secrets {
    let secret = |text: &str| VoucherSecret::new(text).unwrap();
    let previous: Vec<_> = previous.iter().map(|text| secret(text)).collect();
    Secrets::new(VoucherKeys::new(&secret(current), &previous), Arc::new(SeededEntropy::new(2)))
}

#[tokio::test]
async fn a_document_that_was_moved_or_edited_is_corrupt() {
    for (sql, corrupt) in [
        (
            "UPDATE redemption SET state = (SELECT state FROM redemption ORDER BY id DESC LIMIT 1)",
            [true, false],
        ),
        ("UPDATE redemption SET state = set_byte(state, 40, 255 - get_byte(state, 40))", [true, false]),
        ("UPDATE inbox SET item = (SELECT state FROM redemption ORDER BY id DESC LIMIT 1)", [false, true]),
        ("UPDATE inbox SET item = ''", [false, true]),
    ] {
        let url = schema().await;
        let store = open(&url).await;
        let hashes = minted(&store, 2).await;
        for (number, hash) in (1..).zip(hashes) {
            begun(&store, hash, number).await.unwrap();
            store.append_inbox(rdm(number), Inbox::Wish(Wish::Cancel)).await.unwrap();
        }
        connect(&url).await.batch_execute(sql).await.unwrap();
        let mut found = [false, false];
        for number in [1, 2] {
            let read =
                [store.redemption(rdm(number)).await.map(drop), store.inbox(rdm(number)).await.map(drop)];
            for (found, read) in found.iter_mut().zip(read) {
                *found |= matches!(read, Err(StorageError::Corrupt { .. }));
            }
        }
        assert_eq!(found, corrupt, "{sql}");
    }
}

#[tokio::test]
async fn without_the_secret_all_but_the_documents_can_be_used() {
    let url = schema().await;
    let hashes = minted(&open(&url).await, 1).await;
    begun(&open(&url).await, hashes[0], 1).await.unwrap();
    let locked = PostgresStore::open(&url.parse().unwrap(), None).await.unwrap();
    locked.put_sku(sample::sku("tg"), Put::Apply).await.unwrap();
    let read = locked.redemption(rdm(1)).await;
    assert!(matches!(read, Err(StorageError::Unavailable(_))), "{read:?}");
    let told = locked.append_inbox(rdm(1), Inbox::Wish(Wish::Cancel)).await;
    assert!(matches!(told, Err(StorageError::Unavailable(_))), "{told:?}");
}

#[tokio::test]
async fn a_server_with_a_new_secret_needs_the_old_one_once() {
    const OLD: &str = "an old secret of these tests, 32 bytes or more";
    const NEW: &str = "a new secret of these tests, 32 bytes or more";
    let url = schema().await;
    let address: PostgresUrl = url.parse().unwrap();
    let store = PostgresStore::open(&address, Some(&keyed(OLD, &[]))).await.unwrap();
    let hashes = minted(&store, 1).await;
    let stored = begun(&store, hashes[0], 1).await.unwrap();
    let refused = async |secrets: Secrets| PostgresStore::open(&address, Some(&secrets)).await.err();
    assert!(matches!(refused(keyed(NEW, &[])).await, Some(OpenError::MissingSecret { .. })));

    // A command beside the servers changes nothing for them.
    PostgresStore::open(&address, Some(&keyed(NEW, &[OLD]))).await.unwrap();
    assert!(matches!(refused(keyed(NEW, &[])).await, Some(OpenError::MissingSecret { .. })));
    PostgresStore::open_serving(&address, &keyed(NEW, &[OLD])).await.unwrap();
    assert!(matches!(refused(keyed(OLD, &[])).await, Some(OpenError::MissingSecret { .. })));
    let renewed = PostgresStore::open(&address, Some(&keyed(NEW, &[]))).await.unwrap();
    assert_eq!(renewed.redemption(rdm(1)).await.unwrap(), Some(stored));
}
