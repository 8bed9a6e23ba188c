//! What operators change about vouchers: at once where they rest, and as a wish while a redemption runs.

use super::Subject;
use super::stage::{
    Picture, at, begun, delivered, end, failed, failure, minted, one_voucher, ordering, picture, post,
    queued, rdm, refusal, reload, session, stored, voucher, waiting, worker,
};
use crate::ids::BatchId;
use crate::ports::{Begun, ChangeError, Inbox, InboxItem, NewBatch, Put};
use crate::redemption::Wish;
use crate::sku::Policy;
use crate::testing::sample;
use crate::voucher::{Refusal, Resting, VoidReason, VoucherEvent, VoucherHash, VoucherState};

fn reason(reason: &str) -> VoidReason {
    reason.parse().unwrap()
}

fn void(why: &str) -> VoucherEvent {
    VoucherEvent::Void { reason: reason(why) }
}

fn extend(seconds: i64) -> VoucherEvent {
    VoucherEvent::Extend { expires_at: at(seconds) }
}

/// Takes an issued voucher to the state of that name, by redemption `number` where it needs one.
async fn stands(store: &Subject, hash: VoucherHash, number: u8, state: &str) {
    let begin = || post(hash, session(number), number.into());
    let order = (1_000 + u32::from(number)).to_string();
    match state {
        "issued" => {}
        "locked" => drop(begun(store, begin()).await),
        "redeeming" => drop(ordering(store, &begun(store, begin()).await).await),
        "retryable_failed" => {
            let waiting = waiting(store, &begun(store, begin()).await, &order).await;
            failed(store, &waiting).await;
        }
        "fulfilled" => {
            let waiting = waiting(store, &begun(store, begin()).await, &order).await;
            delivered(store, &waiting).await;
        }
        "expired" => {
            store.change_voucher(hash, extend(0)).await.unwrap();
            assert_eq!(store.expire_vouchers(at(0), 100).await.unwrap(), 1);
        }
        "cancelled" => drop(store.change_voucher(hash, void("lost")).await.unwrap()),
        other => panic!("{other} is no state"),
    }
    assert_eq!(voucher(store, hash).await.state.name(), state);
}

/// Whatever the machine says of a state and a wish is what is stored: the changed voucher, or nothing at all.
pub async fn every_wish_is_granted_or_refused_by_where_the_voucher_stands(store: &Subject) {
    let wishes = [void("refunded · 退款"), extend(700_000), VoucherEvent::Reset];
    let vouchers = minted(store, &sample::sku("tg"), 21).await;
    let mut granted = 0;
    let cases = VoucherState::NAMES.iter().flat_map(|state| wishes.iter().map(move |wish| (state, wish)));
    for ((hash, number), (state, wish)) in vouchers.into_iter().zip(1..).zip(cases) {
        stands(store, hash, number, state).await;
        let id = rdm(number.into());
        let before: Picture = picture(store, id, hash).await;
        let expected = voucher(store, hash).await.apply(wish.clone());
        match (store.change_voucher(hash, wish.clone()).await, expected) {
            (Ok(changed), Ok(expected)) => {
                assert_eq!(changed, expected, "{state} {wish:?}");
                assert_eq!(voucher(store, hash).await, expected, "{state} {wish:?}");
                granted += 1;
            }
            (Err(ChangeError::NotAllowed(refused)), Err(expected)) => {
                assert_eq!(refused, expected);
                assert_eq!(picture(store, id, hash).await, before, "{state} {wish:?}");
            }
            (found, expected) => panic!("{state} {wish:?}: {found:?} instead of {expected:?}"),
        }
    }
    assert_eq!(granted, 5 + 5 + 5, "void, extend and reset");
}

/// A voucher nobody minted.
pub async fn an_unknown_voucher_cannot_be_changed(store: &Subject) {
    one_voucher(store).await;
    let unknown = VoucherHash::from_bytes([9; 16]);
    let error = store.change_voucher(unknown, VoucherEvent::Reset).await.unwrap_err();
    assert!(matches!(error, ChangeError::NoVoucher), "{error:?}");
}

