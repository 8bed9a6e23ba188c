//! Time and chance come in through these two.

use chrono::{DateTime, Utc};

/// Tells the time.
///
/// One process should see time pass steadily: an implementation that reads the wall clock once and counts
/// monotonically from there is better than one that follows every adjustment of the wall clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}

/// Gives unpredictable bytes: ids and batch nonces are made of them, so it must be cryptographically strong.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
