//! The clock and the randomness of the machine: the only place of the workspace that reads them.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ports::{Clock, Entropy};
use rand::TryRng;
#[expect(clippy::disallowed_types, reason = "this is the randomness that everything else is given")]
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
        SysRng
            .try_fill_bytes(bytes)
            .expect("an operating system without randomness could not have started this");
    }
}

/// A fresh secret: 256 bits in hexadecimal.
pub(crate) fn random_secret() -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    hex(&bytes)
}

/// `bytes` in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
