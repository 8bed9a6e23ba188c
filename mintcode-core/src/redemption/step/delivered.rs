//! After a delivery: further messages, and completing the order at the supplier.

use std::time::Duration;

use super::holding::{check, unknown};
use super::{Step, settle_pause};
use crate::order::Sight;
use crate::redemption::{Call, CallFailure, Decision, Delivery, Effect, Phase, Redemption, Settlement};

impl Step<'_> {
    pub(super) fn tick_delivered(&self, delivery: &Delivery) -> Decision {
        let asked = match delivery.settlement {
            Settlement::Open { until } if self.now < until => return self.act(check(&delivery.held)),
            Settlement::Open { .. } => 0,
            Settlement::Finishing { not_before, asked } if self.now >= not_before => asked,
            Settlement::Finishing { .. } | Settlement::Settled { .. } => return self.stay(),
        };
        // The pause runs from the asking, so that looks that take long put off no later asking.
        let not_before = self.now + finish_pause(asked);
        let finish = Effect::Finish(delivery.held.intent.supplier.clone(), delivery.held.order.id.clone());
        self.settle(delivery, Settlement::Finishing { not_before, asked: asked + 1 }, Some(finish))
    }

    pub(super) fn seen_delivered(&self, delivery: &Delivery, sight: &Sight) -> Decision {
        let (held, changed) = self.with_sight(&delivery.held, sight);
        let is_known_again = delivery.held.unknown > 0;
        let delivery = Delivery { held, ..delivery.clone() };
        match delivery.settlement {
            Settlement::Open { .. } | Settlement::Finishing { .. } if sight.status.is_closed() => {
                let settled = Settlement::Settled { order_end: Some(sight.status), at: self.now };
                self.settle(&delivery, settled, None)
            }
            settlement if changed || is_known_again => self.settle(&delivery, settlement, None),
            Settlement::Open { .. } | Settlement::Finishing { .. } | Settlement::Settled { .. } => {
                self.stay()
            }
        }
    }

    pub(super) fn finish_failed(&self, delivery: &Delivery, call: Call, failure: CallFailure) -> Decision {
        match (call, failure, delivery.settlement) {
            (_, _, Settlement::Settled { .. }) => self.stay(),
            (
                Call::Settle,
                CallFailure::Throttled { retry_after: Some(pause) },
                Settlement::Finishing { not_before, asked },
            ) => {
                let not_before = not_before.max(self.now + pause);
                self.settle(delivery, Settlement::Finishing { not_before, asked }, None)
            }
            // Why it was refused is not believed, and a lost answer may have done the work: a look tells.
            (Call::Settle, _, _) => self.act(check(&delivery.held)),
            (Call::Check, CallFailure::NotFound, _) if delivery.held.unknown > 0 => {
                self.settle(delivery, Settlement::Settled { order_end: None, at: self.now }, None)
            }
            (Call::Check, CallFailure::NotFound, settlement) => {
                let delivery = Delivery { held: unknown(&delivery.held), ..delivery.clone() };
                self.settle(&delivery, settlement, None)
            }
            (Call::Check, _, _) => self.stay(),
        }
    }

    fn settle(&self, delivery: &Delivery, settlement: Settlement, effect: Option<Effect>) -> Decision {
        let delivery = Delivery { settlement, ..delivery.clone() };
        let is_withheld = matches!(self.redemption.phase, Phase::Withheld(_));
        let phase = if is_withheld { Phase::Withheld(delivery) } else { Phase::Delivered(delivery) };
        self.store(Redemption { phase, ..self.redemption.clone() }, effect)
    }
}

/// How long to wait before the supplier is asked again to complete an order. Nobody waits for that, so that one which never
/// answers is asked every ten minutes in the end.
fn finish_pause(asked: u32) -> Duration {
    match asked {
        0..=9 => settle_pause(asked),
        _ => Duration::from_secs(600).min(Duration::from_secs(30) * 2_u32.saturating_pow(asked - 9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_never_answers_is_asked_ever_more_rarely() {
        for (asked, finish, give_back) in [
            (0, 1, 1),
            (1, 2, 2),
            (4, 16, 16),
            (5, 30, 30),
            (9, 30, 30),
            (10, 60, 30),
            (13, 480, 30),
            (14, 600, 30),
        ] {
            assert_eq!(finish_pause(asked).as_secs(), finish, "{asked}");
            assert_eq!(settle_pause(asked).as_secs(), give_back, "{asked}");
        }
        assert_eq!((finish_pause(u32::MAX).as_secs(), settle_pause(u32::MAX).as_secs()), (600, 30));
    }
}
