//! What this process takes of the machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Error;

/// User and system time of all threads of the process so far.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Bytes of the process that are in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All of them, pages of files included.
    pub(crate) resident: u64,
    /// What was allocated.
    pub(crate) anonymous: u64,
}

impl Memory {
    /// As the kernel tells it now.
    pub(crate) fn now() -> Result<Self, Error> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            number.map(|kibibytes| kibibytes * 1024).ok_or_else(|| format!("/proc/self/status has no {name}"))
        };
        Ok(Self { resident: bytes("VmRSS")?, anonymous: bytes("RssAnon")? })
    }
}
