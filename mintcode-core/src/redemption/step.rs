//! The machine: what a redemption does about an event. Decides everything, touches nothing.

mod buying;
mod delivered;
mod holding;
mod settling;
mod voucher;
mod wishes;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::voucher::voucher_event;
pub use self::wishes::{WishAnswer, weigh_wish};
use super::{Context, Decision, Effect, Event, Illegal, Phase, Redemption, Settlement};

/// Decides what `redemption` does about `event`.
///
/// The decision is to be committed first; only then may its effect be performed, and the effect's outcome is the next
/// event. An event that changes nothing comes back with no transition, and with the time of the next look.
///
/// # Errors
///
/// [`Illegal`] if the event cannot follow the phase: a wish that came too late, or a bug.
pub fn step(
    redemption: &Redemption,
    event: Event,
    context: &Context<'_>,
    now: DateTime<Utc>,
) -> Result<Decision, Illegal> {
    let step = Step { redemption, context, now };
    match event {
        Event::Tick => Ok(step.tick()),
        Event::Recovered => Ok(match &redemption.phase {
            Phase::Ordering(intent) => step.uncertain(intent),
            _ => step.tick(),
        }),
        Event::Bought { attempt, order } => {
            step.bought(attempt, order).ok_or_else(|| illegal(redemption, "bought"))
        }
        Event::NotBought { attempt, why } => {
            step.not_bought(attempt, why).ok_or_else(|| illegal(redemption, "not_bought"))
        }
        Event::BuyUnclear { attempt } => match &redemption.phase {
            Phase::Ordering(intent) if intent.number == attempt => Ok(step.uncertain(intent)),
            _ => Err(illegal(redemption, "buy_unclear")),
        },
        Event::Seen { order, sight } => Ok(step.seen(&order, &sight)),
        Event::CallFailed { order, call, failure } => Ok(step.call_failed(&order, call, failure)),
        Event::Listed(listing) => match &redemption.phase {
            Phase::Uncertain(search) => Ok(step.listed(search, &listing)),
            _ => Err(illegal(redemption, "listed")),
        },
        Event::ListFailed(_) => match &redemption.phase {
            Phase::Uncertain(search) => Ok(step.look_failed(search)),
            _ => Err(illegal(redemption, "list_failed")),
        },
        Event::Wish(wish) => step.wish(wish).ok_or_else(|| illegal(redemption, Event::Wish(wish).name())),
    }
}

fn illegal(redemption: &Redemption, event: &'static str) -> Illegal {
    Illegal { phase: redemption.phase.name(), event }
}

/// One decision in the making.
struct Step<'a> {
    redemption: &'a Redemption,
    context: &'a Context<'a>,
    now: DateTime<Utc>,
}

impl Step<'_> {
    fn tick(&self) -> Decision {
        if let Some(decision) = self.tick_background() {
            return decision;
        }
        match &self.redemption.phase {
            Phase::Queued => self.attempt_next(self.redemption.clone()),
            // The outcome of every purchase is an event; without one the worker lost track of it.
            Phase::Ordering(intent) => self.uncertain(intent),
            Phase::Uncertain(search) => self.tick_uncertain(search),
            Phase::Waiting(held) => self.tick_waiting(held),
            Phase::Releasing(releasing) => self.tick_releasing(releasing),
            Phase::CoolingDown { until, plan } => self.tick_cooling_down(*until, plan),
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => self.tick_delivered(delivery),
            Phase::Failed(_) | Phase::Cancelled => self.stay(),
        }
    }

    /// Nothing changes; a look later.
    fn stay(&self) -> Decision {
        Decision { next: None, effect: None, choice: None, wake_at: self.wake_at(self.redemption) }
    }

    /// Nothing changes, and `effect` is performed.
    fn act(&self, effect: Effect) -> Decision {
        Decision { effect: Some(effect), ..self.stay() }
    }

    /// `next` is stored, and then `effect` is performed.
    fn store(&self, mut next: Redemption, effect: Option<Effect>) -> Decision {
        next.version = self.redemption.version + 1;
        next.updated_at = self.now;
        let wake_at = self.wake_at(&next);
        Decision { next: Some(Box::new(next)), effect, choice: None, wake_at }
    }

    fn wake_at(&self, redemption: &Redemption) -> Option<DateTime<Utc>> {
        let timing = self.context.timing;
        let foreground = match &redemption.phase {
            Phase::Queued => Some(self.now),
            Phase::Ordering(intent) => Some(intent.send_by + timing.buy_timeout),
            Phase::Uncertain(search) => Some(self.next_look(redemption, search)),
            Phase::Waiting(held) => Some(self.next_poll(held).min(self.release_at(held))),
            Phase::Releasing(releasing) => Some(releasing.not_before.min(self.next_poll(&releasing.held))),
            Phase::CoolingDown { until, .. } => Some(*until),
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => match delivery.settlement {
                Settlement::Open { until } => Some(until.min(self.next_poll(&delivery.held))),
                Settlement::Finishing { not_before, .. } => Some(not_before),
                Settlement::Settled { .. } => None,
            },
            Phase::Failed(_) | Phase::Cancelled => None,
        };
        let background = redemption.background.iter().map(|surplus| surplus.not_before);
        background.chain(foreground).min()
    }

    /// When an order is looked at again: often while young, rarer with age.
    fn next_poll(&self, held: &super::Held) -> DateTime<Utc> {
        let age = (self.now - held.intent.intended_at).to_std().unwrap_or(Duration::ZERO);
        self.now + self.context.timing.look_pause(age)
    }
}

/// How long to wait before the supplier is asked again to settle an order, after `asked` times: 1 s at first, 30 s soon, and
/// never longer, since a number that is given back has to be gone a minute after it can be.
pub(crate) fn settle_pause(asked: u32) -> Duration {
    match asked {
        0..=4 => Duration::from_secs(1 << asked),
        _ => Duration::from_secs(30),
    }
}
