//! What the database keeps is of no use without the operator's secret, and shows where it was changed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::{
    Begin, BeginBy, Begun, Catalogue, Inbox, Orphans, Put, Reports, Storage, StorageError, Vouchers,
};
use mintcode_core::redemption::Holder;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{KeyId, VoucherKeys, VoucherSecret};
use mintcode_store::{OpenError, Secrets, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

const OLD: &str = "an old secret of these tests, 32 bytes or more";
const NEW: &str = "a new secret of these tests, 32 bytes or more";

fn secrets(current: &str, previous: &[&str]) -> Secrets {
    let secret = |text: &str| VoucherSecret::new(text).unwrap();
    let previous: Vec<_> = previous.iter().map(|text| secret(text)).collect();
    Secrets::new(VoucherKeys::new(&secret(current), &previous), Arc::new(SeededEntropy::new(1)))
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    (directory, path)
}

fn rdm(number: usize) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

fn order(id: &str) -> Order {
    Order {
        id: OrderId::new(id),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(100_000),
        created_at: sample::now(),
        expires_at: sample::now(),
    }
}

fn orphan(id: &str) -> Orphan {
    let plan = sample::plan("A", "canada", "virtual4");
    let (product, country, operator) = ("telegram".to_owned(), plan.country, plan.operator);
    let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
    let listed = ListedOrder { order: order(id), product, country, operator, sight };
    Orphan::found(&plan.supplier, listed, Currency::USD, Rate::ONE, sample::now())
}

/// Two redemptions, each with an answer in its inbox, and two orphans.
async fn filled(path: &Path, secrets: &Secrets) {
    let store = SqliteStore::open(path, Some(secrets)).unwrap();
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, 2);
    store.insert_batch(batch, vouchers.clone().into()).await.unwrap();
    for (number, (hash, _)) in (1..).zip(vouchers) {
        let begin = Begin {
            by: BeginBy::Code(vec![hash]),
            holder: Holder::default(),
            address: None,
            rules: sample::rules(),
            id: rdm(number),
            owner: None,
            now: sample::now(),
        };
        assert!(matches!(store.begin(begin).await.unwrap(), Begun::New(_)));
        store.append_inbox(rdm(number), Inbox::OrderSeen { attempt: 1, order: order("99") }).await.unwrap();
    }
    let found = vec![orphan("100"), orphan("101")];
    assert_eq!(store.claim_orphans(found, sample::now()).await.unwrap().len(), 2);
}

/// Whether each kind of document can be read.
async fn readable(store: &SqliteStore) -> [Result<(), StorageError>; 3] {
    [
        store.redemption(rdm(1)).await.map(drop),
        store.inbox(rdm(1)).await.map(drop),
        store.open_orphans(&SupplierName::default(), 9).await.map(drop),
    ]
}

fn missing(path: &Path, secrets: &Secrets) -> KeyId {
    match SqliteStore::open(path, Some(secrets)).err() {
        Some(OpenError::MissingSecret { secret, .. }) => secret,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_document_that_was_moved_or_edited_is_corrupt() {
    for (sql, corrupt) in [
        (
            "UPDATE redemption SET state = (SELECT state FROM redemption WHERE id LIKE '%2')",
            [true, false, false],
        ),
        (
            "UPDATE inbox SET item = (SELECT max(item) FROM inbox WHERE redemption LIKE '%2')",
            [false, true, false],
        ),
        ("UPDATE orphan SET state = (SELECT state FROM orphan WHERE order_id = '101')", [false, false, true]),
        ("UPDATE redemption SET state = CAST(substr(state, 2) || x'00' AS BLOB)", [true, false, false]),
        ("UPDATE inbox SET item = (SELECT state FROM redemption)", [false, true, false]),
        ("UPDATE orphan SET state = x''", [false, false, true]),
    ] {
        let (_directory, path) = directory();
        filled(&path, &secrets(OLD, &[])).await;
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch(sql).unwrap();
        let store = SqliteStore::open(&path, Some(&secrets(OLD, &[]))).unwrap();
        let found = readable(&store).await.map(|read| match read {
            Ok(()) => false,
            Err(StorageError::Corrupt { .. }) => true,
            Err(other) => panic!("{sql}: {other:?}"),
        });
        assert_eq!(found, corrupt, "{sql}");
    }
}

#[tokio::test]
async fn without_the_secret_all_but_the_documents_can_be_used() {
    let (_directory, path) = directory();
    filled(&path, &secrets(OLD, &[])).await;
    let store = SqliteStore::open(&path, None).unwrap();
    assert_eq!(store.skus().await.unwrap().len(), 1);
    assert_eq!(store.batches(None, 9).await.unwrap().len(), 1);
    assert_eq!(store.plan_totals(sample::now(), sample::now()).await.unwrap(), []);
    for read in readable(&store).await {
        assert!(matches!(read, Err(StorageError::Unavailable(_))), "{read:?}");
    }
    let wish = Inbox::OrderSeen { attempt: 1, order: order("98") };
    assert!(matches!(store.append_inbox(rdm(1), wish).await, Err(StorageError::Unavailable(_))));
}

#[tokio::test]
async fn a_database_made_without_a_secret_takes_the_first_one() {
    let (_directory, path) = directory();
    SqliteStore::open(&path, None).unwrap().put_sku(sample::sku("tg"), Put::Apply).await.unwrap();
    filled(&path, &secrets(OLD, &[])).await;
    assert_eq!(missing(&path, &secrets(NEW, &[])), VoucherSecret::new(OLD).unwrap().key_id());
}

#[tokio::test]
async fn a_new_secret_takes_over_when_the_server_starts() {
    let (_directory, path) = directory();
    filled(&path, &secrets(OLD, &[])).await;
    let old = VoucherSecret::new(OLD).unwrap().key_id();
    assert_eq!(missing(&path, &secrets(NEW, &[])), old);
    // A command beside the server changes nothing: the server that runs may have the old secret alone.
    for _ in 0..2 {
        let store = SqliteStore::open(&path, Some(&secrets(NEW, &[OLD]))).unwrap();
        assert!(readable(&store).await.iter().all(Result::is_ok));
    }
    assert_eq!(missing(&path, &secrets(NEW, &[])), old);

    drop(SqliteStore::open_serving(&path, &secrets(NEW, &[OLD])).unwrap());
    let store = SqliteStore::open_serving(&path, &secrets(NEW, &[])).unwrap();
    assert!(readable(&store).await.iter().all(Result::is_ok));
    assert_eq!(missing(&path, &secrets(OLD, &[])), VoucherSecret::new(NEW).unwrap().key_id());
}

#[tokio::test]
async fn a_data_key_that_was_changed_is_told() {
    let (_directory, path) = directory();
    filled(&path, &secrets(OLD, &[])).await;
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("UPDATE data_key SET wrapped = zeroblob(length(wrapped))").unwrap();
    let error = SqliteStore::open(&path, Some(&secrets(OLD, &[]))).err().unwrap();
    assert!(matches!(error, OpenError::DamagedKey { .. }), "{error:?}");
}
