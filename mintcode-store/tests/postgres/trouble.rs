//! Connections that are cut and a server that dies, at the worst moments.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mintcode_core::ports::{Storage, StorageError};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::server::{connect, open, schema, schema_on};
use crate::stage::{begun, later, minted, rdm};

/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes every new event wait, `when` it is written, for a lock that the test holds until it drops `Client`.
async fn stop_events(url: &str, when: &str) -> Client {
    let raw = connect(url).await;
    raw.batch_execute(&format!(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_advisory_xact_lock_shared(hashtextextended(current_schema(), 9)); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON event {when} FOR EACH ROW EXECUTE FUNCTION wait();
         SELECT pg_advisory_lock(hashtextextended(current_schema(), 9));"
    ))
    .await
    .unwrap();
    raw
}

/// Ends the connection that waits for the lock, once one does.
async fn cut_off_whoever_waits(raw: &Client) {
    let sql = "SELECT pg_terminate_backend(waiting.pid) FROM pg_locks AS held
                   JOIN pg_locks AS waiting USING (locktype, database, classid, objid, objsubid)
               WHERE held.pid = pg_backend_pid() AND held.granted AND NOT waiting.granted";
    let cutting = async {
        while raw.query(sql, &[]).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, cutting).await.expect("somebody waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_off_before_the_commit_has_changed_nothing() {
    let url = schema().await;
    let store = Arc::new(open(&url).await);
    let hashes = minted(&store, 1).await;
    let redemption = begun(&store, hashes[0], 1).await.unwrap();
    let raw = stop_events(&url, "NOT DEFERRABLE").await;

    let change = later(&redemption);
    let committing = {
        let (store, change) = (Arc::clone(&store), change.clone());
        tokio::spawn(async move { store.commit(change).await })
    };
    cut_off_whoever_waits(&raw).await;
    let error = committing.await.unwrap().unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    drop(raw);
    assert_eq!(store.redemption(redemption.id).await.unwrap(), Some(redemption));
    store.commit(change.clone()).await.unwrap();
    assert_eq!(store.redemption(rdm(1)).await.unwrap(), Some(change.next));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_off_during_the_commit_does_not_know() {
    let url = schema().await;
    let store = Arc::new(open(&url).await);
    let hashes = minted(&store, 1).await;
    let redemption = begun(&store, hashes[0], 1).await.unwrap();
    let raw = stop_events(&url, "DEFERRABLE INITIALLY DEFERRED").await;

    let change = later(&redemption);
    let committing = {
        let (store, change) = (Arc::clone(&store), change.clone());
        tokio::spawn(async move { store.commit(change).await })
    };
    cut_off_whoever_waits(&raw).await;
    let error = committing.await.unwrap().unwrap_err();
    assert!(matches!(error, StorageError::Unknown(_)), "{error:?}");
    drop(raw);
    // Whatever it was, it is whole: here nothing, with its history.
    assert_eq!(store.redemption(redemption.id).await.unwrap(), Some(redemption.clone()));
    assert_eq!(store.history(redemption.id, 0, 9).await.unwrap().len(), 1);
    store.commit(change).await.unwrap();
}

/// A server of the test's own, removed with it.
struct Cluster {
    directory: String,
    url: String,
}

impl Cluster {
    fn run(action: &str, directory: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres-cluster");
        let output = Command::new(script).args([action, directory]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mintcode-").tempdir_in("/tmp").unwrap();
        // The server makes it anew, for the user it runs as.
        let path = directory.path().to_str().unwrap().to_owned();
        directory.close().unwrap();
        let url = Self::run("start", &path);
        Self { directory: path, url }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        Self::run("stop", &self.directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_under_load_loses_nothing_and_comes_back() {
    const VOUCHERS: usize = 400;
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = schema_on(&cluster.url).await;
    let store = Arc::new(open(&url).await);
    let hashes = minted(&store, u32::try_from(VOUCHERS).unwrap()).await;
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let redeeming: Vec<_> = hashes
        .chunks(VOUCHERS / 8)
        .enumerate()
        .map(|(index, hashes)| {
            let (store, hashes) = (Arc::clone(&store), hashes.to_vec());
            let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
            tokio::spawn(async move {
                let failure = |error: StorageError| {
                    assert!(
                        matches!(error, StorageError::Unavailable(_) | StorageError::Unknown(_)),
                        "{error:?}"
                    );
                    failed.fetch_add(1, Ordering::Relaxed);
                };
                for (place, hash) in hashes.into_iter().enumerate() {
                    let number = index * (VOUCHERS / 8) + place;
                    // As the engine does: what is unknown is looked up, what failed is asked for again.
                    let redemption = loop {
                        match store.redemption(rdm(number)).await {
                            Ok(Some(redemption)) => break redemption,
                            Ok(None) => match begun(&store, hash, number).await {
                                Ok(redemption) => break redemption,
                                Err(error) => failure(error),
                            },
                            Err(error) => failure(error),
                        }
                    };
                    let change = later(&redemption);
                    loop {
                        match store.commit(change.clone()).await {
                            // A conflict: stored by a commit whose answer was lost.
                            Ok(()) | Err(StorageError::Conflict) => break,
                            Err(error) => failure(error),
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    for stop in [VOUCHERS / 8, VOUCHERS / 2] {
        while done.load(Ordering::Relaxed) < stop {
            tokio::task::yield_now().await;
        }
        let directory = cluster.directory.clone();
        let restart = move || {
            Cluster::run("kill", &directory);
            Cluster::run("start", &directory);
        };
        tokio::task::spawn_blocking(restart).await.unwrap();
    }
    for redeeming in redeeming {
        timeout(PATIENCE, redeeming).await.expect("the server is back").unwrap();
    }
    assert!(failed.load(Ordering::Relaxed) > 0, "the server died for nobody");
    for (number, hash) in hashes.iter().enumerate() {
        let stored = store.redemption(rdm(number)).await.unwrap().unwrap();
        assert_eq!((stored.version, stored.voucher), (2, *hash));
        assert_eq!(store.history(rdm(number), 0, 9).await.unwrap().len(), 2);
    }
}
