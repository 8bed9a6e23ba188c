//! What only SQLite can get wrong of workers, what they share, and orphans.

#![allow(clippy::unwrap_used, reason = "a test panics where something does not work")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::alert::Alert;
use mintcode_core::budget::{Lease, LeaseWish};
use mintcode_core::ids::{RedemptionId, SupplierName, WorkerId};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::{
    Adopt, Alerts, Begin, BeginBy, Begun, Catalogue, Orphans, Put, Storage, StorageError, Vouchers,
    WorkerRow, Workers,
};
use mintcode_core::redemption::{Holder, Redemption};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_store::{Secrets, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// What opens the databases of these tests.
fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

const WISH: LeaseWish = LeaseWish { places: 5, per_second: 5 };

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    (directory, path)
}

fn raw(path: &Path) -> Connection {
    let raw = Connection::open(path).unwrap();
    raw.pragma_update(None, "foreign_keys", true).unwrap();
    raw
}

fn at(seconds: i64) -> DateTime<Utc> {
    sample::now() + TimeDelta::seconds(seconds)
}

fn rdm(number: u32) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

fn worker(number: u32) -> WorkerId {
    format!("wrk_{number:026}").parse().unwrap()
}

fn adopt(number: u32, limit: u32, most_takeovers: u32) -> Adopt {
    Adopt { worker: worker(number), limit, most_takeovers, now: at(60) }
}

fn main_account() -> SupplierName {
    SupplierName::default()
}

/// Begins redemptions 1 to `count`, each owned by worker 1.
async fn begun(store: &SqliteStore, count: u32) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    store.insert_batch(batch, vouchers.clone().into()).await.unwrap();
    for (number, (hash, _)) in (1..).zip(vouchers) {
        let begin = Begin {
            by: BeginBy::Code(vec![hash]),
            holder: Holder::default(),
            address: None,
            rules: sample::rules(),
            id: rdm(number),
            owner: Some(worker(1)),
            now: at(number.into()),
        };
        assert!(matches!(store.begin(begin).await.unwrap(), Begun::New(_)));
    }
}

/// An order that nobody knows of, just found.
fn orphan(order: &str) -> Orphan {
    let plan = sample::plan("A", "canada", "virtual4");
    let order = Order {
        id: OrderId::new(order),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(100_000),
        created_at: at(0) + TimeDelta::nanoseconds(1_234_567),
        expires_at: at(900),
    };
    let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
    let (product, country, operator) = ("telegram".to_owned(), plan.country, plan.operator);
    let listed = ListedOrder { order, product, country, operator, sight };
    Orphan::found(&main_account(), listed, Currency::USD, Rate::ONE, at(100))
}

fn settled(orphan: &Orphan, status: OrderStatus) -> Orphan {
    orphan.seen(&Sight { status, messages: Vec::new() }, at(200)).unwrap()
}

fn ids(redemptions: &[Redemption]) -> Vec<RedemptionId> {
    redemptions.iter().map(|redemption| redemption.id).collect()
}

#[tokio::test]
async fn what_workers_share_survives_a_restart() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    begun(&store, 2).await;
    // Whoever has the file open is on the same machine.
    assert_eq!(store.enlist(worker(1), true, at(0)).await.unwrap(), None);
    assert_eq!(store.beat(worker(1), at(1)).await.unwrap(), None);
    assert!(store.take_chore("sweep", worker(1), Duration::from_secs(30), at(2)).await.unwrap());
    store.note_hit(&main_account(), Some(Duration::from_secs(60)), at(2)).await.unwrap();
    let installed_at = store.installed_at(&main_account(), at(2)).await.unwrap();
    let (open, lost) = (orphan("100"), orphan("101"));
    store.claim_orphans(vec![open.clone(), lost.clone()], at(100)).await.unwrap();
    let lost = settled(&lost, OrderStatus::Finished);
    store.update_orphan(lost.clone(), lost.alerts(Some(&orphan("101"))), at(200)).await.unwrap();
    drop(store);

    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(store.workers().await.unwrap(), [WorkerRow { worker: worker(1), beats: 1 }]);
    assert_eq!(store.adopt(adopt(2, 9, 5)).await.unwrap(), []);
    assert!(!store.take_chore("sweep", worker(2), Duration::from_secs(30), at(31)).await.unwrap());
    let lease = store.lease_requests(&main_account(), WISH, at(3)).await.unwrap();
    assert_eq!(lease, Lease::Blocked { wait: Duration::from_secs(59) });
    assert_eq!(store.installed_at(&main_account(), at(9)).await.unwrap(), installed_at);
    assert_eq!(store.open_orphans(&main_account(), 9).await.unwrap(), [open]);
    let losses = store.orphan_losses(at(0), at(1_000)).await.unwrap();
    assert_eq!(losses, [lost.loss().unwrap()]);
    let kinds: Vec<_> = store.alerts(true, 9).await.unwrap().iter().map(|row| row.alert.kind()).collect();
    assert_eq!(kinds, ["orphan_loss", "orphan_found", "orphan_found"]);
}

#[tokio::test]
async fn quarantine_survives_a_restart() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    begun(&store, 1).await;
    assert_eq!(store.adopt(adopt(2, 9, 0)).await.unwrap(), []);
    drop(store);
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(store.adopt(adopt(3, 9, 5)).await.unwrap(), []);
    assert_eq!(store.adopt_one(worker(3), rdm(1)).await.unwrap(), None);
    assert!(store.resume(rdm(1)).await.unwrap());
    assert_eq!(ids(&store.adopt(adopt(3, 9, 5)).await.unwrap()), [rdm(1)]);
}

