//! The books.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::Subject;
use super::stage::{
    at, begun, bought, change, delivery, fails_whole, failure, intended, meant, minted, moved, post, queued,
    queued_many, rdm, session, went_on,
};
use crate::ids::{PlanId, SupplierName};
use crate::ledger::{Balance, Book, Booked, Entry, Kind, due};
use crate::money::{Amount, Currency};
use crate::order::{OrderId, OrderStatus};
use crate::ports::{Commit, LedgerTotal, StorageError};
use crate::redemption::{Intent, Phase, Redemption, Settlement};
use crate::sku::Sku;
use crate::testing::sample;

/// A charge for an order of the first attempt.
fn charge(order: &str, micros: i64) -> Entry {
    Entry {
        book: Book::Cost,
        kind: Kind::Charge,
        attempt: 1,
        supplier: Some(SupplierName::default()),
        order: Some(OrderId::new(order)),
        plan: Some(sample::plan_id("A")),
        amount: Amount::from_micros(micros),
        currency: Currency::USD,
        value: Amount::from_micros(micros),
    }
}

/// The next version of `redemption`, `seconds` in, with `entries`.
fn booking(redemption: &Redemption, seconds: i64, entries: Vec<Entry>) -> Commit {
    let next = Redemption { updated_at: at(seconds), ..moved(redemption, redemption.phase.clone()) };
    Commit { ledger: entries, ..change(next, Vec::new()) }
}

/// Books `entries` of `redemption`, `seconds` in, and returns it.
async fn booked(store: &Subject, redemption: &Redemption, seconds: i64, entries: Vec<Entry>) -> Redemption {
    let commit = booking(redemption, seconds, entries);
    store.commit(commit.clone()).await.unwrap();
    commit.next
}

async fn entries(store: &Subject, number: u32) -> Vec<Entry> {
    store.booked(rdm(number)).await.unwrap().into_iter().map(|booked| booked.entry).collect()
}

/// The price is reserved where there is one.
pub async fn a_redemption_that_begins_is_booked(store: &Subject) {
    let free = Sku { price: Amount::ZERO, ..sample::sku("free") };
    let free = minted(store, &free, 1).await[0];
    let first = queued(store).await;
    begun(store, post(free, session(2), 2)).await;
    let hold = due(None, &first).remove(0);
    assert_eq!((hold.book, hold.kind, hold.amount), (Book::Sale, Kind::Hold, Amount::from_micros(800_000)));
    let expected = Booked { redemption: first.id, sku: first.sku.clone(), at: at(1), entry: hold };
    assert_eq!(store.booked(first.id).await.unwrap(), [expected]);
    assert_eq!(store.booked(rdm(2)).await.unwrap(), []);
    assert_eq!(store.booked(rdm(9)).await.unwrap(), []);
}

/// Every step's entries are there, in order, at their time and in their currencies, and balance with the redemption.
pub async fn the_books_of_a_run_are_read_back_whole(store: &Subject) {
    let first = queued(store).await;
    let roubles: Currency = "RUB".parse().unwrap();
    let mut ordering = intended(&first);
    let Phase::Ordering(intent) = &mut ordering.phase else { unreachable!("a purchase is intended") };
    *intent = Intent { currency: roubles, rate: "0.0125".parse().unwrap(), ..intent.clone() };
    let waiting = bought(&ordering, "100");
    let delivered = delivery(&waiting, Settlement::Open { until: at(120) });
    let settled = Settlement::Settled { order_end: Some(OrderStatus::Cancelled), at: at(22) };
    let settled = Redemption { version: delivered.version + 1, ..delivery(&waiting, settled) };

    let mut expected = store.booked(first.id).await.unwrap();
    let mut before = &first;
    for next in [&ordering, &waiting, &delivered, &settled] {
        let (at, sku) = (next.updated_at, next.sku.clone());
        let entries = due(Some(before), next).into_iter();
        expected.extend(entries.map(|entry| Booked { redemption: next.id, sku: sku.clone(), at, entry }));
        went_on(store, before, next.clone()).await;
        let stored = store.booked(first.id).await.unwrap();
        assert_eq!(stored, expected);
        let stored: Vec<_> = stored.into_iter().map(|booked| booked.entry).collect();
        Balance::default().take(next, &stored).unwrap();
        before = next;
    }
    let kinds: Vec<_> = expected.iter().map(|booked| booked.entry.kind).collect();
    assert_eq!(kinds, [Kind::Hold, Kind::Charge, Kind::Capture, Kind::Refund]);
}

/// What is booked is booked, and nothing that comes with a second booking is stored.
pub async fn an_entry_is_booked_once(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let first = booked(store, &redemptions[0], 10, vec![charge("100", 120_000)]).await;
    let second = charge("101", 120_000);
    // Another amount makes no other entry.
    for twice in [vec![second.clone(), charge("100", 7)], vec![second.clone(), second.clone()]] {
        let everything = Commit { ledger: twice, ..meant(&first, intended(&first)) };
        let error = fails_whole(store, everything).await;
        assert!(matches!(error, StorageError::Corrupt { table: "ledger", .. }), "{error:?}");
    }
    let hold = entries(store, 1).await[0].clone();
    let error = fails_whole(store, booking(&first, 11, vec![hold])).await;
    assert!(matches!(error, StorageError::Corrupt { table: "ledger", .. }), "{error:?}");
    booked(store, &redemptions[1], 12, vec![charge("100", 120_000)]).await;
}

