//! Large batches in a file: seen by nobody before they are whole, gone where they never will be, in nobody's way.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use chrono::Duration;
use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::{
    Begin, BeginBy, Begun, Catalogue, Inserted, NewBatch, NewVouchers, Progress, Put, SkuError, Storage,
    StorageError, Vouchers,
};
use mintcode_core::redemption::Holder;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{Mask, Refusal, VoucherHash};
use mintcode_store::{Secrets, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Vouchers of a batch that is stored in several steps.
const LARGE: u32 = 9000;

struct File {
    directory: TempDir,
    store: Arc<SqliteStore>,
    sku: Sku,
}

type Rows = Vec<(VoucherHash, Mask)>;

impl File {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(directory.path()));
        let sku = sample::sku("tg");
        store.put_sku(sku.clone(), Put::Apply).await.unwrap();
        Self { directory, store, sku }
    }

    /// A large batch with an idempotency key, whose vouchers' end has come before it is stored.
    fn large(&self) -> (NewBatch, Rows) {
        let (batch, vouchers) = sample::batch(&self.sku, LARGE);
        let idempotency = Some(("key".to_owned(), "print".to_owned()));
        (NewBatch { idempotency, expires_at: Some(sample::now()), ..batch }, vouchers)
    }

    fn raw(&self) -> Connection {
        Connection::open(self.directory.path().join("mintcode.db")).unwrap()
    }

    fn count(&self, table: &str) -> u32 {
        self.raw().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

fn open(directory: &Path) -> SqliteStore {
    let secrets = Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(1)));
    SqliteStore::open(directory.join("mintcode.db"), Some(&secrets)).unwrap()
}

/// A mint that stands still after its first step until it is let go on.
struct Held {
    go_on: mpsc::Sender<()>,
    minting: JoinHandle<Result<Inserted, StorageError>>,
}

impl Held {
    async fn after_the_first_step(store: &Arc<SqliteStore>, batch: NewBatch, vouchers: Rows) -> Self {
        let (go_on, held) = mpsc::channel::<()>();
        let (reached, there) = tokio::sync::oneshot::channel();
        let first = Mutex::new(Some((reached, held)));
        let progress = Progress::new(move |_| {
            if let Some((reached, held)) = first.lock().unwrap().take() {
                reached.send(()).unwrap();
                // Whoever holds it may be gone, which lets it go on as well.
                let _ = held.recv();
            }
        });
        let store = Arc::clone(store);
        let vouchers = NewVouchers::from(vouchers).told(Some(progress));
        let minting = tokio::spawn(async move { store.insert_batch(batch, vouchers).await });
        there.await.unwrap();
        Self { go_on, minting }
    }

    async fn go_on(self) -> Result<Inserted, StorageError> {
        self.go_on.send(()).unwrap();
        self.minting.await.unwrap()
    }

    /// Nobody waits for it any more.
    async fn hang_up(self) {
        self.minting.abort();
        drop(self.go_on);
        assert!(self.minting.await.unwrap_err().is_cancelled());
    }
}

