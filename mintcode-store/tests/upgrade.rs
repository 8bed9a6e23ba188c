//! A database that an earlier version filled is gone on with.

#![allow(clippy::unwrap_used, reason = "a test panics where something does not work")]

use std::path::{Path, PathBuf};

use std::sync::Arc;

use chrono::Duration;
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, SupplierName, WorkerId};
use mintcode_core::ledger::{self, Entry, Kind};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::{
    Adopt, Alerts, Begin, BeginBy, Begun, Commit, Inbox, Orphans, Reports, Storage, Vouchers, Workers,
};
use mintcode_core::redemption::{
    ClosedAttempt, Consequences, Failure, FailureKind, Holder, Outcome, Phase, Redemption, Wish,
};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{VoucherHash, VoucherState};
use mintcode_store::{OpenError, Secrets, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// What opens the databases of these tests.
fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

const FIRST: &str = include_str!("../migrations/sqlite/0001_first.sql");

const SECOND: &str = include_str!("../migrations/sqlite/0002_rules.sql");

const THIRD: &str = include_str!("../migrations/sqlite/0003_workers.sql");

/// As the versions noted them: the files have to stay as they were released.
const CHECKSUMS: [&str; 3] = [
    "5d7bd0c5505c6c6230f2a51321e15db8ba9e505db72ce0423a37140c155ecbfb",
    "6479909e02e6e0aa5c124dd3de77453b26aba2827af83d0bcec66ae71d6e1ba1",
    "bc2430cc7ec48ee2003548bf600316fd66c9351e68092baf9984fee856402370",
];

/// A database as the first version left it.
fn first() -> (TempDir, PathBuf) {
    filled(1, &[FIRST, include_str!("fixtures/first.sql")])
}

/// A database as the second version left it.
fn second() -> (TempDir, PathBuf) {
    let first = include_str!("fixtures/first.sql");
    filled(2, &[FIRST, first, SECOND, include_str!("fixtures/second.sql")])
}

/// A database as the third version left it.
fn third() -> (TempDir, PathBuf) {
    let (first, second) = (include_str!("fixtures/first.sql"), include_str!("fixtures/second.sql"));
    filled(3, &[FIRST, first, SECOND, second, THIRD, include_str!("fixtures/third.sql")])
}

/// A database of the schema of that number, made by `statements`.
fn filled(schema: usize, statements: &[&str]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    let connection = Connection::open(&path).unwrap();
    let history = "CREATE TABLE schema_migration (
            version    INTEGER PRIMARY KEY,
            checksum   TEXT NOT NULL,
            applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
        ) STRICT;";
    connection.execute_batch(&[history, &statements.concat()].concat()).unwrap();
    for (version, checksum) in (1..).zip(&CHECKSUMS[..schema]) {
        let sql = "INSERT INTO schema_migration (version, checksum) VALUES (?1, ?2)";
        connection.execute(sql, (version, checksum)).unwrap();
    }
    (directory, path)
}

fn rdm(number: usize) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

fn worker() -> WorkerId {
    format!("wrk_{:026}", 1).parse().unwrap()
}

fn adopt() -> Adopt {
    Adopt { worker: worker(), limit: 10, most_takeovers: 5, now: sample::now() }
}

fn hash(text: &str) -> VoucherHash {
    text.parse().unwrap()
}

async fn entries(store: &SqliteStore, id: RedemptionId) -> Vec<Entry> {
    store.booked(id).await.unwrap().into_iter().map(|booked| booked.entry).collect()
}

/// The end of a redemption whose number got no SMS.
fn given_back(waiting: &Redemption) -> Redemption {
    let held = waiting.held().unwrap();
    let updated_at = waiting.updated_at + Duration::minutes(5);
    let failure = Failure { kind: FailureKind::NoSms, stop: None, retry_at: updated_at };
    let closed = ClosedAttempt {
        intent: held.intent.clone(),
        order: Some(held.order.clone()),
        order_end: Some(OrderStatus::Cancelled),
        outcome: Outcome::NoSms,
        ended_at: updated_at,
    };
    Redemption {
        phase: Phase::Failed(failure),
        closed: vec![closed],
        version: waiting.version + 1,
        updated_at,
        ..waiting.clone()
    }
}

/// `next`, which follows `before`, with everything that it means.
fn meant(before: &Redemption, next: Redemption) -> Commit {
    let Consequences { voucher, ledger, health, accounts, alerts } =
        Consequences::of(before, &next, std::time::Duration::from_mins(1));
    Commit {
        next,
        voucher: voucher.into_iter().collect(),
        consumed: Vec::new(),
        ledger,
        health,
        accounts,
        alerts,
        choice: None,
        rules: HealthRules::default(),
    }
}

