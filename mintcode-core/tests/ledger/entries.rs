//! What every state stands for, and what every move books.

use std::collections::HashSet;

use mintcode_core::ids::SupplierName;
use mintcode_core::ledger::{Book, Entry, Kind, check, due, implied};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::redemption::{Delivery, Outcome, Phase, Redemption, Search};
use mintcode_core::testing::sample;

use crate::states::{
    FAILED, amount, closed, delivery, held, intent, open, redemption, releasing, settled, standing, surplus,
    without_order,
};

/// Entries in short: `3 charge 12.00` is a cost of attempt 3, `capture 0.80` a sale.
fn short(entries: &[Entry]) -> Vec<String> {
    let short = |entry: &Entry| match entry.book {
        Book::Cost => format!("{} {} {}", entry.attempt, entry.kind.name(), entry.amount),
        Book::Sale => format!("{} {}", entry.kind.name(), entry.amount),
    };
    entries.iter().map(short).collect()
}

fn costs(redemption: &Redemption) -> Vec<String> {
    let mut entries = implied(redemption);
    entries.retain(|entry| entry.book == Book::Cost);
    short(&entries)
}

#[test]
fn what_became_of_an_order_decides_its_cost() {
    use OrderStatus::{Banned, Cancelled, Finished, TimedOut};
    for (outcome, end, expected) in [
        (Outcome::NoSms, Some(Cancelled), ["1 charge 12.00", "1 refund 12.00"]),
        (Outcome::NoSms, Some(Banned), ["1 charge 12.00", "1 refund 12.00"]),
        (Outcome::NoSms, Some(TimedOut), ["1 charge 12.00", "1 refund 12.00"]),
        (Outcome::TooDear, Some(Cancelled), ["1 charge 12.00", "1 refund 12.00"]),
        (Outcome::NoSms, Some(Finished), ["1 charge 12.00", "1 loss 12.00"]),
        (Outcome::TooDear, Some(Finished), ["1 charge 12.00", "1 loss 12.00"]),
        (Outcome::Late, Some(Finished), ["1 charge 12.00", "1 loss 12.00"]),
        (Outcome::Withheld, None, ["1 charge 12.00", "1 loss 12.00"]),
        (Outcome::Late, None, ["1 charge 12.00", "1 hold 12.00"]),
        (Outcome::Replaced, None, ["1 charge 12.00", "1 hold 12.00"]),
    ] {
        let redemption = Redemption { closed: vec![closed(1, outcome, end)], ..redemption(1) };
        assert_eq!(costs(&redemption), expected, "{outcome:?} {end:?}");
        assert!(check([(&redemption, &*implied(&redemption))]).is_ok(), "{outcome:?} {end:?}");
    }
    // An order closed here that is open there is charged, and not lost yet.
    let still_open = closed(1, Outcome::NoSms, Some(OrderStatus::Open));
    let still_open = Redemption { closed: vec![still_open], ..redemption(1) };
    assert_eq!(costs(&still_open), ["1 charge 12.00"]);
    for end in [Some(Finished), None] {
        let redemption = Redemption { closed: vec![closed(1, Outcome::Delivered, end)], ..redemption(1) };
        assert_eq!(costs(&redemption), ["1 charge 12.00"], "{end:?}");
    }
}

#[test]
fn an_attempt_without_an_order_costs_nothing_unless_nobody_knows() {
    for outcome in
        [Outcome::OutOfStock, Outcome::Throttled, Outcome::NotSent, Outcome::Absent, Outcome::Stopped]
    {
        let redemption = Redemption { closed: vec![without_order(1, outcome)], ..redemption(1) };
        assert!(costs(&redemption).is_empty(), "{outcome:?}");
    }
    let unresolved =
        Redemption { closed: vec![without_order(1, Outcome::Unresolved)], ..standing(Phase::Failed(FAILED)) };
    assert_eq!(costs(&unresolved), ["1 hold 16.00"], "the most that the purchase may have cost");
}

#[test]
fn an_order_that_is_not_settled_is_charged_and_no_more() {
    let search = Search { intent: intent(1), absent_since: None };
    for (phase, expected) in [
        (Phase::Queued, vec![]),
        (Phase::Ordering(intent(1)), vec![]),
        (Phase::Uncertain(search), vec![]),
        (Phase::CoolingDown { until: sample::now(), plan: sample::plan_id("A") }, vec![]),
        (Phase::Waiting(held(1)), vec!["1 charge 12.00"]),
        (releasing(1), vec!["1 charge 12.00"]),
        (Phase::Delivered(delivery(1, open())), vec!["1 charge 12.00"]),
    ] {
        assert_eq!(costs(&standing(phase.clone())), expected, "{phase:?}");
    }
    let in_background = Redemption { background: vec![surplus(2)], ..standing(Phase::Waiting(held(1))) };
    assert_eq!(costs(&in_background), ["1 charge 12.00", "2 charge 12.00"]);
}

#[test]
fn a_withheld_message_is_a_loss_unless_the_supplier_gives_the_money_back() {
    use OrderStatus::{Banned, Cancelled, Finished, TimedOut};
    for settlement in [open(), settled(None), settled(Some(Finished))] {
        let withheld = standing(Phase::Withheld(delivery(1, settlement)));
        assert_eq!(costs(&withheld), ["1 charge 12.00", "1 loss 12.00"], "{settlement:?}");
        let delivered = standing(Phase::Delivered(delivery(1, settlement)));
        assert_eq!(costs(&delivered), ["1 charge 12.00"], "{settlement:?}");
    }
    for end in [Cancelled, Banned, TimedOut] {
        let delivery = delivery(1, settled(Some(end)));
        for phase in [Phase::Withheld(delivery.clone()), Phase::Delivered(delivery)] {
            assert_eq!(costs(&standing(phase)), ["1 charge 12.00", "1 refund 12.00"], "{end:?}");
        }
    }
}

