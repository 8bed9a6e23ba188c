//! What only SQLite can get wrong: files, schemas, locks, groups and rows that nobody of us wrote.

#![allow(clippy::unwrap_used, reason = "a test panics where something does not work")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Duration;
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, WorkerId};
use mintcode_core::order::OrderId;
use mintcode_core::ports::{
    Adopt, Begin, BeginBy, Begun, Catalogue, Commit, Inbox, Put, Storage, StorageError, Vouchers,
};
use mintcode_core::redemption::{Holder, HolderKey, Phase, Redemption, Wish};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::VoucherHash;
use mintcode_store::{Durability, OpenError, Secrets, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

/// What opens the databases of these tests.
fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mintcode.db");
    (directory, path)
}

fn rdm(number: usize) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

fn worker() -> WorkerId {
    format!("wrk_{:026}", 1).parse().unwrap()
}

/// Stores a SKU with `count` vouchers.
async fn minted(store: &SqliteStore, count: u32) -> Vec<VoucherHash> {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    let hashes = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, vouchers.into()).await.unwrap();
    hashes
}

/// Begins redemption `number` of `voucher`.
async fn begun(store: &SqliteStore, voucher: VoucherHash, number: usize) -> Redemption {
    let holder =
        Holder { session: None, idempotency: Some(HolderKey::new(&[u8::try_from(number).unwrap(); 32])) };
    let begin = Begin {
        by: BeginBy::Code(vec![voucher]),
        holder,
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: Some(worker()),
        now: sample::now() + Duration::nanoseconds(1_000_000_123),
    };
    match store.begin(begin).await.unwrap() {
        Begun::New(redemption) => *redemption,
        other => panic!("{other:?}"),
    }
}

/// A change that any queued redemption may make.
fn later(redemption: &Redemption) -> Commit {
    let until = redemption.updated_at + Duration::seconds(30);
    let phase = Phase::CoolingDown { until, plan: sample::plan_id("A") };
    let next = Redemption { phase, version: redemption.version + 1, ..redemption.clone() };
    Commit {
        next,
        voucher: Vec::new(),
        consumed: Vec::new(),
        ledger: Vec::new(),
        health: Vec::new(),
        accounts: Vec::new(),
        alerts: Vec::new(),
        choice: None,
        rules: HealthRules::default(),
    }
}