/// An order of the supplier's list that nobody may know of.
fn orphan(order: &OrderId) -> Orphan {
    let plan = sample::plan("A", "canada", "virtual4");
    let (product, country, operator) = ("telegram".to_owned(), plan.country, plan.operator);
    let order = Order {
        id: order.clone(),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(100_000),
        created_at: sample::now(),
        expires_at: sample::now(),
    };
    let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
    let listed = ListedOrder { order, product, country, operator, sight };
    Orphan::found(&plan.supplier, listed, Currency::USD, Rate::ONE, sample::now())
}

#[tokio::test]
async fn what_the_first_version_stored_is_read_and_booked() {
    let (_directory, path) = first();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let delivered = store.redemption(rdm(1)).await.unwrap().unwrap();
    assert_eq!((delivered.price, delivered.version), (Amount::ZERO, 4));
    let trail = store.trail(&[delivered.voucher]).await.unwrap().unwrap();
    assert_eq!(
        (trail.voucher.state, trail.voucher.void, trail.voucher.replaces),
        (VoucherState::Fulfilled, None, None)
    );
    assert_eq!(trail.redemptions[0].attempts[0].order, Some(OrderId::new("100")));
    assert_eq!(store.batch(trail.voucher.batch).await.unwrap().unwrap().batch.replaces, None);
    assert_eq!(store.history(rdm(2), 0, 9).await.unwrap().len(), 3);
    assert_eq!(store.choices(rdm(1)).await.unwrap(), Vec::<String>::new());

    let waiting = store.redemption(rdm(2)).await.unwrap().unwrap();
    let books = [(&delivered, entries(&store, rdm(1)).await), (&waiting, entries(&store, rdm(2)).await)];
    assert_eq!(
        books[1].1.iter().map(|entry| (entry.kind, entry.amount)).collect::<Vec<_>>(),
        [(Kind::Charge, Amount::from_micros(150_000))]
    );
    ledger::check(books.iter().map(|(redemption, entries)| (*redemption, entries.as_slice()))).unwrap();
    let day = (sample::now() - Duration::days(1), sample::now() + Duration::days(1));
    let totals = store.plan_totals(day.0, day.1).await.unwrap();
    assert_eq!((totals[0].attempts, totals[0].with_sms, totals[0].sms_after_ms), (2, 1, Some(20_000)));

    drop(store);
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(entries(&store, rdm(2)).await, books[1].1, "nothing is booked again");
}

