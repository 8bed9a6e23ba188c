//! What a redemption's state stands for in the books.

use super::{Book, Entry, Kind};
use crate::money::Amount;
use crate::order::{Order, OrderId, OrderStatus};
use crate::redemption::{ClosedAttempt, Delivery, Held, Intent, Outcome, Phase, Redemption, Settlement};

/// The entries that stand for `redemption` as it is: the sale first, then its attempts by number.
#[must_use]
pub fn implied(redemption: &Redemption) -> Vec<Entry> {
    let mut entries = sale(redemption);
    let costs = entries.len();
    for closed in &redemption.closed {
        entries.extend(cost_of_closed(closed));
    }
    for surplus in &redemption.background {
        entries.extend(cost(&surplus.held, Fate::Open));
    }
    match &redemption.phase {
        Phase::Waiting(held) => entries.extend(cost(held, Fate::Open)),
        Phase::Releasing(releasing) => entries.extend(cost(&releasing.held, Fate::Open)),
        Phase::Delivered(delivery) => entries.extend(cost_of_delivery(delivery, Fate::Used)),
        Phase::Withheld(delivery) => entries.extend(cost_of_delivery(delivery, Fate::Lost)),
        // A purchase whose outcome is not known yet stands for nothing yet.
        Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::Queued
        | Phase::CoolingDown { .. }
        | Phase::Failed(_)
        | Phase::Cancelled => {}
    }
    entries[costs..].sort_by_key(|entry| entry.attempt);
    entries
}

/// What has to be booked when `after` follows `before`, or begins.
///
/// That is what `after` stands for and `before` did not, behind what undoes the costs on hold and the losses that no
/// longer hold. Over a redemption's life every entry comes up once: see [`Entry::identity`].
#[must_use]
pub fn due(before: Option<&Redemption>, after: &Redemption) -> Vec<Entry> {
    let before = before.map(implied).unwrap_or_default();
    let after = implied(after);
    let has = |entries: &[Entry], entry: &Entry| entries.iter().any(|e| e.identity() == entry.identity());
    let gone = before.iter().filter(|entry| !has(&after, entry));
    let mut due: Vec<_> = gone.filter_map(Entry::undone).collect();
    due.extend(after.iter().filter(|entry| !has(&before, entry)).cloned());
    due
}

fn sale(redemption: &Redemption) -> Vec<Entry> {
    if redemption.price == Amount::ZERO {
        return Vec::new();
    }
    let entry = |kind| Entry {
        book: Book::Sale,
        kind,
        attempt: 0,
        supplier: None,
        order: None,
        plan: None,
        amount: redemption.price,
        currency: redemption.currency,
        value: redemption.price,
    };
    let mut entries = vec![entry(Kind::Hold)];
    match &redemption.phase {
        Phase::Delivered(delivery) => {
            let mut order = None;
            // What was withheld was given up, so its release sells the order anew.
            if delivery.is_released {
                order = Some(delivery.held.order.id.clone());
                entries.push(entry(Kind::Release));
                entries.push(Entry { order: order.clone(), ..entry(Kind::Hold) });
            }
            let plan = Some(delivery.held.intent.plan.clone());
            entries.push(Entry { order, plan, ..entry(Kind::Capture) });
        }
        Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled => entries.push(entry(Kind::Release)),
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::Waiting(_)
        | Phase::Releasing(_)
        | Phase::CoolingDown { .. } => {}
    }
    entries
}

/// What became of the money for an order.
#[derive(Clone, Copy)]
enum Fate {
    /// It is not decided yet.
    Open,
    /// It bought what was delivered.
    Used,
    /// It came back.
    Returned,
    /// It bought nothing for anybody.
    Lost,
    /// Nobody knows.
    Unknown,
}

fn cost_of_closed(closed: &ClosedAttempt) -> Vec<Entry> {
    let Some(order) = &closed.order else {
        return match closed.outcome {
            Outcome::Unresolved => {
                vec![entry(&closed.intent, None, Kind::Hold, closed.intent.wanted.max_cost)]
            }
            _ => Vec::new(),
        };
    };
    let fate = match (closed.order_end, closed.outcome) {
        (Some(OrderStatus::Cancelled | OrderStatus::Banned | OrderStatus::TimedOut), _) => Fate::Returned,
        (Some(OrderStatus::Open), _) => Fate::Open,
        (Some(OrderStatus::Finished) | None, Outcome::Delivered) => Fate::Used,
        (Some(OrderStatus::Finished), _) | (None, Outcome::Withheld) => Fate::Lost,
        (None, _) => Fate::Unknown,
    };
    cost_of_order(&closed.intent, order, fate)
}

/// The supplier may give the money back although a message came: its word counts.
fn cost_of_delivery(delivery: &Delivery, unless_returned: Fate) -> Vec<Entry> {
    let fate = match delivery.settlement {
        Settlement::Settled {
            order_end: Some(OrderStatus::Cancelled | OrderStatus::Banned | OrderStatus::TimedOut),
            ..
        } => Fate::Returned,
        Settlement::Settled { order_end: None | Some(OrderStatus::Finished | OrderStatus::Open), .. }
        | Settlement::Open { .. }
        | Settlement::Finishing { .. } => unless_returned,
    };
    cost(&delivery.held, fate)
}

fn cost(held: &Held, fate: Fate) -> Vec<Entry> {
    cost_of_order(&held.intent, &held.order, fate)
}

fn cost_of_order(intent: &Intent, order: &Order, fate: Fate) -> Vec<Entry> {
    let entry = |kind| entry(intent, Some(&order.id), kind, order.price);
    let mut entries = vec![entry(Kind::Charge)];
    match fate {
        Fate::Open | Fate::Used => {}
        Fate::Returned => entries.push(entry(Kind::Refund)),
        Fate::Lost => entries.push(entry(Kind::Loss)),
        Fate::Unknown => entries.push(entry(Kind::Hold)),
    }
    entries
}

fn entry(intent: &Intent, order: Option<&OrderId>, kind: Kind, amount: Amount) -> Entry {
    Entry {
        book: Book::Cost,
        kind,
        attempt: intent.number,
        supplier: Some(intent.supplier.clone()),
        order: order.cloned(),
        plan: Some(intent.plan.clone()),
        amount,
        currency: intent.currency,
        value: intent.rate.convert(amount).unwrap_or(Amount::MAX),
    }
}
