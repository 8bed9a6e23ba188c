//! How many requests an account may make, and when: one line for all workers.
//!
//! The budget is a line of places in time, one every `1 / per_second`. A worker leases the next places, about a second's
//! worth, and sends one request in each; a place that nobody uses lapses. However many workers there are, no second has
//! more places than the rate.
//!
//! The supplier bans an account for ten minutes that hits its limit five times within ten minutes. So hits are counted:
//! after two the rate is halved, after four nothing but settling (finish, cancel, ban) is sent, and after a fifth nothing
//! at all for as long as the ban lasts; then one request is tried before the others.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How long a hit counts, and how long the supplier bans an account.
const WINDOW: Duration = Duration::from_mins(10);
/// Hits within that time that halve the rate.
const HALVED_AFTER: usize = 2;
/// Hits within that time after which only settling goes on.
const SETTLING_ONLY_AFTER: usize = 4;
/// Hits within that time that are a ban.
const BANNED_AFTER: usize = 5;
/// Refusals so close together are of one overrun, and count once.
const ONE_OVERRUN: Duration = Duration::from_secs(1);
/// The pause after a hit where the supplier names none, for the first one; three times as long for each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that is believed.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);
/// How far the line may reach ahead: workers lease seconds' worth at once, so a longer one is from a clock that was ahead.
const LONGEST_LINE: Duration = Duration::from_mins(4);
/// How long the request that tries an account after a ban has the line for itself.
const TRIAL: Duration = Duration::from_secs(30);

/// What a request is for. Each kind has a share of the budget that no other can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Finishing, cancelling and banning: money and numbers wait for it.
    Settle,
    /// A purchase.
    Buy,
    /// A look at orders whose SMS is awaited, one by one or by the page.
    Poll,
    /// Reading the list for lost purchases and orphans, and looks at the account and the catalogue.
    List,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 4] = [Self::Settle, Self::Buy, Self::Poll, Self::List];

    /// How many of ten places it gets while every class wants some.
    #[must_use]
    pub fn share(self) -> u32 {
        match self {
            Self::Settle | Self::Buy | Self::Poll => 3,
            Self::List => 1,
        }
    }
}

/// What a worker asks of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseWish {
    /// How many places it wants, at least one.
    pub places: u32,
    /// The account's rate in requests per second, at least one.
    pub per_second: u32,
}

/// What a worker gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Places in the line.
    Places {
        /// From the lease to the first place.
        wait: Duration,
        /// How many.
        places: u32,
        /// From one place to the next.
        interval: Duration,
        /// Whether they are for [`Class::Settle`] alone, and for how long that will be so.
        settling_only: Option<Duration>,
        /// Whether the one place is for trying the account after a ban: whether the request went through is to be noted.
        is_trial: bool,
    },
    /// Nothing is to be sent.
    Blocked {
        /// For so long.
        wait: Duration,
    },
}

/// The budget of an account, as storage keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// The first place that nobody has leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    free_from: Option<DateTime<Utc>>,
    /// Nothing is sent before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocked_until: Option<DateTime<Utc>>,
    /// When the limit was hit lately, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hits: Vec<DateTime<Utc>>,
    /// A ban has to be over: until one request went through, there is no second one. The time is when the next may try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial_from: Option<DateTime<Utc>>,
}

impl Budget {
    /// Leases the next places, or tells for how long there are none.
    pub fn lease(&mut self, wish: LeaseWish, now: DateTime<Utc>) -> Lease {
        self.forget(now);
        let left = |until: DateTime<Utc>| (until - now).to_std().ok().filter(|left| !left.is_zero());
        if let Some(wait) = self.blocked_until.and_then(left) {
            return Lease::Blocked { wait };
        }
        let is_trial = match self.trial_from {
            Some(from) => {
                if let Some(wait) = left(from) {
                    return Lease::Blocked { wait };
                }
                self.trial_from = Some(now + TRIAL);
                true
            }
            None => false,
        };
        let slower = if self.hits.len() >= HALVED_AFTER { 2 } else { 1 };
        let interval = Duration::from_secs(1) * slower / wish.per_second.max(1);
        let places = if is_trial { 1 } else { (wish.places.max(1) / slower).max(1) };
        // A place from a clock that was ahead must not keep the line waiting.
        let latest = now + LONGEST_LINE;
        let first = self.free_from.filter(|free| *free < latest).map_or(now, |free| free.max(now));
        self.free_from = Some(first + interval * places);
        let wait = (first - now).to_std().unwrap_or_default();
        let settling_only = if is_trial { None } else { self.settling_only_until().and_then(left) };
        Lease::Places { wait, places, interval, settling_only, is_trial }
    }

    /// The supplier refused a request for being one too many, and asks to wait for `retry_after`.
    pub fn hit(&mut self, retry_after: Option<Duration>, now: DateTime<Utc>) {
        self.forget(now);
        if self.hits.last().is_none_or(|last| now >= *last + ONE_OVERRUN) {
            self.hits.push(now);
        }
        let before = u32::try_from(self.hits.len().saturating_sub(1)).unwrap_or(u32::MAX).min(3);
        let mut pause = retry_after.unwrap_or(FIRST_PAUSE * 3_u32.pow(before)).min(LONGEST_PAUSE);
        // One that is refused while it tries the account is still banned.
        if self.hits.len() >= BANNED_AFTER || self.trial_from.is_some() {
            pause = pause.max(WINDOW);
            self.trial_from = Some(now + pause);
        }
        self.blocked_until = self.blocked_until.max(Some(now + pause));
    }