fn begin(voucher: VoucherHash, number: u32) -> Begin {
    Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: format!("rdm_{number:026}").parse::<RedemptionId>().unwrap(),
        owner: None,
        now: sample::now() + Duration::hours(number.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_batch_is_seen_before_its_last_step() {
    let file = File::open().await;
    let store = &file.store;
    let (batch, vouchers) = file.large();
    let held = Held::after_the_first_step(store, batch.clone(), vouchers.clone()).await;
    assert!(file.count("voucher") > 0, "some are there, where nobody sees them");

    let hashes: Vec<_> = vouchers.iter().map(|(hash, _)| *hash).collect();
    assert_eq!(store.batch(batch.id).await.unwrap(), None);
    assert_eq!(store.batches(None, 9).await.unwrap(), []);
    assert_eq!(store.labels().await.unwrap(), []);
    assert_eq!(store.secrets_in_use().await.unwrap(), []);
    assert_eq!(store.trail(&hashes).await.unwrap(), None);
    assert_eq!(store.trails_by_mask(vouchers[0].1, 9).await.unwrap(), []);
    assert_eq!(store.void_batch(batch.id, &"lost".parse().unwrap()).await.unwrap(), None);
    assert!(!store.seal_batch(batch.id).await.unwrap());
    assert_eq!(store.seal_batches(sample::now() + Duration::days(9)).await.unwrap(), 0);
    assert_eq!(store.expire_vouchers(sample::now() + Duration::days(9), 99).await.unwrap(), 0);
    for (number, hash) in (1..).zip(&hashes) {
        let begun = store.begin(Begin { now: sample::now(), ..begin(*hash, number) }).await.unwrap();
        assert_eq!(begun, Begun::Refused(Refusal::Unknown));
    }

    assert_eq!(held.go_on().await.unwrap(), Inserted::New);
    let summary = store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!((summary.batch, summary.counts["issued"]), (batch, LARGE.into()));
    assert_eq!(store.batches(None, 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_the_same_meanwhile_is_told_that_it_is_under_way() {
    let file = File::open().await;
    let (batch, vouchers) = file.large();
    let held = Held::after_the_first_step(&file.store, batch.clone(), vouchers.clone()).await;
    // Beside the server, as a command of another process.
    let beside = open(file.directory.path());
    let (again, others) = file.large();
    let same = beside.insert_batch(again.clone(), others.clone().into()).await.unwrap();
    assert_eq!(same, Inserted::InFlight);
    let other_print = NewBatch { idempotency: Some(("key".into(), "other".into())), ..again.clone() };
    let mismatch = beside.insert_batch(other_print, others.clone().into()).await.unwrap();
    assert_eq!(mismatch, Inserted::IdempotencyMismatch);
    for count in [1, 5000] {
        let same_codes = NewBatch { idempotency: None, ..file.large().0 };
        let mut sorted = vouchers.clone();
        sorted.sort_unstable();
        sorted.truncate(count);
        assert_eq!(beside.insert_batch(same_codes, sorted.into()).await.unwrap(), Inserted::InFlight);
    }
    let relabelled = Sku { label: "OTHER".parse().unwrap(), ..file.sku.clone() };
    let refused = beside.put_sku(relabelled, Put::Replace).await.unwrap_err();
    assert!(!matches!(refused, SkuError::Storage(_)), "codes are tagged with the label: {refused:?}");

    assert_eq!(held.go_on().await.unwrap(), Inserted::New);
    let replay = beside.insert_batch(again, others.into()).await.unwrap();
    assert_eq!(replay, Inserted::Replay(Box::new(batch)));
    assert_eq!((file.count("voucher"), file.count("every_batch")), (LARGE, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_nobody_waits_for_leaves_nothing_behind() {
    let file = File::open().await;
    let (batch, vouchers) = file.large();
    let held = Held::after_the_first_step(&file.store, batch.clone(), vouchers).await;
    held.hang_up().await;
    // Stored after what the mint left to be stored.
    file.store.put_sku(file.sku.clone(), Put::Apply).await.unwrap();
    let left = file.count("voucher");
    assert!((1..LARGE).contains(&left), "{left}");
    assert_eq!(file.store.remove_leftovers(sample::now()).await.unwrap(), u64::from(left));
    assert_eq!((file.count("voucher"), file.count("every_batch")), (0, 0));
    let (again, others) = file.large();
    assert_eq!(file.store.insert_batch(again, others.into()).await.unwrap(), Inserted::New);
}

/// As one that is stalled for longer than it may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_was_given_up_finds_that_out() {
    let file = File::open().await;
    let (batch, vouchers) = file.large();
    let held = Held::after_the_first_step(&file.store, batch.clone(), vouchers.clone()).await;
    let beside = open(file.directory.path());
    assert_eq!(beside.remove_leftovers(sample::now() + Duration::seconds(29)).await.unwrap(), 0);
    assert!(file.count("voucher") > 0);
    assert!(beside.remove_leftovers(sample::now() + Duration::hours(1)).await.unwrap() > 0);
    // Takes the number that the first one had.
    let (other, others) = file.large();
    assert_eq!(beside.insert_batch(other.clone(), others.into()).await.unwrap(), Inserted::New);

    let error = held.go_on().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert_eq!(file.store.remove_leftovers(sample::now()).await.unwrap(), 0);
    let summary = file.store.batch(other.id).await.unwrap().unwrap();
    assert_eq!(summary.counts["issued"], u64::from(LARGE));
    assert_eq!((file.count("voucher"), file.count("every_batch")), (LARGE, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_that_goes_off_sale_meanwhile_has_no_vouchers() {
    let file = File::open().await;
    let (batch, vouchers) = file.large();
    let held = Held::after_the_first_step(&file.store, batch, vouchers).await;
    file.store.archive_sku(&file.sku.id).await.unwrap();
    assert_eq!(held.go_on().await.unwrap(), Inserted::NoSku);
    assert_eq!((file.count("voucher"), file.count("every_batch")), (0, 0));
}

/// Counted, not timed: after every step, redemptions begin through the server and through a process beside it, before
/// the next step does.
#[tokio::test(flavor = "multi_thread")]
async fn redemptions_get_their_turn_between_all_steps() {
    const STEPS: u32 = 5;
    let file = File::open().await;
    let (small, some) = sample::batch(&file.sku, 64);
    file.store.insert_batch(small, some.clone().into()).await.unwrap();
    let (batch, vouchers) = sample::batch(&file.sku, 60_000);

    let handle = tokio::runtime::Handle::current();
    let server: Arc<dyn Storage> = Arc::clone(&file.store) as _;
    let beside: Arc<dyn Storage> = Arc::new(open(file.directory.path()));
    let begun = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&begun);
    let progress = Progress::new(move |_| {
        for store in [&server, &beside] {
            let mut number = counter.lock().unwrap();
            let Some((voucher, _)) = some.get(*number as usize) else { return };
            let wish = begin(*voucher, *number + 1);
            let (store, (send, answer)) = (Arc::clone(store), mpsc::channel());
            handle.spawn(async move { send.send(store.begin(wish).await).unwrap() });
            assert!(matches!(answer.recv().unwrap(), Ok(Begun::New(_))));
            *number += 1;
        }
    });
    let vouchers = NewVouchers::from(vouchers).told(Some(progress));
    assert_eq!(file.store.insert_batch(batch, vouchers).await.unwrap(), Inserted::New);
    assert!(*begun.lock().unwrap() >= 2 * STEPS, "{begun:?} redemptions in 60,000 vouchers");
}
