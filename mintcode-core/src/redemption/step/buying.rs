//! From the choice of a plan to a number, or to the end of all plans.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Step;
use super::holding::closed;
use crate::ids::PlanId;
use crate::money::{Amount, Rate};
use crate::order::Order;
use crate::order::{Message, OrderStatus};
use crate::ports::{Stop, Wanted};
use crate::redemption::search::{Found, find};
use crate::redemption::{
    AfterRelease, Choice, ChoiceRecord, ClosedAttempt, Decision, Effect, Failure, FailureKind, GiveBack,
    Held, Intent, Listing, NotBought, Outcome, Phase, Question, Redemption, Releasing, Search, Surplus,
    choose,
};
use crate::sku::Plan;

/// How long after its deadline a lost purchase is still looked for on an account that is ours alone.
const SEARCH_PAST_DEADLINE: Duration = Duration::from_mins(1);

impl Step<'_> {
    /// Tries the next plan, or ends `next` where none is left.
    pub(super) fn attempt_next(&self, next: Redemption) -> Decision {
        self.attempt(next, None)
    }

    /// Tries `same` once more after a pause or a purchase that did not happen, or else the next plan.
    fn attempt(&self, next: Redemption, same: Option<&PlanId>) -> Decision {
        if next.cancel_wished {
            return self.store(Redemption { phase: Phase::Cancelled, ..next }, None);
        }
        let left = (next.deadline - self.now).to_std().unwrap_or(Duration::ZERO);
        if left <= time_for_a_first(&next) {
            let kind = if next.number_shown { FailureKind::NoSms } else { FailureKind::Deadline };
            return self.fail(next, kind, None);
        }
        let question = Question::of(&next, same, self.context, self.now);
        let answer = choose(&question);
        let decision = match &answer.choice {
            // Nothing is chosen where there is no time left for it.
            Choice::Next { plan, .. } if next.number_shown && left < self.time_for_another(&next, plan) => {
                return self.fail(next, FailureKind::NoSms, None);
            }
            Choice::Next { plan, cap, is_probe } => {
                let intent = self.intend(&next, plan, *cap, *is_probe, &answer.reason);
                self.store(Redemption { phase: Phase::Ordering(intent), ..next }, Some(Effect::Buy))
            }
            Choice::Wait { plan, until } => self.pause(next, plan, *until),
            Choice::GiveUp { kind, stop } => self.fail(next, *kind, *stop),
        };
        let record = ChoiceRecord { at: self.now, question, answer };
        Decision { choice: Some(Box::new(record)), ..decision }
    }

    /// The least time that must be left for another number after the first.
    pub(super) fn time_for_another(&self, redemption: &Redemption, plan: &Plan) -> Duration {
        let facts = self.context.suppliers.get(&plan.supplier);
        let minimum_age = facts.map_or(Duration::ZERO, |facts| facts.capabilities.minimum_cancel_age);
        (redemption.policy.max_duration / 4).min(Duration::from_mins(1)).max(minimum_age)
    }

    fn intend(
        &self,
        redemption: &Redemption,
        plan: &Plan,
        cap: Amount,
        is_probe: bool,
        reason: &str,
    ) -> Intent {
        // A plan is chosen only if its supplier is configured.
        let facts = self.context.suppliers.get(&plan.supplier);
        Intent {
            number: redemption.attempts() + 1,
            plan: plan.id.clone(),
            supplier: plan.supplier.clone(),
            wanted: Wanted {
                product: redemption.product.clone(),
                country: plan.country.clone(),
                operator: plan.operator.clone(),
                max_cost: cap,
            },
            reason: reason.to_owned(),
            is_probe,
            currency: facts.map_or(redemption.currency, |facts| facts.currency),
            rate: facts.map_or(Rate::ONE, |facts| facts.rate),
            intended_at: self.now,
            send_by: self.now + self.context.timing.send_window,
            newest_known: facts.and_then(|facts| facts.newest_known.clone()),
        }
    }

    pub(super) fn fail(&self, next: Redemption, kind: FailureKind, stop: Option<Stop>) -> Decision {
        let pause = if kind.is_retryable() { next.policy.cooldown } else { Duration::ZERO };
        let failure = Failure { kind, stop, retry_at: self.now + pause };
        self.store(Redemption { phase: Phase::Failed(failure), ..next }, None)
    }

    pub(super) fn tick_cooling_down(&self, until: DateTime<Utc>, plan: &PlanId) -> Decision {
        if self.now < until {
            return self.stay();
        }
        self.attempt(self.redemption.clone(), Some(plan))
    }

    pub(super) fn uncertain(&self, intent: &Intent) -> Decision {
        let search = Search { intent: intent.clone(), absent_since: None };
        self.store(Redemption { phase: Phase::Uncertain(search), ..self.redemption.clone() }, None)
    }

    /// A number was bought: `None` where no attempt of this redemption can have bought it.
    pub(super) fn bought(&self, attempt: u32, order: Order) -> Option<Decision> {
        match &self.redemption.phase {
            Phase::Ordering(intent) if intent.number == attempt => Some(self.take(intent, order, Vec::new())),
            Phase::Uncertain(search) if search.intent.number == attempt => {
                Some(self.take(&search.intent, order, Vec::new()))
            }
            _ if self.redemption.knows_order(&order.id) => Some(self.stay()),
            _ => self.bought_too_late(attempt, order),
        }
    }

    /// The order came to light when its attempt was over: it goes back unseen.
    fn bought_too_late(&self, attempt: u32, order: Order) -> Option<Decision> {
        let mut next = self.redemption.clone();
        let given_up = |closed: &ClosedAttempt| closed.intent.number == attempt && closed.order.is_none();
        let intent = match next.closed.iter().position(given_up) {
            Some(index) => next.closed.remove(index).intent,
            // The attempt took another order for its own, so this one gets a number of its own.
            None => Intent { number: next.attempts() + 1, ..self.redemption.intent(attempt)?.clone() },
        };
        next.background.push(self.surplus(&intent, order, Outcome::Late));
        Some(self.store(next, None))
    }

    fn surplus(&self, intent: &Intent, order: Order, outcome: Outcome) -> Surplus {
        let held = Held::bought(intent, order);
        Surplus { held, outcome, not_before: self.now, asked: 0 }
    }

    /// The order is ours: shown, or given back where it cannot be.
    fn take(&self, intent: &Intent, order: Order, messages: Vec<Message>) -> Decision {
        let mut next = self.redemption.clone();
        if order.price > intent.wanted.max_cost && messages.is_empty() {
            next.background.push(self.surplus(intent, order, Outcome::TooDear));
            return self.attempt_next(next);
        }
        let held = Held::bought(intent, order);
        if !messages.is_empty() {
            return self.arrived(next, self.with_messages(held, messages), None);
        }
        let then = if next.cancel_wished {
            AfterRelease::Cancel
        } else if self.now >= next.deadline {
            AfterRelease::Fail(FailureKind::Deadline)
        } else {
            next.number_shown = true;
            return self.store(Redemption { phase: Phase::Waiting(held), ..next }, None);
        };
        let releasing = Releasing { held, by: GiveBack::Cancel, then, not_before: self.now, asked: 0 };
        self.store(Redemption { phase: Phase::Releasing(releasing), ..next }, None)
    }

    /// Nothing was bought, for certain: `None` where no attempt waits for that answer.
    pub(super) fn not_bought(&self, attempt: u32, why: NotBought) -> Option<Decision> {
        let intent = match &self.redemption.phase {
            Phase::Ordering(intent) => intent,
            Phase::Uncertain(search) => &search.intent,
            _ => return None,
        };
        if intent.number != attempt {
            return None;
        }
        let next = |outcome| self.without_order(intent, outcome);
        Some(match why {
            NotBought::OutOfStock => self.attempt_next(next(Outcome::OutOfStock)),
            NotBought::Stopped(_) if self.redemption.cancel_wished => {
                self.attempt_next(next(Outcome::Stopped))
            }
            NotBought::Stopped(stop) => {
                self.fail(next(Outcome::Stopped), FailureKind::ContactSupport, Some(stop))
            }
            NotBought::NotSent => self.cool_down(next(Outcome::NotSent), intent, None),
            NotBought::Throttled { retry_after_ms } => {
                let asked = retry_after_ms.map(Duration::from_millis);
                self.cool_down(next(Outcome::Throttled), intent, asked)
            }
        })
    }

    fn without_order(&self, intent: &Intent, outcome: Outcome) -> Redemption {
        let mut next = self.redemption.clone();
        next.closed.push(ClosedAttempt {
            intent: intent.clone(),
            order: None,
            order_end: None,
            outcome,
            ended_at: self.now,
        });
        // The attempt is closed, so the phase must not carry it as well.
        next.phase = Phase::Queued;
        next
    }

    /// The same plan again after a pause: never another plan, whatever trouble the network has.
    fn cool_down(&self, next: Redemption, intent: &Intent, asked: Option<Duration>) -> Decision {
        if next.cancel_wished {
            return self.store(Redemption { phase: Phase::Cancelled, ..next }, None);
        }
        // A supplier that asks to come back at once is not asked in a circle.
        let least = self.context.timing.backoff_min / 6;
        let until = self.now + asked.map_or_else(|| self.backoff(), |pause| pause.max(least));
        self.pause(next, &intent.plan, until)
    }

    /// Goes on with `plan` at `until`, unless that is too late for a number.
    fn pause(&self, next: Redemption, plan: &PlanId, until: DateTime<Utc>) -> Decision {
        if until + time_for_a_first(&next) >= next.deadline {
            return self.fail(next, FailureKind::TemporarilyUnavailable, None);
        }
        self.store(Redemption { phase: Phase::CoolingDown { until, plan: plan.clone() }, ..next }, None)
    }

    fn backoff(&self) -> Duration {
        let timing = self.context.timing;
        let spread = timing.backoff_max.saturating_sub(timing.backoff_min);
        timing.backoff_min + spread * self.context.jitter.min(999) / 1000
    }

    /// Whether a lost purchase at the intent's supplier can be looked for at all.
    fn is_searchable(&self, intent: &Intent) -> bool {
        let facts = self.context.suppliers.get(&intent.supplier);
        facts.is_some_and(|facts| facts.is_exclusive && facts.capabilities.lists_orders)
    }

    /// When the search is given up; a look that was never made is made all the same.
    fn search_ends(&self, redemption: &Redemption, intent: &Intent) -> DateTime<Utc> {
        if self.is_searchable(intent) {
            self.first_look(intent).max(redemption.deadline + SEARCH_PAST_DEADLINE)
        } else {
            redemption.deadline
        }
    }

    fn first_look(&self, intent: &Intent) -> DateTime<Utc> {
        intent.send_by + self.context.timing.settle_time
    }

    /// When a lost purchase is next looked for.
    pub(super) fn next_look(&self, redemption: &Redemption, search: &Search) -> DateTime<Utc> {
        let ends = self.search_ends(redemption, &search.intent);
        if !self.is_searchable(&search.intent) {
            return ends;
        }
        let (first, pause) = (self.first_look(&search.intent), self.context.timing.settle_time / 2);
        // A look that may prove absence comes when it can, and the last one when the search ends.
        let proof = search.absent_since.map(|since| since + pause).filter(|proof| *proof > self.now);
        match proof {
            _ if self.now < first => first,
            Some(proof) => proof,
            None if self.now < ends => ends.min(self.now + pause),
            None => self.now + pause,
        }
    }

    pub(super) fn tick_uncertain(&self, search: &Search) -> Decision {
        let intent = &search.intent;
        if self.is_searchable(intent) && self.now >= self.first_look(intent) {
            return self.act(Effect::ListOrders(intent.supplier.clone()));
        }
        if !self.is_searchable(intent) && self.now >= self.redemption.deadline {
            return self.unresolved(search);
        }
        self.stay()
    }

    /// The look told nothing: another one later, unless the time for looks is over.
    pub(super) fn look_failed(&self, search: &Search) -> Decision {
        if self.now >= self.search_ends(self.redemption, &search.intent) {
            return self.unresolved(search);
        }
        self.stay()
    }

    /// Whether anything was bought cannot be found out: the cost stays on hold.
    fn unresolved(&self, search: &Search) -> Decision {
        let next = self.without_order(&search.intent, Outcome::Unresolved);
        if next.cancel_wished {
            return self.store(Redemption { phase: Phase::Cancelled, ..next }, None);
        }
        self.fail(next, FailureKind::TemporarilyUnavailable, None)
    }

    pub(super) fn listed(&self, search: &Search, listing: &Listing) -> Decision {
        let timing = self.context.timing;
        match find(&search.intent, listing, timing) {
            Found::Order(listed) if listed.sight.status.is_closed() && listed.sight.messages.is_empty() => {
                self.found_closed(search, listed.order, listed.sight.status)
            }
            Found::Order(listed) => self.take(&search.intent, listed.order, listed.sight.messages),
            Found::Unclear => self.look_failed(search),
            Found::Absent => match search.absent_since {
                None => {
                    let search = Search { absent_since: Some(self.now), ..search.clone() };
                    self.store(
                        Redemption { phase: Phase::Uncertain(search), ..self.redemption.clone() },
                        None,
                    )
                }
                Some(since) if self.now >= since + timing.settle_time / 2 => {
                    let next = self.without_order(&search.intent, Outcome::Absent);
                    self.attempt(next, Some(&search.intent.plan))
                }
                Some(_) => self.stay(),
            },
        }
    }

    /// The order was ours and is over before anyone saw its number.
    fn found_closed(&self, search: &Search, order: Order, end: OrderStatus) -> Decision {
        let mut next = self.redemption.clone();
        let held = Held::bought(&search.intent, order);
        next.closed.push(closed(&held, Outcome::Late, Some(end), self.now));
        // The attempt is closed, so the phase must not carry it as well.
        next.phase = Phase::Queued;
        self.attempt(next, Some(&search.intent.plan))
    }
}

/// The least time that must be left for a first number: one that could not be waited for would only use up a try.
fn time_for_a_first(redemption: &Redemption) -> Duration {
    (redemption.policy.max_duration / 4).min(Duration::from_secs(15))
}
