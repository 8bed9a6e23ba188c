//! Orders that no redemption knows of.

use std::collections::BTreeSet;

use super::Subject;
use super::stage::{
    at, bought, change, failed, fails_whole, held, intent, message, moved, order, ordering, queued,
    queued_many, rdm, source, stored, surplus, waiting, wanted,
};
use crate::alert::{Alert, AlertChange};
use crate::health::Source;
use crate::ids::SupplierName;
use crate::money::{Amount, Currency};
use crate::order::{ListedOrder, OrderId, OrderStatus, Sight};
use crate::orphan::{Orphan, OrphanLoss, OrphanPhase};
use crate::ports::StorageError;
use crate::redemption::{Intent, Phase, Search};

/// The currency of the orphans, one unit of which is worth 0.0125.
fn rouble() -> Currency {
    "RUB".parse().unwrap()
}

/// What an order of 0.1359 roubles is worth, rounded to the even micro-unit.
const WORTH: Amount = Amount::from_micros(1_699);

/// Order `id`, bought at `source`, as it shows after `seconds`.
fn found_at(source: &Source, id: &str, status: OrderStatus, seconds: i64) -> Orphan {
    let Source { supplier, product, country, operator } = source.clone();
    let sight = Sight { status, messages: Vec::new() };
    let listed = ListedOrder { order: order(id), product, country, operator, sight };
    Orphan::found(&supplier, listed, rouble(), "0.0125".parse().unwrap(), at(seconds))
}

/// Order `id`, open, of the plan of a plain SKU.
fn found(id: &str, seconds: i64) -> Orphan {
    found_at(&source(), id, OrderStatus::Open, seconds)
}

fn elsewhere(change: fn(&mut Source)) -> Source {
    let mut source = source();
    change(&mut source);
    source
}

fn second_supplier() -> Source {
    elsewhere(|source| source.supplier = SupplierName::new("second").unwrap())
}

async fn claimed(store: &Subject, found: &[Orphan], seconds: i64) -> Vec<Orphan> {
    store.claim_orphans(found.to_vec(), at(seconds)).await.unwrap()
}

async fn open(store: &Subject) -> Vec<Orphan> {
    store.open_orphans(&SupplierName::default(), 100).await.unwrap()
}

/// What was told, oldest first, and when, in seconds.
async fn told(store: &Subject) -> Vec<(Alert, i64)> {
    let rows = store.alerts(false, 100).await.unwrap().into_iter().rev();
    rows.map(|row| (row.alert, (row.raised_at - at(0)).num_seconds())).collect()
}

fn orphan_found(id: &str) -> Alert {
    let (supplier, order) = (SupplierName::default(), OrderId::new(id));
    Alert::OrphanFound { supplier, order, price: Amount::from_micros(135_900) }
}

fn orphan_loss(id: &str) -> Alert {
    let (supplier, order) = (SupplierName::default(), OrderId::new(id));
    Alert::OrphanLoss { supplier, order, price: Amount::from_micros(135_900) }
}

fn settled(orphan: &Orphan, end: Option<OrderStatus>, seconds: i64) -> Orphan {
    let phase = OrphanPhase::Settled { end, at: at(seconds) };
    Orphan { phase, version: orphan.version + 1, ..orphan.clone() }
}

/// Stores `next`, which follows `before`, with what it tells.
async fn updated(store: &Subject, before: &Orphan, next: Orphan, seconds: i64) -> Orphan {
    store.update_orphan(next.clone(), next.alerts(Some(before)), at(seconds)).await.unwrap();
    next
}

/// The first time that anybody asked, by supplier.
pub async fn an_account_is_worked_with_since_the_first_asking(store: &Subject) {
    let (main, second) = (SupplierName::default(), second_supplier().supplier);
    assert_eq!(store.installed_at(&main, at(5)).await.unwrap(), at(5));
    assert_eq!(store.installed_at(&second, at(7)).await.unwrap(), at(7));
    for seconds in [9, 3] {
        assert_eq!(store.installed_at(&main, at(seconds)).await.unwrap(), at(5));
    }
}

