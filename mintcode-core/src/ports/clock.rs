//! Time and chance come in through these two.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Tells the time.
///
/// The engine reads the wall clock once, when it starts, and counts on with [`Clock::uptime`] from there: a wall clock
/// that is set anew while it runs moves no deadline.
pub trait Clock: Send + Sync {
    /// Now, by the wall clock.
    fn now(&self) -> DateTime<Utc>;

    /// How long ago some fixed moment was. It never jumps and never stands still, not while the machine sleeps either:
    /// on Linux `CLOCK_BOOTTIME`. A worker that overslept has to notice it.
    fn uptime(&self) -> Duration;
}

/// Gives unpredictable bytes: ids and batch nonces are made of them, so it must be cryptographically strong.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
