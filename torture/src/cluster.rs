//! A PostgreSQL server of the torture's own, killed and started again.

use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};

use crate::Error;

/// A running server.
pub(crate) struct Cluster {
    script: PathBuf,
    /// Short, since a socket's path has at most 107 bytes.
    directory: TempDir,
    data: PathBuf,
    is_kept: bool,
    pub(crate) url: String,
}

/// How a server ends.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Crash,
    Orderly,
}

impl Cluster {
    /// Starts a server with `script`, which is called with `start`, `close`, `kill` or `stop` and a directory.
    pub(crate) async fn start(script: &Path) -> Result<Self, Error> {
        let directory = tempfile::Builder::new().prefix("mct").tempdir_in("/tmp")?;
        // The server's own user has to get at it.
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let data = directory.path().join("pg");
        let url = told(run(script, "start", &data).await?)?;
        Ok(Self { script: script.to_owned(), directory, data, is_kept: false, url })
    }

    /// Ends it, as a crash or as an operator does, and starts it again.
    pub(crate) async fn restart(&self, ending: Ending) -> Result<(), Error> {
        let end = match ending {
            Ending::Crash => "kill",
            Ending::Orderly => "close",
        };
        told(run(&self.script, end, &self.data).await?)?;
        told(run(&self.script, "start", &self.data).await?)?;
        Ok(())
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data.join(".s.PGSQL.5432")
    }

    /// Leaves its files where they are.
    pub(crate) fn keep(&mut self) -> &Path {
        self.is_kept = true;
        self.directory.disable_cleanup(true);
        &self.data
    }

    /// Cuts every connection.
    pub(crate) async fn cut(&self) -> Result<(), Error> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        connect(&self.url).await?.batch_execute(sql).await?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let end = if self.is_kept { "kill" } else { "stop" };
        let stopped = std::process::Command::new(&self.script).arg(end).arg(&self.data).status();
        if let Err(error) = stopped {
            eprintln!("the PostgreSQL server is left running: {error}");
        }
    }
}

/// A connection of the auditor's own.
pub(crate) async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client.
    drop(tokio::spawn(connection));
    Ok(client)
}

async fn run(script: &Path, what: &str, data: &Path) -> Result<Output, Error> {
    Ok(Command::new(script).arg(what).arg(data).output().await?)
}

fn told(output: Output) -> Result<String, Error> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
