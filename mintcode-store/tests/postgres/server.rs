//! The server that tests share, and a schema of each one's own.

use std::sync::Arc;

use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_store::postgres::PostgresUrl;
use mintcode_store::{PostgresStore, Secrets};
use tokio_postgres::{Client, NoTls};

/// Where the server is that tests may use.
fn shared() -> String {
    std::env::var("MINTCODE_TEST_POSTGRES_URL").expect(
        "MINTCODE_TEST_POSTGRES_URL names no server: run ./test, or start one with \
         mintcode-store/tests/postgres-cluster start /tmp/pg",
    )
}

/// A connection to `url` beside the storage's own.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    // Ends with the client, and with an error where a test kills the server.
    drop(tokio::spawn(connection));
    client
}

/// The address of a schema with nothing in it, on the server at `url`.
pub(crate) async fn schema_on(url: &str) -> String {
    let client = connect(url).await;
    let name =
        client.query_one("SELECT 'case_' || replace(gen_random_uuid()::text, '-', '')", &[]).await.unwrap();
    let name: String = name.get(0);
    client.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
    format!("{url}?options=-csearch_path%3D{name}")
}

/// The address of a schema with nothing in it.
pub(crate) async fn schema() -> String {
    schema_on(&shared()).await
}

/// What opens and seals the documents of all tests.
pub(crate) fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

/// Storage at `url`.
pub(crate) async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(&url.parse::<PostgresUrl>().unwrap(), Some(&secrets())).await.unwrap()
}

/// Storage with nothing in it.
pub(crate) async fn fresh_store() -> PostgresStore {
    open(&schema().await).await
}
