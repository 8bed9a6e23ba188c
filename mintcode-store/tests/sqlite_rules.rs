//! What only SQLite can get wrong of the books, of how sources do, and of alerts.

#![allow(clippy::unwrap_used, reason = "a test panics where something does not work")]

use std::path::{Path, PathBuf};

use std::sync::Arc;

use chrono::Duration;
use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::health::{AccountChange, AccountEvent, HealthChange, HealthEvent, HealthRules, Source};
use mintcode_core::ids::{BatchId, RedemptionId, SkuId, SupplierName};
use mintcode_core::ledger;
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{Message, Order, OrderId, OrderStatus, Phone};
use mintcode_core::ports::{
    Alerts, Begin, BeginBy, Begun, Catalogue, Commit, Put, RedemptionSearch, Reports, Storage, StorageError,
    Vouchers, Wanted,
};
use mintcode_core::redemption::{
    Answer, Choice, ChoiceRecord, Delivery, FailureKind, Held, Holder, HolderKey, Intent, Phase, Question,
    Redemption, Settlement, Status,
};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{VoidReason, VoucherEvent, VoucherHash, VoucherState};
use mintcode_store::{Secrets, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// What opens the databases of these tests.
fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

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

fn rdm(number: usize) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

fn sku_id() -> SkuId {
    sample::sku("tg").id
}

/// Stores a SKU with `count` vouchers.
async fn minted(store: &SqliteStore, count: u32) -> (BatchId, Vec<VoucherHash>) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    let id = batch.id;
    let hashes = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, vouchers.into()).await.unwrap();
    (id, hashes)
}

fn post(voucher: VoucherHash, number: usize) -> Begin {
    Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: None,
        now: sample::now(),
    }
}

/// Begins redemption `number` of `voucher`.
async fn begun(store: &SqliteStore, voucher: VoucherHash, number: usize) -> Redemption {
    match store.begin(post(voucher, number)).await.unwrap() {
        Begun::New(redemption) => *redemption,
        other => panic!("{other:?}"),
    }
}

fn source() -> Source {
    Source::of_plan(&sample::plan("A", "canada", "virtual4"), "telegram")
}

/// A pause, with something to say about everything.
fn telling(redemption: &Redemption) -> Commit {
    let until = redemption.updated_at + Duration::seconds(30);
    let plan = sample::plan_id("A");
    let phase = Phase::CoolingDown { until, plan: plan.clone() };
    let updated_at = redemption.updated_at + Duration::microseconds(1_234_567);
    let next = Redemption { phase, version: redemption.version + 1, updated_at, ..redemption.clone() };
    let sale = ledger::implied(&next)[0].clone();
    let question = Question {
        plans: Vec::new(),
        accounts: std::collections::BTreeMap::new(),
        behind: None,
        same: Some(plan),
        tried: std::collections::BTreeSet::new(),
        exhausted: std::collections::BTreeSet::new(),
        max_plans: 3,
        buys_left: 18,
        is_denied: false,
    };
    let choice = Choice::GiveUp { kind: FailureKind::OutOfStock, stop: None };
    let answer = Answer { choice, reason: "nothing is left · 无".to_owned() };
    let balance = Amount::from_micros(1_000_000);
    Commit {
        ledger: vec![ledger::Entry { kind: ledger::Kind::Release, ..sale }],
        health: vec![HealthChange { source: source(), event: HealthEvent::Empty { was_probe: false } }],
        accounts: vec![AccountChange {
            supplier: SupplierName::default(),
            event: AccountEvent::Seen { balance, currency: Currency::USD, rating_milli: Some(96_000) },
        }],
        alerts: vec![AlertChange::raise(Alert::NoPlanLeft { sku: sku_id() })],
        choice: Some(Box::new(ChoiceRecord { at: updated_at, question, answer })),
        voucher: Vec::new(),
        consumed: Vec::new(),
        rules: HealthRules::default(),
        next,
    }
}

