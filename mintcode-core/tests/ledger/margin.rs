//! What is left of the sales after the costs.

use chrono::TimeDelta;
use mintcode_core::ledger::{Booked, Entry, check, due, implied, margin};
use mintcode_core::money::{Amount, Rate};
use mintcode_core::order::OrderStatus;
use mintcode_core::redemption::{Outcome, Phase, Redemption};
use mintcode_core::testing::sample;
use proptest::prelude::*;

use crate::states::{FAILED, amount, closed, delivery, open, redemption, standing, without_order};

const ENDS: [Option<OrderStatus>; 5] = [
    Some(OrderStatus::Finished),
    Some(OrderStatus::Cancelled),
    Some(OrderStatus::Banned),
    Some(OrderStatus::TimedOut),
    None,
];
#[test]
fn a_value_that_does_not_fit_is_never_taken_for_a_small_one() {
    let mut dear = delivery(1, open());
    dear.held.order.price = Amount::MAX;
    dear.held.intent.rate = "2".parse().unwrap();
    let charge = implied(&standing(Phase::Delivered(dear.clone()))).pop().unwrap();
    assert_eq!(charge.value, Amount::MAX);
    let booked = [&charge, &charge].map(|entry| booked_on(&redemption(1), 0, entry));
    assert_eq!(margin::daily(&booked), Err(margin::TooLarge));
}

fn booked_on(redemption: &Redemption, day: i64, entry: &Entry) -> Booked {
    Booked {
        redemption: redemption.id,
        sku: redemption.sku.clone(),
        at: sample::now() + TimeDelta::days(day),
        entry: entry.clone(),
    }
}

#[test]
fn the_margin_is_told_by_day_plan_and_redemption() {
    let given_back = closed(1, Outcome::NoSms, Some(OrderStatus::Cancelled));
    let mut lost = closed(2, Outcome::TooDear, Some(OrderStatus::Finished));
    lost.intent.plan = sample::plan_id("B");
    let closed = vec![given_back, lost];
    let delivered = Redemption { closed: closed.clone(), ..standing(Phase::Delivered(delivery(3, open()))) };
    let failed = Redemption { closed, phase: Phase::Failed(FAILED), ..redemption(2) };
    let on = |redemption: &Redemption, day| {
        let entries = implied(redemption);
        entries.iter().map(|entry| booked_on(redemption, day, entry)).collect::<Vec<_>>()
    };
    let booked = [on(&delivered, 0), on(&failed, 1)].concat();

    let told: Vec<_> = margin::daily(&booked)
        .unwrap()
        .into_iter()
        .map(|(line, totals)| {
            let day = (line.day - sample::now().date_naive()).num_days();
            let plan = line.plan.unwrap().to_string();
            let sums = [totals.revenue, totals.cost, totals.loss, totals.margin().unwrap()];
            (day, plan, totals.delivered, sums.map(|sum| sum.to_string()))
        })
        .collect();
    let line = |day, plan: &str, delivered, sums: [&str; 4]| {
        (day, plan.to_owned(), delivered, sums.map(str::to_owned))
    };
    let expected = [
        line(0, "A", 1, ["0.80", "0.15", "0.00", "0.65"]),
        line(0, "B", 0, ["0.00", "0.15", "0.15", "-0.15"]),
        line(1, "A", 0, ["0.00", "0.00", "0.00", "0.00"]),
        line(1, "B", 0, ["0.00", "0.15", "0.15", "-0.15"]),
    ];
    assert_eq!(told, expected);

    let by_redemption = margin::by(&booked, |booked| booked.redemption).unwrap();
    assert_eq!(by_redemption[&delivered.id].margin(), Some(amount("0.50")));
    assert_eq!(by_redemption[&failed.id].margin(), Some(amount("-0.15")));
}

#[test]
fn a_loss_that_is_recovered_is_a_cost_and_no_loss() {
    let withheld = standing(Phase::Withheld(delivery(1, open())));
    let released = standing(Phase::Delivered(delivery(1, open())));
    let on_the_day = implied(&withheld);
    let later = due(Some(&withheld), &released);
    let on =
        |day, entries: &[Entry]| entries.iter().map(|e| booked_on(&withheld, day, e)).collect::<Vec<_>>();
    let booked = [on(0, &on_the_day), on(1, &later)].concat();
    let told: Vec<_> = margin::daily(&booked).unwrap().into_values().collect();
    let price = amount("0.15");
    let lost = margin::Totals { cost: price, loss: price, ..margin::Totals::default() };
    let (delivered, recovered) = (1, price.checked_neg().unwrap());
    let sold =
        margin::Totals { delivered, revenue: amount("0.80"), loss: recovered, ..margin::Totals::default() };
    assert_eq!(told, [lost, sold]);
}

#[test]
fn what_is_only_on_hold_has_no_line() {
    let unresolved = Redemption { closed: vec![without_order(1, Outcome::Unresolved)], ..redemption(1) };
    let booked: Vec<_> = implied(&unresolved).iter().map(|entry| booked_on(&unresolved, 0, entry)).collect();
    assert_eq!(booked.len(), 2);
    assert!(margin::daily(&booked).unwrap().is_empty());
}

proptest! {
    /// Whatever an order's end, its money is somewhere: charged once, and then one thing at most.
    #[test]
    fn the_margin_is_what_the_entries_add_up_to(
        ends in proptest::collection::vec((0..ENDS.len(), 0_i64..5_000_000, 1_i64..3_000_000), 0..12),
    ) {
        let closed = (1_u32..).zip(&ends).map(|(number, &(end, price, rate))| {
            let mut closed = closed(number, Outcome::NoSms, ENDS[end]);
            closed.order.as_mut().unwrap().price = Amount::from_micros(price);
            closed.intent.rate = Rate::from_micros(rate).unwrap();
            closed
        });
        let redemption = Redemption { closed: closed.collect(), ..standing(Phase::Failed(FAILED)) };
        let entries = implied(&redemption);
        prop_assert!(check([(&redemption, &*entries)]).is_ok());
        let booked: Vec<_> = entries.iter().map(|entry| booked_on(&redemption, 0, entry)).collect();
        let cost = redemption.closed.iter().filter(|closed| {
            matches!(closed.order_end, Some(OrderStatus::Finished) | None)
        });
        let cost = cost.map(|closed| closed.intent.rate.convert(closed.order.as_ref().unwrap().price).unwrap());
        let totals = margin::by(&booked, |_| ()).unwrap().remove(&()).unwrap_or_default();
        prop_assert_eq!(Some(totals.cost), Amount::checked_sum(cost));
        prop_assert_eq!(totals.revenue, Amount::ZERO);
    }
}
