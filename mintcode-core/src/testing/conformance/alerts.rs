//! What the operator is told, once per crossing.

use super::Subject;
use super::stage::{
    at, change, happened, minted, moved, nothing_observed, post, queued, refusal, session, source, worker,
};
use crate::alert::{Alert, AlertChange};
use crate::health::{AccountChange, AccountEvent, HealthEvent};
use crate::ids::SupplierName;
use crate::money::{Amount, Currency};
use crate::order::OrderId;
use crate::ports::{AlertRow, Commit, Observed};
use crate::redemption::Redemption;
use crate::testing::sample;

fn empty(supplier: &str) -> Alert {
    Alert::BalanceEmpty { supplier: SupplierName::new(supplier).unwrap() }
}

fn every_kind() -> Vec<Alert> {
    let supplier = SupplierName::default;
    let (order, price) = (OrderId::new("100"), Amount::from_micros(135_900));
    let voucher = "ABCD****WXYZ".parse().unwrap();
    vec![
        Alert::BalanceLow { supplier: supplier(), balance: price, currency: Currency::USD },
        Alert::BalanceEmpty { supplier: supplier() },
        Alert::RatingLow { supplier: supplier(), rating_milli: 84_999 },
        Alert::RatingRefused { supplier: supplier() },
        Alert::KeyRefused { supplier: supplier() },
        Alert::ParametersRefused { source: source() },
        Alert::SourceOff { source: source(), until: at(600) },
        Alert::SourceSilent { source: source() },
        Alert::NoPlanLeft { sku: sample::sku("tg").id },
        Alert::PurchaseUnresolved { voucher, source: source(), cap: price },
        Alert::AccountPaused { supplier: supplier(), until: at(600) },
        Alert::OrphanFound { supplier: supplier(), order: order.clone(), price },
        Alert::ClockOff { worker: worker(1), ahead_ms: -5_001 },
        Alert::Quarantined { voucher, sku: sample::sku("tg").id },
        Alert::OrphanLoss { supplier: supplier(), order: order.clone(), price },
        Alert::OrderVanished { supplier: supplier(), order: order.clone(), price },
        Alert::Withheld {
            voucher,
            sku: sample::sku("tg").id,
            supplier: supplier(),
            order,
            pattern: "银行 \"bank\"".into(),
        },
        Alert::BooksOff {
            voucher: "ABCD****WXYZ".parse().unwrap(),
            what: "0.10 more than the attempts tell · 账".into(),
        },
    ]
}

async fn observe(store: &Subject, alerts: Vec<AlertChange>, seconds: i64) {
    store.observe(Observed { alerts, ..nothing_observed(seconds) }).await.unwrap();
}

/// What is stored of alerts, newest first, without their ids.
async fn told_of(store: &Subject, open: bool) -> Vec<(Alert, i64, Option<i64>)> {
    let seconds = |time: chrono::DateTime<chrono::Utc>| (time - at(0)).num_seconds();
    let rows = store.alerts(open, 1_000).await.unwrap();
    rows.into_iter().map(|row| (row.alert, seconds(row.raised_at), row.cleared_at.map(seconds))).collect()
}

async fn ids(store: &Subject, now: i64, limit: u32) -> Vec<i64> {
    store.untold(at(now), limit).await.unwrap().into_iter().map(|row| row.id).collect()
}

/// Whatever an alert says comes back as it was.
pub async fn every_kind_of_alert_is_read_back_whole(store: &Subject) {
    let alerts = every_kind();
    observe(store, alerts.iter().cloned().map(AlertChange::raise).collect(), 5).await;
    let rows = store.alerts(true, 1_000).await.unwrap();
    assert!(rows.is_sorted_by(|newer, older| newer.id > older.id), "{rows:?}");
    let expected: Vec<_> = alerts.into_iter().rev().collect();
    assert_eq!(rows.iter().map(|row| row.alert.clone()).collect::<Vec<_>>(), expected);
    for row in rows {
        let id = row.id;
        assert_eq!(
            row,
            AlertRow { id, alert: row.alert.clone(), raised_at: at(5), cleared_at: None, tries: 0 }
        );
    }
}

