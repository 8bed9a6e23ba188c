//! Orders that no customer sees, given back beside everything else.

use super::holding::{check, closed, with_messages};
use super::{Step, settle_pause};
use crate::order::{OrderId, Sight};
use crate::redemption::{Call, CallFailure, Decision, Effect, Surplus};

impl Step<'_> {
    /// Gives back the first order that is due, if one is.
    pub(super) fn tick_background(&self) -> Option<Decision> {
        let due = self.redemption.background.iter().find(|surplus| surplus.not_before <= self.now)?;
        let (supplier, order) = (due.held.intent.supplier.clone(), due.held.order.id.clone());
        // An order with a message cannot be given back any more, only completed.
        let effect = if due.held.messages.is_empty() {
            Effect::Cancel(supplier, order)
        } else {
            Effect::Finish(supplier, order)
        };
        Some(self.act(effect))
    }

    pub(super) fn seen_background(&self, order: &OrderId, sight: &Sight) -> Decision {
        let Some(index) = self.background_index(order) else { return self.stay() };
        let surplus = &self.redemption.background[index];
        let mut next = self.redemption.clone();
        if sight.status.is_closed() {
            next.background.remove(index);
            next.closed.push(closed(&surplus.held, surplus.outcome, Some(sight.status), self.now));
            return self.store(next, None);
        }
        let (held, changed) = with_messages(&surplus.held, sight);
        let pause = if changed { std::time::Duration::ZERO } else { settle_pause(surplus.asked) };
        self.settle_later(index, Surplus { held, ..surplus.clone() }, pause, None)
    }

    pub(super) fn background_failed(&self, order: &OrderId, call: Call, failure: CallFailure) -> Decision {
        let Some(index) = self.background_index(order) else { return self.stay() };
        let surplus = self.redemption.background[index].clone();
        let pause = match failure {
            CallFailure::TooEarly => self.context.timing.too_early_wait,
            CallFailure::Throttled { retry_after: Some(asked) } => asked,
            _ => settle_pause(surplus.asked),
        };
        match (call, failure) {
            (Call::Settle, CallFailure::TooEarly | CallFailure::Throttled { .. }) => {
                self.settle_later(index, surplus, pause, None)
            }
            (Call::Settle, _) => {
                let look = check(&surplus.held);
                self.settle_later(index, surplus, pause, Some(look))
            }
            (Call::Check, CallFailure::NotFound) if surplus.unknown > 0 => {
                let mut next = self.redemption.clone();
                next.background.remove(index);
                next.closed.push(closed(&surplus.held, surplus.outcome, None, self.now));
                self.store(next, None)
            }
            (Call::Check, CallFailure::NotFound) => {
                self.settle_later(index, Surplus { unknown: 1, ..surplus }, pause, None)
            }
            (Call::Check, _) => self.settle_later(index, surplus, pause, None),
        }
    }

    fn settle_later(
        &self,
        index: usize,
        surplus: Surplus,
        pause: std::time::Duration,
        effect: Option<Effect>,
    ) -> Decision {
        let mut next = self.redemption.clone();
        next.background[index] =
            Surplus { not_before: self.now + pause, asked: surplus.asked + 1, ..surplus };
        self.store(next, effect)
    }

    fn background_index(&self, order: &OrderId) -> Option<usize> {
        self.redemption.background.iter().position(|surplus| surplus.held.order.id == *order)
    }
}
