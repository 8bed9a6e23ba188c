//! What storage knows about a supplier's orders.

use std::collections::BTreeSet;

use super::Subject;
use super::stage::{
    at, bought, failed, failure, intent, moved, ordering, queued, queued_many, rdm, stored, surplus, waiting,
    wanted,
};
use crate::ids::SupplierName;
use crate::money::Amount;
use crate::order::OrderId;
use crate::ports::supplier::Wanted;
use crate::redemption::{Intent, Phase, Search};
use crate::voucher::VoucherEvent;

fn orders(ids: &[&str]) -> Vec<OrderId> {
    ids.iter().copied().map(OrderId::new).collect()
}

fn second_supplier() -> SupplierName {
    SupplierName::new("second").unwrap()
}

/// Of the orders asked about, those that an attempt has, shown or in the background.
pub async fn claimed_orders_are_told(store: &Subject) {
    let first = queued(store).await;
    let number = waiting(store, &first, "100").await;
    let mut next = moved(&number, number.phase.clone());
    next.background.push(surplus(Intent { number: 2, ..intent(&first) }, "99"));
    stored(store, next, Vec::new()).await;

    let asked = orders(&["98", "99", "100", "101"]);
    let claims = store.claims(&SupplierName::default(), &wanted(), &asked, rdm(9)).await.unwrap();
    assert_eq!(claims.claimed, BTreeSet::from_iter(orders(&["99", "100"])));
    let elsewhere = store.claims(&second_supplier(), &wanted(), &asked, rdm(9)).await.unwrap();
    assert_eq!(elsewhere.claimed, BTreeSet::new());
}

/// Of the orders asked about, those of redemptions that somebody drives: shown, given back and settled ones alike.
pub async fn the_holders_of_orders_are_told(store: &Subject) {
    let redemptions = queued_many(store, 4).await;
    let main = SupplierName::default();
    waiting(store, &redemptions[0], "100").await;
    let number = waiting(store, &redemptions[1], "101").await;
    let mut next = moved(&number, number.phase.clone());
    next.background.push(surplus(Intent { number: 2, ..intent(&number) }, "102"));
    stored(store, next, Vec::new()).await;
    failed(store, &waiting(store, &redemptions[2], "103").await).await;
    let replaced = waiting(store, &redemptions[3], "104").await;
    let mut again = failure(&replaced);
    again.phase = Phase::Queued;
    stored(store, again, Vec::new()).await;

    let holders = async |supplier: &SupplierName, ids: &[&str]| {
        let mut holders = store.holders(supplier, &orders(ids)).await.unwrap();
        holders.sort();
        holders
    };
    let held = |id: &str, number| (OrderId::new(id), rdm(number));
    let expected = [held("100", 1), held("101", 2), held("102", 2), held("104", 4)];
    assert_eq!(holders(&main, &["104", "103", "102", "101", "100", "99", "100"]).await, expected);
    assert_eq!(holders(&main, &["102"]).await, [held("102", 2)]);
    assert_eq!(holders(&main, &[]).await, []);
    assert_eq!(holders(&second_supplier(), &["100"]).await, []);
}

/// The earliest purchase of the same plan whose answer may still come, except one's own.
pub async fn the_earliest_other_purchase_under_way_is_told(store: &Subject) {
    let redemptions = queued_many(store, 3).await;
    for redemption in &redemptions {
        ordering(store, redemption).await;
    }
    let window = async |except| {
        store.claims(&SupplierName::default(), &wanted(), &[], except).await.unwrap().other_send_window
    };
    // Redemption n is queued n seconds in, and orders a second later.
    assert_eq!(window(rdm(9)).await, Some(at(2)));
    assert_eq!(window(rdm(1)).await, Some(at(3)));
}

/// The cap makes no other plan; product, country, operator and supplier do.
pub async fn purchases_of_other_plans_are_left_out(store: &Subject) {
    let first = queued(store).await;
    ordering(store, &first).await;
    let main = SupplierName::default();
    let other = |change: fn(&mut Wanted)| {
        let mut wanted = wanted();
        change(&mut wanted);
        wanted
    };
    let same = other(|wanted| wanted.max_cost = Amount::from_micros(1));
    assert_eq!(store.claims(&main, &same, &[], rdm(9)).await.unwrap().other_send_window, Some(at(2)));
    for wanted in [
        other(|wanted| wanted.product = "whatsapp".into()),
        other(|wanted| wanted.country = "usa".into()),
        other(|wanted| wanted.operator = "virtual5".into()),
    ] {
        let claims = store.claims(&main, &wanted, &[], rdm(9)).await.unwrap();
        assert_eq!(claims.other_send_window, None, "{wanted:?}");
    }
    let claims = store.claims(&second_supplier(), &wanted(), &[], rdm(9)).await.unwrap();
    assert_eq!(claims.other_send_window, None);
}

/// A purchase whose outcome is known, or that is looked for already, is not under way.
pub async fn purchases_with_an_answer_are_left_out(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let first = ordering(store, &redemptions[0]).await;
    stored(store, bought(&first, "100"), Vec::new()).await;
    let search = Search { intent: intent(&redemptions[1]), absent_since: None };
    let second = ordering(store, &redemptions[1]).await;
    stored(store, moved(&second, Phase::Uncertain(search)), Vec::new()).await;
    let claims = store.claims(&SupplierName::default(), &wanted(), &[], rdm(9)).await.unwrap();
    assert_eq!(claims.other_send_window, None);
}

/// Ids of digits grow with time: 1000 is newer than 999.
pub async fn the_newest_order_is_the_highest_number(store: &Subject) {
    let redemptions = queued_many(store, 3).await;
    let main = SupplierName::default();
    assert_eq!(store.newest_order(&main).await.unwrap(), None);
    for (redemption, (order, newest)) in
        redemptions.iter().zip([("999", "999"), ("1000", "1000"), ("998", "1000")])
    {
        waiting(store, redemption, order).await;
        assert_eq!(store.newest_order(&main).await.unwrap(), Some(OrderId::new(newest)));
    }
}

/// Every supplier counts for itself.
pub async fn the_newest_order_is_told_by_supplier(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    waiting(store, &redemptions[0], "100").await;
    let elsewhere = Intent { supplier: second_supplier(), ..intent(&redemptions[1]) };
    let next = moved(&redemptions[1], Phase::Ordering(elsewhere));
    let next = stored(store, next, vec![VoucherEvent::Buy { buys: 1 }]).await;
    stored(store, bought(&next, "7"), Vec::new()).await;
    assert_eq!(store.newest_order(&SupplierName::default()).await.unwrap(), Some(OrderId::new("100")));
    assert_eq!(store.newest_order(&second_supplier()).await.unwrap(), Some(OrderId::new("7")));
}