/// What goes into quarantine makes room for what comes after it.
#[tokio::test]
async fn quarantine_holds_nobody_else_back() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    begun(&store, 5).await;
    let worn = "UPDATE redemption SET takeovers = 5 WHERE created_at <=
        (SELECT created_at FROM redemption ORDER BY created_at LIMIT 1 OFFSET 2)";
    raw(&path).execute(worn, []).unwrap();
    // One of them cannot even be read.
    raw(&path).execute("UPDATE redemption SET state = x'00' WHERE id = ?1", [rdm(2).to_string()]).unwrap();
    assert_eq!(ids(&store.adopt(adopt(2, 2, 5)).await.unwrap()), [rdm(4), rdm(5)]);
    let alerts = store.alerts(true, 9).await.unwrap();
    // Their masks are alike in this sample, so that they share an alert.
    assert!(matches!(alerts[0].alert, Alert::Quarantined { .. }), "{alerts:?}");
    let quarantined =
        "SELECT count(*) FROM redemption WHERE is_quarantined = 1 AND owner IS NULL AND epoch = 2";
    let quarantined: u32 = raw(&path).query_row(quarantined, [], |row| row.get(0)).unwrap();
    assert_eq!(quarantined, 3);
}

/// Of several owners that are gone the oldest redemptions come first, whoever had them.
#[tokio::test]
async fn the_oldest_are_adopted_whoever_had_them() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    begun(&store, 8).await;
    store.enlist(worker(2), false, at(0)).await.unwrap();
    let raw = raw(&path);
    for (number, owner) in [(1, Some(7)), (2, None), (3, Some(5)), (4, Some(2)), (5, Some(7)), (6, None)] {
        let owner = owner.map(|owner| worker(owner).to_string());
        let sql = "UPDATE redemption SET owner = ?2 WHERE id = ?1";
        raw.execute(sql, (rdm(number).to_string(), owner)).unwrap();
    }
    let adopted = store.adopt(adopt(3, 5, 5)).await.unwrap();
    assert_eq!(ids(&adopted), [1, 2, 3, 5, 6].map(rdm));
    assert_eq!(adopted.iter().map(|it| it.takeovers).collect::<Vec<_>>(), [1, 0, 1, 1, 0]);
    assert_eq!(ids(&store.adopt(adopt(3, 5, 5)).await.unwrap()), [7, 8].map(rdm));
}

#[tokio::test]
async fn two_processes_see_each_others_workers() {
    let (_directory, path) = directory();
    let (one, other) = (
        SqliteStore::open(&path, Some(&secrets())).unwrap(),
        SqliteStore::open(&path, Some(&secrets())).unwrap(),
    );
    one.enlist(worker(1), false, at(0)).await.unwrap();
    begun(&one, 2).await;
    assert_eq!(other.adopt(adopt(2, 9, 5)).await.unwrap(), []);
    assert_eq!(other.adopt_one(worker(2), rdm(1)).await.unwrap(), None);
    one.retire(worker(1)).await.unwrap();
    let adopted = other.adopt(adopt(2, 9, 5)).await.unwrap();
    assert_eq!(ids(&adopted), [rdm(1), rdm(2)]);
    assert_eq!(one.redemption(rdm(1)).await.unwrap().as_ref(), adopted.first());
}

#[tokio::test]
async fn the_schema_itself_keeps_claims_orphans_and_quarantine() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    begun(&store, 1).await;
    store.installed_at(&main_account(), at(0)).await.unwrap();
    store.claim_orphans(vec![orphan("100")], at(100)).await.unwrap();
    let raw = raw(&path);
    raw.execute("INSERT INTO claim SELECT 'main', 3, '200', id, 1 FROM redemption", []).unwrap();
    for sql in [
        "INSERT INTO claim SELECT 'main', 3, '100', id, 2 FROM redemption",
        "INSERT INTO orphan SELECT supplier, 3, '200', product, country, operator, found_at, 1, settled_at, state, is_purged FROM orphan",
        "INSERT INTO orphan SELECT supplier, 9, '300', product, country, operator, found_at, 1, settled_at, state, is_purged FROM orphan",
        "INSERT INTO orphan SELECT * FROM orphan",
        "DELETE FROM orphan",
        "UPDATE orphan SET order_id = '101'",
        "UPDATE orphan SET supplier = 'other'",
        "UPDATE orphan SET operator = 'other'",
        "UPDATE orphan SET version = version + 2",
        "UPDATE orphan SET version = version - 1",
        "UPDATE installation SET installed_at = 0",
        "UPDATE redemption SET is_quarantined = 1",
        "UPDATE redemption SET takeovers = -1",
        "INSERT INTO worker VALUES ('wrk', -1)",
    ] {
        let error = raw.execute(sql, []).expect_err(sql);
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn a_row_of_the_workers_that_fits_no_state_is_named() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    store.note_hit(&main_account(), None, at(0)).await.unwrap();
    store.claim_orphans(vec![orphan("100")], at(100)).await.unwrap();
    raw(&path)
        .execute_batch(
            "INSERT INTO worker VALUES ('somebody', 1);
             UPDATE budget SET state = '7';
             UPDATE orphan SET state = x'00';",
        )
        .unwrap();
    let corrupt = |error: StorageError| match error {
        StorageError::Corrupt { table, row } => (table, row),
        other => panic!("{other:?}"),
    };
    assert_eq!(corrupt(store.workers().await.unwrap_err()), ("worker", "somebody".to_owned()));
    let lease = store.lease_requests(&main_account(), WISH, at(3)).await;
    assert_eq!(corrupt(lease.unwrap_err()), ("budget", "main".to_owned()));
    let open = store.open_orphans(&main_account(), 9).await;
    assert_eq!(corrupt(open.unwrap_err()), ("orphan", "main/100".to_owned()));
}
