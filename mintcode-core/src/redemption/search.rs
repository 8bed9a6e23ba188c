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
    let fits = |listed: &&ListedOrder| {
        listed.product == intent.wanted.product
            && listed.country == intent.wanted.country
            && listed.operator == intent.wanted.operator
            && intent.newest_known.as_ref().is_none_or(|newest| listed.order.id > *newest)
            && (earliest..=latest).contains(&listed.order.created_at)
            && !listing.claimed.contains(&listed.order.id)
    };
    let others_may_own = |listed: &&ListedOrder| {
        listing.other_send_window.is_some_and(|began| listed.order.created_at >= began - timing.skew)
    };
    let (contested, free): (Vec<_>, Vec<_>) = listing.orders.iter().filter(fits).partition(others_may_own);
    match free.into_iter().min_by_key(|listed| &listed.order.id) {
        Some(listed) => Found::Order(Box::new(listed.clone())),
        None if contested.is_empty() && listing.is_whole => Found::Absent,
        None => Found::Unclear,
    }
}