#[tokio::test]
async fn what_the_first_version_began_is_ended_with_books_that_balance() {
    let (_directory, path) = first();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let waiting = store.adopt(adopt()).await.unwrap().pop().unwrap();
    let commit = meant(&waiting, given_back(&waiting));
    let next = commit.next.clone();
    store.commit(commit).await.unwrap();
    let booked = entries(&store, rdm(2)).await;
    assert_eq!(booked.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [Kind::Charge, Kind::Refund]);
    ledger::check([(&next, booked.as_slice())]).unwrap();
    assert_eq!(store.accounts().await.unwrap().len(), 1);

    let begin = |voucher, number| Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: Some(worker()),
        now: next.updated_at + Duration::minutes(1),
    };
    for (number, voucher) in [(3, next.voucher), (4, hash("e5cb1bd553f29f485820e2e9368deab5"))] {
        match store.begin(begin(voucher, number)).await.unwrap() {
            Begun::New(redemption) => assert_eq!(redemption.price, Amount::from_micros(800_000)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_redemption_that_cannot_be_booked_keeps_no_database_from_being_opened() {
    let (_directory, path) = first();
    // One that cannot be read, and one whose attempt stands in it twice.
    let broken = "UPDATE redemption SET state = '{}' WHERE id LIKE '%1';
        UPDATE redemption SET state = json_insert(state, '$.closed[#]', json_object(
                'intent', json_extract(state, '$.phase.waiting.intent'),
                'order', json_extract(state, '$.phase.waiting.order'),
                'order_end', NULL, 'outcome', 'no_sms', 'ended_at', '2026-01-01T00:00:02Z'))
            WHERE id LIKE '%2';";
    Connection::open(&path).unwrap().execute_batch(broken).unwrap();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(entries(&store, rdm(1)).await, []);
    assert!(!entries(&store, rdm(2)).await.is_empty());
    assert_eq!(store.redemption(rdm(2)).await.unwrap().unwrap().closed.len(), 1);
}

#[tokio::test]
async fn what_the_second_version_drove_is_taken_over() {
    let (_directory, path) = second();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(entries(&store, rdm(2)).await.len(), 1, "nothing is booked again");
    assert_eq!(store.alerts(true, 9).await.unwrap().len(), 1);
    assert_eq!(store.workers().await.unwrap(), []);

    store.enlist(worker(), true, sample::now()).await.unwrap();
    assert_eq!(store.inboxes(worker(), 9).await.unwrap(), [rdm(2)]);
    let adopted = store.adopt(adopt()).await.unwrap();
    let owned = adopted.iter().map(|it| (it.id, it.owner, it.epoch, it.takeovers)).collect::<Vec<_>>();
    assert_eq!(owned, [(rdm(2), Some(worker()), 3, 1)]);

    let commit = meant(&adopted[0], given_back(&adopted[0]));
    let next = Redemption { takeovers: 0, ..commit.next.clone() };
    store.commit(commit).await.unwrap();
    assert_eq!(store.redemption(rdm(2)).await.unwrap(), Some(next));
    let other = format!("wrk_{:026}", 2).parse().unwrap();
    assert_eq!(store.adopt(Adopt { worker: other, ..adopt() }).await.unwrap(), [], "it is at rest");
}

/// Orders from before the upgrade are known by their claims, and by nothing else: the rest is somebody else's.
#[tokio::test]
async fn what_the_second_version_claimed_is_no_orphan() {
    let (_directory, path) = second();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let supplier = SupplierName::default();
    let now = sample::now() + Duration::days(1);
    assert_eq!(store.installed_at(&supplier, now).await.unwrap(), now);
    let orders = ["100", "101", "102"].map(OrderId::new);
    assert_eq!(store.holders(&supplier, &orders).await.unwrap(), [(orders[1].clone(), rdm(2))]);
    let found = orders.iter().map(orphan).collect::<Vec<_>>();
    let claimed = store.claim_orphans(found.clone(), now).await.unwrap();
    assert_eq!(claimed, found[2..]);
    assert_eq!(store.newest_order(&supplier).await.unwrap().as_ref(), orders.last());
}

/// Numbers, codes and texts of the fixtures.
const PRIVATE: [&str; 3] = ["+1555", "48213", "Code 48213"];

/// Which of `words` the database's files hold.
fn held(path: &Path, words: &[&'static str]) -> Vec<&'static str> {
    let mut bytes = std::fs::read(path).unwrap();
    if let Ok(log) = std::fs::read(path.with_extension("db-wal")) {
        bytes.extend(log);
    }
    let holds = |word: &&str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    words.iter().copied().filter(|word| holds(word)).collect()
}

#[tokio::test]
async fn what_the_third_version_stored_openly_is_sealed() {
    let (_directory, path) = third();
    // As a server leaves it that was killed: the log is not folded in.
    let killed = Connection::open(&path).unwrap();
    killed.pragma_update(None, "journal_mode", "WAL").unwrap();
    killed
        .execute_batch("UPDATE redemption SET updated_at = updated_at; UPDATE orphan SET state = state")
        .unwrap();
    assert_ne!(held(&path, &PRIVATE), [""; 0]);

    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(held(&path, &PRIVATE), [""; 0]);
    drop(killed);
    let delivered = store.redemption(rdm(1)).await.unwrap().unwrap();
    assert!(matches!(&delivered.phase, Phase::Delivered(delivery) if delivery.code().is_some()));
    let waiting = store.redemption(rdm(2)).await.unwrap().unwrap();
    assert!(waiting.phone(1).is_some());
    let orphans = store.open_orphans(&SupplierName::default(), 9).await.unwrap();
    assert_eq!(orphans, [orphan(&OrderId::new("200"))]);
    let items: Vec<_> = store.inbox(rdm(2)).await.unwrap().into_iter().map(|item| item.item).collect();
    assert_eq!(items[0], Inbox::Wish(Wish::Cancel));
    assert!(matches!(&items[1], Inbox::OrderSeen { order, .. } if order.phone.reveal() == "+15550003344"));
}

#[test]
fn what_an_earlier_version_stored_openly_is_not_upgraded_without_the_secret() {
    let (_directory, path) = third();
    let error = SqliteStore::open(&path, None).err().expect("it cannot be sealed");
    assert!(matches!(error, OpenError::NeedsSecret { .. }), "{error:?}");
    assert!(error.to_string().contains("MINTCODE_VOUCHER_SECRET"), "{error}");
    SqliteStore::open(&path, Some(&secrets())).unwrap();
}