    /// The request that tried the account after a ban went through.
    pub fn proved(&mut self) {
        if self.trial_from.take().is_some() {
            self.hits.clear();
        }
    }

    /// When nothing but settling goes on until, where it is so.
    fn settling_only_until(&self) -> Option<DateTime<Utc>> {
        let over = self.hits.len().checked_sub(SETTLING_ONLY_AFTER)?;
        self.hits.get(over).map(|hit| *hit + WINDOW)
    }

    /// Forgets hits that are over, and whatever a clock that was ahead has left behind.
    fn forget(&mut self, now: DateTime<Utc>) {
        self.hits.retain(|hit| *hit <= now && now < *hit + WINDOW);
        self.blocked_until = self.blocked_until.filter(|until| *until <= now + LONGEST_PAUSE);
        self.trial_from = self.trial_from.map(|from| from.min(now + LONGEST_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: LeaseWish = LeaseWish { places: 10, per_second: 10 };

    fn at(millis: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_hours(1) + Duration::from_millis(millis)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn places(lease: Lease) -> (u64, u32, u64, bool) {
        let Lease::Places { wait, places, interval, settling_only, .. } = lease else {
            panic!("blocked: {lease:?}")
        };
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap();
        (millis(wait), places, millis(interval), settling_only.is_some())
    }

    #[test]
    fn leases_stand_in_one_line() {
        let mut budget = Budget::default();
        assert_eq!(places(budget.lease(WISH, at(0))), (0, 10, 100, false));
        assert_eq!(places(budget.lease(WISH, at(300))), (700, 10, 100, false));
        // Places that nobody used lapse.
        assert_eq!(places(budget.lease(WISH, at(9_000))), (0, 10, 100, false));
    }

    #[test]
    fn a_line_from_a_clock_that_was_ahead_is_not_waited_for() {
        let mut budget = Budget::default();
        for ahead in [Duration::from_hours(5), Duration::from_mins(5)] {
            budget.lease(WISH, at(0) + ahead);
            assert_eq!(places(budget.lease(WISH, at(0))).0, 0);
        }
    }

    #[test]
    fn hits_and_pauses_from_a_clock_that_was_ahead_are_not_believed() {
        let mut budget = Budget::default();
        for hit in 0..5 {
            budget.hit(Some(Duration::from_hours(24)), at(10_000 * hit) + Duration::from_hours(48));
        }
        budget.proved();
        assert_eq!(places(budget.lease(WISH, at(0))), (0, 10, 100, false));
    }

    #[test]
    fn two_hits_halve_the_rate_and_four_leave_settling_alone() {
        let mut budget = Budget::default();
        budget.hit(None, at(0));
        assert_eq!(budget.lease(WISH, at(0)), Lease::Blocked { wait: secs(5) });
        assert_eq!(places(budget.lease(WISH, at(5_000))), (0, 10, 100, false));
        budget.hit(None, at(6_000));
        assert_eq!(budget.lease(WISH, at(6_000)), Lease::Blocked { wait: secs(15) });
        assert_eq!(places(budget.lease(WISH, at(21_000))), (0, 5, 200, false));
        budget.hit(Some(secs(2)), at(30_000));
        assert_eq!(places(budget.lease(WISH, at(32_000))), (0, 5, 200, false));
        budget.hit(Some(secs(2)), at(40_000));
        assert_eq!(places(budget.lease(WISH, at(42_000))), (0, 5, 200, true));
        // Until the first of the four no longer counts.
        assert_eq!(places(budget.lease(WISH, at(599_000))), (0, 5, 200, true));
        assert_eq!(places(budget.lease(WISH, at(600_000))), (0, 5, 200, false));
        assert_eq!(places(budget.lease(WISH, at(640_000))), (0, 10, 100, false));
    }

    #[test]
    fn refusals_of_one_overrun_count_once() {
        let mut budget = Budget::default();
        for millis in [0, 10, 20, 999] {
            budget.hit(None, at(millis));
        }
        assert_eq!(places(budget.lease(WISH, at(6_000))), (0, 10, 100, false));
    }

    #[test]
    fn after_a_ban_one_request_tries_the_account() {
        let mut budget = Budget::default();
        for hit in 0..5 {
            budget.hit(Some(secs(1)), at(hit * 10_000));
        }
        assert_eq!(budget.lease(WISH, at(41_000)), Lease::Blocked { wait: secs(599) });
        let trial = budget.lease(WISH, at(640_000));
        assert!(matches!(trial, Lease::Places { places: 1, is_trial: true, .. }), "{trial:?}");
        assert_eq!(budget.lease(WISH, at(641_000)), Lease::Blocked { wait: secs(29) });
        // Whoever tried it may have died.
        let again = budget.lease(WISH, at(670_000));
        assert!(matches!(again, Lease::Places { places: 1, is_trial: true, .. }), "{again:?}");
        budget.proved();
        assert_eq!(places(budget.lease(WISH, at(671_000))), (0, 10, 100, false));
    }

    #[test]
    fn a_ban_that_is_not_over_lasts_another_ten_minutes() {
        let mut budget = Budget::default();
        for hit in 0..5 {
            budget.hit(Some(secs(1)), at(hit * 10_000));
        }
        budget.lease(WISH, at(640_000));
        budget.hit(Some(secs(1)), at(641_000));
        assert_eq!(budget.lease(WISH, at(641_000)), Lease::Blocked { wait: secs(600) });
    }
}
