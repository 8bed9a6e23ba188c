//! What is left of a redemption once its numbers and messages have gone.

use chrono::{DateTime, Utc};

use super::{Held, Phase, Redemption};
use crate::order::{Order, Phone};

impl Redemption {
    /// The redemption without its numbers and messages, at the next version: what the books need stays. `None` where it has
    /// none, or is not at rest.
    #[must_use]
    pub fn purged(&self, now: DateTime<Utc>) -> Option<Self> {
        if !self.is_at_rest() {
            return None;
        }
        let mut next = self.clone();
        for order in next.closed.iter_mut().filter_map(|closed| closed.order.as_mut()) {
            purge(order);
        }
        match &mut next.phase {
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => {
                let Held { order, messages, withheld, .. } = &mut delivery.held;
                purge(order);
                messages.clear();
                withheld.clear();
            }
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Waiting(_)
            | Phase::Releasing(_)
            | Phase::CoolingDown { .. }
            | Phase::Failed(_)
            | Phase::Cancelled => {}
        }
        if next == *self {
            return None;
        }
        next.version += 1;
        next.updated_at = now;
        Some(next)
    }

    /// Whether it had a message that is gone by now.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        match &self.phase {
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => delivery.held.order.phone.is_purged(),
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Waiting(_)
            | Phase::Releasing(_)
            | Phase::CoolingDown { .. }
            | Phase::Failed(_)
            | Phase::Cancelled => false,
        }
    }
}

fn purge(order: &mut Order) {
    order.phone = Phone::purged();
}
