//! Logs, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::fmt;

use crate::config::{LogFormat, LogSettings};

/// Begins to log. A second call changes nothing.
pub(crate) fn start(settings: LogSettings) {
    let LogSettings { filter, format } = settings;
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // An error says that a log is running already.
    let _ = match format {
        LogFormat::Pretty => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