#[tokio::test]
async fn what_a_change_means_survives_a_restart() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let (_, hashes) = minted(&store, 2).await;
    let commit = telling(&begun(&store, hashes[0], 1).await);
    store.commit(commit.clone()).await.unwrap();
    let look = async |store: &SqliteStore| {
        let (from, to) = (sample::now(), sample::now() + Duration::days(1));
        (
            store.outlook(&sku_id()).await.unwrap().unwrap(),
            store.booked(rdm(1)).await.unwrap(),
            store.ledger_totals(from, to).await.unwrap(),
            store.choices(rdm(1)).await.unwrap(),
            store.alerts(true, 10).await.unwrap(),
            store.redemptions(RedemptionSearch::default(), 10).await.unwrap(),
        )
    };
    let before = look(&store).await;
    let (_, outlook) = &before.0;
    assert_eq!(outlook.sources[&source()].tries.within(HealthRules::default().window, sample::now()), (1, 1));
    assert!(outlook.accounts[&SupplierName::default()].seen.is_some());
    let kinds = |kind: ledger::Kind| before.1.iter().filter(|booked| booked.entry.kind == kind).count();
    assert_eq!((before.1.len(), kinds(ledger::Kind::Hold), kinds(ledger::Kind::Release)), (2, 1, 1));
    assert_eq!(before.3, [commit.choice.unwrap().text()]);
    assert_eq!(
        before.4.iter().map(|row| row.alert.kind()).collect::<Vec<_>>(),
        ["no_plan_left", "balance_low"]
    );
    drop(store);

    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(look(&store).await, before);
    // What is raised stays raised, and what was told stays told.
    store.told(before.4[0].id, None).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let untold = store.untold(sample::now() + Duration::days(1), 10).await.unwrap();
    assert_eq!(untold.iter().map(|row| row.id).collect::<Vec<_>>(), [before.4[1].id]);
}

#[tokio::test]
async fn the_schema_itself_keeps_books_links_and_alerts() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let (_, hashes) = minted(&store, 3).await;
    let redemption = begun(&store, hashes[0], 1).await;
    store.commit(telling(&redemption)).await.unwrap();
    let raw = raw(&path);
    let replace = "UPDATE voucher SET replaces = (SELECT hash FROM voucher WHERE state = 'locked')
                   WHERE hash = (SELECT min(hash) FROM voucher WHERE state = 'issued' AND replaces IS NULL)";
    raw.execute(replace, []).unwrap();
    for sql in [
        "UPDATE ledger SET amount = 0",
        "DELETE FROM ledger",
        "INSERT INTO ledger SELECT redemption, attempt, book, kind, order_id, version + 1, line, sku, plan, supplier, 1,
             currency, 1, booked_at FROM ledger",
        "INSERT INTO ledger SELECT redemption, attempt, book, 'gift', order_id, version, line, sku, plan, supplier, amount,
             currency, value, booked_at FROM ledger WHERE kind = 'hold'",
        "INSERT INTO ledger SELECT redemption, attempt, 'theirs', kind, order_id, version, line, sku, plan, supplier, amount,
             currency, value, booked_at FROM ledger",
        "INSERT INTO alert (key, alert, raised_at) SELECT key, alert, raised_at FROM alert",
        "INSERT INTO choice SELECT redemption, version, record FROM choice",
        "UPDATE voucher SET void_reason = 'lost' WHERE state = 'issued'",
        "UPDATE voucher SET replaces = x'00'",
        "UPDATE voucher SET replaces = x'00000000000000000000000000000000' WHERE state = 'issued'",
        replace,
    ] {
        let error = raw.execute(sql, []).expect_err(sql);
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_row_of_the_rules_that_fits_no_state_is_named() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let (_, hashes) = minted(&store, 2).await;
    store.commit(telling(&begun(&store, hashes[0], 1).await)).await.unwrap();
    raw(&path)
        .execute_batch(
            "DROP TRIGGER what_is_booked_never_changes;
             UPDATE ledger SET currency = 'dollars';
             UPDATE account SET state = '[]';
             UPDATE alert SET alert = '{}' WHERE key LIKE 'no_plan_left%';
             UPDATE begun SET state = '7';",
        )
        .unwrap();
    let corrupt = |error: StorageError| match error {
        StorageError::Corrupt { table, row } => (table, row),
        other => panic!("{other:?}"),
    };
    assert_eq!(corrupt(store.booked(rdm(1)).await.unwrap_err()), ("ledger", rdm(1).to_string()));
    let account = ("account", "main".to_owned());
    assert_eq!(corrupt(store.accounts().await.unwrap_err()), account);
    assert_eq!(corrupt(store.outlook(&sku_id()).await.unwrap_err()), account);
    assert_eq!(corrupt(store.alerts(false, 9).await.unwrap_err()).0, "alert");
    raw(&path).execute_batch("DELETE FROM account").unwrap();
    assert_eq!(corrupt(store.begin(post(hashes[1], 2)).await.unwrap_err()), ("begun", "sku tg".to_owned()));
    raw(&path).execute_batch("UPDATE source_health SET state = '{}'").unwrap();
    assert_eq!(corrupt(store.sources().await.unwrap_err()), ("source_health", source().to_string()));
}

