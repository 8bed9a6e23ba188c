//! Orders that no customer sees, given back beside everything else.

use std::time::Duration;

use super::holding::{check, closed, unknown};
use super::{Step, settle_pause};
use crate::order::{OrderId, OrderStatus, Sight};
use crate::redemption::{Call, CallFailure, Decision, Effect, Surplus};

impl Step<'_> {
    /// Gives back the first order that is due, if one is.
    pub(super) fn tick_background(&self) -> Option<Decision> {
        let index = self.redemption.background.iter().position(|surplus| surplus.not_before <= self.now)?;
        let due = &self.redemption.background[index];
        let (supplier, order) = (due.held.intent.supplier.clone(), due.held.order.id.clone());
        // An order with a message cannot be given back any more, only completed.
        let effect = if due.held.messages.is_empty() {
            Effect::Cancel(supplier, order)
        } else {
            Effect::Finish(supplier, order)
        };
        let surplus = Surplus { asked: due.asked + 1, ..due.clone() };
        Some(self.keep(index, surplus, settle_pause(due.asked), Some(effect)))
    }

    pub(super) fn seen_background(&self, order: &OrderId, sight: &Sight) -> Decision {
        let Some(index) = self.background_index(order) else { return self.stay() };
        let surplus = &self.redemption.background[index];
        if sight.status.is_closed() {
            return self.drop_surplus(index, Some(sight.status));
        }
        let (held, changed) = self.with_sight(&surplus.held, sight);
        if changed {
            return self.keep(index, Surplus { held, ..surplus.clone() }, Duration::ZERO, None);
        }
        self.stay()
    }

    pub(super) fn background_failed(&self, order: &OrderId, call: Call, failure: CallFailure) -> Decision {
        let Some(index) = self.background_index(order) else { return self.stay() };
        let surplus = self.redemption.background[index].clone();
        match (call, failure) {
            (Call::Settle, CallFailure::TooEarly) => {
                self.keep(index, surplus, self.context.timing.too_early_wait, None)
            }
            (Call::Settle, CallFailure::Throttled { retry_after }) => {
                let pause = retry_after.unwrap_or_default().max(settle_pause(surplus.asked));
                self.keep(index, surplus, pause, None)
            }
            (Call::Settle, _) => self.act(check(&surplus.held)),
            (Call::Check, CallFailure::NotFound) if surplus.held.unknown > 0 => {
                self.drop_surplus(index, None)
            }
            (Call::Check, CallFailure::NotFound) => {
                let pause = settle_pause(surplus.asked);
                self.keep(index, Surplus { held: unknown(&surplus.held), ..surplus }, pause, None)
            }
            (Call::Check, _) => self.stay(),
        }
    }

    fn drop_surplus(&self, index: usize, order_end: Option<OrderStatus>) -> Decision {
        let mut next = self.redemption.clone();
        let surplus = next.background.remove(index);
        next.closed.push(closed(&surplus.held, surplus.outcome, order_end, self.now));
        self.store(next, None)
    }

    fn keep(&self, index: usize, surplus: Surplus, pause: Duration, effect: Option<Effect>) -> Decision {
        let mut next = self.redemption.clone();
        next.background[index] = Surplus { not_before: self.now + pause, ..surplus };
        self.store(next, effect)
    }

    fn background_index(&self, order: &OrderId) -> Option<usize> {
        self.redemption.background.iter().position(|surplus| surplus.held.order.id == *order)
    }
}
