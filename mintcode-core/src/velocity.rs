//! How many redemptions a customer, an address or a SKU may begin: caps by the hour and by the day.
//!
//! These caps keep the service from being used at scale by one party. They have nothing to do with the limits on
//! guessing, which refuse wrong codes only.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How many redemptions one key may begin; none at all where a number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cap {
    /// In one hour.
    pub per_hour: u32,
    /// In 24 hours.
    pub per_day: u32,
}

/// The operator's caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caps {
    /// For one browser session or API key.
    pub session: Cap,
    /// For one IP address; many customers may share one.
    pub address: Cap,
    /// For one SKU, all customers together.
    pub sku: Cap,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            session: Cap { per_hour: 200, per_day: 1_000 },
            address: Cap { per_hour: 2_000, per_day: 20_000 },
            sku: Cap { per_hour: 5_000, per_day: 50_000 },
        }
    }
}

/// A cap that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Excess {
    /// The hour's.
    Hour {
        /// The next redemption may begin then.
        until: DateTime<Utc>,
    },
    /// The day's.
    Day {
        /// The next redemption may begin then.
        until: DateTime<Utc>,
    },
}

impl Excess {
    /// When the next redemption may begin.
    #[must_use]
    pub fn until(self) -> DateTime<Utc> {
        match self {
            Self::Hour { until } | Self::Day { until } => until,
        }
    }
}

/// What one key has begun: fixed windows of an hour and a day, each starting with the first redemption in it.
///
/// A clock that is set back counts into the window that runs; only a window that would start more than its own length
/// from now is taken for the trace of a wrong clock, and dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    hour: Option<Window>,
    day: Option<Window>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    since: DateTime<Utc>,
    count: u32,
}

impl Window {
    fn runs(&self, length: Duration, now: DateTime<Utc>) -> bool {
        now < self.since + length && self.since <= now + length
    }
}

impl Counter {
    /// Which cap keeps the key from beginning another redemption `now`; where both do, the one that does so longer.
    #[must_use]
    pub fn refuses(&self, cap: Cap, now: DateTime<Utc>) -> Option<Excess> {
        let hour = used_up(self.hour, cap.per_hour, HOUR, now);
        let day = used_up(self.day, cap.per_day, DAY, now);
        match (hour, day) {
            (Some(hour), Some(day)) if hour > day => Some(Excess::Hour { until: hour }),
            (_, Some(until)) => Some(Excess::Day { until }),
            (Some(until), None) => Some(Excess::Hour { until }),
            (None, None) => None,
        }
    }

    /// The counter after one more redemption, begun `now`.
    #[must_use]
    pub fn counted(self, now: DateTime<Utc>) -> Self {
        Self { hour: Some(one_more(self.hour, HOUR, now)), day: Some(one_more(self.day, DAY, now)) }
    }

    /// Whether nothing of it matters any more, so that it may be purged.
    #[must_use]
    pub fn is_idle(&self, now: DateTime<Utc>) -> bool {
        let runs = |window: Option<Window>, length| window.is_some_and(|window| window.runs(length, now));
        !runs(self.hour, HOUR) && !runs(self.day, DAY)
    }

    /// When its last window ends; `None` where nothing was counted.
    #[must_use]
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let end = |window: Option<Window>, length| window.map(|window| window.since + length);
        end(self.hour, HOUR).max(end(self.day, DAY))
    }
}

/// Until when a cap of `limit` keeps the next one back.
fn used_up(
    window: Option<Window>,
    limit: u32,
    length: Duration,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let running = window.filter(|window| window.runs(length, now));
    let (since, count) = running.map_or((now, 0), |window| (window.since, window.count));
    (count >= limit).then(|| since + length)
}

