//! Where a redemption may go next, and where it may not.

use rand::RngExt;

use super::Walk;
use crate::order::OrderStatus;
use crate::redemption::{
    AfterRelease, ClosedAttempt, FailureKind, GiveBack, Held, Intent, Outcome, Phase, Redemption, Releasing,
    Search, Settlement,
};
use crate::testing::conformance::stage::{
    at, bought, delivery, failure, held, intent, message, moved, order, surplus,
};
use crate::testing::sample;

impl Walk {
    /// `redemption` one version on, as a machine might move it; `None` where it is at its end.
    pub(super) fn next(&mut self, redemption: &Redemption) -> Option<Redemption> {
        let mut next = match &redemption.phase {
            Phase::Queued | Phase::CoolingDown { .. } => match self.few(8) {
                1 => failure(redemption),
                2 => moved(redemption, Phase::Cancelled),
                3 => moved(
                    redemption,
                    Phase::CoolingDown { until: at(self.at + 30), plan: sample::plan_id("A") },
                ),
                _ => moved(redemption, Phase::Ordering(self.intent(redemption))),
            },
            Phase::Ordering(intent) => match self.few(6) {
                1 => {
                    moved(redemption, Phase::Uncertain(Search { intent: intent.clone(), absent_since: None }))
                }
                2 => self.went_without(redemption, intent, Outcome::OutOfStock),
                3 => {
                    let mut next = self.went_without(redemption, intent, Outcome::TooDear);
                    next.closed.pop();
                    let id = self.order_id();
                    next.background.push(surplus(intent.clone(), &id));
                    next
                }
                _ => bought(redemption, &self.order_id()),
            },
            Phase::Uncertain(search) => match self.few(3) {
                1 => self.went_without(redemption, &search.intent, Outcome::Absent),
                2 => {
                    let absent_since = Some(at(self.at));
                    moved(redemption, Phase::Uncertain(Search { absent_since, ..search.clone() }))
                }
                _ => moved(redemption, Phase::Waiting(held(search.intent.clone(), &self.order_id()))),
            },
            Phase::Waiting(held) => self.after_waiting(redemption, held),
            Phase::Releasing(releasing) => self.given_back(redemption, releasing),
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => {
                let mut delivery = delivery.clone();
                if matches!(delivery.settlement, Settlement::Settled { .. }) {
                    return None;
                }
                delivery.settlement =
                    Settlement::Settled { order_end: Some(OrderStatus::Finished), at: at(self.at) };
                let phase = match redemption.phase {
                    Phase::Withheld(_) => Phase::Withheld(delivery),
                    _ => Phase::Delivered(delivery),
                };
                moved(redemption, phase)
            }
            Phase::Failed(_) | Phase::Cancelled => return None,
        };
        next.updated_at = at(self.at);
        Some(next)
    }

    fn after_waiting(&mut self, redemption: &Redemption, held: &Held) -> Redemption {
        let settlement = match self.few(3) {
            1 => Settlement::Open { until: at(self.at + 120) },
            2 => Settlement::Finishing { not_before: at(self.at + 5), asked: 1 },
            _ => Settlement::Settled { order_end: Some(OrderStatus::Finished), at: at(self.at) },
        };
        match self.few(6) {
            1 => {
                let mut held = held.clone();
                held.messages.push(message());
                moved(redemption, Phase::Waiting(held))
            }
            2 => {
                let Phase::Delivered(withheld) = delivery(redemption, settlement).phase else {
                    unreachable!("that is what a delivery is")
                };
                moved(redemption, Phase::Withheld(withheld))
            }
            3 | 4 => delivery(redemption, settlement),
            _ => {
                let then = match self.few(3) {
                    1 => AfterRelease::NextPlan,
                    2 => AfterRelease::Cancel,
                    _ => AfterRelease::Fail(FailureKind::NoSms),
                };
                let by = if self.one_in(2) { GiveBack::Ban } else { GiveBack::Cancel };
                let not_before = at(self.at + 30);
                moved(
                    redemption,
                    Phase::Releasing(Releasing { held: held.clone(), by, then, not_before, asked: 0 }),
                )
            }
        }
    }

    fn given_back(&mut self, redemption: &Redemption, releasing: &Releasing) -> Redemption {
        if self.one_in(4) {
            let releasing = Releasing { asked: releasing.asked + 1, ..releasing.clone() };
            return moved(redemption, Phase::Releasing(releasing));
        }
        let (phase, outcome) = match releasing.then {
            AfterRelease::NextPlan => {
                (Phase::CoolingDown { until: at(self.at), plan: sample::plan_id("A") }, Outcome::Replaced)
            }
            AfterRelease::Cancel => (Phase::Cancelled, Outcome::GivenUp),
            AfterRelease::Fail(_) => return failure(redemption),
        };
        let mut next = moved(redemption, phase);
        next.closed.push(ClosedAttempt {
            intent: releasing.held.intent.clone(),
            order: Some(releasing.held.order.clone()),
            order_end: Some(OrderStatus::Cancelled),
            outcome,
            ended_at: at(self.at),
        });
        next
    }

    /// Nothing came of a purchase; the redemption goes on, or fails.
    fn went_without(&mut self, redemption: &Redemption, intent: &Intent, outcome: Outcome) -> Redemption {
        let mut next = if self.one_in(4) {
            failure(redemption)
        } else {
            moved(redemption, Phase::CoolingDown { until: at(self.at), plan: intent.plan.clone() })
        };
        next.closed.push(ClosedAttempt {
            intent: intent.clone(),
            order: None,
            order_end: None,
            outcome,
            ended_at: at(self.at),
        });
        next
    }

    fn intent(&mut self, redemption: &Redemption) -> Intent {
        let mut intent = Intent { intended_at: at(self.at), send_by: at(self.at + 5), ..intent(redemption) };
        if self.one_in(3) {
            intent.wanted.operator = "virtual8".into();
        }
        intent.is_probe = self.one_in(5);
        intent
    }

    /// One of so few orders that some are claimed already.
    fn order_id(&mut self) -> String {
        self.dice.random_range(95..200).to_string()
    }

    /// An order that the supplier lists.
    pub(super) fn listed(&mut self) -> crate::order::Order {
        order(&self.order_id())
    }
}
