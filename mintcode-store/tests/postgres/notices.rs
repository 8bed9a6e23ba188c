//! What one process stores is heard by the others.

use std::time::Duration;

use mintcode_core::ports::{News, Storage};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::server::{connect, open, schema};
use crate::stage::{begun, later, minted};

/// Far longer than any notice takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn heard(news: &mut Receiver<News>) -> News {
    timeout(PATIENCE, news.recv()).await.expect("it is heard").unwrap()
}

/// Waits until `count` storages at `url`, all named `name`, listen.
async fn listening(url: &str, name: &str, count: i64) {
    let raw = connect(url).await;
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE application_name = $1 AND query LIKE 'LISTEN %' AND state = 'idle'";
    let all_listen = async {
        while raw.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0) < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all_listen).await.expect("they listen");
}

/// The address of a schema with nothing in it, and what sessions there call themselves.
async fn named_schema(name: &str) -> (String, String) {
    let (schema, name) = (schema().await, format!("{name}_{}", std::process::id()));
    (format!("{schema}&application_name={name}"), name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_stores_the_others_hear_and_it_does_not() {
    let (url, name) = named_schema("pair").await;
    let (one, other) = (open(&url).await, open(&url).await);
    listening(&url, &name, 2).await;
    let (mut of_one, mut of_other) = (one.news().unwrap(), other.news().unwrap());

    let hashes = minted(&one, 2).await;
    let redemption = begun(&one, hashes[0], 1).await.unwrap();
    let began = News::Version { redemption: redemption.id, version: 1 };
    assert_eq!(heard(&mut of_other).await, began);
    one.commit(later(&redemption)).await.unwrap();
    assert_eq!(heard(&mut of_other).await, News::Version { redemption: redemption.id, version: 2 });

    // The first thing that it hears is what the other one did.
    let theirs = begun(&other, hashes[1], 2).await.unwrap();
    assert_eq!(heard(&mut of_one).await, News::Version { redemption: theirs.id, version: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_cut_off_is_told_to_look() {
    let (url, name) = named_schema("cut").await;
    let store = open(&url).await;
    listening(&url, &name, 1).await;
    let mut news = store.news().unwrap();
    let raw = connect(&url).await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = $1 AND pid <> pg_backend_pid()";
    assert!(!raw.query(sql, &[&name]).await.unwrap().is_empty());
    // Once it listens again.
    assert_eq!(heard(&mut news).await, News::Anything);
}