/// What is so already is not told again, whatever its particulars are by now; what is over can be so again.
pub async fn an_alert_is_raised_once_per_crossing(store: &Subject) {
    let low = |micros| Alert::BalanceLow {
        supplier: SupplierName::default(),
        balance: Amount::from_micros(micros),
        currency: Currency::USD,
    };
    observe(store, vec![AlertChange::clear(&low(0))], 1).await;
    assert_eq!(told_of(store, false).await, []);
    observe(store, vec![AlertChange::raise(low(3)), AlertChange::raise(empty("main"))], 2).await;
    observe(store, vec![AlertChange::raise(low(2))], 3).await;
    assert_eq!(told_of(store, true).await, [(empty("main"), 2, None), (low(3), 2, None)]);
    observe(store, vec![AlertChange::clear(&low(9))], 4).await;
    observe(store, vec![AlertChange::clear(&low(9))], 5).await;
    assert_eq!(told_of(store, true).await, [(empty("main"), 2, None)]);
    observe(store, vec![AlertChange::raise(low(1))], 6).await;
    let expected = [(low(1), 6, None), (empty("main"), 2, None), (low(3), 2, Some(4))];
    assert_eq!(told_of(store, false).await, expected);
}

/// A change of a redemption brings its alerts with it, at its own time and one after the other.
pub async fn a_commit_raises_and_clears_in_order(store: &Subject) {
    let first = queued(store).await;
    let next = Redemption { updated_at: at(30), ..moved(&first, first.phase.clone()) };
    let alerts = vec![
        AlertChange::raise(empty("main")),
        AlertChange::clear(&empty("main")),
        AlertChange::raise(empty("main")),
        AlertChange::raise(empty("second")),
    ];
    store.commit(Commit { alerts, ..change(next.clone(), Vec::new()) }).await.unwrap();
    let expected = [(empty("second"), 30, None), (empty("main"), 30, None), (empty("main"), 30, Some(30))];
    assert_eq!(told_of(store, false).await, expected);
    let next = Redemption { updated_at: at(40), ..moved(&next, next.phase.clone()) };
    let alerts = vec![AlertChange::clear(&empty("main"))];
    store.commit(Commit { alerts, ..change(next, Vec::new()) }).await.unwrap();
    assert_eq!(told_of(store, true).await, [(empty("second"), 30, None)]);
}

/// A source that goes off and comes back says so once each.
pub async fn a_source_that_goes_off_is_told_of_once(store: &Subject) {
    let first = queued(store).await;
    let price = Amount::from_micros(500_000);
    let dear = HealthEvent::Dear { price, cap: Amount::from_micros(1), was_probe: false };
    let next = Redemption { updated_at: at(30), ..moved(&first, first.phase.clone()) };
    let health = vec![happened(dear), happened(dear)];
    store.commit(Commit { health, ..change(next, Vec::new()) }).await.unwrap();
    store.observe(Observed { health: vec![happened(dear)], ..nothing_observed(60) }).await.unwrap();
    let off = Alert::SourceOff { source: source(), until: at(630) };
    assert_eq!(told_of(store, false).await, [(off.clone(), 30, None)]);

    let sold = happened(HealthEvent::Sold { was_probe: true });
    store.observe(Observed { health: vec![sold], ..nothing_observed(90) }).await.unwrap();
    assert_eq!(told_of(store, false).await, [(off, 30, Some(90))]);
}

/// An account that was looked at says what the operator has to know, once.
pub async fn a_low_balance_is_told_of_once(store: &Subject) {
    let seen = async |micros, seconds| {
        let (balance, currency) = (Amount::from_micros(micros), Currency::USD);
        let event = AccountEvent::Seen { balance, currency, rating_milli: Some(90_000) };
        let accounts = vec![AccountChange { supplier: SupplierName::default(), event }];
        store.observe(Observed { accounts, ..nothing_observed(seconds) }).await.unwrap();
    };
    for (micros, seconds) in [(4_000_000, 10), (3_000_000, 20), (6_000_000, 30), (1_000_000, 40)] {
        seen(micros, seconds).await;
    }
    let low = |micros| Alert::BalanceLow {
        supplier: SupplierName::default(),
        balance: Amount::from_micros(micros),
        currency: Currency::USD,
    };
    let expected = [(low(1_000_000), 40, None), (low(4_000_000), 10, Some(30))];
    assert_eq!(told_of(store, false).await, expected);
}

/// Customers who find no plan alert the operator once, however many they are.
pub async fn a_sku_without_a_plan_is_told_of_once(store: &Subject) {
    let mut sku = sample::sku("tg");
    sku.plans[0].enabled = false;
    let vouchers = minted(store, &sku, 2).await;
    for (voucher, number) in [(vouchers[0], 5), (vouchers[1], 6), (vouchers[0], 7)] {
        refusal(store, post(voucher, session(1), number)).await;
    }
    let no_plan = Alert::NoPlanLeft { sku: sku.id };
    assert_eq!(told_of(store, false).await, [(no_plan, 5, None)]);
}

