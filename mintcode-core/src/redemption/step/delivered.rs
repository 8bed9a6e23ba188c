//! After a delivery: further messages, and completing the order at the supplier.

use super::holding::{check, with_messages};
use super::{Step, settle_pause};
use crate::order::Sight;
use crate::redemption::{Call, CallFailure, Decision, Delivery, Effect, Phase, Redemption, Settlement};

impl Step<'_> {
    pub(super) fn tick_delivered(&self, delivery: &Delivery) -> Decision {
        match delivery.settlement {
            Settlement::Open { until } if self.now < until => self.act(check(&delivery.held)),
            Settlement::Open { .. } => {
                let settlement = Settlement::Finishing { not_before: self.now, asked: 0, unknown: 0 };
                self.settle(delivery, settlement, Some(finish(delivery)))
            }
            Settlement::Finishing { not_before, .. } if self.now >= not_before => self.act(finish(delivery)),
            Settlement::Finishing { .. } | Settlement::Settled { .. } => self.stay(),
        }
    }

    pub(super) fn seen_delivered(&self, delivery: &Delivery, sight: &Sight) -> Decision {
        let (held, changed) = with_messages(&delivery.held, sight);
        let delivery = Delivery { held, ..delivery.clone() };
        match delivery.settlement {
            Settlement::Open { .. } | Settlement::Finishing { .. } if sight.status.is_closed() => {
                let settled = Settlement::Settled { order_end: Some(sight.status), at: self.now };
                self.settle(&delivery, settled, None)
            }
            Settlement::Finishing { not_before, asked, unknown } if self.now >= not_before => {
                let not_before = self.now + settle_pause(asked);
                self.settle(&delivery, Settlement::Finishing { not_before, asked: asked + 1, unknown }, None)
            }
            settlement if changed => self.settle(&delivery, settlement, None),
            Settlement::Open { .. } | Settlement::Finishing { .. } | Settlement::Settled { .. } => {
                self.stay()
            }
        }
    }

    pub(super) fn finish_failed(&self, delivery: &Delivery, call: Call, failure: CallFailure) -> Decision {
        let (asked, unknown) = match delivery.settlement {
            Settlement::Finishing { asked, unknown, .. } => (asked, unknown),
            Settlement::Open { .. } if failure == CallFailure::NotFound => (0, 0),
            Settlement::Open { .. } | Settlement::Settled { .. } => return self.stay(),
        };
        let pause = match failure {
            CallFailure::Throttled { retry_after: Some(asked) } => asked,
            _ => settle_pause(asked),
        };
        let not_before = self.now + pause;
        match (call, failure) {
            (Call::Check, CallFailure::NotFound) if unknown > 0 => {
                self.settle(delivery, Settlement::Settled { order_end: None, at: self.now }, None)
            }
            (Call::Check, CallFailure::NotFound) => {
                self.settle(delivery, Settlement::Finishing { not_before, asked, unknown: 1 }, None)
            }
            (Call::Check, _) => self.stay(),
            (Call::Settle, _) => {
                let asked = asked + 1;
                self.settle(
                    delivery,
                    Settlement::Finishing { not_before, asked, unknown },
                    Some(check(&delivery.held)),
                )
            }
        }
    }

    fn settle(&self, delivery: &Delivery, settlement: Settlement, effect: Option<Effect>) -> Decision {
        let delivery = Delivery { settlement, ..delivery.clone() };
        self.store(Redemption { phase: Phase::Delivered(delivery), ..self.redemption.clone() }, effect)
    }
}

fn finish(delivery: &Delivery) -> Effect {
    Effect::Finish(delivery.held.intent.supplier.clone(), delivery.held.order.id.clone())
}
