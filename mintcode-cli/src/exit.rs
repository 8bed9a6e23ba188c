//! How a command ends: 0 done, 1 the work failed, 2 wrong usage.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The most lines an error may take on the screen.
const MOST_LINES: usize = 3;
/// The most lines that wrong usage may take.
const MOST_USAGE_LINES: usize = 12;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// `None` where everything was said already, or nobody is there to read it.
    message: Option<String>,
}

impl Failure {
    /// The work failed.
    pub(crate) fn work(message: impl Into<String>) -> Self {
        Self { code: 1, message: Some(message.into()) }
    }

    /// The command was called wrongly, or its configuration is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: Some(message.into()) }
    }

    /// The work failed, and the output tells how.
    pub(crate) fn told() -> Self {
        Self { code: 1, message: None }
    }

    /// The work failed for the reasons that `error` and its sources give.
    pub(crate) fn because(what: &str, error: &(dyn Error + 'static)) -> Self {
        Self::work(format!("{what}: {}", chain(error)))
    }

    /// What is said of it.
    pub(crate) fn text(&self) -> String {
        self.message.as_deref().unwrap_or_default().replace('\n', " ")
    }

    /// Puts the message on standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            let lines: Vec<_> =
                message.lines().filter(|line| !line.trim().is_empty()).take(MOST_LINES).collect();
            eprintln!("error: {}", lines.join("\n  "));
        }
        ExitCode::from(self.code)
    }
}

/// An error of writing to standard output. A reader that went away, as `head` does, is told nothing.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::told();
        }
        Self::because("the output cannot be written", &error)
    }
}

/// `error` with the causes behind it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// Shows help and version on standard output, and wrong usage in a few lines on standard error.
pub(crate) fn of_arguments(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed output is nothing to complain about here.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(MOST_USAGE_LINES);
    eprintln!("{}", lines.collect::<Vec<_>>().join("\n"));
    ExitCode::from(2)
}
