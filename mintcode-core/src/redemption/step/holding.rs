//! While a number is the customer's: waiting for its SMS, and giving it back.

use chrono::{DateTime, Utc};

use super::{Step, settle_pause};
use crate::order::{Message, OrderId, OrderStatus, Sight};
use crate::redemption::{
    AfterRelease, Call, CallFailure, ClosedAttempt, Decision, Delivery, Effect, FailureKind, GiveBack, Held,
    Outcome, Phase, Redemption, Releasing, Settlement,
};
use crate::sku::OnNoSms;

impl Step<'_> {
    /// When a number without an SMS is given back: at the deadline, or shortly before its own end.
    pub(super) fn release_at(&self, held: &Held) -> DateTime<Utc> {
        let own_end = held.order.expires_at - self.context.timing.expiry_margin;
        self.redemption.deadline.min(own_end)
    }

    pub(super) fn tick_waiting(&self, held: &Held) -> Decision {
        if self.now < self.release_at(held) {
            return self.act(check(held));
        }
        if !held.messages.is_empty() {
            return self.arrived(self.redemption.clone(), held.clone(), None);
        }
        let by = match self.redemption.policy.on_no_sms {
            OnNoSms::Cancel => GiveBack::Cancel,
            OnNoSms::Ban => GiveBack::Ban,
        };
        self.release(held.clone(), by, AfterRelease::Fail(FailureKind::NoSms))
    }

    /// Gives the number back: stored first, then asked of the supplier.
    pub(super) fn release(&self, held: Held, by: GiveBack, then: AfterRelease) -> Decision {
        // The pause runs from the asking, so that looks that take long put off no later asking.
        let releasing = Releasing { held, by, then, not_before: self.now + settle_pause(0), asked: 1 };
        let effect = give_back(&releasing);
        self.store(Redemption { phase: Phase::Releasing(releasing), ..self.redemption.clone() }, Some(effect))
    }

    pub(super) fn tick_releasing(&self, releasing: &Releasing) -> Decision {
        if self.now >= releasing.not_before {
            self.release_later(releasing, settle_pause(releasing.asked), Some(give_back(releasing)))
        } else {
            // An SMS may still come while the number cannot be given back.
            self.act(check(&releasing.held))
        }
    }

    pub(super) fn seen(&self, order: &OrderId, sight: &Sight) -> Decision {
        match &self.redemption.phase {
            Phase::Waiting(held) if held.order.id == *order => self.seen_waiting(held, sight),
            Phase::Releasing(releasing) if releasing.held.order.id == *order => {
                self.seen_releasing(releasing, sight)
            }
            Phase::Delivered(delivery) | Phase::Withheld(delivery) if delivery.held.order.id == *order => {
                self.seen_delivered(delivery, sight)
            }
            _ => self.seen_background(order, sight),
        }
    }

    /// Messages are read before the status: an order may be closed and carry its code all the same.
    fn seen_waiting(&self, before: &Held, sight: &Sight) -> Decision {
        let next = self.redemption.clone();
        let (held, changed) = self.with_sight(before, sight);
        let is_over = sight.status.is_closed() && !held.messages.is_empty();
        if is_over || held.has_code() || !held.withheld.is_empty() {
            return self.arrived(next, held, Some(sight.status));
        }
        if sight.status.is_closed() {
            return self.given_back(next, &held, AfterRelease::Fail(FailureKind::NoSms), Some(sight.status));
        }
        if changed {
            return self.store(Redemption { phase: Phase::Waiting(held), ..next }, None);
        }
        self.known_again(before, held, Phase::Waiting)
    }

    fn seen_releasing(&self, releasing: &Releasing, sight: &Sight) -> Decision {
        let next = self.redemption.clone();
        let (held, _) = self.with_sight(&releasing.held, sight);
        // With any message the supplier keeps the money, so what came is delivered.
        if !held.messages.is_empty() {
            return self.arrived(next, held, Some(sight.status));
        }
        if sight.status.is_closed() {
            return self.given_back(next, &held, releasing.then, Some(sight.status));
        }
        self.known_again(&releasing.held, held, |held| {
            Phase::Releasing(Releasing { held, ..releasing.clone() })
        })
    }

    /// Notes that the supplier knows the order after all, where it did not before.
    fn known_again(&self, before: &Held, held: Held, phase: impl FnOnce(Held) -> Phase) -> Decision {
        if before.unknown == 0 {
            return self.stay();
        }
        self.store(Redemption { phase: phase(held), ..self.redemption.clone() }, None)
    }

    pub(super) fn call_failed(&self, order: &OrderId, call: Call, failure: CallFailure) -> Decision {
        match &self.redemption.phase {
            Phase::Waiting(held) if held.order.id == *order => match failure {
                CallFailure::NotFound if held.unknown > 0 => {
                    let then = AfterRelease::Fail(FailureKind::NoSms);
                    self.given_back(self.redemption.clone(), held, then, None)
                }
                // Looked at once more before it counts as gone.
                CallFailure::NotFound => {
                    let held = unknown(held);
                    self.store(Redemption { phase: Phase::Waiting(held), ..self.redemption.clone() }, None)
                }
                CallFailure::Throttled { .. }
                | CallFailure::Stopped(_)
                | CallFailure::TooEarly
                | CallFailure::Conflict
                | CallFailure::Unclear => self.stay(),
            },
            Phase::Releasing(releasing) if releasing.held.order.id == *order => {
                self.release_failed(releasing, call, failure)
            }
            Phase::Delivered(delivery) | Phase::Withheld(delivery) if delivery.held.order.id == *order => {
                self.finish_failed(delivery, call, failure)
            }
            _ => self.background_failed(order, call, failure),
        }
    }

    fn release_failed(&self, releasing: &Releasing, call: Call, failure: CallFailure) -> Decision {
        match (call, failure) {
            (Call::Settle, CallFailure::TooEarly) => {
                self.release_later(releasing, self.context.timing.too_early_wait, None)
            }
            (Call::Settle, CallFailure::Throttled { retry_after }) => {
                let pause = retry_after.unwrap_or_default().max(settle_pause(releasing.asked));
                self.release_later(releasing, pause, None)
            }
            // Why a settlement was refused is not believed, and a lost answer may have done the work: a look tells.
            (Call::Settle, _) => self.act(check(&releasing.held)),
            (Call::Check, CallFailure::NotFound) if releasing.held.unknown > 0 => {
                self.given_back(self.redemption.clone(), &releasing.held, releasing.then, None)
            }
            (Call::Check, CallFailure::NotFound) => {
                let releasing = Releasing { held: unknown(&releasing.held), ..releasing.clone() };
                self.store(Redemption { phase: Phase::Releasing(releasing), ..self.redemption.clone() }, None)
            }
            (Call::Check, _) => self.stay(),
        }
    }

    fn release_later(
        &self,
        releasing: &Releasing,
        pause: std::time::Duration,
        effect: Option<Effect>,
    ) -> Decision {
        let releasing =
            Releasing { not_before: self.now + pause, asked: releasing.asked + 1, ..releasing.clone() };
        self.store(Redemption { phase: Phase::Releasing(releasing), ..self.redemption.clone() }, effect)
    }

    /// The order is settled without an SMS; `order_end` is `None` for one that vanished.
    fn given_back(
        &self,
        mut next: Redemption,
        held: &Held,
        then: AfterRelease,
        order_end: Option<OrderStatus>,
    ) -> Decision {
        next.closed.push(closed(held, then.outcome(), order_end, self.now));
        next.phase = Phase::Queued;
        match then {
            AfterRelease::NextPlan => self.attempt_next(next),
            AfterRelease::Fail(kind) => self.fail(next, kind, None),
            AfterRelease::Cancel => self.store(Redemption { phase: Phase::Cancelled, ..next }, None),
        }
    }

    /// A message is there: stored as delivered, or as withheld, before anything else happens.
    pub(super) fn arrived(&self, mut next: Redemption, held: Held, status: Option<OrderStatus>) -> Decision {
        let until = self.now + next.policy.further_sms;
        let until = until.min(held.order.expires_at - self.context.timing.expiry_margin);
        let has_code = held.has_code();
        let settlement = match status.filter(|status| status.is_closed()) {
            Some(end) => Settlement::Settled { order_end: Some(end), at: self.now },
            None if !has_code || until <= self.now => {
                Settlement::Finishing { not_before: self.now + settle_pause(0), asked: 1 }
            }
            None => Settlement::Open { until },
        };
        let finish = matches!(settlement, Settlement::Finishing { .. })
            .then(|| Effect::Finish(held.intent.supplier.clone(), held.order.id.clone()));
        // A code that may be shown is delivered, whatever came beside it.
        let is_withheld = !has_code && !held.withheld.is_empty();
        let delivery = Delivery { held, delivered_at: self.now, settlement, is_released: false };
        next.number_shown = !is_withheld;
        next.phase = if is_withheld { Phase::Withheld(delivery) } else { Phase::Delivered(delivery) };
        self.store(next, finish)
    }

    /// The number as `sight` shows it, and whether there are other messages. A list shorter than the one known is stale.
    pub(super) fn with_sight(&self, held: &Held, sight: &Sight) -> (Held, bool) {
        let is_news = sight.messages.len() >= held.messages.len() && sight.messages != held.messages;
        let known = Held { unknown: 0, ..held.clone() };
        if is_news { (self.with_messages(known, sight.messages.clone()), true) } else { (known, false) }
    }

    /// The number with these messages, of which those are withheld that may not be shown.
    pub(super) fn with_messages(&self, held: Held, messages: Vec<Message>) -> Held {
        let screening = &self.context.rules.screening;
        // What was decided about a message stays, whatever patterns have come since.
        let verdict = |message: &Message| match held.messages.iter().position(|known| known == message) {
            Some(place) => held.withheld.get(&place).cloned(),
            None => screening.withholds(message).map(ToOwned::to_owned),
        };
        let verdicts = messages.iter().map(verdict).enumerate();
        let withheld = verdicts.filter_map(|(place, pattern)| pattern.map(|it| (place, it))).collect();
        Held { messages, withheld, ..held }
    }
}

pub(super) fn closed(
    held: &Held,
    outcome: Outcome,
    order_end: Option<OrderStatus>,
    ended_at: DateTime<Utc>,
) -> ClosedAttempt {
    ClosedAttempt {
        intent: held.intent.clone(),
        order: Some(held.order.clone()),
        order_end,
        outcome,
        ended_at,
    }
}

/// The number after the supplier did not know its order.
pub(super) fn unknown(held: &Held) -> Held {
    Held { unknown: held.unknown + 1, ..held.clone() }
}

pub(super) fn check(held: &Held) -> Effect {
    Effect::Check(held.intent.supplier.clone(), held.order.id.clone())
}

fn give_back(releasing: &Releasing) -> Effect {
    let (supplier, order) = (releasing.held.intent.supplier.clone(), releasing.held.order.id.clone());
    match releasing.by {
        GiveBack::Cancel => Effect::Cancel(supplier, order),
        GiveBack::Ban => Effect::Ban(supplier, order),
    }
}