/// A redemption that runs is asked to stop, and when it has stopped the voucher is cancelled, for the reason given.
pub async fn a_void_in_mid_run_asks_the_run_to_stop(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 3).await;
    for (hash, number, state) in [(vouchers[0], 1, "locked"), (vouchers[1], 2, "redeeming")] {
        stands(store, hash, number, state).await;
        store.change_voucher(hash, void("refunded")).await.unwrap();
        let id = rdm(number.into());
        let told: Vec<_> = store.inbox(id).await.unwrap().into_iter().map(|item| item.item).collect();
        assert_eq!(told, [Inbox::Wish(Wish::Cancel)], "{state}");
        let wished = voucher(store, hash).await;
        assert_eq!((wished.state.name(), wished.void), (state, Some(reason("refunded"))));

        failed(store, &reload(store, id).await).await;
        let ended = voucher(store, hash).await;
        assert_eq!((ended.state, ended.void), (VoucherState::Cancelled, Some(reason("refunded"))));
        assert_eq!(refusal(store, post(hash, session(1), 200)).await, Refusal::Cancelled);
    }
    stands(store, vouchers[2], 3, "issued").await;
    store.change_voucher(vouchers[2], void("refunded")).await.unwrap();
    assert_eq!(store.inboxes(worker(1), 9).await.unwrap(), [rdm(1), rdm(2)], "nobody else is asked");
}

/// A code that comes all the same is delivered, and the wish is void.
pub async fn a_void_in_mid_run_yields_to_a_delivery(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    store.change_voucher(first.voucher, void("lost")).await.unwrap();
    delivered(store, &waiting).await;
    let after = voucher(store, first.voucher).await;
    assert_eq!((after.state, after.void), (VoucherState::Fulfilled, None));
}

/// An end that comes while a redemption runs is applied when that is over, and it is the end that then holds.
pub async fn an_end_in_mid_run_is_applied_when_the_run_ends(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 3).await;
    for (hash, number, end_at, expected) in [
        (vouchers[0], 1, 0, VoucherState::Expired { from: Resting::RetryableFailed }),
        (vouchers[1], 2, 9_000, VoucherState::RetryableFailed),
    ] {
        stands(store, hash, number, "redeeming").await;
        store.change_voucher(hash, extend(end_at)).await.unwrap();
        assert_eq!(store.inbox(rdm(number.into())).await.unwrap(), [] as [InboxItem; 0]);
        assert_eq!(store.expire_vouchers(at(100), 100).await.unwrap(), 0, "its redemption still runs");
        failed(store, &reload(store, rdm(number.into())).await).await;
        assert_eq!(voucher(store, hash).await.state, expected);
    }
}

/// An extended voucher is as good as it was before its time ran out.
pub async fn an_expired_voucher_is_good_again_once_extended(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 2).await;
    stands(store, vouchers[1], 1, "retryable_failed").await;
    for (hash, state, number) in
        [(vouchers[0], VoucherState::Issued, 200), (vouchers[1], VoucherState::RetryableFailed, 201)]
    {
        store.change_voucher(hash, extend(150)).await.unwrap();
        assert_eq!(refusal(store, post(hash, session(1), number)).await, Refusal::Expired);
        let extended = store.change_voucher(hash, extend(9_000)).await.unwrap();
        assert_eq!((extended.state, extended.expires_at), (state, Some(at(9_000))));
        begun(store, post(hash, session(1), number)).await;
    }
}

/// All tries and purchases are given back, and nothing has to cool down.
pub async fn a_reset_gives_all_tries_back(store: &Subject) {
    let mut sku = sample::sku("tg");
    sku.policy = Policy { max_redemptions: 1, ..Policy::default() };
    let hash = minted(store, &sku, 1).await[0];
    stands(store, hash, 1, "retryable_failed").await;
    assert_eq!(refusal(store, post(hash, session(1), 50)).await, Refusal::Exhausted);
    let reset = store.change_voucher(hash, VoucherEvent::Reset).await.unwrap();
    assert_eq!((reset.tries, reset.buys, reset.ready_at), (0, 0, None));
    let second = begun(store, post(hash, session(1), 50)).await;
    assert_eq!((second.tries_before, second.buys_before), (0, 0));
}

/// Whichever comes first, a voucher that is taken back while someone begins to redeem it ends cancelled.
pub async fn a_void_and_a_beginning_at_once_do_not_miss_each_other(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 24).await;
    for (hash, number) in vouchers.into_iter().zip(1..) {
        let beginning = {
            let store = store.clone();
            tokio::spawn(
                async move { store.begin(post(hash, session(number), number.into())).await.unwrap() },
            )
        };
        store.change_voucher(hash, void("lost")).await.unwrap();
        match beginning.await.unwrap() {
            Begun::New(redemption) => {
                let told = store.inbox(redemption.id).await.unwrap();
                assert_eq!(told.len(), 1, "a redemption runs for a voucher that was taken back");
                failed(store, &redemption).await;
            }
            other => assert_eq!(other, Begun::Refused(Refusal::Cancelled)),
        }
        assert_eq!(voucher(store, hash).await.state, VoucherState::Cancelled);
    }
}

