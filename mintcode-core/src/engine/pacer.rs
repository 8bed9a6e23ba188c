//! Keeps the requests to one supplier account within its rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The longest an account is held for one asking.
const LONGEST_HOLD: Duration = Duration::from_hours(24);

/// Spaces requests evenly, and refuses all of them while the account is told to wait.
#[derive(Debug)]
pub(super) struct Pacer {
    interval: Duration,
    state: Mutex<State>,
    /// One look stands in line at a time, so that purchases and settlements never wait behind more than one.
    looks: Semaphore,
}

#[derive(Debug)]
struct State {
    next: Instant,
    held_until: Instant,
}

/// The account is told to wait that long: the request is not to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held(pub(super) Duration);

impl Pacer {
    /// At most `per_second` requests in any second.
    pub(super) fn new(per_second: u32) -> Self {
        let now = Instant::now();
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            state: Mutex::new(State { next: now, held_until: now }),
            looks: Semaphore::new(1),
        }
    }

    /// How many turns there are in `window`.
    pub(super) fn turns_within(&self, window: Duration) -> usize {
        usize::try_from(window.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(usize::MAX)
    }

    /// Waits for this request's turn, but not for the end of a hold.
    pub(super) async fn turn(&self) -> Result<(), Held> {
        self.check()?;
        let turn = {
            let mut state = self.lock();
            let turn = state.next.max(Instant::now());
            state.next = turn + self.interval;
            turn
        };
        tokio::time::sleep_until(turn).await;
        // The hold may have begun while this request stood in line.
        self.check()
    }

    /// The same for a request that changes nothing and can wait for those that do.
    pub(super) async fn turn_to_look(&self) -> Result<(), Held> {
        // The semaphore is never closed; if it were, the look would merely go out of line.
        let _place = self.looks.acquire().await.ok();
        self.turn().await
    }

    /// No request goes out for `pause`.
    pub(super) fn hold(&self, pause: Duration) {
        let mut state = self.lock();
        state.held_until = state.held_until.max(Instant::now() + pause.min(LONGEST_HOLD));
    }

    fn check(&self) -> Result<(), Held> {
        let left = self.lock().held_until.saturating_duration_since(Instant::now());
        if left.is_zero() { Ok(()) } else { Err(Held(left)) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_spaced() {
        let pacer = Pacer::new(10);
        let start = Instant::now();
        for _ in 0..11 {
            pacer.turn().await.unwrap();
        }
        assert!((Duration::from_millis(1000)..Duration::from_millis(1020)).contains(&start.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_is_told_and_not_waited_for() {
        let pacer = Pacer::new(1);
        pacer.turn().await.unwrap();
        let start = Instant::now();
        // The second one stands in line when the hold begins.
        let (in_line, ()) =
            tokio::join!(biased; pacer.turn(), async { pacer.hold(Duration::from_secs(3600)) });
        assert_eq!(in_line, Err(Held(Duration::from_secs(3599))));
        assert_eq!(pacer.turn().await, Err(Held(Duration::from_secs(3599))));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        pacer.turn().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_purchase_waits_behind_one_look_and_no_more() {
        let pacer = std::sync::Arc::new(Pacer::new(1));
        for _ in 0..100 {
            let pacer = pacer.clone();
            tokio::spawn(async move { pacer.turn_to_look().await });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let start = Instant::now();
        pacer.turn().await.unwrap();
        assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
