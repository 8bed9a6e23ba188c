//! Servers of the real binary, and the other side's view of them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running `mintcode serve --json` or `mintcode simulator --json`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// The line of JSON it began with.
    pub(crate) announced: Value,
}

impl Server {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let announced =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is not what a server says"));
        Self { child, announced }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        self.announced["url"].as_str().unwrap()
    }

    /// Sends it a signal, such as `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Kills it at once, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client that uses no proxy.
pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The simulator's own books.
pub(crate) async fn books(http: &reqwest::Client, supplier_url: &str) -> Value {
    let url = supplier_url.replace("/v1", "/sim/books");
    http.get(url).send().await.unwrap().json().await.unwrap()
}

/// Waits until the simulator's books are as `wanted`, and returns them.
pub(crate) async fn books_when(
    http: &reqwest::Client,
    supplier_url: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let waiting = async {
        loop {
            let books = books(http, supplier_url).await;
            if wanted(&books) {
                return books;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waiting).await.expect("the books come to what is waited for")
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Writes a file and returns its name.
pub(crate) fn write<'a>(directory: &Path, name: &'a str, text: &str) -> &'a str {
    std::fs::write(directory.join(name), text).unwrap();
    name
}
