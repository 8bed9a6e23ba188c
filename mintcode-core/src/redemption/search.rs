//! Looking for a purchase whose answer was lost, in the supplier's list of orders.

use super::{Intent, Listing, Timing};
use crate::order::ListedOrder;

/// What a look at the list tells of one lost purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This order is the purchase, or as good as it: same-plan orders are alike until a customer has seen the number.
    Order(Box<ListedOrder>),
    /// The whole list since the intent has no such order.
    Absent,
    /// The list was cut short, or what fits may belong to a purchase whose answer is still on its way.
    Unclear,
}

/// Looks for the purchase of `intent` among orders that nobody claimed.
///
/// The order's price is not asked: a dearer one is ours all the same, and is given back.
pub(super) fn find(intent: &Intent, listing: &Listing, timing: &Timing) -> Found {
    let earliest = intent.intended_at - timing.skew;
    let latest = intent.send_by + timing.late_max;
    let is_unclaimed = |listed: &&ListedOrder| {
        listed.product == intent.wanted.product
            && listed.country == intent.wanted.country
            && listed.operator == intent.wanted.operator
            && intent.newest_known.as_ref().is_none_or(|newest| listed.order.id > *newest)
            && !listing.claimed.contains(&listed.order.id)
    };
    let is_in_time = |listed: &&ListedOrder| (earliest..=latest).contains(&listed.order.created_at);
    let others_may_own = |listed: &&ListedOrder| {
        listing.other_send_window.is_some_and(|began| listed.order.created_at >= began - timing.skew)
    };
    let (in_time, out_of_time): (Vec<_>, Vec<_>) =
        listing.orders.iter().filter(is_unclaimed).partition(is_in_time);
    let (contested, free): (Vec<_>, Vec<_>) = in_time.into_iter().partition(others_may_own);
    // An open order that nobody claims and that is newer than the intent is ours if the supplier's clock is off, so
    // that buying again could pay for two.
    let is_doubtful = out_of_time.iter().any(|listed| !listed.sight.status.is_closed());
    match free.into_iter().min_by_key(|listed| &listed.order.id) {
        Some(listed) => Found::Order(Box::new(listed.clone())),
        None if contested.is_empty() && !is_doubtful && listing.is_whole => Found::Absent,
        None => Found::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::ids::{PlanId, SupplierName};
    use crate::money::{Amount, Currency, Rate};
    use crate::order::{Order, OrderId, OrderStatus, Phone, Sight};
    use crate::ports::Wanted;

    fn at(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_hours(1) + Duration::from_secs(seconds)
    }

    /// Intended at second 100, to be sent by second 105, when order 50 was the newest known.
    fn intent() -> Intent {
        Intent {
            number: 1,
            plan: PlanId::new("A").unwrap(),
            supplier: SupplierName::default(),
            wanted: Wanted {
                product: "telegram".to_owned(),
                country: "canada".to_owned(),
                operator: "virtual4".to_owned(),
                max_cost: Amount::from_micros(200_000),
            },
            reason: String::new(),
            is_probe: false,
            currency: Currency::USD,
            rate: Rate::ONE,
            intended_at: at(100),
            send_by: at(105),
            newest_known: Some(OrderId::new("50")),
        }
    }

    fn listed(id: &str, created_at: DateTime<Utc>) -> ListedOrder {
        ListedOrder {
            order: Order {
                id: OrderId::new(id),
                phone: Phone::new("+12045550100"),
                price: Amount::from_micros(120_000),
                created_at,
                expires_at: created_at + Duration::from_mins(15),
            },
            product: "telegram".to_owned(),
            country: "canada".to_owned(),
            operator: "virtual4".to_owned(),
            sight: Sight { status: OrderStatus::Open, messages: Vec::new() },
        }
    }

    fn listing(orders: Vec<ListedOrder>) -> Listing {
        Listing { orders, is_whole: true, claimed: [].into(), other_send_window: None }
    }

    fn found(listing: &Listing) -> Found {
        find(&intent(), listing, &Timing::default())
    }

    #[test]
    fn the_oldest_fitting_order_that_nobody_claimed_is_the_purchase() {
        let mut listing = listing(vec![listed("53", at(104)), listed("52", at(103)), listed("51", at(102))]);
        listing.claimed.insert(OrderId::new("51"));
        assert_eq!(found(&listing), Found::Order(Box::new(listed("52", at(103)))));
    }

    #[test]
    fn another_plan_or_an_older_order_is_not_the_purchase() {
        let another = |change: fn(&mut ListedOrder)| {
            let mut order = listed("51", at(103));
            change(&mut order);
            listing(vec![order])
        };
        assert_eq!(found(&another(|order| order.product = "google".to_owned())), Found::Absent);
        assert_eq!(found(&another(|order| order.country = "england".to_owned())), Found::Absent);
        assert_eq!(found(&another(|order| order.operator = "virtual8".to_owned())), Found::Absent);
        assert_eq!(found(&another(|order| order.order.id = OrderId::new("50"))), Found::Absent);
        assert_eq!(found(&another(|order| order.order.id = OrderId::new("9"))), Found::Absent);
    }

    #[test]
    fn a_list_that_was_cut_short_proves_no_absence() {
        let cut = Listing { is_whole: false, ..listing(Vec::new()) };
        assert_eq!(found(&cut), Found::Unclear);
        assert_eq!(found(&listing(Vec::new())), Found::Absent);
    }

    #[test]
    fn an_order_that_another_purchase_may_still_get_is_left_to_it() {
        let mut contested = listing(vec![listed("51", at(104))]);
        contested.other_send_window = Some(at(103));
        assert_eq!(found(&contested), Found::Unclear);
        contested.other_send_window = Some(at(108));
        assert_eq!(found(&contested), Found::Order(Box::new(listed("51", at(104)))));
    }

    #[test]
    fn an_order_that_fits_in_all_but_time_keeps_us_from_buying_again() {
        // The supplier's clock is a minute off, or the request was held up somewhere.
        assert_eq!(found(&listing(vec![listed("51", at(165))])), Found::Unclear);
        let mut closed = listed("51", at(165));
        closed.sight.status = OrderStatus::Cancelled;
        assert_eq!(found(&listing(vec![closed])), Found::Absent);
    }
}
