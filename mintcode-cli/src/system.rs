//! The clock and the randomness of the machine: the only place of the workspace that reads them.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ports::{Clock, Entropy};
use rand::TryRng;
#[expect(clippy::disallowed_types, reason = "this is the randomness that everything else is given")]
use rand::rngs::SysRng;
use rustix::time::{ClockId, clock_gettime};

/// The clock that nobody can set. It goes on while the machine sleeps, where the system has such a one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UPTIME: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UPTIME: ClockId = ClockId::Monotonic;

/// The machine's clocks: its wall clock, which may be set anew at any time, and its uptime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn uptime(&self) -> Duration {
        clock_gettime(UPTIME)
            .try_into()
            .expect("a clock that begins at zero and only grows is never negative")
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
