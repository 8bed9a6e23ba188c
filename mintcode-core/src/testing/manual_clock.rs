//! A clock that follows tokio's, so that paused time is paused here too.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::ports::Clock;

/// Begins at a fixed moment and then goes as tokio's clock goes: with `start_paused`, only when every task waits.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// The moment it begins at: 2026-01-01 00:00:00 UTC.
    #[must_use]
    pub fn epoch() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        Self::epoch() + self.start.elapsed()
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
