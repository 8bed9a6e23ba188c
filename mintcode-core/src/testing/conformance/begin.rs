//! Beginning a redemption.

use super::Subject;
use super::stage::{
    Picture, at, begun, delivered, end, failed, failure, keyed, minted, one_voucher, ordering, picture, post,
    queued, rdm, refusal, reload, session, stored, voucher, waiting, worker,
};
use crate::money::Currency;
use crate::ports::{Begin, BeginBy, Begun, Put, StorageError};
use crate::redemption::{Holder, Redemption};
use crate::sku::Policy;
use crate::testing::sample;
use crate::voucher::{Refusal, Resting, VoucherHash, VoucherState};

fn again(begin: Begin, of: u32) -> Begin {
    Begin { by: BeginBy::Again(rdm(of)), ..begin }
}

/// The redemption is queued, the voucher locked, and the history has begun.
pub async fn a_voucher_begins_a_redemption(store: &Subject) {
    let sku = sample::sku("tg");
    let hash = minted(store, &sku, 2).await[0];
    let before = voucher(store, hash).await;

    let redemption = begun(store, post(hash, session(1), 1)).await;
    let queued = Redemption::queued(rdm(1), &before, &sku, session(1), Currency::USD, at(1));
    assert_eq!(redemption, Redemption { owner: Some(worker(1)), ..queued });

    let after = picture(store, rdm(1), hash).await;
    assert_eq!(after.redemption.as_ref(), Some(&redemption));
    assert_eq!(after.history, [redemption.snapshot()]);
    let locked = voucher(store, hash).await;
    assert_eq!(locked.state, VoucherState::Locked { from: Resting::Issued });
    assert_eq!(locked.redemption, Some(rdm(1)));
}

/// A redemption may begin where nobody drives it yet.
pub async fn a_redemption_may_begin_without_an_owner(store: &Subject) {
    let hash = one_voucher(store).await;
    let redemption = begun(store, Begin { owner: None, ..post(hash, session(1), 1) }).await;
    assert_eq!((redemption.owner, redemption.epoch, redemption.version), (None, 1, 1));
    assert_eq!(reload(store, rdm(1)).await, redemption);
}

/// The voucher is stored under one of the hashes, whichever secret keyed it.
pub async fn any_of_the_hashes_finds_the_voucher(store: &Subject) {
    let hash = one_voucher(store).await;
    let hashes = vec![VoucherHash::from_bytes([7; 16]), hash];
    let redemption = begun(store, Begin { by: BeginBy::Code(hashes), ..post(hash, session(1), 1) }).await;
    assert_eq!(redemption.voucher, hash);
}

/// A reload of the page, in the same session, starts nothing.
pub async fn the_same_session_gets_the_same_redemption(store: &Subject) {
    let first = queued(store).await;
    let before = picture(store, rdm(1), first.voucher).await;
    let second = store.begin(post(first.voucher, session(1), 2)).await.unwrap();
    assert_eq!(second, Begun::Same(Box::new(first.clone())));
    assert_eq!(store.redemption(rdm(2)).await.unwrap(), None);
    assert_eq!(picture(store, rdm(1), first.voucher).await, before);
}

/// A client that lost the answer asks again with its key.
pub async fn the_same_idempotency_key_gets_the_same_redemption(store: &Subject) {
    let hash = one_voucher(store).await;
    let first = begun(store, post(hash, keyed(1), 1)).await;
    let both = Holder { session: session(5).session, ..keyed(1) };
    assert_eq!(store.begin(post(hash, both, 2)).await.unwrap(), Begun::Same(Box::new(first)));
}

/// What the same holder gets is the redemption as it is by now.
pub async fn the_same_holder_sees_how_far_it_is(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    let again = store.begin(post(first.voucher, session(1), 2)).await.unwrap();
    assert_eq!(again, Begun::Same(Box::new(waiting)));
}

/// Anyone else learns only that the voucher is in use.
pub async fn another_holder_is_told_that_the_voucher_is_busy(store: &Subject) {
    let first = queued(store).await;
    let before = picture(store, rdm(1), first.voucher).await;
    for stranger in [session(2), keyed(1), Holder::default()] {
        assert_eq!(refusal(store, post(first.voucher, stranger, 2)).await, Refusal::Busy);
    }
    assert_eq!(picture(store, rdm(1), first.voucher).await, before);
}

