//! Making the tables, and refusing what is not ours or newer than us.

use mintcode_core::ports::{Catalogue, Put};
use mintcode_core::testing::sample;
use mintcode_store::PostgresStore;
use mintcode_store::postgres::{self, OpenError};

use crate::server::{connect, open, schema, secrets};

async fn refusal(url: &str) -> OpenError {
    PostgresStore::open(&url.parse().unwrap(), Some(&secrets())).await.err().expect("it must not open")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_make_one_schema() {
    let url = schema().await;
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url).await })
        })
        .collect();
    for store in opening {
        store.await.unwrap().put_sku(sample::sku("tg"), Put::Apply).await.unwrap();
    }
    let raw = connect(&url).await;
    let applied: i64 = raw.query_one("SELECT count(*) FROM schema_migration", &[]).await.unwrap().get(0);
    let (_, known) = postgres::schema(&url.parse().unwrap()).await.unwrap();
    assert_eq!(applied, known);
    assert_eq!(open(&url).await.skus().await.unwrap(), [sample::sku("tg")]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let url = schema().await;
    drop(open(&url).await);
    let raw = connect(&url).await;
    raw.batch_execute("INSERT INTO schema_migration (version, checksum) VALUES (99, 'x')").await.unwrap();
    let error = refusal(&url).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("use a newer version"), "{error}");
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let url = schema().await;
    drop(open(&url).await);
    let raw = connect(&url).await;
    raw.batch_execute("UPDATE schema_migration SET checksum = 'x' WHERE version = 1").await.unwrap();
    let error = refusal(&url).await;
    assert!(matches!(error, OpenError::ChangedMigration { version: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let url = schema().await;
    let raw = connect(&url).await;
    raw.batch_execute("CREATE TABLE customers (id bigint)").await.unwrap();
    assert!(matches!(refusal(&url).await, OpenError::Foreign { .. }));
    let tables: i64 = raw
        .query_one("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_without_the_password() {
    let error = refusal("postgres://mint:hunter2@%2Fnowhere/mintcode").await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

/// Whatever the server's own setting is.
#[tokio::test]
async fn every_commit_is_on_disk_before_it_is_answered() {
    let url = format!("{}%20-csynchronous_commit%3Doff", schema().await);
    let raw = connect(&url).await;
    let off: String = raw.query_one("SHOW synchronous_commit", &[]).await.unwrap().get(0);
    assert_eq!(off, "off");

    let store = open(&url).await;
    // Tells what the storage's own sessions see, where a statement of theirs runs it.
    raw.batch_execute(
        "CREATE TABLE seen (setting text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
         CREATE TRIGGER see AFTER INSERT ON sku EXECUTE FUNCTION see();",
    )
    .await
    .unwrap();
    store.put_sku(sample::sku("tg"), Put::Create).await.unwrap();
    let seen: String = raw.query_one("SELECT setting FROM seen", &[]).await.unwrap().get(0);
    assert_eq!(seen, "on");
}
