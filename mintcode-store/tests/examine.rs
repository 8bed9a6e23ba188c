//! What must never be so is found in a live database, and nothing is found where all is well.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Duration;
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{Message, Order, OrderId, OrderStatus, Phone};
use mintcode_core::ports::{
    Begin, BeginBy, Begun, Catalogue, Commit, Put, Storage, StorageError, Vouchers, Wanted,
};
use mintcode_core::redemption::{
    Consequences, Delivery, Held, Holder, Intent, Phase, Redemption, Settlement,
};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_store::{Finding, Secrets, SqliteStore, sqlite};
use rusqlite::Connection;
use tempfile::TempDir;

fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Some(&secrets())).unwrap()
}

fn rdm(number: u32) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

/// Stores `redemption` in `phase`, with everything that it means.
async fn moved(store: &SqliteStore, redemption: &Redemption, phase: Phase) -> Redemption {
    let next = Redemption {
        phase,
        version: redemption.version + 1,
        updated_at: redemption.updated_at + Duration::seconds(1),
        number_shown: true,
        ..redemption.clone()
    };
    let Consequences { voucher, ledger, health, accounts, alerts } =
        Consequences::of(redemption, &next, std::time::Duration::from_mins(1));
    let commit = Commit {
        next: next.clone(),
        voucher: voucher.into_iter().collect(),
        consumed: Vec::new(),
        ledger,
        health,
        accounts,
        alerts,
        choice: None,
        rules: HealthRules::default(),
    };
    store.commit(commit).await.unwrap();
    next
}

async fn waiting(store: &SqliteStore, redemption: &Redemption, order: &str) -> Redemption {
    let at = redemption.updated_at;
    let intent = Intent {
        number: 1,
        plan: sample::plan_id("A"),
        supplier: SupplierName::default(),
        wanted: Wanted {
            product: "telegram".into(),
            country: "canada".into(),
            operator: "virtual4".into(),
            max_cost: Amount::from_micros(200_000),
        },
        reason: "first".into(),
        is_probe: false,
        currency: Currency::USD,
        rate: Rate::ONE,
        intended_at: at,
        send_by: at + Duration::seconds(5),
        newest_known: None,
    };
    let order = Order {
        id: OrderId::new(order),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(135_900),
        created_at: at,
        expires_at: at + Duration::minutes(15),
    };
    let ordering = moved(store, redemption, Phase::Ordering(intent.clone())).await;
    let held = Held { intent, order, messages: Vec::new(), unknown: 0, withheld: BTreeMap::new() };
    moved(store, &ordering, Phase::Waiting(held)).await
}

/// `waiting` with `messages` delivered and its order settled.
async fn delivered(store: &SqliteStore, waiting: &Redemption, messages: Vec<Message>) -> Redemption {
    let held = Held { messages, ..waiting.held().unwrap().clone() };
    let at = waiting.updated_at;
    let settlement = Settlement::Settled { order_end: Some(OrderStatus::Finished), at };
    let delivery = Delivery { held, delivered_at: at, settlement, is_released: false };
    moved(store, waiting, Phase::Delivered(delivery)).await
}

/// Redemption 1 is delivered, redemption 2 waits for its SMS, and a voucher is unsold.
async fn healthy() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    let store = open(&path);
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, 3);
    store.insert_batch(batch, vouchers.clone().into()).await.unwrap();
    for (number, (hash, _)) in (1..=2).zip(vouchers) {
        let begin = Begin {
            by: BeginBy::Code(vec![hash]),
            holder: Holder::default(),
            address: None,
            rules: sample::rules(),
            id: rdm(number),
            owner: None,
            now: sample::now(),
        };
        let Begun::New(redemption) = store.begin(begin).await.unwrap() else { panic!("it begins") };
        let waiting = waiting(&store, &redemption, &format!("10{number}")).await;
        if number == 1 {
            let (received_at, sender) = (sample::now(), "Telegram".into());
            let message =
                Message { received_at, sender, text: "Code 48213".into(), code: Some("48213".into()) };
            delivered(&store, &waiting, vec![message]).await;
        }
    }
    (directory, path)
}

async fn found(path: &Path) -> Vec<Finding> {
    open(path).examine(sample::now()).await.unwrap()
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
    assert_eq!(found(&path).await, []);
}

