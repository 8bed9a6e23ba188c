//! Whether this worker may still act: it has to be heard of, and its clock has to be right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use crate::ids::WorkerId;
use crate::ports::Clock;

/// How far a worker's clock may be off the database's.
const MOST_OFF: TimeDelta = TimeDelta::seconds(5);

/// One worker's life, from its enlisting to its end. A process has one after another.
///
/// Others take its redemptions over once it was not heard of for a whole life span (`worker_ttl`). So it stops by itself
/// after five sixths of that, counted from the sending of its last good beat, on a clock that does not stop while the
/// machine sleeps.
pub(super) struct Pulse {
    pub(super) worker: WorkerId,
    clock: Arc<dyn Clock>,
    /// How long it may act after a good beat was sent, in milliseconds.
    lasts: u64,
    /// The uptime up to which it may act, in milliseconds.
    until: AtomicU64,
    is_off_clock: AtomicBool,
    /// It was struck off, or is ending.
    over: CancellationToken,
}

impl Pulse {
    /// A life that begins with what was sent at `sent_at`, by [`Clock::uptime`].
    pub(super) fn new(worker: WorkerId, clock: Arc<dyn Clock>, ttl: Duration, sent_at: Duration) -> Self {
        let lasts = millis(ttl * 5 / 6);
        let until = AtomicU64::new(millis(sent_at) + lasts);
        let (is_off_clock, over) = (AtomicBool::new(false), CancellationToken::new());
        Self { worker, clock, lasts, until, is_off_clock, over }
    }

    /// A beat that was sent at `sent_at` was counted.
    pub(super) fn beat(&self, sent_at: Duration) {
        self.until.fetch_max(millis(sent_at) + self.lasts, Ordering::Relaxed);
    }

    /// Compares the clocks: `theirs` is the database's as it was between sending and answer. Returns by how much this
    /// worker's is ahead, if it is off.
    pub(super) fn compare(&self, theirs: DateTime<Utc>) -> Option<TimeDelta> {
        let ahead = self.clock.now() - theirs;
        let is_off = ahead.abs() > MOST_OFF;
        self.is_off_clock.store(is_off, Ordering::Relaxed);
        is_off.then_some(ahead)
    }

    /// Whether it may act.
    pub(super) fn is_alive(&self) -> bool {
        // Once over, it stays so: a beat that is answered late must not revive what has been given up.
        if self.left().is_zero() {
            self.end();
        }
        !self.over.is_cancelled()
    }

    /// Whether it may buy.
    pub(super) fn may_buy(&self) -> bool {
        self.is_alive() && !self.is_off_clock()
    }

    /// Whether its clock was off when it was last compared.
    pub(super) fn is_off_clock(&self) -> bool {
        self.is_off_clock.load(Ordering::Relaxed)
    }

    /// How long it may act from now on.
    pub(super) fn left(&self) -> Duration {
        let until = Duration::from_millis(self.until.load(Ordering::Relaxed));
        until.saturating_sub(self.clock.uptime())
    }

    /// It is over, whatever beats say.
    pub(super) fn end(&self) {
        self.over.cancel();
    }

    /// Waits until it is over.
    pub(super) async fn ended(&self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                self.end();
            }
            tokio::select! {
                biased;
                () = self.over.cancelled() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