/// `redemption` with a number that got a message, which is withheld if `is_withheld` and else delivered.
fn messaged(redemption: &Redemption, order: &str, is_withheld: bool) -> Redemption {
    let now = redemption.updated_at + Duration::seconds(20);
    let plan = sample::plan("A", "canada", "virtual4");
    let intent = Intent {
        number: 1,
        plan: plan.id,
        supplier: plan.supplier,
        wanted: Wanted {
            product: "telegram".to_owned(),
            country: plan.country,
            operator: plan.operator,
            max_cost: plan.max_cost,
        },
        reason: "first".to_owned(),
        is_probe: false,
        currency: Currency::USD,
        rate: Rate::ONE,
        intended_at: redemption.updated_at,
        send_by: now,
        newest_known: None,
    };
    let order = Order {
        id: OrderId::new(order),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(100_000),
        created_at: redemption.updated_at,
        expires_at: now,
    };
    let message =
        Message { received_at: now, sender: "Bank".to_owned(), text: "code 48213".to_owned(), code: None };
    let withheld = is_withheld.then(|| (0, "bank".to_owned())).into_iter().collect();
    let held = Held { intent, order, messages: vec![message], unknown: 0, withheld };
    let settlement = Settlement::Settled { order_end: Some(OrderStatus::Finished), at: now };
    let delivery = Delivery { held, delivered_at: now, settlement, is_released: false };
    let phase = if is_withheld { Phase::Withheld(delivery) } else { Phase::Delivered(delivery) };
    Redemption { phase, version: redemption.version + 1, updated_at: now, ..redemption.clone() }
}

/// Stores `next`, which does `events` to its voucher.
async fn store_next(
    store: &SqliteStore,
    next: &Redemption,
    events: Vec<VoucherEvent>,
) -> Result<(), StorageError> {
    let commit = Commit {
        next: next.clone(),
        voucher: events,
        consumed: Vec::new(),
        ledger: Vec::new(),
        health: Vec::new(),
        accounts: Vec::new(),
        alerts: Vec::new(),
        choice: None,
        rules: HealthRules::default(),
    };
    store.commit(commit).await
}

/// Begins redemption `number` of `voucher` and stores that its message is withheld.
async fn withheld(store: &SqliteStore, voucher: VoucherHash, number: usize) -> Redemption {
    let withheld = messaged(&begun(store, voucher, number).await, &number.to_string(), true);
    let end = VoucherEvent::End {
        at: sample::now(),
        buys: 1,
        number_shown: false,
        ready_at: sample::now(),
        start_behind: None,
    };
    store_next(store, &withheld, vec![VoucherEvent::Buy { buys: 1 }, end]).await.unwrap();
    withheld
}

