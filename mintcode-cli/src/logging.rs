//! Logs, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::fmt;

use crate::config::{LogFormat, LogSettings};

/// Begins to log. A second call changes nothing.
pub(crate) fn start(settings: LogSettings) {
    let LogSettings { filter, format } = settings;
    let log = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Where a line cannot be written, as on a full disk, it is lost. Telling so on the same standard error would panic.
    let log = log.log_internal_errors(false);
    // An error says that a log is running already.
    let _ = match format {
        LogFormat::Pretty => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