/// A delivered code stays with whoever redeemed it.
pub async fn a_delivered_voucher_is_used_except_for_its_holder(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    let delivered = delivered(store, &waiting).await;
    assert_eq!(refusal(store, post(first.voucher, session(2), 2)).await, Refusal::Used);
    let same = store.begin(post(first.voucher, session(1), 3)).await.unwrap();
    assert_eq!(same, Begun::Same(Box::new(delivered)));
}

/// That the time ran out is stored by whoever notices it.
pub async fn an_expired_voucher_is_stored_as_expired(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Create).await.unwrap();
    let (mut batch, vouchers) = sample::batch(&sku, 1);
    let hash = vouchers[0].0;
    batch.expires_at = Some(at(5));
    store.insert_batch(batch, vouchers.into()).await.unwrap();

    assert_eq!(refusal(store, post(hash, session(1), 5)).await, Refusal::Expired);
    let expired = voucher(store, hash).await;
    assert_eq!(expired.state, VoucherState::Expired { from: Resting::Issued });
    assert_eq!(expired.expires_at, Some(at(5)));
    assert_eq!(expired.redemption, None);
    assert_eq!(refusal(store, post(hash, session(1), 1)).await, Refusal::Expired);
}

/// With all tries used up nothing begins any more.
pub async fn an_exhausted_voucher_is_refused(store: &Subject) {
    let mut sku = sample::sku("tg");
    sku.policy = Policy { max_redemptions: 1, ..Policy::default() };
    let hash = minted(store, &sku, 1).await[0];
    let first = begun(store, post(hash, session(1), 1)).await;
    let waiting = waiting(store, &first, "100").await;
    failed(store, &waiting).await;
    assert_eq!(refusal(store, post(hash, session(1), 200)).await, Refusal::Exhausted);
    assert_eq!(voucher(store, hash).await.tries, 1);
}

/// Between two redemptions there is a pause, to the moment.
pub async fn a_cooling_down_voucher_is_refused_until_then(store: &Subject) {
    let first = queued(store).await;
    failed(store, &first).await;
    let until = at(100);
    assert_eq!(refusal(store, post(first.voucher, session(1), 99)).await, Refusal::CoolingDown { until });
    begun(store, post(first.voucher, session(1), 100)).await;
}

/// A voucher nobody minted.
pub async fn an_unknown_voucher_is_refused(store: &Subject) {
    one_voucher(store).await;
    let unknown = VoucherHash::from_bytes([9; 16]);
    assert_eq!(refusal(store, post(unknown, session(1), 1)).await, Refusal::Unknown);
    assert_eq!(
        refusal(store, Begin { by: BeginBy::Code(vec![]), ..post(unknown, session(1), 1) }).await,
        Refusal::Unknown
    );
}

/// Without a plan that is on, the voucher is not even locked.
pub async fn with_all_plans_off_nothing_begins(store: &Subject) {
    let mut sku = sample::sku("tg");
    sku.plans[0].enabled = false;
    let hash = minted(store, &sku, 1).await[0];
    let before = picture(store, rdm(1), hash).await;
    assert_eq!(refusal(store, post(hash, session(1), 1)).await, Refusal::Unavailable { until: None });
    let alerts = store.alerts(true, 9).await.unwrap();
    assert_eq!(picture(store, rdm(1), hash).await, Picture { alerts, ..before });
}

/// A key that began a redemption of one voucher tells nothing about any other.
pub async fn an_idempotency_key_with_another_voucher_tells_nothing(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 3).await;
    begun(store, post(vouchers[0], keyed(1), 1)).await;
    begun(store, post(vouchers[1], session(1), 2)).await;
    let (busy, good, unknown) = (vouchers[1], vouchers[2], VoucherHash::from_bytes([9; 16]));
    for other in [busy, good, unknown] {
        assert_eq!(refusal(store, post(other, keyed(1), 3)).await, Refusal::IdempotencyMismatch);
    }
    assert_eq!(voucher(store, good).await.state, VoucherState::Issued);
}

/// A key stays with its voucher after the redemption it began.
pub async fn an_idempotency_key_outlives_its_redemption(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 2).await;
    let first = begun(store, post(vouchers[0], keyed(1), 1)).await;
    failed(store, &first).await;
    assert_eq!(refusal(store, post(vouchers[1], keyed(1), 200)).await, Refusal::IdempotencyMismatch);
    begun(store, post(vouchers[0], keyed(1), 201)).await;
}

/// A refused request can be sent again for another voucher.
pub async fn a_refused_request_leaves_no_key_behind(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 2).await;
    begun(store, post(vouchers[0], session(1), 1)).await;
    assert_eq!(refusal(store, post(vouchers[0], keyed(1), 2)).await, Refusal::Busy);
    begun(store, post(vouchers[1], keyed(1), 3)).await;
}

