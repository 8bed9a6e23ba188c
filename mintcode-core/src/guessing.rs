//! How often wrong codes may be posted.
//!
//! A code that is guessed is worthless long before it is found: entropy is the defence, and these limits only protect
//! capacity. They count wrong codes alone, so that whoever holds a good voucher is never held back by them.

mod local;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub use self::local::LocalLimits;

/// So many at once, and as many again spread evenly over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    most: u32,
    within: Duration,
}

impl Quota {
    /// `most` within that time. Less than one is taken for one, and a time shorter than a microsecond each for that.
    #[must_use]
    pub fn new(most: u32, within: Duration) -> Self {
        let most = most.max(1);
        Self { most, within: within.max(Duration::from_micros(u64::from(most))) }
    }

    /// How many at once.
    #[must_use]
    pub fn most(self) -> u32 {
        self.most
    }

    /// How long until one that was counted is free again, in whole microseconds.
    #[must_use]
    pub fn every(self) -> TimeDelta {
        let micros = self.within.as_micros() / u128::from(self.most);
        TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// How long until all of it is free again, where all of it is used.
    #[must_use]
    pub fn whole_after(self) -> TimeDelta {
        self.every().checked_mul(i32::try_from(self.most).unwrap_or(i32::MAX)).unwrap_or(TimeDelta::MAX)
    }
}

/// How many wrong codes are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GuessQuotas {
    /// From one browser session.
    pub session: Quota,
    /// From one network address.
    pub address: Quota,
    /// From everybody together.
    pub all: Quota,
}

impl Default for GuessQuotas {
    fn default() -> Self {
        let a_minute = |most| Quota::new(most, Duration::from_mins(1));
        Self { session: a_minute(20), address: a_minute(120), all: a_minute(6_000) }
    }
}

/// What a count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was counted.
    Within {
        /// How many more may follow at once.
        left: u32,
    },
    /// It is one too many, and was not counted.
    Over {
        /// How long until one more is counted; never zero.
        retry_after: Duration,
    },
}

/// What one key has used of its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// When all of it is free again.
    whole_at: DateTime<Utc>,
}

impl Meter {
    /// One more under `quota`, where nothing was counted before or `before` stands.
    #[must_use]
    pub fn count(before: Option<Self>, quota: Quota, now: DateTime<Utc>) -> (Option<Self>, Verdict) {
        let (every, end) = (quota.every(), now + quota.whole_after());
        // Further ahead than a quota can be used is the trace of a clock that was wrong.
        let used_until = before.map_or(now, |meter| meter.whole_at.clamp(now, end));
        let whole_at = used_until + every;
        if whole_at > end {
            let retry_after = (whole_at - end).to_std().unwrap_or_default();
            return (before, Verdict::Over { retry_after });
        }
        let left = (end - whole_at).num_microseconds().unwrap_or(0) / every.num_microseconds().unwrap_or(1);
        let left = u32::try_from(left).unwrap_or(0);
        (Some(Self { whole_at }), Verdict::Within { left })
    }

    /// Whether nothing of it matters any more.
    #[must_use]
    pub fn is_idle(self, now: DateTime<Utc>) -> bool {
        self.whole_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    const QUOTA: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> DateTime<Utc> {
        sample::now() + TimeDelta::seconds(seconds)
    }

    /// What is said of one more at each of `seconds`.
    fn verdicts(quota: Quota, seconds: &[i64]) -> Vec<Verdict> {
        let mut meter = None;
        let count = |second: &i64| {
            let verdict;
            (meter, verdict) = Meter::count(meter, quota, at(*second));
            verdict
        };
        seconds.iter().map(count).collect()
    }

    fn over(seconds: u64) -> Verdict {
        Verdict::Over { retry_after: Duration::from_secs(seconds) }
    }

    #[test]
    fn all_of_a_quota_may_come_at_once_and_the_rest_evenly() {
        let quota = Quota::new(3, QUOTA);
        let within = |left| Verdict::Within { left };
        let told = verdicts(quota, &[0, 0, 0, 0, 19, 20, 20, 39, 41, 200, 200, 200, 200]);
        let expected = [
            within(2),
            within(1),
            within(0),
            over(20),
            over(1),
            within(0),
            over(20),
            over(1),
            within(0),
            within(2),
            within(1),
            within(0),
            over(20),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn whoever_waits_as_long_as_he_is_told_is_served() {
        for most in [1, 2, 7, 60, 1_000_000] {
            let quota = Quota::new(most, QUOTA);
            let mut now = at(0);
            let mut meter = None;
            let mut waited = 0;
            for _ in 0..most.min(50) + 50 {
                let (next, verdict) = Meter::count(meter, quota, now);
                meter = next;
                if let Verdict::Over { retry_after } = verdict {
                    assert!(!retry_after.is_zero());
                    now += retry_after;
                    waited += 1;
                    let (next, verdict) = Meter::count(meter, quota, now);
                    meter = next;
                    assert_eq!(verdict, Verdict::Within { left: 0 });
                }
            }
            assert_eq!(waited == 0, most == 1_000_000, "{most}: {waited}");
        }
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nobody_back_for_longer_than_the_quota() {
        let quota = Quota::new(2, QUOTA);
        let (ahead, _) = Meter::count(None, quota, at(100_000));
        let (_, verdict) = Meter::count(ahead, quota, at(0));
        assert_eq!(verdict, over(30));
    }

    #[test]
    fn odd_quotas_are_taken_for_the_nearest_that_works() {
        let quota = Quota::new(0, Duration::ZERO);
        assert_eq!((quota.most(), quota.every()), (1, TimeDelta::microseconds(1)));
        let (meter, verdict) = Meter::count(None, quota, at(0));
        assert_eq!(verdict, Verdict::Within { left: 0 });
        assert!(!meter.unwrap().is_idle(at(0)) && meter.unwrap().is_idle(at(1)));
    }
}