/// However many ask first, they all get the same.
pub async fn many_at_once_agree_since_when_an_account_is_worked_with(store: &Subject) {
    let asking = (0..16).map(|seconds| {
        let store = store.clone();
        tokio::spawn(async move { store.installed_at(&SupplierName::default(), at(seconds)).await.unwrap() })
    });
    let mut answers = BTreeSet::new();
    for one in asking.collect::<Vec<_>>() {
        answers.insert(one.await.unwrap());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// Nobody knows them: they are claimed, stored as they are, and told to the operator.
pub async fn an_order_that_nobody_knows_is_claimed(store: &Subject) {
    let with_message = Orphan { has_message: true, unknown: 1, ..found("101", 3) };
    let orphans = [found("100", 3), with_message];
    assert_eq!(claimed(store, &orphans, 4).await, orphans);
    assert_eq!(open(store).await, orphans);
    assert_eq!(told(store).await, [(orphan_found("100"), 4), (orphan_found("101"), 4)]);
    assert_eq!(claimed(store, &[], 5).await, []);
}

/// Found again, or twice at once, it is the same orphan.
pub async fn an_orphan_is_claimed_once(store: &Subject) {
    let first = claimed(store, &[found("101", 3), found("100", 3), found("101", 3)], 4).await;
    assert_eq!(first, [found("101", 3), found("100", 3)], "in the order they were given in");
    let again = claimed(store, &[found("100", 9), found("102", 9), found("101", 9)], 9).await;
    assert_eq!(again, [found("102", 9)]);
    assert_eq!(open(store).await, [found("100", 3), found("101", 3), found("102", 9)]);
    let expected = [(orphan_found("101"), 4), (orphan_found("100"), 4), (orphan_found("102"), 9)];
    assert_eq!(told(store).await, expected);
}

/// Once claimed it stays so: also when it is settled, and also when its alert is cleared.
pub async fn a_settled_orphan_is_not_claimed_again(store: &Subject) {
    let orphan = claimed(store, &[found("100", 3)], 4).await.remove(0);
    updated(store, &orphan, settled(&orphan, Some(OrderStatus::Cancelled), 5), 5).await;
    assert_eq!(claimed(store, &[found("100", 9)], 9).await, []);
    assert_eq!(open(store).await, []);
}

/// Whoever claims at the same moment, each order goes to one.
pub async fn of_many_at_once_one_claims_an_orphan(store: &Subject) {
    let claiming = (0..16).map(|seconds| {
        let store = store.clone();
        let orphans = [found("100", seconds), found("101", seconds)];
        tokio::spawn(async move { claimed(&store, &orphans, seconds).await })
    });
    let mut all = Vec::new();
    for one in claiming.collect::<Vec<_>>() {
        all.extend(one.await.unwrap());
    }
    all.sort_by(|one, other| one.order.id.cmp(&other.order.id));
    assert_eq!(all.iter().map(|orphan| orphan.order.id.as_str()).collect::<Vec<_>>(), ["100", "101"]);
    assert_eq!(open(store).await.len(), 2);
    assert_eq!(told(store).await.len(), 2);
}

/// Whether its attempt runs, is over, or goes on in the background. Another supplier's order of that id is another one.
pub async fn an_attempts_order_is_no_orphan(store: &Subject) {
    let redemptions = queued_many(store, 3).await;
    waiting(store, &redemptions[0], "100").await;
    failed(store, &waiting(store, &redemptions[1], "101").await).await;
    let number = waiting(store, &redemptions[2], "102").await;
    let mut next = moved(&number, number.phase.clone());
    next.background.push(surplus(Intent { number: 2, ..intent(&number) }, "103"));
    stored(store, next, Vec::new()).await;

    let listed = ["100", "101", "102", "103", "104"].map(|id| found(id, 50));
    assert_eq!(claimed(store, &listed, 50).await, [found("104", 50)]);
    let other = found_at(&second_supplier(), "100", OrderStatus::Open, 50);
    assert_eq!(claimed(store, std::slice::from_ref(&other), 50).await, [other]);
}

/// It may be the very purchase whose outcome nobody knows yet.
pub async fn orders_of_a_plan_with_an_unresolved_attempt_are_left_alone(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let first = ordering(store, &redemptions[0]).await;
    let second = ordering(store, &redemptions[1]).await;
    let search = Search { intent: intent(&redemptions[1]), absent_since: None };
    let searching = stored(store, moved(&second, Phase::Uncertain(search.clone())), Vec::new()).await;

    let others = [
        second_supplier(),
        elsewhere(|source| source.product = "whatsapp".into()),
        elsewhere(|source| source.country = "usa".into()),
        elsewhere(|source| source.operator = "virtual5".into()),
    ];
    let others: Vec<_> = others
        .iter()
        .zip(101..)
        .map(|(at, id)| found_at(at, &id.to_string(), OrderStatus::Open, 9))
        .collect();
    let listed = [vec![found("100", 9)], others.clone()].concat();
    assert_eq!(claimed(store, &listed, 9).await, others);
    assert_eq!(claimed(store, &[found("100", 9)], 9).await, []);

    stored(store, bought(&first, "90"), Vec::new()).await;
    assert_eq!(claimed(store, &[found("100", 10)], 10).await, [], "the other one is still looked for");
    let number = Phase::Waiting(held(search.intent, "91"));
    stored(store, moved(&searching, number), Vec::new()).await;
    assert_eq!(claimed(store, &[found("100", 11)], 11).await, [found("100", 11)]);
}

/// Whoever comes later can no longer adopt it: it counts as claimed, and it is nobody's.
pub async fn an_orphan_cannot_be_adopted(store: &Subject) {
    let main = SupplierName::default();
    let redemptions = queued_many(store, 2).await;
    claimed(store, &[found("999", 9), found("1000", 9)], 9).await;
    let asked = ["998", "999", "1000", "1001"].map(OrderId::new);
    let claims = store.claims(&main, &wanted(), &asked, rdm(9)).await.unwrap();
    assert_eq!(claims.claimed, BTreeSet::from([OrderId::new("999"), OrderId::new("1000")]));
    assert_eq!(claims.other_send_window, None);
    assert_eq!(store.holders(&main, &asked).await.unwrap(), []);
    assert_eq!(store.newest_order(&main).await.unwrap(), Some(OrderId::new("1000")));
    assert_eq!(store.newest_order(&second_supplier().supplier).await.unwrap(), None);

    let first = ordering(store, &redemptions[0]).await;
    let error = fails_whole(store, change(bought(&first, "999"), Vec::new())).await;
    assert!(matches!(error, StorageError::Claimed), "{error:?}");
    assert_eq!(open(store).await, [found("999", 9), found("1000", 9)]);

    waiting(store, &redemptions[1], "1001").await;
    assert_eq!(store.newest_order(&main).await.unwrap(), Some(OrderId::new("1001")));
}

/// An attempt and a sweep that find the same order at the same moment: one of them has it.
pub async fn an_order_is_an_attempts_or_an_orphan(store: &Subject) {
    let redemptions = queued_many(store, 8).await;
    for (redemption, id) in redemptions.iter().zip(200..) {
        let id = id.to_string();
        let number = waiting(store, redemption, &format!("1{id}")).await;
        let mut late = moved(&number, number.phase.clone());
        late.background.push(surplus(Intent { number: 2, ..intent(&number) }, &id));
        let (adopting, sweeping) = (store.clone(), store.clone());
        let orphan = found(&id, 50);
        let adopted = tokio::spawn(async move { adopting.commit(change(late, Vec::new())).await });
        let swept = tokio::spawn(async move { claimed(&sweeping, &[orphan], 50).await });
        match (adopted.await.unwrap(), swept.await.unwrap().len()) {
            (Ok(()), 0) | (Err(StorageError::Claimed), 1) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Its whole life at once: it is told of, and costs what it costs.
pub async fn an_orphan_may_be_settled_when_it_is_found(store: &Subject) {
    let finished = found_at(&source(), "100", OrderStatus::Finished, 9);
    assert_eq!(claimed(store, std::slice::from_ref(&finished), 10).await, [finished]);
    assert_eq!(told(store).await, [(orphan_found("100"), 10), (orphan_loss("100"), 10)]);
    assert_eq!(open(store).await, []);
    let losses = store.orphan_losses(at(0), at(100)).await.unwrap();
    assert_eq!(
        losses.iter().map(|loss| (&loss.order.id, loss.at)).collect::<Vec<_>>(),
        [(&OrderId::new("100"), at(9))]
    );
}

/// Oldest first, a few at a time, by supplier, until they are settled.
pub async fn open_orphans_are_told_oldest_first(store: &Subject) {
    let listed = [found("1000", 3), found("998", 1), found("999", 2)];
    let other = found_at(&second_supplier(), "90", OrderStatus::Open, 0);
    claimed(store, &listed, 4).await;
    claimed(store, std::slice::from_ref(&other), 4).await;
    assert_eq!(open(store).await, [found("998", 1), found("999", 2), found("1000", 3)]);
    let two = store.open_orphans(&SupplierName::default(), 2).await.unwrap();
    assert_eq!(two, [found("998", 1), found("999", 2)]);
    assert_eq!(store.open_orphans(&other.source.supplier, 9).await.unwrap(), [other]);

    let oldest = found("998", 1);
    updated(store, &oldest, settled(&oldest, None, 5), 5).await;
    assert_eq!(open(store).await, [found("999", 2), found("1000", 3)]);
}

/// Every change is read back as it was stored, and what it tells is told at its time.
pub async fn an_orphan_is_stored_as_it_is_now(store: &Subject) {
    let mut orphan = claimed(store, &[found("100", 3)], 4).await.remove(0);
    let (asked, _) = orphan.due(at(5)).unwrap();
    orphan = updated(store, &orphan, asked, 5).await;
    assert_eq!(open(store).await, std::slice::from_ref(&orphan));
    let unknown = Orphan { unknown: 1, version: orphan.version + 1, ..orphan.clone() };
    orphan = updated(store, &orphan, unknown, 6).await;
    assert_eq!(open(store).await, std::slice::from_ref(&orphan));
    let sight = Sight { status: OrderStatus::Open, messages: vec![message()] };
    let seen = orphan.seen(&sight, at(7)).unwrap();
    orphan = updated(store, &orphan, seen, 7).await;
    assert_eq!(open(store).await, std::slice::from_ref(&orphan));
    assert_eq!(told(store).await, [(orphan_found("100"), 4)]);

    updated(store, &orphan, settled(&orphan, Some(OrderStatus::Finished), 8), 9).await;
    assert_eq!(open(store).await, []);
    assert_eq!(told(store).await, [(orphan_found("100"), 4), (orphan_loss("100"), 9)]);
}

/// Whoever decided by an older state decides again. Nothing is stored of what fails.
pub async fn a_stale_change_of_an_orphan_is_a_conflict(store: &Subject) {
    let orphan = claimed(store, &[found("100", 3)], 4).await.remove(0);
    let stored = updated(store, &orphan, orphan.due(at(5)).unwrap().0, 5).await;
    let bad = [
        Orphan { version: 1, ..settled(&stored, None, 6) },
        Orphan { version: 2, ..settled(&stored, None, 6) },
        Orphan { version: 4, ..settled(&stored, None, 6) },
        Orphan { version: 2, ..found("101", 3) },
        Orphan { version: 3, ..found_at(&second_supplier(), "100", OrderStatus::Open, 3) },
    ];
    for next in bad {
        let alerts = vec![AlertChange::raise(orphan_loss("100"))];
        let error = store.update_orphan(next.clone(), alerts, at(6)).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict), "{error:?} after {next:?}");
    }
    assert_eq!(open(store).await, [stored]);
    assert_eq!(told(store).await, [(orphan_found("100"), 4)]);
}

/// However many change it at the same moment, one does.
pub async fn of_many_changes_of_an_orphan_one_is_stored(store: &Subject) {
    let orphan = claimed(store, &[found("100", 3)], 4).await.remove(0);
    let changing = (0..16).map(|number| {
        let (store, next) = (store.clone(), settled(&orphan, Some(OrderStatus::Finished), 10 + number));
        tokio::spawn(async move {
            match store.update_orphan(next, Vec::new(), at(30)).await {
                Ok(()) => 1,
                Err(StorageError::Conflict) => 0,
                Err(other) => panic!("{other:?}"),
            }
        })
    });
    let mut stored = 0;
    for one in changing.collect::<Vec<_>>() {
        stored += one.await.unwrap();
    }
    assert_eq!(stored, 1);
}

/// What was charged has cost something: by supplier, oldest first, from the first moment until before the last.
pub async fn losses_are_told_by_supplier_and_time(store: &Subject) {
    let second = |id: &str| found_at(&second_supplier(), id, OrderStatus::Open, 1);
    let listed = [second("90"), second("91"), found("101", 1), found("102", 1), found("103", 1)];
    let charged = [40, 10, 30, 20, 20];
    claimed(store, &listed, 2).await;
    for (orphan, seconds) in listed.iter().zip(charged) {
        updated(store, orphan, settled(orphan, Some(OrderStatus::Finished), seconds), seconds).await;
    }
    let free = [None, Some(OrderStatus::Cancelled), Some(OrderStatus::Banned), Some(OrderStatus::TimedOut)];
    for (end, id) in free.into_iter().zip(110..) {
        let orphan = claimed(store, &[found(&id.to_string(), 1)], 2).await.remove(0);
        updated(store, &orphan, settled(&orphan, end, 20), 20).await;
    }
    claimed(store, &[found("120", 1)], 2).await;

    let loss = |source: Source, id: &str, seconds| OrphanLoss {
        source,
        order: order(id),
        currency: rouble(),
        value: WORTH,
        at: at(seconds),
    };
    let all = [
        loss(source(), "102", 20),
        loss(source(), "103", 20),
        loss(source(), "101", 30),
        loss(second_supplier(), "91", 10),
        loss(second_supplier(), "90", 40),
    ];
    assert_eq!(store.orphan_losses(at(10), at(41)).await.unwrap(), all);
    assert_eq!(store.orphan_losses(at(20), at(40)).await.unwrap(), all[..3]);
    assert_eq!(store.orphan_losses(at(11), at(30)).await.unwrap(), all[..2]);
    assert_eq!(store.orphan_losses(at(41), at(100)).await.unwrap(), []);
}

/// A redemption that begins later is not held up by an orphan: only its own order is out of reach.
pub async fn an_orphan_holds_nobody_up(store: &Subject) {
    claimed(store, &[found("100", 1)], 2).await;
    let first = queued(store).await;
    let number = waiting(store, &first, "101").await;
    assert_eq!(
        store.holders(&SupplierName::default(), &[OrderId::new("101")]).await.unwrap(),
        [(OrderId::new("101"), number.id)]
    );
    assert_eq!(open(store).await, [found("100", 1)]);
}