/// Book, attempt, kind and order make an entry: with one of them another, it is another one.
pub async fn an_entry_is_told_apart_by_book_attempt_kind_and_order(store: &Subject) {
    let first = queued(store).await;
    let one = charge("100", 120_000);
    let sale = entries(store, 1).await[0].clone();
    let others = vec![
        one.clone(),
        Entry { attempt: 2, ..one.clone() },
        Entry { kind: Kind::Hold, ..one.clone() },
        Entry { kind: Kind::Hold, order: None, ..one.clone() },
        Entry { kind: Kind::Hold, attempt: 0, order: None, ..one.clone() },
        Entry { order: Some(OrderId::new("101")), ..one.clone() },
        Entry { kind: Kind::Release, ..sale.clone() },
    ];
    booked(store, &first, 10, others.clone()).await;
    assert_eq!(entries(store, 1).await, [vec![sale], others].concat());
}

fn total(day: u32, sku: &str, plan: Option<PlanId>, kind: (Book, Kind), sum: (u64, i64)) -> LedgerTotal {
    LedgerTotal {
        day: NaiveDate::from_ymd_opt(2026, 1, day).unwrap(),
        sku: sample::sku(sku).id,
        plan,
        book: kind.0,
        kind: kind.1,
        entries: sum.0,
        value: Amount::from_micros(sum.1),
    }
}

async fn totals(store: &Subject, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<LedgerTotal> {
    let mut totals = store.ledger_totals(from, to).await.unwrap();
    totals.sort();
    totals
}

/// By day, SKU, plan, book and kind, in the selling currency; the first moment is in, the last one is out.
pub async fn totals_add_up_by_day_sku_and_plan(store: &Subject) {
    const DAY: i64 = 86_400;
    let (a, b) = (Some(sample::plan_id("A")), Some(sample::plan_id("B")));
    let vouchers = [
        minted(store, &sample::sku("tg"), 1).await[0],
        minted(store, &Sku { price: Amount::ZERO, ..sample::sku("wa") }, 1).await[0],
    ];
    let tg = begun(store, post(vouchers[0], session(1), 1)).await;
    let wa = begun(store, post(vouchers[1], session(2), 2)).await;
    let in_roubles = Entry {
        amount: Amount::from_micros(9_000_000),
        currency: "RUB".parse().unwrap(),
        value: Amount::from_micros(7),
        ..charge("101", 0)
    };
    let of_b = Entry { plan: b.clone(), ..charge("102", 30) };
    let refund = Entry { kind: Kind::Refund, ..charge("100", 5) };
    let tg = booked(store, &tg, DAY - 1, vec![charge("100", 5), in_roubles, of_b]).await;
    booked(store, &tg, DAY, vec![refund, charge("103", 11)]).await;
    booked(store, &wa, DAY, vec![charge("200", 13)]).await;

    let (charged, refunded) = ((Book::Cost, Kind::Charge), (Book::Cost, Kind::Refund));
    let mut first_day = vec![
        total(1, "tg", None, (Book::Sale, Kind::Hold), (1, 800_000)),
        total(1, "tg", a.clone(), charged, (2, 12)),
        total(1, "tg", b, charged, (1, 30)),
    ];
    let mut second_day = vec![
        total(2, "tg", a.clone(), charged, (1, 11)),
        total(2, "tg", a.clone(), refunded, (1, 5)),
        total(2, "wa", a.clone(), charged, (1, 13)),
    ];
    first_day.sort();
    second_day.sort();
    assert_eq!(totals(store, at(0), at(DAY)).await, first_day);
    assert_eq!(totals(store, at(DAY), at(DAY + 1)).await, second_day);
    assert_eq!(totals(store, at(1), at(DAY + 1)).await, [first_day.clone(), second_day].concat());
    assert_eq!(totals(store, at(2), at(DAY)).await, first_day[1..]);
    assert_eq!(totals(store, at(DAY + 1), at(9 * DAY)).await, []);
}

/// What many redemptions book at once is all there, and the totals are the sum of it.
pub async fn the_totals_are_the_sum_of_all_entries(store: &Subject) {
    let redemptions = queued_many(store, 24).await;
    let runs = redemptions.into_iter().zip(100..).map(|(first, order)| {
        let store = store.clone();
        tokio::spawn(async move {
            let ordering = went_on(&store, &first, intended(&first)).await;
            let waiting = went_on(&store, &ordering, bought(&ordering, &order.to_string())).await;
            let next = match order % 2 {
                0 => delivery(&waiting, Settlement::Open { until: at(120) }),
                _ => failure(&waiting),
            };
            let done = went_on(&store, &waiting, next).await;
            (store.booked(done.id).await.unwrap(), done)
        })
    });
    let mut balance = Balance::default();
    let mut expected = BTreeMap::<_, (u64, Amount)>::new();
    for run in runs.collect::<Vec<_>>() {
        let (booked, redemption) = run.await.unwrap();
        for Booked { entry, .. } in &booked {
            let (count, value) = expected.entry((entry.book, entry.kind)).or_default();
            (*count, *value) = (*count + 1, value.checked_add(entry.value).unwrap());
        }
        let entries: Vec<_> = booked.into_iter().map(|booked| booked.entry).collect();
        balance.take(&redemption, &entries).unwrap();
    }
    let mut summed = BTreeMap::<_, (u64, Amount)>::new();
    for total in totals(store, at(0), at(86_400)).await {
        let (count, value) = summed.entry((total.book, total.kind)).or_default();
        (*count, *value) = (*count + total.entries, value.checked_add(total.value).unwrap());
    }
    assert_eq!(summed, expected);
    assert_eq!(summed[&(Book::Sale, Kind::Capture)].0, 12);
}