/// An error with its causes, as a person is shown it.
fn shown(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn refused(path: &Path) -> (OpenError, String) {
    let error = SqliteStore::open(path, Some(&secrets())).err().expect("it must not open");
    let text = shown(&error);
    (error, text)
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let hashes = minted(&store, 3).await;
    let redemption = begun(&store, hashes[0], 1).await;
    store.commit(later(&redemption)).await.unwrap();
    store.append_inbox(rdm(1), Inbox::Wish(Wish::Cancel)).await.unwrap();
    let look = async |store: &SqliteStore| {
        let batch = store.trail(&hashes).await.unwrap().unwrap().voucher.batch;
        (
            store.skus().await.unwrap(),
            store.batch(batch).await.unwrap(),
            store.trail(&hashes).await.unwrap(),
            store.redemption(rdm(1)).await.unwrap(),
            store.history(rdm(1), 0, 9).await.unwrap(),
            store.inbox(rdm(1)).await.unwrap(),
            store.labels().await.unwrap(),
        )
    };
    let before = look(&store).await;
    assert_eq!(before.3.as_ref(), Some(&later(&redemption).next));
    drop(store);

    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    assert_eq!(look(&store).await, before);
    // Ids of the inbox go on, and the idempotency key is still known.
    store.discard_inbox(rdm(1), 1, &[before.5[0].id]).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    store.append_inbox(rdm(1), Inbox::Wish(Wish::Cancel)).await.unwrap();
    assert!(store.inbox(rdm(1)).await.unwrap()[0].id > before.5[0].id);
}

#[tokio::test]
async fn every_commit_is_on_disk_before_it_is_answered() {
    let store = SqliteStore::open_temporary(&secrets()).unwrap();
    let durability = store.durability().await.unwrap();
    let full = Durability { journal_mode: "wal".to_owned(), synchronous: 2, foreign_keys: true };
    assert_eq!(durability, full);
    assert!(durability.is_full());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_together_shares_a_commit() {
    const REDEMPTIONS: usize = 200;
    let store = Arc::new(SqliteStore::open_temporary(&secrets()).unwrap());
    let hashes = minted(&store, u32::try_from(REDEMPTIONS).unwrap()).await;
    let mut redemptions = Vec::new();
    for (number, hash) in hashes.iter().enumerate() {
        redemptions.push(begun(&store, *hash, number).await);
    }
    let before = store.commits();
    let changes = redemptions.iter().map(|redemption| {
        let (store, commit) = (Arc::clone(&store), later(redemption));
        tokio::spawn(async move { store.commit(commit).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    let commits = store.commits() - before;
    assert!(commits < REDEMPTIONS as u64 / 2, "{REDEMPTIONS} changes took {commits} commits");
    for redemption in &redemptions {
        let stored = store.redemption(redemption.id).await.unwrap();
        assert_eq!(stored, Some(later(redemption).next));
    }
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_ends() {
    let (_directory, path) = directory();
    let first = SqliteStore::open_serving(&path, &secrets()).unwrap();
    let error = SqliteStore::open_serving(&path, &secrets()).err().expect("one server per file");
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("another server uses the database"), "{error}");

    // A command beside the server works on the same data.
    let beside = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let hashes = minted(&beside, 1).await;
    assert!(first.trail(&hashes).await.unwrap().is_some());
    begun(&first, hashes[0], 1).await;
    assert!(beside.redemption(rdm(1)).await.unwrap().is_some());

    drop(first);
    SqliteStore::open_serving(&path, &secrets()).unwrap();
}

#[tokio::test]
async fn many_may_make_the_same_file_at_once() {
    let (_directory, path) = directory();
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || SqliteStore::open(path, Some(&secrets())).map(drop))
        })
        .collect();
    for opened in opening {
        opened.join().unwrap().unwrap();
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let (_directory, path) = directory();
    drop(SqliteStore::open(&path, Some(&secrets())).unwrap());
    let sql = "INSERT INTO schema_migration (version, checksum) VALUES (999, 'later')";
    Connection::open(&path).unwrap().execute(sql, []).unwrap();
    let (error, text) = refused(&path);
    assert!(matches!(error, OpenError::NewerSchema { found: 999, .. }), "{error:?}");
    assert!(text.contains("use a newer version"), "{text}");
}

#[test]
fn a_changed_migration_is_refused() {
    let (_directory, path) = directory();
    drop(SqliteStore::open(&path, Some(&secrets())).unwrap());
    let sql = "UPDATE schema_migration SET checksum = 'other' WHERE version = 1";
    Connection::open(&path).unwrap().execute(sql, []).unwrap();
    let (error, text) = refused(&path);
    assert!(matches!(error, OpenError::ChangedMigration { version: 1, .. }), "{error:?}");
    assert!(text.contains("migration 1"), "{text}");
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    let (_directory, path) = directory();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    let (error, text) = refused(&path);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert!(text.contains("another program"), "{text}");
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = Connection::open(&path).unwrap().query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_file_that_cannot_be_a_database_is_named_with_the_reason() {
    let (directory, path) = directory();
    std::fs::write(&path, "this is not a database, but it is long enough to be taken for one: ".repeat(20))
        .unwrap();
    let missing = directory.path().join("no/such/directory/mintcode.db");
    for (path, reason) in [
        (path.as_path(), "file is not a database"),
        (missing.as_path(), "unable to open database file"),
        (directory.path(), "unable to open database file"),
    ] {
        let (error, text) = refused(path);
        assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        assert!(text.contains(&path.display().to_string()) && text.contains(reason), "{text}");
    }
    let error = SqliteStore::open_serving(&missing, &secrets()).err().unwrap();
    assert!(shown(&error).contains("mintcode.db.lock cannot be made: No such file"), "{}", shown(&error));
}

#[tokio::test]
async fn a_temporary_database_is_removed_with_its_store() {
    let store = SqliteStore::open_temporary(&secrets()).unwrap();
    minted(&store, 1).await;
    let directory = store.path().parent().unwrap().to_owned();
    assert!(directory.exists());
    drop(store);
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_closed_store_refuses_what_comes_later_and_has_kept_the_rest() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let hashes = minted(&store, 1).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let error = store.put_sku(sample::sku("wa"), Put::Apply).await.unwrap_err();
    assert!(shown(&error).contains("storage is closed"), "{}", shown(&error));
    let log = path.with_extension("db-wal");
    assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0, "the log is folded in");
    drop(store);
    assert!(SqliteStore::open(&path, Some(&secrets())).unwrap().trail(&hashes).await.unwrap().is_some());
}

#[tokio::test]
async fn what_waits_is_stored_though_nobody_waits_for_it() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    {
        let putting = store.put_sku(sample::sku("tg"), Put::Create);
        tokio::pin!(putting);
        // Polled once, which hands it over, and then dropped.
        tokio::select! {
            biased;
            _ = &mut putting => {}
            () = std::future::ready(()) => {}
        }
    }
    drop(store);
    assert_eq!(
        SqliteStore::open(&path, Some(&secrets())).unwrap().skus().await.unwrap(),
        [sample::sku("tg")]
    );
}

#[tokio::test]
async fn a_row_that_fits_no_state_is_named() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let hashes = minted(&store, 2).await;
    for (number, hash) in hashes.iter().enumerate() {
        begun(&store, *hash, number).await;
    }
    store.append_inbox(rdm(0), Inbox::Wish(Wish::Cancel)).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         UPDATE redemption SET state = x'00' WHERE id LIKE '%0';
         UPDATE event SET snapshot = '[]' WHERE redemption LIKE '%0';
         UPDATE inbox SET item = x'00';
         UPDATE sku SET spec = '{';
         UPDATE voucher SET came_from = NULL;",
    )
    .unwrap();

    let corrupt = |error: StorageError| match error {
        StorageError::Corrupt { table, row } => (table, row),
        other => panic!("{other:?}"),
    };
    let id = rdm(0).to_string();
    assert_eq!(corrupt(store.redemption(rdm(0)).await.unwrap_err()), ("redemption", id.clone()));
    assert_eq!(corrupt(store.history(rdm(0), 0, 9).await.unwrap_err()), ("event", format!("{id}/1")));
    assert_eq!(corrupt(store.inbox(rdm(0)).await.unwrap_err()), ("inbox", id.clone()));
    assert_eq!(corrupt(store.skus().await.unwrap_err()), ("sku", "tg".to_owned()));
    assert_eq!(corrupt(store.trail(&hashes).await.unwrap_err()), ("voucher", hashes[0].to_string()));

    // One bad redemption holds back no other.
    let adopt = Adopt {
        worker: format!("wrk_{:026}", 2).parse().unwrap(),
        limit: 1,
        most_takeovers: 5,
        now: sample::now(),
    };
    let adopted = store.adopt(adopt).await.unwrap();
    assert_eq!(adopted.iter().map(|redemption| redemption.id).collect::<Vec<_>>(), [rdm(1)]);
}

#[tokio::test]
async fn the_schema_itself_forbids_what_must_never_happen() {
    let (_directory, path) = directory();
    let store = SqliteStore::open(&path, Some(&secrets())).unwrap();
    let hashes = minted(&store, 2).await;
    let redemption = begun(&store, hashes[0], 1).await;
    store.adopt_one(format!("wrk_{:026}", 2).parse().unwrap(), redemption.id).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(
        "PRAGMA foreign_keys = ON;
         INSERT INTO claim SELECT 'main', 3, '100', id, 1 FROM redemption;",
    )
    .unwrap();
    for sql in [
        "INSERT INTO redemption SELECT 'rdm_2', voucher, sku, status, phase, standing, is_at_rest, version, epoch, owner,
             next, deadline, created_at, updated_at, takeovers, is_quarantined, state, is_purged FROM redemption",
        "UPDATE voucher SET state = 'fulfilled', came_from = NULL",
        "UPDATE voucher SET state = 'locked', came_from = NULL",
        "UPDATE voucher SET state = 'lost'",
        "UPDATE redemption SET status = 'delivered'",
        "UPDATE redemption SET epoch = epoch - 1",
        "UPDATE redemption SET is_at_rest = 1",
        "INSERT INTO claim SELECT 'main', 3, '100', id, 2 FROM redemption",
        "UPDATE claim SET attempt = 2",
        "DELETE FROM claim",
        "INSERT INTO event SELECT redemption, version, snapshot FROM event",
        "INSERT INTO inbox (redemption, item) VALUES ('rdm_nobody', x'00')",
        "UPDATE batch_count SET vouchers = -1",
    ] {
        let error = raw.execute(sql, []).expect_err(sql);
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation), "{sql}: {error}");
    }
    assert_eq!(store.newest_order(&"main".parse().unwrap()).await.unwrap(), Some(OrderId::new("100")));
}