#[test]
fn the_price_is_held_then_captured_or_released() {
    for (phase, expected) in [
        (Phase::Queued, vec!["hold 0.80"]),
        (Phase::Withheld(delivery(1, open())), vec!["hold 0.80", "release 0.80"]),
        (Phase::Delivered(delivery(1, open())), vec!["hold 0.80", "capture 0.80"]),
        (
            Phase::Delivered(Delivery { is_released: true, ..delivery(1, open()) }),
            vec!["hold 0.80", "release 0.80", "hold 0.80", "capture 0.80"],
        ),
        (Phase::Failed(FAILED), vec!["hold 0.80", "release 0.80"]),
        (Phase::Cancelled, vec!["hold 0.80", "release 0.80"]),
    ] {
        let mut sales = implied(&standing(phase.clone()));
        sales.retain(|entry| entry.book == Book::Sale);
        assert_eq!(short(&sales), expected, "{phase:?}");
        let free = Redemption { price: Amount::ZERO, ..standing(phase) };
        assert!(implied(&free).iter().all(|entry| entry.book == Book::Cost));
    }
}

#[test]
fn an_entry_tells_order_plan_and_value() {
    let [_hold, capture, charge] =
        implied(&standing(Phase::Delivered(delivery(3, open())))).try_into().unwrap();
    let expected = Entry {
        book: Book::Cost,
        kind: Kind::Charge,
        attempt: 3,
        supplier: Some(SupplierName::default()),
        order: Some(OrderId::new("300")),
        plan: Some(sample::plan_id("A")),
        amount: amount("12"),
        currency: "RUB".parse().unwrap(),
        value: amount("0.15"),
    };
    assert_eq!(charge, expected);
    let expected = Entry {
        book: Book::Sale,
        kind: Kind::Capture,
        attempt: 0,
        supplier: None,
        order: None,
        plan: Some(sample::plan_id("A")),
        amount: amount("0.80"),
        currency: Currency::USD,
        value: amount("0.80"),
    };
    assert_eq!(capture, expected);
}

/// Books a life, state by state.
fn life(states: &[Redemption]) -> (Vec<Vec<String>>, Vec<Entry>) {
    let (mut told, mut booked, mut before) = (Vec::new(), Vec::new(), None);
    for state in states {
        let due = due(before, state);
        told.push(short(&due));
        booked.extend(due);
        assert!(check([(state, &*booked)]).is_ok(), "{:?}", check([(state, &*booked)]));
        before = Some(state);
    }
    (told, booked)
}

#[test]
fn an_unresolved_purchase_that_comes_to_light_is_charged_and_may_vanish_after_all() {
    let failed = || standing(Phase::Failed(FAILED));
    let (told, booked) = life(&[
        standing(Phase::Queued),
        standing(Phase::Ordering(intent(1))),
        Redemption { closed: vec![without_order(1, Outcome::Unresolved)], ..failed() },
        Redemption { background: vec![surplus(1)], ..failed() },
        Redemption { closed: vec![closed(1, Outcome::Late, None)], ..failed() },
    ]);
    let expected: [&[&str]; 5] = [
        &["hold 0.80"],
        &[],
        &["release 0.80", "1 hold 16.00"],
        &["1 release 16.00", "1 charge 12.00"],
        &["1 hold 12.00"],
    ];
    assert_eq!(told, expected);
    let identities: HashSet<_> = booked.iter().map(Entry::identity).collect();
    assert_eq!(identities.len(), booked.len());
}

#[test]
fn what_is_withheld_and_then_released_is_no_loss() {
    let (told, _) = life(&[
        standing(Phase::Waiting(held(1))),
        standing(Phase::Withheld(delivery(1, open()))),
        standing(Phase::Withheld(delivery(1, settled(Some(OrderStatus::Finished))))),
        standing(Phase::Delivered(Delivery {
            is_released: true,
            ..delivery(1, settled(Some(OrderStatus::Finished)))
        })),
    ]);
    let expected: [&[&str]; 4] = [
        &["hold 0.80", "1 charge 12.00"],
        &["release 0.80", "1 loss 12.00"],
        &[],
        &["1 recovery 12.00", "hold 0.80", "capture 0.80"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_withheld_and_then_paid_back_is_no_loss() {
    let (told, _) = life(&[
        standing(Phase::Withheld(delivery(1, open()))),
        standing(Phase::Withheld(delivery(1, settled(Some(OrderStatus::Banned))))),
        standing(Phase::Delivered(Delivery {
            is_released: true,
            ..delivery(1, settled(Some(OrderStatus::Banned)))
        })),
    ]);
    let expected: [&[&str]; 3] = [
        &["hold 0.80", "release 0.80", "1 charge 12.00", "1 loss 12.00"],
        &["1 recovery 12.00", "1 refund 12.00"],
        &["hold 0.80", "capture 0.80"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_state_that_stays_books_nothing() {
    let delivered = standing(Phase::Delivered(delivery(1, open())));
    assert_eq!(due(Some(&delivered), &delivered), []);
    assert_eq!(due(None, &delivered), implied(&delivered));
}
