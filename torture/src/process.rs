//! One process of the real binary.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Error;

/// How long a process may take to say where it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A running server, killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
}

impl Process {
    /// Starts it and waits until it says where it listens.
    pub(crate) async fn start(mut command: Command) -> Result<Self, Error> {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().ok_or("a process without an output")?);
        timeout(STARTS_WITHIN, said.read_line(&mut line)).await.map_err(|_| "a process does not start")??;
        let announced: serde_json::Value =
            serde_json::from_str(&line).map_err(|_| format!("{line:?} is not what a server says"))?;
        let url = announced["url"].as_str().ok_or("a server that listens nowhere")?.to_owned();
        Ok(Self { child, url })
    }

    /// Whether it ended though nobody killed it.
    pub(crate) fn has_ended(&mut self) -> Result<bool, Error> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(&mut self) -> Result<(), Error> {
        Ok(self.child.kill().await?)
    }

    /// Lets it stand still for so long.
    pub(crate) async fn stall(&self, span: Duration) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        tokio::time::sleep(span).await;
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or("the process has ended")?, signal)?)
    }
}
