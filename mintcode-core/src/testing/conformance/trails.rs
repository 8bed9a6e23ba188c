//! What support asks.

use super::Subject;
use super::stage::{begun, delivered, failed, minted, post, queued, session, voucher, waiting};
use crate::ports::{Put, RedemptionTrail, VoucherTrail};
use crate::testing::sample;
use crate::voucher::{Mask, VoucherHash};

/// All redemptions, oldest first, with all their attempts.
pub async fn a_trail_tells_everything_about_a_voucher(store: &Subject) {
    let first = queued(store).await;
    let first = failed(store, &waiting(store, &first, "100").await).await;
    let second = begun(store, post(first.voucher, session(1), 200)).await;
    let second = delivered(store, &waiting(store, &second, "101").await).await;

    let trail = store.trail(&[first.voucher]).await.unwrap().unwrap();
    let expected = VoucherTrail {
        voucher: voucher(store, first.voucher).await,
        replaced_by: None,
        redemptions: [&first, &second].map(RedemptionTrail::from).to_vec(),
    };
    assert_eq!(trail, expected);
    assert_eq!(trail.redemptions[0].attempts[0].order, Some(crate::order::OrderId::new("100")));
    assert_eq!(trail.voucher.redemption, Some(second.id));
}

/// A voucher nobody redeemed has a trail too; one nobody minted has none.
pub async fn a_trail_begins_with_minting(store: &Subject) {
    let hash = minted(store, &sample::sku("tg"), 1).await[0];
    let unknown = VoucherHash::from_bytes([9; 16]);
    assert_eq!(store.trail(&[unknown]).await.unwrap(), None);
    assert_eq!(store.trail(&[]).await.unwrap(), None);
    let trail = store.trail(&[unknown, hash]).await.unwrap().unwrap();
    assert_eq!((trail.voucher.hash, trail.redemptions), (hash, vec![]));
}

/// Several vouchers may look alike; others are left out.
pub async fn trails_are_found_by_mask(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    let (batch, mut vouchers) = sample::batch(&sku, 4);
    let rare: Mask = "0123****WXYZ".parse().unwrap();
    vouchers[1].1 = rare;
    vouchers[3].1 = rare;
    store.insert_batch(batch, vouchers.clone().into()).await.unwrap();
    let redeemed = begun(store, post(vouchers[1].0, session(1), 1)).await;

    let trails = store.trails_by_mask(rare, 10).await.unwrap();
    let mut expected =
        [store.trail(&[vouchers[1].0]).await.unwrap(), store.trail(&[vouchers[3].0]).await.unwrap()];
    expected.sort_by_key(|trail| trail.as_ref().map(|trail| trail.voucher.hash));
    assert_eq!(trails.into_iter().map(Some).collect::<Vec<_>>(), expected);
    assert!(
        expected
            .iter()
            .flatten()
            .any(|trail| { trail.redemptions.first().is_some_and(|first| first.id == redeemed.id) })
    );
    assert_eq!(store.trails_by_mask(rare, 1).await.unwrap().len(), 1);
    assert_eq!(store.trails_by_mask("ZZZZ****ZZZZ".parse().unwrap(), 10).await.unwrap(), []);
}