#[tokio::test]
async fn every_planted_violation_is_found() {
    let (directory, path) = healthy().await;
    let one = rdm(1).to_string();
    for (number, (invariant, what, sql)) in [
        (
            "I1",
            "more than one live redemption",
            "UPDATE redemption SET standing = 'live', voucher = (SELECT voucher FROM redemption WHERE id LIKE '%2')",
        ),
        (
            "I1",
            "more than one order",
            "UPDATE redemption SET voucher = (SELECT voucher FROM redemption WHERE id LIKE '%2');
             UPDATE attempt SET outcome = NULL",
        ),
        ("I2", "fulfilled vouchers", "UPDATE voucher SET state = 'fulfilled', came_from = NULL"),
        ("I2", "are not fulfilled", "UPDATE voucher SET state = 'issued', came_from = NULL"),
        ("I2", "fit no state", "UPDATE redemption SET state = x'0000000107'"),
        ("I3", "have not claimed", "DELETE FROM claim"),
        ("I3", "without the attempt", "DELETE FROM attempt WHERE redemption LIKE '%2'"),
        ("I3", "has not ended", "UPDATE attempt SET ended_at = NULL"),
        (
            "I4",
            "more than one order",
            "INSERT INTO ledger SELECT redemption, 2, book, kind, 'other', version, 9, sku, plan, supplier, amount, currency,
                 value, booked_at FROM ledger WHERE kind = 'charge'",
        ),
        ("I5", "do not balance", "UPDATE ledger SET amount = amount + 1 WHERE kind = 'charge'"),
        (
            "I7",
            "another voucher",
            "INSERT INTO idempotency SELECT 'key ' || id, (SELECT max(hash) FROM voucher WHERE hash <> voucher), id FROM redemption",
        ),
        (
            "I7",
            "orphans",
            "INSERT INTO orphan SELECT supplier, size, order_id, 'p', 'c', 'o', 0, 1, NULL, x'0000000100', 0 FROM claim",
        ),
        ("I8", "a gap", "DELETE FROM event WHERE version = 2"),
        ("I8", "in quarantine", "UPDATE redemption SET is_quarantined = 1, owner = 'wrk'"),
        ("I9", "not sealed", "UPDATE redemption SET state = CAST('{}' AS BLOB)"),
        (
            "I9",
            "a phone number",
            "INSERT INTO choice SELECT id, 9, '{\"phone\":\"+15550001122\"}' FROM redemption",
        ),
        ("I11", "counts", "UPDATE batch_count SET vouchers = vouchers + 1"),
        ("I11", "are locked", "UPDATE voucher SET state = 'locked', came_from = 'issued'"),
        (
            "I11",
            "should have ended",
            "INSERT INTO worker VALUES ('wrk', 1); UPDATE redemption SET deadline = 0",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let planted = directory.path().join(format!("{number}.db"));
        sqlite::backup(&path, &planted).unwrap();
        Connection::open(&planted).unwrap().execute_batch(&[UNGUARDED, sql].join("\n")).unwrap();
        let findings = found(&planted).await;
        let is_it = |finding: &&Finding| finding.invariant == invariant && finding.what.contains(what);
        let it = findings.iter().find(is_it);
        let it = it.unwrap_or_else(|| panic!("{invariant} {what} is not among {findings:?}"));
        assert!(!it.ids.is_empty() && it.ids.iter().all(|id| !id.is_empty()), "{it:?}");
    }
    assert_eq!(found(&path).await, [], "{one}");
}

/// What only documents tell cannot be planted by SQL.
#[tokio::test]
async fn documents_that_break_an_invariant_are_found() {
    let (_directory, path) = healthy().await;
    let store = open(&path);
    let waiting = store.redemption(rdm(2)).await.unwrap().unwrap();
    let beyond = Redemption { tries_before: 3, ..waiting };
    let beyond = moved(&store, &beyond, beyond.phase.clone()).await;
    let find = async || {
        let findings = store.examine(sample::now()).await.unwrap();
        findings.into_iter().map(|finding| (finding.invariant, finding.ids)).collect::<Vec<_>>()
    };
    assert_eq!(find().await, [("I6", vec![rdm(2).to_string()])]);
    delivered(&store, &beyond, Vec::new()).await;
    let found = find().await;
    assert!(found.contains(&("I2", vec![rdm(2).to_string()])), "{found:?}");
}

#[tokio::test]
async fn documents_are_not_looked_at_without_the_secret() {
    let (_directory, path) = healthy().await;
    let store = SqliteStore::open(&path, None).unwrap();
    let refused = store.examine(sample::now()).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
}
