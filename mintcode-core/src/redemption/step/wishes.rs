//! What the customer or the operator may wish, and what it leads to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Step;
use crate::redemption::{
    AfterRelease, Choice, Context, Decision, Delivery, GiveBack, Held, Outcome, Phase, Question, Redemption,
    Releasing, Wish, choose,
};

/// What granting a wish would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishAnswer {
    /// It cannot be granted where the redemption stands.
    Refused,
    /// It is granted already.
    AlreadyGranted,
    /// It would change something. It may still come too late.
    Grantable,
}

/// What granting `wish` would do now.
#[must_use]
pub fn weigh_wish(
    redemption: &Redemption,
    wish: Wish,
    context: &Context<'_>,
    now: chrono::DateTime<chrono::Utc>,
) -> WishAnswer {
    match (Step { redemption, context, now }).wish(wish) {
        None => WishAnswer::Refused,
        Some(Decision { next: None, .. }) => WishAnswer::AlreadyGranted,
        Some(Decision { next: Some(_), .. }) => WishAnswer::Grantable,
    }
}

impl Step<'_> {
    /// `None` where the wish cannot be granted.
    pub(super) fn wish(&self, wish: Wish) -> Option<Decision> {
        match wish {
            Wish::Cancel => self.wish_cancel(),
            Wish::Replace { attempt } => self.wish_replace(attempt),
            Wish::Release => self.wish_release(),
        }
    }

    fn wish_cancel(&self) -> Option<Decision> {
        let next = self.redemption.clone();
        match &self.redemption.phase {
            Phase::Queued | Phase::CoolingDown { .. } => {
                Some(self.store(Redemption { phase: Phase::Cancelled, ..next }, None))
            }
            // A purchase under way has to end before anything else can.
            Phase::Ordering(_) | Phase::Uncertain(_) if next.cancel_wished => Some(self.stay()),
            Phase::Ordering(_) | Phase::Uncertain(_) => {
                Some(self.store(Redemption { cancel_wished: true, ..next }, None))
            }
            Phase::Waiting(held) => Some(self.release(held.clone(), GiveBack::Cancel, AfterRelease::Cancel)),
            Phase::Releasing(releasing) => match releasing.then {
                AfterRelease::NextPlan => {
                    let releasing = Releasing { then: AfterRelease::Cancel, ..releasing.clone() };
                    Some(self.store(Redemption { phase: Phase::Releasing(releasing), ..next }, None))
                }
                AfterRelease::Cancel | AfterRelease::Fail(_) => Some(self.stay()),
            },
            Phase::Delivered(_) | Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled => None,
        }
    }

    /// What was withheld is delivered after all.
    fn wish_release(&self) -> Option<Decision> {
        let next = self.redemption.clone();
        match &self.redemption.phase {
            // Nothing is left to be delivered.
            Phase::Withheld(_) if self.redemption.is_purged() => None,
            Phase::Withheld(withheld) => {
                let held = Held { withheld: BTreeMap::new(), ..withheld.held.clone() };
                let delivery = Delivery { held, is_released: true, ..withheld.clone() };
                let next = Redemption { number_shown: true, phase: Phase::Delivered(delivery), ..next };
                Some(self.store(next, None))
            }
            Phase::Delivered(_) => Some(self.stay()),
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Waiting(_)
            | Phase::Releasing(_)
            | Phase::CoolingDown { .. }
            | Phase::Failed(_)
            | Phase::Cancelled => None,
        }
    }

    /// Another number, while there is time for one and a plan that may be tried: as many numbers as plans at most.
    fn wish_replace(&self, attempt: u32) -> Option<Decision> {
        let Phase::Waiting(held) = &self.redemption.phase else { return None };
        if held.intent.number != attempt {
            return None;
        }
        let left = (self.redemption.deadline - self.now).to_std().unwrap_or(Duration::ZERO);
        let policy = &self.redemption.policy;
        let replaced =
            self.redemption.closed.iter().filter(|closed| closed.outcome == Outcome::Replaced).count();
        if replaced + 1 >= usize::try_from(policy.max_plans_per_redemption).unwrap_or(usize::MAX) {
            return None;
        }
        // What will be chosen once the number in hand is back.
        let mut question = Question::of(self.redemption, None, self.context, self.now);
        question.tried.insert(held.intent.plan.clone());
        question.behind = Some(held.intent.plan.clone());
        match choose(&question).choice {
            Choice::Next { plan, .. } if left >= self.time_for_another(self.redemption, &plan) => {
                Some(self.release(held.clone(), GiveBack::Cancel, AfterRelease::NextPlan))
            }
            Choice::Next { .. } | Choice::Wait { .. } | Choice::GiveUp { .. } => None,
        }
    }
}
