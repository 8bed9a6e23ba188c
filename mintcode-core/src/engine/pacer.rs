//! Keeps the requests to one supplier account within its rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Spaces requests evenly, and holds all of them back while the account is told to wait.
#[derive(Debug)]
pub(super) struct Pacer {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    /// At most `per_second` requests in any second.
    pub(super) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for this request's turn.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    /// No request goes out for `pause`.
    pub(super) fn hold(&self, pause: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_spaced_and_held_back() {
        let pacer = Pacer::new(10);
        let start = Instant::now();
        for _ in 0..11 {
            pacer.turn().await;
        }
        assert!((Duration::from_millis(1000)..Duration::from_millis(1020)).contains(&start.elapsed()));

        pacer.hold(Duration::from_secs(5));
        let held = Instant::now();
        pacer.turn().await;
        assert!(held.elapsed() >= Duration::from_secs(5));
    }
}