/// What was never redeemed is taken back, whatever else became of the batch stays.
pub async fn a_batch_is_taken_back_where_it_was_never_redeemed(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 9).await;
    let other = minted(store, &sample::sku("tg"), 1).await[0];
    for ((hash, number), state) in vouchers.iter().zip(1..).zip(VoucherState::NAMES) {
        stands(store, *hash, number, state).await;
    }
    let batch = voucher(store, vouchers[0]).await.batch;
    let why = reason("recalled · 召回");
    assert_eq!(store.void_batch(batch, &why).await.unwrap(), Some(3));

    let counts = store.batch(batch).await.unwrap().unwrap().counts;
    let expected = VoucherState::NAMES.map(|name| match name {
        "issued" => (name, 0),
        "cancelled" => (name, 4),
        name => (name, 1),
    });
    assert_eq!(counts, expected.into());
    for hash in [vouchers[0], vouchers[7], vouchers[8]] {
        assert_eq!(voucher(store, hash).await.void, Some(why.clone()));
    }
    assert_eq!(voucher(store, vouchers[1]).await.void, None, "a redemption that runs is left alone");
    assert_eq!(store.inboxes(worker(1), 9).await.unwrap(), []);
    assert_eq!(voucher(store, vouchers[6]).await.void, Some(reason("lost")));
    assert_eq!(voucher(store, other).await.state, VoucherState::Issued);
    assert_eq!(store.void_batch(batch, &why).await.unwrap(), Some(0));
    let unknown: BatchId = format!("bat_{:026}", 9).parse().unwrap();
    assert_eq!(store.void_batch(unknown, &why).await.unwrap(), None);
}

/// Vouchers whose end has come expire, a few at a time, and no others.
pub async fn vouchers_expire_a_few_at_a_time(store: &Subject) {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, rows) = sample::batch(&sku, 5);
    store
        .insert_batch(NewBatch { expires_at: Some(at(300)), ..batch.clone() }, rows.clone().into())
        .await
        .unwrap();
    let for_ever = one_voucher(store).await;
    stands(store, rows[1].0, 1, "retryable_failed").await;
    stands(store, rows[2].0, 2, "locked").await;
    stands(store, rows[3].0, 3, "cancelled").await;

    assert_eq!(store.expire_vouchers(at(299), 100).await.unwrap(), 0);
    assert_eq!(store.expire_vouchers(at(300), 2).await.unwrap(), 2);
    let counts = store.batch(batch.id).await.unwrap().unwrap().counts;
    assert_eq!((counts["expired"], counts["issued"] + counts["retryable_failed"]), (2, 1));
    assert_eq!(store.expire_vouchers(at(300), 2).await.unwrap(), 1);
    assert_eq!(store.expire_vouchers(at(1_000_000), 2).await.unwrap(), 0);

    let mut states = Vec::new();
    for (hash, _) in &rows {
        states.push(voucher(store, *hash).await.state);
    }
    let (unused, failed) = (
        VoucherState::Expired { from: Resting::Issued },
        VoucherState::Expired { from: Resting::RetryableFailed },
    );
    let locked = VoucherState::Locked { from: Resting::Issued };
    assert_eq!(states, [unused, failed, locked, VoucherState::Cancelled, unused]);
    assert_eq!(voucher(store, for_ever).await.state, VoucherState::Issued);
}

/// A redemption's end applies what was wished at the moment it is told, not at the moment it began.
pub async fn an_end_tells_when_it_came(store: &Subject) {
    let first = queued(store).await;
    store.change_voucher(first.voucher, extend(60)).await.unwrap();
    let next = failure(&first);
    let VoucherEvent::End { buys, number_shown, ready_at, start_behind, .. } = end(&next, None) else {
        unreachable!("an end was made")
    };
    let event = VoucherEvent::End { at: at(60), buys, number_shown, ready_at, start_behind };
    stored(store, next, vec![event]).await;
    assert_eq!(voucher(store, first.voucher).await.state, VoucherState::Expired { from: Resting::Issued });
}
