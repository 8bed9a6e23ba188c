//! A backup is taken while the database is written, and can be gone on with.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mintcode_core::ids::RedemptionId;
use mintcode_core::ledger;
use mintcode_core::ports::{
    Begin, BeginBy, Begun, Catalogue, Put, RedemptionSearch, Reports, Storage, Vouchers,
};
use mintcode_core::redemption::Holder;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{VoucherHash, VoucherState};
use mintcode_store::{BackupError, OpenError, Secrets, SqliteStore, sqlite};
use rusqlite::Connection;
use tempfile::TempDir;

fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)))
}

fn directory() -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("mintcode.db"), directory.path().join("copy.db"));
    (directory, path, copy)
}

fn rdm(number: u32) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

async fn minted(store: &SqliteStore, count: u32) -> Vec<VoucherHash> {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    store.insert_batch(batch, vouchers.clone().into()).await.unwrap();
    vouchers.into_iter().map(|(hash, _)| hash).collect()
}

async fn begin(store: &SqliteStore, voucher: VoucherHash, number: u32) {
    let begin = Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: None,
        now: sample::now(),
    };
    assert!(matches!(store.begin(begin).await.unwrap(), Begun::New(_)));
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_of_one_moment_and_can_be_served() {
    let (_directory, path, copy) = directory();
    let store = Arc::new(SqliteStore::open_serving(&path, &secrets()).unwrap());
    let vouchers = minted(&store, 30_000).await;
    let begun = Arc::new(AtomicU32::new(0));
    let load = {
        let (store, begun, vouchers) = (Arc::clone(&store), Arc::clone(&begun), vouchers.clone());
        tokio::spawn(async move {
            for (number, voucher) in (0..).zip(vouchers) {
                begin(&store, voucher, number).await;
                begun.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    while begun.load(Ordering::SeqCst) < 5 {
        tokio::task::yield_now().await;
    }
    let before = begun.load(Ordering::SeqCst);
    let taken = tokio::task::spawn_blocking({
        let (path, copy) = (path.clone(), copy.clone());
        move || sqlite::backup(&path, &copy)
    });
    let summary = taken.await.unwrap().unwrap();
    let after = begun.load(Ordering::SeqCst);
    load.abort();
    assert!(before < after, "nothing was written meanwhile");
    assert_eq!((summary.bytes, summary.schema), (fs::metadata(&copy).unwrap().len(), 5));

    let restored = SqliteStore::open_serving(&copy, &secrets()).unwrap();
    let mut search = RedemptionSearch::default();
    let mut count = 0;
    loop {
        let page = restored.redemptions(search.clone(), 500).await.unwrap();
        let Some(last) = page.last() else { break };
        search.before = Some(last.id);
        for redemption in &page {
            let booked = restored.booked(redemption.id).await.unwrap();
            let entries: Vec<_> = booked.into_iter().map(|booked| booked.entry).collect();
            ledger::check([(redemption, entries.as_slice())]).unwrap();
            let trail = restored.trail(&[redemption.voucher]).await.unwrap().unwrap();
            assert!(matches!(trail.voucher.state, VoucherState::Locked { .. }), "{trail:?}");
            assert_eq!(restored.history(redemption.id, 0, 9).await.unwrap().len(), 1);
            count += 1;
        }
    }
    assert!((before..=after + 1).contains(&count), "{before} <= {count} <= {after}");
    let counts = restored.batches(None, 1).await.unwrap().remove(0).counts;
    assert_eq!((counts["locked"], counts["issued"]), (count.into(), u64::from(30_000 - count)));
    // It goes on by itself.
    begin(&restored, vouchers[29_999], 29_999).await;
}

#[test]
fn a_backup_replaces_nothing_and_is_its_owners_alone() {
    let (directory, path, copy) = directory();
    drop(SqliteStore::open(&path, Some(&secrets())).unwrap());
    sqlite::backup(&path, &copy).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let bytes = fs::read(&copy).unwrap();
    let error = sqlite::backup(&path, &copy).unwrap_err();
    assert!(matches!(error, BackupError::Exists { .. }), "{error:?}");
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    let left = names(directory.path());
    assert!(left.iter().all(|name| !name.contains("part")), "{left:?}");
    assert!(!left.contains(&"copy.db-wal".to_owned()), "{left:?}");
}

#[test]
fn a_backup_of_what_is_no_database_leaves_nothing_behind() {
    let (directory, path, copy) = directory();
    let error = sqlite::backup(&path, &copy).unwrap_err();
    assert!(matches!(error, BackupError::Source(OpenError::Unusable { .. })), "{error:?}");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let error = sqlite::backup(&path, &copy).unwrap_err();
    assert!(matches!(error, BackupError::Source(OpenError::Foreign { .. })), "{error:?}");
    assert_eq!(names(directory.path()), ["mintcode.db"]);
}

#[test]
fn a_damaged_database_is_told_and_not_kept_as_a_backup() {
    let (directory, path, copy) = directory();
    drop(SqliteStore::open(&path, Some(&secrets())).unwrap());
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(
        "PRAGMA ignore_check_constraints = ON;
         INSERT INTO alert (key, alert, raised_at, tries) VALUES ('one', '{}', 0, -1);",
    )
    .unwrap();
    drop(raw);
    let error = sqlite::backup(&path, &copy).unwrap_err();
    assert!(matches!(error, BackupError::Damaged { .. }), "{error:?}");
    assert!(!names(directory.path()).iter().any(|name| name.starts_with("copy") || name.contains("part")));
}

#[test]
fn migrating_tells_from_which_schema_to_which() {
    let (_directory, path, _) = directory();
    assert_eq!(SqliteStore::migrate(&path, Some(&secrets())).unwrap(), (None, 5));
    assert_eq!(SqliteStore::migrate(&path, None).unwrap(), (Some(5), 5));
    let serving = SqliteStore::open_serving(&path, &secrets()).unwrap();
    let error = SqliteStore::migrate(&path, None).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    drop(serving);
    Connection::open(&path)
        .unwrap()
        .execute("INSERT INTO schema_migration (version, checksum) VALUES (6, 'later')", [])
        .unwrap();
    let error = SqliteStore::migrate(&path, None).unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 6, known: 5, .. }), "{error:?}");
}
