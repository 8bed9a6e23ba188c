//! The [stub](crate::stub) as a process beside this one.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use url::Url;

use crate::Error;
use crate::stub::Report;

/// Ends with the value.
pub(crate) struct StubProcess {
    _child: Child,
    pipes: Mutex<Pipes>,
    port: u16,
}

struct Pipes {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl StubProcess {
    /// Starts a stub with `count` orders.
    pub(crate) async fn start(count: u32) -> Result<Self, Error> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("stub")
            .arg(count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("the stub has no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the stub has no output")?);
        let mut pipes = Pipes { input, output: output.lines() };
        let port = pipes.line().await?.parse()?;
        Ok(Self { _child: child, pipes: Mutex::new(pipes), port })
    }

    /// Where it serves.
    pub(crate) fn url(&self) -> Result<Url, Error> {
        Ok(Url::parse(&format!("http://127.0.0.1:{}/v1", self.port))?)
    }

    /// Lists have `rows` rows from now on, and all requests so far are forgotten.
    pub(crate) async fn begin(&self, rows: usize) -> Result<(), Error> {
        self.tell(&format!("page {rows}")).await?;
        self.tell("reset").await?;
        self.begin_window().await
    }

    /// Counts rows and intervals anew.
    pub(crate) async fn begin_window(&self) -> Result<(), Error> {
        self.tell("window").await.map(drop)
    }

    /// Order `number` has an SMS from now on.
    pub(crate) async fn receive(&self, number: u32) -> Result<(), Error> {
        self.tell(&format!("sms {number}")).await.map(drop)
    }

    /// What it was asked.
    pub(crate) async fn report(&self) -> Result<Report, Error> {
        Ok(serde_json::from_str(&self.tell("report").await?)?)
    }

    async fn tell(&self, line: &str) -> Result<String, Error> {
        let mut pipes = self.pipes.lock().await;
        pipes.input.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = pipes.line().await?;
        if answer.starts_with('{') { Ok(answer) } else { Err(answer.into()) }
    }
}

impl Pipes {
    async fn line(&mut self) -> Result<String, Error> {
        Ok(self.output.next_line().await?.ok_or("the stub ended")?)
    }
}
