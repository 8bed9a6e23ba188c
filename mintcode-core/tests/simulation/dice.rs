//! Chance: everything that may go one way or another is decided here, so that a seed decides all of it.

use std::time::Duration;

use mintcode_core::ports::Entropy;
use mintcode_core::testing::SeededEntropy;

/// Rates are given in so many hundredths of a percent.
pub(crate) const CERTAIN: u64 = 10_000;

/// The one generator of a world.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `sides`.
    pub(crate) fn below(&self, sides: u64) -> u64 {
        self.number() % sides.max(1)
    }

    /// True so many times in [`CERTAIN`].
    pub(crate) fn chance(&self, rate: u64) -> bool {
        rate > 0 && self.below(CERTAIN) < rate
    }

    /// A time of `from` to `to` milliseconds.
    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to.saturating_sub(from) + 1))
    }

    /// A time of `from` to `to` seconds, to the millisecond.
    pub(crate) fn secs(&self, from: u64, to: u64) -> Duration {
        self.millis(from * 1000, to * 1000)
    }

    pub(crate) fn pick<'a, T>(&self, all: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(all.len() as u64)).unwrap();
        &all[place]
    }
}
