//! Time as the engine sees it: read from the wall once, and steady from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::OnceCell;

use crate::ports::{Clock, StorageError, Workers};

/// How long storage may take to tell its time for the clock to be set by it at once. It is asked again where it takes
/// longer: a clock that is off looks for lost purchases in the wrong place.
const SURELY_NOW: Duration = Duration::from_secs(1);
/// How often it is asked for that.
const MOST_ASKED: u32 = 5;

/// A clock that no setting of the wall clock moves: deadlines become moments of the machine's uptime.
///
/// It begins with the wall clock of its making. Before the first redemption begins and before a worker enlists it is set once
/// more, to the storage's own clock if there is one, so that all processes on a database share a time.
pub(super) struct SteadyClock {
    clock: Arc<dyn Clock>,
    /// What has to be added to the uptime, in microseconds.
    offset: AtomicI64,
    agreed: OnceCell<()>,
}

impl SteadyClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let steady = Self { clock, offset: AtomicI64::new(0), agreed: OnceCell::new() };
        steady.set(now);
        steady
    }

    /// Goes by the storage's own clock from now on, if it has one. Asks it once.
    pub(super) async fn agree(&self, workers: &dyn Workers) -> Result<(), StorageError> {
        self.agreed.get_or_try_init(|| self.ask(workers)).await.copied()
    }

    async fn ask(&self, workers: &dyn Workers) -> Result<(), StorageError> {
        let mut asked = 1;
        loop {
            let sent_at = self.uptime();
            let Some(theirs) = workers.time().await? else { return Ok(()) };
            // The time is as old as its answer at most, and on average half as old.
            let took = self.uptime().saturating_sub(sent_at);
            if took <= SURELY_NOW || asked == MOST_ASKED {
                self.set(theirs + took / 2);
                return Ok(());
            }
            asked += 1;
        }
    }

    /// It is `now`.
    fn set(&self, now: DateTime<Utc>) {
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
