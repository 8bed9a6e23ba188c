//! Minting, and what is known of what was minted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Subject;
use super::stage::{at, begun, delivered, failed, keyed, minted, post, session, voucher, waiting};
use crate::ids::BatchId;
use crate::ports::vouchers::SecretUse;
use crate::ports::{BatchSummary, Inserted, NewBatch, NewVouchers, Progress, Put, StorageError};
use crate::sku::Sku;
use crate::testing::sample;
use crate::voucher::{KeyId, Mask, Shape, VoidReason, Voucher, VoucherHash, VoucherState};

/// Vouchers of a batch that a storage may take in steps.
const LARGE: u32 = 9000;

/// Stores the SKU, and makes a batch of it that is not stored yet.
async fn fresh(store: &Subject, count: u32) -> (Sku, NewBatch, Vec<(VoucherHash, Mask)>) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    (sku, batch, vouchers)
}

fn counts(some: &[(&'static str, u64)]) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<_, _> = VoucherState::NAMES.map(|name| (name, 0)).into();
    counts.extend(some.iter().copied());
    counts
}

async fn is_empty(store: &Subject, id: BatchId, vouchers: &[(VoucherHash, Mask)]) -> bool {
    let hashes: Vec<_> = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.batch(id).await.unwrap().is_none() && store.trail(&hashes).await.unwrap().is_none()
}

/// Batch and vouchers come back as they were given.
pub async fn a_batch_is_read_back_whole(store: &Subject) {
    let (sku, batch, vouchers) = fresh(store, 20).await;
    let batch = NewBatch {
        shape: Shape::new(40, 7, 3).unwrap(),
        expires_at: Some(at(86_400)),
        note: Some("for the shop · 店".into()),
        idempotency: Some(("key".into(), "fingerprint".into())),
        ..batch
    };
    let inserted = store.insert_batch(batch.clone(), vouchers.clone().into()).await.unwrap();
    assert_eq!(inserted, Inserted::New);
    let summary = BatchSummary { batch: batch.clone(), counts: counts(&[("issued", 20)]) };
    assert_eq!(store.batch(batch.id).await.unwrap(), Some(summary));
    for (hash, mask) in vouchers {
        let expected = Voucher {
            hash,
            key_id: batch.key_id,
            mask,
            batch: batch.id,
            sku: sku.id.clone(),
            state: VoucherState::Issued,
            tries: 0,
            buys: 0,
            expires_at: Some(at(86_400)),
            ready_at: None,
            start_behind: None,
            redemption: None,
            void: None,
            reset_wished: false,
            replaces: None,
        };
        assert_eq!(voucher(store, hash).await, expected);
    }
}

/// Codes that exist are named by their place, and none of the others is stored.
pub async fn a_batch_with_known_codes_is_not_stored(store: &Subject) {
    let (_, first, known) = fresh(store, 3).await;
    store.insert_batch(first, known.clone().into()).await.unwrap();
    let (_, second, mut vouchers) = fresh(store, 5).await;
    vouchers[1] = known[2];
    vouchers[4] = known[0];
    let inserted = store.insert_batch(second.clone(), vouchers.clone().into()).await.unwrap();
    assert_eq!(inserted, Inserted::Duplicate(vec![1, 4]));
    let new = [vouchers[0], vouchers[2], vouchers[3]];
    assert!(is_empty(store, second.id, &new).await);
    assert_eq!(store.insert_batch(second, new.to_vec().into()).await.unwrap(), Inserted::New);
}

/// Without a SKU on sale nothing is minted.
pub async fn nothing_is_minted_without_a_sku_on_sale(store: &Subject) {
    let (orphan, vouchers) = sample::batch(&sample::sku("nope"), 1);
    assert_eq!(store.insert_batch(orphan.clone(), vouchers.clone().into()).await.unwrap(), Inserted::NoSku);
    assert!(is_empty(store, orphan.id, &vouchers).await);

    let (sku, batch, vouchers) = fresh(store, 1).await;
    store.archive_sku(&sku.id).await.unwrap();
    assert_eq!(store.insert_batch(batch.clone(), vouchers.clone().into()).await.unwrap(), Inserted::NoSku);
    assert!(is_empty(store, batch.id, &vouchers).await);
}

/// Codes tagged with a label that the SKU does not have any more could not be told apart.
pub async fn a_batch_of_another_label_is_a_conflict(store: &Subject) {
    let (sku, batch, vouchers) = fresh(store, 1).await;
    store.put_sku(Sku { label: "OTHER".parse().unwrap(), ..sku }, Put::Replace).await.unwrap();
    let error = store.insert_batch(batch.clone(), vouchers.clone().into()).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
    assert!(is_empty(store, batch.id, &vouchers).await);
}

/// An id that is in use already mints nothing.
pub async fn a_batch_id_in_use_is_a_conflict(store: &Subject) {
    let (_, first, vouchers) = fresh(store, 1).await;
    store.insert_batch(first.clone(), vouchers.into()).await.unwrap();
    let (_, second, others) = fresh(store, 1).await;
    let error =
        store.insert_batch(NewBatch { id: first.id, ..second }, others.clone().into()).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
    assert_eq!(store.trail(&[others[0].0]).await.unwrap(), None);
}

/// However many vouchers a batch has, all of them are stored, and whoever waits is told of each.
pub async fn a_large_batch_is_read_back_whole(store: &Subject) {
    let (_, batch, vouchers) = fresh(store, LARGE).await;
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    let progress = Progress::new(move |more| {
        counter.fetch_add(more, Ordering::Relaxed);
    });
    let large = NewVouchers::from(vouchers.clone()).told(Some(progress));
    assert_eq!(store.insert_batch(batch.clone(), large).await.unwrap(), Inserted::New);
    assert_eq!(told.load(Ordering::Relaxed), vouchers.len());
    let summary = BatchSummary { batch: batch.clone(), counts: counts(&[("issued", LARGE.into())]) };
    assert_eq!(store.batches(None, 9).await.unwrap(), [summary]);
    for (hash, mask) in vouchers.into_iter().step_by(997) {
        let stored = voucher(store, hash).await;
        assert_eq!((stored.mask, stored.batch, stored.state), (mask, batch.id, VoucherState::Issued));
    }
    let reason = VoidReason::default();
    assert_eq!(store.void_batch(batch.id, &reason).await.unwrap(), Some(LARGE.into()));
}

/// One code that exists keeps a large batch from being stored; nothing of it is in anybody's way afterwards.
pub async fn a_large_batch_with_known_codes_is_not_stored(store: &Subject) {
    let (_, first, known) = fresh(store, 2).await;
    store.insert_batch(first.clone(), known.clone().into()).await.unwrap();
    let (_, second, mut vouchers) = fresh(store, LARGE).await;
    let second = NewBatch { idempotency: Some(("key".into(), "print".into())), ..second };
    let new = vouchers.clone();
    let last = vouchers.len() - 1;
    vouchers[3] = known[1];
    vouchers[last] = known[0];
    let inserted = store.insert_batch(second.clone(), vouchers.into()).await.unwrap();
    assert_eq!(inserted, Inserted::Duplicate(vec![3, last]));
    assert!(is_empty(store, second.id, &new).await);
    let listed: Vec<_> = store.batches(None, 9).await.unwrap().into_iter().map(|it| it.batch.id).collect();
    assert_eq!(listed, [first.id]);
    assert_eq!(store.insert_batch(second, new.into()).await.unwrap(), Inserted::New);
}

/// Of many that send the same large request at once, one mints; the others are told to wait, or get what it minted.
pub async fn a_large_request_sent_many_times_at_once_is_minted_once(store: &Subject) {
    let (sku, _, _) = fresh(store, 1).await;
    let senders = (0..4).map(|_| {
        let (batch, vouchers) = sample::batch(&sku, LARGE);
        let batch = NewBatch { idempotency: Some(("key".into(), "print".into())), ..batch };
        let store = Arc::clone(store);
        tokio::spawn(async move { (batch.id, store.insert_batch(batch, vouchers.into()).await.unwrap()) })
    });
    let mut minted = Vec::new();
    let mut replayed = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        match sender.await.unwrap() {
            (id, Inserted::New) => minted.push(id),
            (_, Inserted::Replay(batch)) => replayed.push(batch.id),
            (_, Inserted::InFlight) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!(minted.len(), 1);
    assert!(replayed.iter().all(|id| *id == minted[0]), "{replayed:?}");
    let listed: Vec<_> = store.batches(None, 9).await.unwrap().into_iter().map(|it| it.batch.id).collect();
    assert_eq!(listed, minted);
}

/// Where no minting died, nothing is left of any, and nothing is removed.
pub async fn nothing_is_left_of_batches_that_are_whole(store: &Subject) {
    let (_, batch, vouchers) = fresh(store, LARGE).await;
    store.insert_batch(batch.clone(), vouchers.into()).await.unwrap();
    assert_eq!(store.remove_leftovers(at(1_000_000)).await.unwrap(), 0);
    let summary = store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!(summary.counts, counts(&[("issued", LARGE.into())]));
}

/// The same request again is answered with the batch there is, even when its SKU is gone or the batch sealed.
pub async fn the_same_minting_request_is_a_replay(store: &Subject) {
    let (sku, first, vouchers) = fresh(store, 2).await;
    let first = NewBatch { idempotency: Some(("key".into(), "print".into())), ..first };
    store.insert_batch(first.clone(), vouchers.into()).await.unwrap();

    let (_, second, others) = fresh(store, 2).await;
    let second = NewBatch { idempotency: first.idempotency.clone(), ..second };
    let replay = store.insert_batch(second.clone(), others.clone().into()).await.unwrap();
    assert_eq!(replay, Inserted::Replay(Box::new(first.clone())));
    assert!(is_empty(store, second.id, &others).await);

    store.archive_sku(&sku.id).await.unwrap();
    store.seal_batch(first.id).await.unwrap();
    let replay = store.insert_batch(second, others.into()).await.unwrap();
    assert_eq!(replay, Inserted::Replay(Box::new(NewBatch { nonce: None, ..first })));
}

/// The same key for another request mints nothing.
pub async fn another_request_with_the_same_key_is_a_mismatch(store: &Subject) {
    let (_, first, vouchers) = fresh(store, 2).await;
    let keyed = |print: &str| Some(("key".to_owned(), print.to_owned()));
    store.insert_batch(NewBatch { idempotency: keyed("one"), ..first }, vouchers.into()).await.unwrap();
    let (_, second, others) = fresh(store, 3).await;
    let second = NewBatch { idempotency: keyed("two"), ..second };
    assert_eq!(
        store.insert_batch(second.clone(), others.clone().into()).await.unwrap(),
        Inserted::IdempotencyMismatch
    );
    assert!(is_empty(store, second.id, &others).await);
}

/// A refused minting request can be sent again with its key.
pub async fn a_refused_batch_leaves_no_key_behind(store: &Subject) {
    let (sku, batch, vouchers) = fresh(store, 1).await;
    let batch = NewBatch { idempotency: Some(("key".into(), "print".into())), ..batch };
    store.archive_sku(&sku.id).await.unwrap();
    assert_eq!(store.insert_batch(batch.clone(), vouchers.clone().into()).await.unwrap(), Inserted::NoSku);
    store.put_sku(sku, Put::Replace).await.unwrap();
    assert_eq!(store.insert_batch(batch, vouchers.into()).await.unwrap(), Inserted::New);
}

/// Every state's name is there, and each voucher is counted where it is.
pub async fn a_batch_is_counted_by_state(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 5).await;
    minted(store, &sample::sku("wa"), 2).await;
    begun(store, post(vouchers[0], session(1), 1)).await;
    let second = begun(store, post(vouchers[1], session(2), 2)).await;
    let number = waiting(store, &second, "100").await;
    let third = begun(store, post(vouchers[2], keyed(3), 3)).await;
    delivered(store, &waiting(store, &third, "101").await).await;
    let id = voucher(store, vouchers[0]).await.batch;
    let summary = store.batch(id).await.unwrap().unwrap();
    let expected = [("issued", 2), ("locked", 1), ("redeeming", 1), ("fulfilled", 1)];
    assert_eq!(summary.counts, counts(&expected));

    failed(store, &number).await;
    let summary = store.batch(id).await.unwrap().unwrap();
    let expected = [("issued", 2), ("locked", 1), ("retryable_failed", 1), ("fulfilled", 1)];
    assert_eq!(summary.counts, counts(&expected));
}

/// Sealing destroys the nonce and nothing else, once and for all.
pub async fn a_sealed_batch_has_no_nonce(store: &Subject) {
    let (_, batch, vouchers) = fresh(store, 2).await;
    store.insert_batch(batch.clone(), vouchers.into()).await.unwrap();
    for _ in 0..2 {
        assert!(store.seal_batch(batch.id).await.unwrap());
        let sealed = NewBatch { nonce: None, ..batch.clone() };
        assert_eq!(store.batch(batch.id).await.unwrap().unwrap().batch, sealed);
    }
    let (_, unknown, _) = fresh(store, 1).await;
    assert!(!store.seal_batch(unknown.id).await.unwrap());
}

/// Old batches are sealed together, to the moment.
pub async fn batches_of_a_certain_age_are_sealed(store: &Subject) {
    let mut ids = Vec::new();
    for seconds in [10, 20, 30] {
        let (_, batch, vouchers) = fresh(store, 1).await;
        ids.push(batch.id);
        store.insert_batch(NewBatch { minted_at: at(seconds), ..batch }, vouchers.into()).await.unwrap();
    }
    assert_eq!(store.seal_batches(at(20)).await.unwrap(), 1);
    assert_eq!(store.seal_batches(at(20)).await.unwrap(), 0);
    let mut sealed = Vec::new();
    for id in &ids {
        sealed.push(store.batch(*id).await.unwrap().unwrap().batch.nonce.is_none());
    }
    assert_eq!(sealed, [true, false, false]);
    assert_eq!(store.seal_batches(at(31)).await.unwrap(), 2);
}

/// Newest first, page by page.
pub async fn batches_are_listed_newest_first(store: &Subject) {
    let mut ids = Vec::new();
    for seconds in 0..5 {
        let (_, batch, vouchers) = fresh(store, 1).await;
        ids.insert(0, batch.id);
        store.insert_batch(NewBatch { minted_at: at(seconds), ..batch }, vouchers.into()).await.unwrap();
    }
    let page = async |before, limit| {
        let page: Vec<BatchSummary> = store.batches(before, limit).await.unwrap();
        page.into_iter().map(|summary| summary.batch.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(ids[1]), 2).await, ids[2..4]);
    assert_eq!(page(Some(ids[3]), 2).await, ids[4..]);
    assert_eq!(page(Some(ids[4]), 2).await, []);
    let (_, unknown, _) = fresh(store, 1).await;
    assert_eq!(page(Some(unknown.id), 2).await, []);
    let newest = store.batches(None, 1).await.unwrap().remove(0);
    assert_eq!(newest.counts, counts(&[("issued", 1)]));
}

/// Each pair of label and shape once, however many batches have it.
pub async fn labels_are_told_once(store: &Subject) {
    assert_eq!(store.labels().await.unwrap(), []);
    let wide = Shape::new(40, 6, 8).unwrap();
    for (sku, shape) in [("b", wide), ("a", Shape::default()), ("a", Shape::default()), ("a", wide)] {
        let sku = sample::sku(sku);
        store.put_sku(sku.clone(), Put::Apply).await.unwrap();
        let (batch, vouchers) = sample::batch(&sku, 1);
        store.insert_batch(NewBatch { shape, ..batch }, vouchers.into()).await.unwrap();
    }
    let mut labels = store.labels().await.unwrap();
    labels.sort();
    let (a, b) = (sample::sku("a").label, sample::sku("b").label);
    assert_eq!(labels, [(a.clone(), Shape::default()), (a, wide), (b, wide)]);
}

/// Counted by secret: vouchers that can be redeemed, and batches that are not sealed.
pub async fn secrets_are_needed_while_vouchers_live_or_codes_can_be_had(store: &Subject) {
    assert_eq!(store.secrets_in_use().await.unwrap(), []);
    let [old, new] = [[1; 4], [2; 4]].map(KeyId::from_bytes);
    let mut ids = Vec::new();
    for (secret, count) in [(old, 3), (new, 2), (old, 1)] {
        let (_, batch, vouchers) = fresh(store, count).await;
        ids.push(batch.id);
        store.insert_batch(NewBatch { key_id: secret, ..batch }, vouchers.into()).await.unwrap();
    }
    let needed =
        |secret, live_vouchers, unsealed_batches| SecretUse { secret, live_vouchers, unsealed_batches };
    assert_eq!(store.secrets_in_use().await.unwrap(), [needed(old, 4, 2), needed(new, 2, 1)]);
    store.void_batch(ids[0], &VoidReason::default()).await.unwrap();
    store.seal_batch(ids[2]).await.unwrap();
    assert_eq!(store.secrets_in_use().await.unwrap(), [needed(old, 1, 1), needed(new, 2, 1)]);
    for id in &ids {
        store.seal_batch(*id).await.unwrap();
    }
    assert_eq!(store.secrets_in_use().await.unwrap(), [needed(old, 1, 0), needed(new, 2, 0)]);
    store.void_batch(ids[2], &VoidReason::default()).await.unwrap();
    assert_eq!(store.secrets_in_use().await.unwrap(), [needed(new, 2, 0)]);
}