/// The phase is younger than the table's constraint, which does not know its name.
#[tokio::test]
async fn what_is_withheld_counts_as_failed_until_it_is_released() {
    let store = SqliteStore::open_temporary(&secrets()).unwrap();
    let (_, hashes) = minted(&store, 1).await;
    let withheld = withheld(&store, hashes[0], 1).await;
    let search = |status| RedemptionSearch { status: Some(status), ..RedemptionSearch::default() };
    let failed = store.redemptions(search(Status::Failed), 10).await.unwrap();
    assert_eq!(failed.as_slice(), std::slice::from_ref(&withheld));

    let released = messaged(&Redemption { phase: Phase::Queued, ..withheld }, "1", false);
    store_next(&store, &released, vec![VoucherEvent::Release]).await.unwrap();
    assert_eq!(store.redemptions(search(Status::Failed), 10).await.unwrap(), []);
    assert_eq!(store.redemptions(search(Status::Delivered), 10).await.unwrap(), [released]);
    let voucher = store.trail(&hashes).await.unwrap().unwrap().voucher;
    assert_eq!(voucher.state, VoucherState::Fulfilled);
}

/// The schema would call it a second delivery and the row corrupt.
#[tokio::test]
async fn what_is_withheld_is_not_released_once_the_voucher_is_fulfilled() {
    let store = SqliteStore::open_temporary(&secrets()).unwrap();
    let (_, hashes) = minted(&store, 1).await;
    let withheld = withheld(&store, hashes[0], 1).await;
    let delivered = messaged(&begun(&store, hashes[0], 2).await, "2", false);
    let events = vec![VoucherEvent::Buy { buys: 2 }, VoucherEvent::Deliver];
    store_next(&store, &delivered, events).await.unwrap();

    let released = messaged(&Redemption { phase: Phase::Queued, ..withheld.clone() }, "1", false);
    let refused = store_next(&store, &released, vec![VoucherEvent::Release]).await;
    assert!(matches!(refused, Err(StorageError::VoucherMoved)), "{refused:?}");
    assert_eq!(store.redemption(withheld.id).await.unwrap(), Some(withheld.clone()));
    let stale = Redemption { version: released.version + 1, ..released };
    let refused = store_next(&store, &stale, vec![VoucherEvent::Release]).await;
    assert!(matches!(refused, Err(StorageError::Conflict)), "{refused:?}");
}

#[tokio::test]
async fn counts_of_a_clock_that_was_years_ahead_are_forgotten() {
    let store = SqliteStore::open_temporary(&secrets()).unwrap();
    let (_, hashes) = minted(&store, 2).await;
    let ahead = Begin { now: sample::now() + Duration::days(3_650), ..post(hashes[0], 1) };
    let session = Some(HolderKey::new(&[1; 32]));
    let ahead = Begin { holder: Holder { session, idempotency: None }, ..ahead };
    assert!(matches!(store.begin(ahead).await.unwrap(), Begun::New(_)));
    // The SKU's count begins anew with the right clock, the session's stays behind.
    begun(&store, hashes[1], 2).await;
    assert_eq!(store.forget_idle(sample::now()).await.unwrap(), 1);
    assert_eq!(store.forget_idle(sample::now()).await.unwrap(), 0);
    assert_eq!(store.forget_idle(sample::now() + Duration::days(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_batch_is_voided_with_its_counts_and_reasons() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let (batch, hashes) = minted(&store, 300).await;
    let (other, _) = minted(&store, 5).await;
    begun(&store, hashes[7], 1).await;
    let reason: VoidReason = "refunded".parse().unwrap();
    assert_eq!(store.void_batch(batch, &reason).await.unwrap(), Some(299));
    assert_eq!(store.void_batch(batch, &reason).await.unwrap(), Some(0));
    let counts = store.batch(batch).await.unwrap().unwrap().counts;
    assert_eq!((counts["issued"], counts["locked"], counts["cancelled"]), (0, 1, 299));
    assert_eq!(store.batch(other).await.unwrap().unwrap().counts["issued"], 5);
    let voucher = store.trail(&hashes[..1]).await.unwrap().unwrap().voucher;
    assert_eq!((voucher.state, voucher.void), (VoucherState::Cancelled, Some(reason)));
}