/// However many see it at the same moment, it is one alert.
pub async fn many_at_once_raise_one_alert(store: &Subject) {
    let raising = (0..32).map(|_| {
        let (store, alerts) = (store.clone(), vec![AlertChange::raise(empty("main"))]);
        tokio::spawn(async move { store.observe(Observed { alerts, ..nothing_observed(5) }).await.unwrap() })
    });
    for raised in raising.collect::<Vec<_>>() {
        raised.await.unwrap();
    }
    assert_eq!(told_of(store, false).await, [(empty("main"), 5, None)]);
}

/// Newest first, the open ones alone if asked for, and no more than asked for.
pub async fn alerts_are_listed_newest_first(store: &Subject) {
    for (supplier, seconds) in [("a", 1), ("b", 2), ("c", 3)] {
        observe(store, vec![AlertChange::raise(empty(supplier))], seconds).await;
    }
    observe(store, vec![AlertChange::clear(&empty("c"))], 4).await;
    let listed = async |open, limit| {
        let rows = store.alerts(open, limit).await.unwrap();
        rows.into_iter().map(|row| row.alert).collect::<Vec<_>>()
    };
    assert_eq!(listed(false, 9).await, [empty("c"), empty("b"), empty("a")]);
    assert_eq!(listed(true, 9).await, [empty("b"), empty("a")]);
    assert_eq!(listed(false, 2).await, [empty("c"), empty("b")]);
    assert_eq!(listed(true, 1).await, [empty("b")]);
}

/// The operator clears by hand what is open, and is told again when it happens again.
pub async fn an_open_alert_is_acknowledged_once(store: &Subject) {
    observe(store, vec![AlertChange::raise(empty("main")), AlertChange::raise(empty("second"))], 1).await;
    let id = store.alerts(true, 9).await.unwrap()[1].id;
    assert!(store.acknowledge(id, at(7)).await.unwrap());
    assert!(!store.acknowledge(id, at(8)).await.unwrap());
    assert!(!store.acknowledge(id + 1_000, at(8)).await.unwrap());
    assert_eq!(told_of(store, false).await, [(empty("second"), 1, None), (empty("main"), 1, Some(7))]);
    observe(store, vec![AlertChange::raise(empty("main"))], 9).await;
    let newest = store.alerts(true, 1).await.unwrap().remove(0);
    assert_eq!((newest.alert, newest.raised_at), (empty("main"), at(9)));
    assert!(newest.id > id);
}

/// Oldest first, a few at a time, each until it was told.
pub async fn what_was_told_is_told_no_more(store: &Subject) {
    for (supplier, seconds) in [("a", 1), ("b", 2), ("c", 3)] {
        observe(store, vec![AlertChange::raise(empty(supplier))], seconds).await;
    }
    let all = ids(store, 10, 9).await;
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted(), "{all:?}");
    assert_eq!(ids(store, 10, 2).await, all[..2]);
    store.told(all[0], None).await.unwrap();
    assert_eq!(ids(store, 10, 9).await, all[1..]);
    assert_eq!(ids(store, 1_000_000, 9).await, all[1..]);
    let tries: Vec<_> = store.alerts(true, 9).await.unwrap().into_iter().map(|row| row.tries).collect();
    assert_eq!(tries, [0, 0, 1]);
}

/// What could not be told waits for its time, and how often it was tried is known.
pub async fn what_could_not_be_told_is_told_later(store: &Subject) {
    observe(store, vec![AlertChange::raise(empty("a")), AlertChange::raise(empty("b"))], 1).await;
    let all = ids(store, 1, 9).await;
    store.told(all[0], Some(at(60))).await.unwrap();
    assert_eq!(ids(store, 59, 9).await, all[1..]);
    assert_eq!(ids(store, 60, 9).await, all);
    store.told(all[0], Some(at(90))).await.unwrap();
    let again = store.untold(at(90), 1).await.unwrap().remove(0);
    assert_eq!((again.id, again.tries), (all[0], 2));
    store.told(all[0], None).await.unwrap();
    assert_eq!(ids(store, 1_000, 9).await, all[1..]);
}

/// What was so for a moment only was so all the same.
pub async fn what_is_over_before_it_is_told_is_told_all_the_same(store: &Subject) {
    observe(store, vec![AlertChange::raise(empty("main"))], 1).await;
    observe(store, vec![AlertChange::clear(&empty("main"))], 2).await;
    let untold = store.untold(at(3), 9).await.unwrap();
    assert_eq!(untold.len(), 1);
    assert_eq!((&untold[0].alert, untold[0].cleared_at), (&empty("main"), Some(at(2))));
}