/// The holder of a failed redemption begins another by its id, and the two are linked.
pub async fn a_failed_redemption_is_followed_by_another(store: &Subject) {
    let first = queued(store).await;
    let failed = failed(store, &first).await;
    let second = begun(store, again(post(first.voucher, session(1), 200), 1)).await;
    assert_eq!((second.id, second.voucher, &second.holder), (rdm(200), first.voucher, &session(1)));
    assert_eq!(reload(store, rdm(1)).await, Redemption { next: Some(rdm(200)), ..failed });
    assert_eq!(second.next, None);
}

/// The holder's posting the code again after a failure does the same.
pub async fn the_code_posted_again_follows_the_failed_redemption(store: &Subject) {
    let first = queued(store).await;
    failed(store, &first).await;
    begun(store, post(first.voucher, session(1), 200)).await;
    assert_eq!(reload(store, rdm(1)).await.next, Some(rdm(200)));
}

/// Whoever had the voucher before is not led to what another holder gets for it.
pub async fn another_holders_redemption_follows_nobodys(store: &Subject) {
    let first = queued(store).await;
    failed(store, &first).await;
    begun(store, post(first.voucher, session(2), 200)).await;
    assert_eq!(reload(store, rdm(1)).await.next, None);
}

/// While a redemption runs there is nothing to try again.
pub async fn a_running_redemption_cannot_be_tried_again(store: &Subject) {
    let first = queued(store).await;
    assert_eq!(refusal(store, again(post(first.voucher, session(1), 2), 1)).await, Refusal::NotAllowed);
}

/// An id nobody has.
pub async fn an_unknown_redemption_cannot_be_tried_again(store: &Subject) {
    let first = queued(store).await;
    assert_eq!(refusal(store, again(post(first.voucher, session(1), 2), 7)).await, Refusal::NoRedemption);
}

/// The next redemption knows what the earlier ones used up, and where they ended.
pub async fn a_later_redemption_knows_the_earlier_ones(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    stored(store, failure(&waiting), vec![end(&waiting, Some(sample::plan_id("A")))]).await;
    let second = begun(store, post(first.voucher, session(1), 200)).await;
    assert_eq!((second.tries_before, second.buys_before), (1, 1));
    assert_eq!(second.start_behind, Some(sample::plan_id("A")));
}

/// A voucher's own end is set by its first redemption and never moved by a later one.
pub async fn the_first_redemption_sets_the_vouchers_end(store: &Subject) {
    let first = queued(store).await;
    let end = at(1) + Policy::default().voucher_lifetime;
    assert_eq!(voucher(store, first.voucher).await.expires_at, Some(end));
    failed(store, &first).await;
    begun(store, post(first.voucher, session(1), 200)).await;
    assert_eq!(voucher(store, first.voucher).await.expires_at, Some(end));
}

/// An id that is in use already begins nothing.
pub async fn an_id_in_use_is_a_conflict(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 2).await;
    begun(store, post(vouchers[0], session(1), 1)).await;
    let before = picture(store, rdm(1), vouchers[1]).await;
    let error = store.begin(post(vouchers[1], keyed(2), 1)).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
    assert_eq!(picture(store, rdm(1), vouchers[1]).await, before);
    // Nor did it leave its key behind.
    assert_eq!(refusal(store, post(vouchers[0], keyed(2), 2)).await, Refusal::Busy);
}

/// However many post one voucher at the same moment, one redemption begins.
pub async fn sixty_four_at_once_begin_one_redemption(store: &Subject) {
    let hash = one_voucher(store).await;
    let posts = (1..=64_u8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.begin(post(hash, session(number), number.into())).await.unwrap() })
    });
    let (mut new, mut busy) = (0, 0);
    for answer in posts.collect::<Vec<_>>() {
        match answer.await.unwrap() {
            Begun::New(_) => new += 1,
            Begun::Refused(Refusal::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, busy), (1, 63));
    assert_eq!(store.trail(&[hash]).await.unwrap().unwrap().redemptions.len(), 1);
}

/// The number of the voucher's purchases counts also when nothing came of them.
pub async fn purchases_are_counted_on_the_voucher(store: &Subject) {
    let first = queued(store).await;
    let tried = ordering(store, &first).await;
    assert_eq!(voucher(store, first.voucher).await.buys, 1);
    failed(store, &tried).await;
    let after = voucher(store, first.voucher).await;
    assert_eq!((after.buys, after.tries, after.state), (1, 0, VoucherState::RetryableFailed));
}
