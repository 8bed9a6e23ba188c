//! A voucher issued in place of a fulfilled one.

use super::Subject;
use super::stage::{begun, delivered, failed, minted, post, queued, rdm, session, voucher, waiting};
use crate::money::Amount;
use crate::ports::{BatchSummary, Inserted, NewBatch};
use crate::testing::sample;
use crate::voucher::{Mask, VoucherEvent, VoucherHash, VoucherState};

/// A batch of one in place of `replaced`, not stored yet.
fn in_place_of(replaced: VoucherHash) -> (NewBatch, Vec<(VoucherHash, Mask)>) {
    let (batch, vouchers) = sample::batch(&sample::sku("tg"), 1);
    (NewBatch { replaces: Some(replaced), ..batch }, vouchers)
}

async fn fulfilled(store: &Subject) -> VoucherHash {
    let first = queued(store).await;
    delivered(store, &waiting(store, &first, "100").await).await;
    first.voucher
}

/// The two know of each other, and the new one is good.
pub async fn a_fulfilled_voucher_is_replaced(store: &Subject) {
    let old = fulfilled(store).await;
    let (batch, vouchers) = in_place_of(old);
    assert_eq!(store.trail(&[old]).await.unwrap().unwrap().replaced_by, None);
    assert_eq!(store.insert_batch(batch.clone(), vouchers.clone().into()).await.unwrap(), Inserted::New);
    let new = vouchers[0].0;
    let trail = store.trail(&[old]).await.unwrap().unwrap();
    assert_eq!((trail.replaced_by, trail.voucher.state), (Some(new), VoucherState::Fulfilled));
    let replacement = voucher(store, new).await;
    assert_eq!((replacement.replaces, replacement.state), (Some(old), VoucherState::Issued));
    let BatchSummary { batch: stored, counts } = store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!(stored, batch);
    assert_eq!(counts["issued"], 1);
}

/// It was paid for with the first one.
pub async fn a_replacement_earns_nothing(store: &Subject) {
    let old = fulfilled(store).await;
    let (batch, vouchers) = in_place_of(old);
    store.insert_batch(batch, vouchers.clone().into()).await.unwrap();
    let redemption = begun(store, post(vouchers[0].0, session(2), 200)).await;
    assert_eq!(redemption.price, Amount::ZERO);
    assert_eq!(store.booked(rdm(200)).await.unwrap(), []);
}

/// Asked again, the batch that replaced it comes back, and no second one is stored.
pub async fn a_voucher_is_replaced_once(store: &Subject) {
    let old = fulfilled(store).await;
    let (batch, vouchers) = in_place_of(old);
    store.insert_batch(batch.clone(), vouchers.into()).await.unwrap();
    for _ in 0..2 {
        let (second, others) = in_place_of(old);
        let replay = store.insert_batch(second.clone(), others.clone().into()).await.unwrap();
        assert_eq!(replay, Inserted::Replay(Box::new(batch.clone())));
        assert_eq!(store.batch(second.id).await.unwrap(), None);
        assert_eq!(store.trail(&[others[0].0]).await.unwrap(), None);
    }
    store.seal_batch(batch.id).await.unwrap();
    let (second, others) = in_place_of(old);
    let replay = store.insert_batch(second, others.into()).await.unwrap();
    assert_eq!(replay, Inserted::Replay(Box::new(NewBatch { nonce: None, ..batch })));
}

/// Of many who replace it at the same moment one does, and all are told the same.
pub async fn many_at_once_replace_a_voucher_once(store: &Subject) {
    let old = fulfilled(store).await;
    let replacing = (0..16).map(|_| {
        let (store, (batch, vouchers)) = (store.clone(), in_place_of(old));
        tokio::spawn(async move {
            let id = batch.id;
            match store.insert_batch(batch, vouchers.into()).await.unwrap() {
                Inserted::New => (id, true),
                Inserted::Replay(earlier) => (earlier.id, false),
                other => panic!("{other:?}"),
            }
        })
    });
    let (mut ids, mut new) = (Vec::new(), 0);
    for replaced in replacing.collect::<Vec<_>>() {
        let (id, is_new) = replaced.await.unwrap();
        new += u32::from(is_new);
        ids.push(id);
    }
    ids.dedup();
    assert_eq!((ids.len(), new), (1, 1));
}

/// Whoever has a voucher that is good, or was not served by it, needs no other one.
pub async fn only_fulfilled_vouchers_are_replaced(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 4).await;
    begun(store, post(vouchers[1], session(1), 1)).await;
    let second = begun(store, post(vouchers[2], session(2), 2)).await;
    failed(store, &waiting(store, &second, "100").await).await;
    let void = VoucherEvent::Void { reason: "lost".parse().unwrap() };
    store.change_voucher(vouchers[3], void).await.unwrap();
    for hash in [vouchers[0], vouchers[1], vouchers[2], vouchers[3], VoucherHash::from_bytes([9; 16])] {
        let (batch, others) = in_place_of(hash);
        let inserted = store.insert_batch(batch.clone(), others.clone().into()).await.unwrap();
        assert_eq!(inserted, Inserted::NotFulfilled, "{hash}");
        assert_eq!(store.batch(batch.id).await.unwrap(), None);
        assert_eq!(store.trail(&[others[0].0]).await.unwrap(), None);
    }
}
