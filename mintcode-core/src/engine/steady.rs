//! Time as the engine sees it: read from the wall once, and steady from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::ports::Clock;

/// A clock that no setting of the wall clock moves: deadlines become moments of the machine's uptime.
///
/// It begins with the wall clock of its making. When a worker enlists it is set once more, to the storage's own clock if
/// there is one, so that all workers on a database share a time.
pub(super) struct SteadyClock {
    clock: Arc<dyn Clock>,
    /// What has to be added to the uptime, in microseconds.
    offset: AtomicI64,
}

impl SteadyClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let steady = Self { clock, offset: AtomicI64::new(0) };
        steady.set(now);
        steady
    }

    /// It is `now`.
    pub(super) fn set(&self, now: DateTime<Utc>) {
        self.offset.store(now.timestamp_micros() - micros(self.clock.uptime()), Ordering::Relaxed);
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> DateTime<Utc> {
        let offset = TimeDelta::microseconds(self.offset.load(Ordering::Relaxed));
        DateTime::UNIX_EPOCH + offset + self.clock.uptime()
    }

    fn uptime(&self) -> Duration {
        self.clock.uptime()
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
