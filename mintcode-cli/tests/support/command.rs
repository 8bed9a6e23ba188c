//! The real binary, in a directory of its own and with nothing of this shell's configuration.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A voucher secret.
pub(crate) const SECRET: &str = "correct horse battery staple mintcode";

/// `mintcode` with `arguments`, to be run in `directory`.
pub(crate) fn mintcode(directory: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintcode"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MINTCODE_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(directory).env("XDG_STATE_HOME", directory.join("state"));
    command.stdin(Stdio::null());
    command
}

/// Runs `command` with `input` on standard input.
pub(crate) fn run_with(command: &mut Command, input: &str) -> Ran {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Closed at the end of the statement; a command that does not read has ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::from(child.wait_with_output().unwrap())
}

/// Runs `command`.
pub(crate) fn run(command: &mut Command) -> Ran {
    run_with(command, "")
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The output of a command that did its work.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}