fn one_more(window: Option<Window>, length: Duration, now: DateTime<Utc>) -> Window {
    match window.filter(|window| window.runs(length, now)) {
        Some(window) => Window { count: window.count.saturating_add(1), ..window },
        None => Window { since: now, count: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1_000_000 + seconds)
    }

    fn counted(times: impl IntoIterator<Item = i64>) -> Counter {
        times.into_iter().fold(Counter::default(), |counter, time| counter.counted(at(time)))
    }

    const CAP: Cap = Cap { per_hour: 2, per_day: 3 };

    #[test]
    fn the_hour_begins_with_the_first_redemption_in_it() {
        let counter = counted([100, 200]);
        assert_eq!(counted([100]).refuses(CAP, at(100)), None);
        assert_eq!(counter.refuses(CAP, at(200)), Some(Excess::Hour { until: at(3_700) }));
        assert_eq!(counter.refuses(CAP, at(3_699)), Some(Excess::Hour { until: at(3_700) }));
        assert_eq!(counter.refuses(CAP, at(3_700)), None);
    }

    #[test]
    fn the_day_is_capped_beside_the_hour() {
        let counter = counted([0, 10, 5_000]);
        assert_eq!(counter.refuses(CAP, at(5_000)), Some(Excess::Day { until: at(86_400) }));
        assert_eq!(counter.refuses(CAP, at(86_400)), None);
    }

    #[test]
    fn of_two_used_up_caps_the_longer_one_is_told() {
        assert_eq!(counted([0, 1, 2]).refuses(CAP, at(3)), Some(Excess::Day { until: at(86_400) }));
        let late = counted([0, 86_000, 86_001]);
        assert_eq!(late.refuses(CAP, at(86_002)), Some(Excess::Hour { until: at(89_600) }));
        let one_an_hour = Cap { per_hour: 1, per_day: 2 };
        let both_end_together = counted([0, 82_800]).refuses(one_an_hour, at(82_801));
        assert_eq!(both_end_together, Some(Excess::Day { until: at(86_400) }));
        let none = Cap { per_hour: 0, per_day: 0 };
        let refused = Counter::default().refuses(none, at(0));
        assert_eq!(refused, Some(Excess::Day { until: at(86_400) }));
        assert_eq!(refused.map(Excess::until), Some(at(86_400)));
        let no_hour = Cap { per_hour: 0, per_day: 9 };
        assert_eq!(Counter::default().refuses(no_hour, at(0)).map(Excess::until), Some(at(3_600)));
    }

    #[test]
    fn a_counter_is_idle_once_its_day_is_over() {
        assert!(Counter::default().is_idle(at(0)));
        assert_eq!(Counter::default().ends_at(), None);
        let counter = counted([0]);
        assert_eq!(counter.ends_at(), Some(at(86_400)));
        assert!(!counter.is_idle(at(86_399)));
        assert!(counter.is_idle(at(86_400)));
        let into_the_next = counted([0, 86_000]);
        assert_eq!(into_the_next.ends_at(), Some(at(89_600)));
        assert!(!into_the_next.is_idle(at(86_500)), "its hour still runs");
    }

    #[test]
    fn a_wrong_clock_blocks_nobody_for_ever() {
        let counter = counted([1_000_000, 1_000_000, 1_000_000]);
        assert_eq!(counter.refuses(CAP, at(0)), None);
        assert!(counter.is_idle(at(0)));
        assert_eq!(counter.counted(at(0)), counted([0]));
    }

    #[test]
    fn a_full_counter_stays_full() {
        let window = Some(Window { since: at(0), count: u32::MAX });
        let full = Counter { hour: window, day: window };
        assert_eq!(full.clone().counted(at(1)), full);
    }

    #[test]
    fn a_counter_is_read_back_as_stored() {
        let counter = counted([0, 86_000]);
        let stored = serde_json::to_string(&counter).unwrap();
        assert_eq!(serde_json::from_str::<Counter>(&stored).unwrap(), counter);
    }

    /// How many of `times` fall into the window of `length` that runs at its end, told from the times alone.
    fn in_last_window(times: &[i64], length: i64) -> (i64, u32) {
        let mut window = (i64::MIN / 2, 0);
        for &time in times {
            window = if time < window.0 + length { (window.0, window.1 + 1) } else { (time, 1) };
        }
        window
    }

    proptest! {
        /// The clock may go back a little at any time.
        #[test]
        fn no_window_ever_holds_more_than_its_cap(
            per_hour in 1_u32..6,
            per_day in 1_u32..12,
            moves in proptest::collection::vec(-600_i64..4_000, 1..300),
        ) {
            let cap = Cap { per_hour, per_day };
            let (mut counter, mut now, mut begun) = (Counter::default(), 0, Vec::new());
            for step in moves {
                now += step;
                let refused = counter.refuses(cap, at(now));
                let full = [(3_600, per_hour), (86_400, per_day)].map(|(length, most)| {
                    let (since, count) = in_last_window(&begun, length);
                    now < since + length && count >= most
                });
                prop_assert_eq!(refused.is_some(), full[0] || full[1], "{:?} at {}", refused, now);
                if refused.is_none() {
                    begun.push(now);
                    counter = counter.counted(at(now));
                    prop_assert!(in_last_window(&begun, 3_600).1 <= per_hour);
                    prop_assert!(in_last_window(&begun, 86_400).1 <= per_day);
                    prop_assert!(!counter.is_idle(at(now)));
                }
            }
        }

        /// Waiting for as long as told is enough, and not longer than a window.
        #[test]
        fn after_the_wait_the_next_one_begins(
            per_hour in 1_u32..4,
            per_day in 1_u32..8,
            moves in proptest::collection::vec(0_i64..4_000, 1..60),
        ) {
            let cap = Cap { per_hour, per_day };
            let (mut counter, mut now) = (Counter::default(), at(0));
            for step in moves {
                now += chrono::TimeDelta::seconds(step);
                if let Some(excess) = counter.refuses(cap, now) {
                    prop_assert!(now < excess.until() && excess.until() <= now + DAY);
                    now = excess.until();
                }
                prop_assert_eq!(counter.refuses(cap, now), None);
                counter = counter.counted(now);
            }
        }

        /// No order of times, however wild, makes it panic.
        #[test]
        fn any_times_are_counted(times in proptest::collection::vec(any::<i32>(), 0..40), look: i32) {
            let counter = counted(times.into_iter().map(i64::from));
            let now = at(i64::from(look));
            prop_assert!(counter.refuses(CAP, now).is_none_or(|excess| excess.until() > now));
            prop_assert!(!counter.counted(now).is_idle(now));
        }
    }
}
