//! PostgreSQL for shops: a schema on the server that tests share, or a server of the test's own.

use std::path::Path;
use std::process::Command;

use tokio_postgres::{Client, NoTls};

/// A connection to `url`, beside those of the processes.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    // Ends with the client.
    drop(tokio::spawn(connection));
    client
}

/// The address of a schema of the test's own, on the server that tests share.
pub(crate) async fn schema() -> String {
    let url = std::env::var("MINTCODE_TEST_POSTGRES_URL").expect(
        "MINTCODE_TEST_POSTGRES_URL names no server: run ./test, or start one with \
         mintcode-store/tests/postgres-cluster start /tmp/pg",
    );
    let client = connect(&url).await;
    let sql = "SELECT 'shop_' || replace(gen_random_uuid()::text, '-', '')";
    let name: String = client.query_one(sql, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
    format!("{url}?options=-csearch_path%3D{name}")
}

/// A server of the test's own, removed with it.
pub(crate) struct Cluster {
    directory: String,
    /// The address of its database `postgres`.
    pub(crate) url: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mintcode-").tempdir_in("/tmp").unwrap();
        // The server makes it anew, for the user it runs as.
        let path = directory.path().to_str().unwrap().to_owned();
        directory.close().unwrap();
        let url = cluster("start", &path);
        Self { directory: path, url }
    }

    /// Where its data, its configuration and its log are.
    pub(crate) fn directory(&self) -> &Path {
        Path::new(&self.directory)
    }

    /// The address of its database `name`.
    pub(crate) fn database(&self, name: &str) -> String {
        let (server, _) = self.url.rsplit_once('/').unwrap();
        format!("{server}/{name}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        cluster("stop", &self.directory);
    }
}

/// Where PostgreSQL's own programs are looked for: where Debian puts them, and wherever a shell finds them.
pub(crate) fn programs() -> String {
    let mut places: Vec<String> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|entry| format!("{}/bin", entry.unwrap().path().display()))
        .collect();
    places.extend(std::env::var("PATH"));
    places.join(":")
}

fn cluster(action: &str, directory: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../mintcode-store/tests/postgres-cluster");
    let output = Command::new(script).args([action, directory]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
