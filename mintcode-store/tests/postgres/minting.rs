//! Large batches: copied within one transaction, and seen by nobody before its end.

use std::sync::{Arc, Mutex, mpsc};

use mintcode_core::ports::{
    Catalogue, Inserted, NewBatch, NewVouchers, Progress, Put, StorageError, Vouchers,
};
use mintcode_core::testing::sample;
use mintcode_store::PostgresStore;
use tokio::task::JoinHandle;

use crate::server::{connect, open, schema};
use crate::stage::begun;

/// Vouchers of a batch that is on its way for a while.
const LARGE: u32 = 30_000;

/// A mint that stands still after some vouchers until it is let go on.
struct Held {
    go_on: mpsc::Sender<()>,
    minting: JoinHandle<Result<Inserted, StorageError>>,
}

impl Held {
    async fn half_way(store: &Arc<PostgresStore>, batch: NewBatch, vouchers: NewVouchers) -> Self {
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
        let minting =
            tokio::spawn(async move { store.insert_batch(batch, vouchers.told(Some(progress))).await });
        there.await.unwrap();
        Self { go_on, minting }
    }

    async fn go_on(self) -> Result<Inserted, StorageError> {
        self.go_on.send(()).unwrap();
        self.minting.await.unwrap()
    }
}

fn keyed(batch: NewBatch) -> NewBatch {
    NewBatch { idempotency: Some(("key".to_owned(), "print".to_owned())), ..batch }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_under_way_is_seen_by_nobody_and_in_nobodys_way() {
    let url = schema().await;
    let (store, beside) = (Arc::new(open(&url).await), open(&url).await);
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (small, some) = sample::batch(&sku, 3);
    store.insert_batch(small, some.clone().into()).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, LARGE);
    let (batch, mask) = (keyed(batch), vouchers[0].1);
    let hashes: Vec<_> = vouchers.iter().map(|(hash, _)| *hash).collect();
    let held = Held::half_way(&store, batch.clone(), vouchers.clone().into()).await;

    assert_eq!(beside.batch(batch.id).await.unwrap(), None);
    assert_eq!(beside.batches(None, 9).await.unwrap().len(), 1);
    assert_eq!(beside.trail(&hashes).await.unwrap(), None);
    assert_eq!(beside.trails_by_mask(mask, 9).await.unwrap().len(), 3);
    for (number, (hash, _)) in some.iter().enumerate() {
        begun(&beside, *hash, number).await.unwrap();
    }
    let (again, others) = sample::batch(&sku, LARGE);
    let answer = beside.insert_batch(keyed(again.clone()), others.clone().into()).await.unwrap();
    assert_eq!(answer, Inserted::InFlight);
    let (import, _) = sample::batch(&sku, 1);
    let mut sorted = vouchers;
    sorted.sort_unstable();
    let same_codes = beside.insert_batch(import, vec![sorted[0]].into()).await.unwrap();
    assert_eq!(same_codes, Inserted::InFlight);

    assert_eq!(held.go_on().await.unwrap(), Inserted::New);
    let summary = beside.batch(batch.id).await.unwrap().unwrap();
    assert_eq!((summary.batch.clone(), summary.counts["issued"]), (batch, LARGE.into()));
    let replay = beside.insert_batch(keyed(again), others.into()).await.unwrap();
    assert_eq!(replay, Inserted::Replay(Box::new(summary.batch)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_half_way_leaves_nothing() {
    let url = schema().await;
    let store = Arc::new(open(&url).await);
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, LARGE);
    let hashes: Vec<_> = vouchers.iter().map(|(hash, _)| *hash).collect();
    let held = Held::half_way(&store, keyed(batch.clone()), vouchers.clone().into()).await;
    let raw = connect(&url).await;
    let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_progress_copy
               WHERE relid = 'voucher'::regclass";
    assert!(raw.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));

    assert!(matches!(held.go_on().await, Err(StorageError::Unavailable(_))));
    assert_eq!(store.batch(batch.id).await.unwrap(), None);
    assert_eq!(store.trail(&hashes).await.unwrap(), None);
    let again = store.insert_batch(keyed(batch), vouchers.into()).await.unwrap();
    assert_eq!(again, Inserted::New);
}
