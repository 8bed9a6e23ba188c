//! Counting over a sliding window, in ten slices: a few numbers however many tries there are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const SLICES: u32 = 10;

/// Tries and how many of them were empty, over a window that slides by a tenth of itself.
///
/// A try counts for at least the window and for at most a tenth longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally(Vec<Slice>);

/// Oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Slice {
    since: DateTime<Utc>,
    tries: u32,
    empty: u32,
}

impl Tally {
    /// Counts one more try.
    pub fn count(&mut self, is_empty: bool, window: Duration, now: DateTime<Utc>) {
        self.0.retain(|slice| slice.counts(window, now));
        let slice = window / SLICES;
        match self.0.last_mut() {
            // A clock that was set back counts on in the slice it left.
            Some(last) if now < last.since + slice => last.add(is_empty),
            _ => {
                let mut fresh = Slice { since: now, tries: 0, empty: 0 };
                fresh.add(is_empty);
                self.0.push(fresh);
            }
        }
    }

    /// Tries within the window, and how many of them were empty.
    #[must_use]
    pub fn within(&self, window: Duration, now: DateTime<Utc>) -> (u32, u32) {
        let counted = self.0.iter().filter(|slice| slice.counts(window, now));
        counted.fold((0, 0), |(tries, empty), slice| {
            (tries.saturating_add(slice.tries), empty.saturating_add(slice.empty))
        })
    }

    /// From when on fewer than `limit` tries are within the window; `None` where that is so already.
    #[must_use]
    pub fn below(&self, limit: u32, window: Duration, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (mut left, _) = self.within(window, now);
        let mut slices = self.0.iter().filter(|slice| slice.counts(window, now));
        let mut free_at = None;
        while left >= limit.max(1) {
            let oldest = slices.next()?;
            left -= oldest.tries;
            free_at = Some(oldest.counts_until(window));
        }
        free_at
    }
}

impl Slice {
    fn add(&mut self, is_empty: bool) {
        self.tries = self.tries.saturating_add(1);
        self.empty = self.empty.saturating_add(u32::from(is_empty));
    }

    /// What a clock counted that was ahead by more than the window does not count.
    fn counts(&self, window: Duration, now: DateTime<Utc>) -> bool {
        self.counts_until(window) > now && self.since <= now + window
    }

    fn counts_until(&self, window: Duration) -> DateTime<Utc> {
        self.since + window / SLICES + window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_mins(10);

    fn at(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    proptest! {
        /// Against the plain list of all tries: none inside the window is missed, none is kept a tenth too long, and
        /// however many there are, a handful of slices holds them.
        #[test]
        fn it_counts_as_a_list_of_all_tries_would(gaps in proptest::collection::vec((0_u64..200, any::<bool>()), 1..200)) {
            let mut tally = Tally::default();
            let mut all = Vec::new();
            let mut now = 0;
            for (gap, is_empty) in gaps {
                now += gap;
                tally.count(is_empty, WINDOW, at(now));
                all.push((at(now), is_empty));
                let since = |age: Duration| {
                    let inside: Vec<_> = all.iter().filter(|(when, _)| *when + age > at(now)).collect();
                    (inside.len(), inside.iter().filter(|(_, is_empty)| *is_empty).count())
                };
                let (tries, empty) = tally.within(WINDOW, at(now));
                let (least, most) = (since(WINDOW), since(WINDOW + WINDOW / 10));
                prop_assert!((least.0..=most.0).contains(&(tries as usize)));
                prop_assert!((least.1..=most.1).contains(&(empty as usize)));
                prop_assert!(tally.0.len() <= 11 + 1);
            }
        }

        #[test]
        fn it_is_below_a_limit_exactly_when_it_says(
            gaps in proptest::collection::vec(0_u64..120, 1..60),
            limit in 1_u32..20,
        ) {
            let mut tally = Tally::default();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                tally.count(false, WINDOW, at(now));
            }
            let free_at = tally.below(limit, WINDOW, at(now));
            prop_assert_eq!(free_at.is_some(), tally.within(WINDOW, at(now)).0 >= limit);
            if let Some(free_at) = free_at {
                prop_assert!(tally.within(WINDOW, free_at).0 < limit);
                prop_assert!(tally.within(WINDOW, free_at - Duration::from_millis(1)).0 >= limit);
            }
        }
    }

    #[test]
    fn a_limit_of_nothing_is_treated_as_one() {
        let mut tally = Tally::default();
        assert_eq!(tally.below(0, WINDOW, at(0)), None);
        tally.count(false, WINDOW, at(0));
        assert_eq!(tally.below(0, WINDOW, at(1)), Some(at(660)));
    }

    #[test]
    fn a_clock_set_back_neither_panics_nor_forgets() {
        let mut tally = Tally::default();
        tally.count(true, WINDOW, at(1_000));
        tally.count(true, WINDOW, at(700));
        assert_eq!(tally.within(WINDOW, at(700)), (2, 2));
        assert_eq!(tally.within(WINDOW, at(1_001)), (2, 2));
    }
}
