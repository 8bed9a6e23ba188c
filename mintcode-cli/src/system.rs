//! The clock and the randomness of the machine: the only place of the workspace that reads them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ports::{Clock, Entropy};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::time::Instant;

/// Reads the wall clock once and counts steadily from there, so that a clock set anew while a server runs
/// moves no deadline.
#[derive(Debug)]
pub(crate) struct SystemClock {
    started: DateTime<Utc>,
    since: Instant,
}

impl SystemClock {
    pub(crate) fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
        let started = Utc::now();
        Self { started, since: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        self.started + self.since.elapsed().max(Duration::ZERO)
    }
}

/// The operating system's randomness.
#[derive(Debug)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SysRng.try_fill_bytes(bytes).expect("an operating system without randomness could not have started this");
    }
}
