//! A message that is kept and not shown, until an owner releases it or never.

use super::Subject;
use super::stage::{
    adopt, at, begun, bought, delivery, enlisted, failed, fails_whole, intended, meant, moved, picture, post,
    queued, reload, session, voucher, went_on,
};
use crate::alert::Alert;
use crate::ledger::{Balance, Kind};
use crate::order::OrderStatus;
use crate::ports::StorageError;
use crate::redemption::{Delivery, Phase, Redemption, Settlement, Status};
use crate::voucher::{VoucherEvent, VoucherState};

/// Takes a fresh redemption to a message that is withheld, its order settled.
async fn withheld(store: &Subject) -> Redemption {
    let first = queued(store).await;
    let ordering = went_on(store, &first, intended(&first)).await;
    let waiting = went_on(store, &ordering, bought(&ordering, "100")).await;
    let settlement = Settlement::Settled { order_end: Some(OrderStatus::Finished), at: at(22) };
    let next = delivery(&waiting, settlement);
    let Phase::Delivered(mut message) = next.phase.clone() else { unreachable!("it is delivered") };
    message.held.withheld = [(0, "银行 (bank)".to_owned())].into();
    let next = Redemption { phase: Phase::Withheld(message), number_shown: false, ..next };
    went_on(store, &waiting, next).await
}

/// `withheld` with its message released, as it is to be stored.
fn released(withheld: &Redemption) -> Redemption {
    let Phase::Withheld(message) = &withheld.phase else { panic!("nothing is withheld: {withheld:?}") };
    let mut held = message.held.clone();
    held.withheld.clear();
    let released = Delivery { held, is_released: true, ..message.clone() };
    let next = moved(withheld, Phase::Delivered(released));
    Redemption { number_shown: true, updated_at: at(500), ..next }
}

/// It is stored whole, told to the operator, and has failed as far as the customer is told.
pub async fn a_withheld_message_is_kept_and_told(store: &Subject) {
    let withheld = withheld(store).await;
    let stored = reload(store, withheld.id).await;
    assert_eq!(stored, withheld);
    assert_eq!(stored.held().unwrap().withheld[&0], "银行 (bank)");
    let history = store.history(withheld.id, 3, 9).await.unwrap();
    assert_eq!(history, [withheld.snapshot()]);
    assert_eq!(history[0].status, Status::Failed);
    let after = voucher(store, withheld.voucher).await;
    assert_eq!((after.state, after.tries), (VoucherState::RetryableFailed, 0));
    let alerts = store.alerts(true, 9).await.unwrap();
    let is_it = |alert: &Alert| matches!(alert, Alert::Withheld { pattern, .. } if pattern == "银行 (bank)");
    assert!(alerts.iter().any(|row| is_it(&row.alert)), "{alerts:?}");
    let kinds: Vec<_> = store.booked(withheld.id).await.unwrap().iter().map(|it| it.entry.kind).collect();
    assert!(kinds.contains(&Kind::Loss), "{kinds:?}");
}

/// The customer can go on with the voucher: what is withheld holds nobody up.
pub async fn another_redemption_may_follow_what_is_withheld(store: &Subject) {
    let withheld = withheld(store).await;
    let second = begun(store, post(withheld.voucher, session(1), 300)).await;
    assert_eq!(reload(store, withheld.id).await.next, Some(second.id));
}

/// Released, it is a delivery like any other, for a voucher at rest and for one whose time ran out.
pub async fn a_withheld_message_is_released(store: &Subject) {
    let withheld = withheld(store).await;
    store.change_voucher(withheld.voucher, VoucherEvent::Extend { expires_at: at(200) }).await.unwrap();
    assert_eq!(store.expire_vouchers(at(200), 9).await.unwrap(), 1);
    let released = went_on(store, &withheld, released(&withheld)).await;
    assert_eq!(reload(store, withheld.id).await, released);
    assert_eq!(voucher(store, withheld.voucher).await.state, VoucherState::Fulfilled);
    let booked = store.booked(withheld.id).await.unwrap();
    let kinds: Vec<_> = booked.iter().map(|it| it.entry.kind).collect();
    assert!(kinds.ends_with(&[Kind::Recovery, Kind::Hold, Kind::Capture]), "{kinds:?}");
    let entries: Vec<_> = booked.into_iter().map(|booked| booked.entry).collect();
    Balance::default().take(&released, &entries).unwrap();
}

/// A voucher that serves another redemption, or was taken back, is not spent by the message of an earlier one.
pub async fn nothing_is_released_for_a_voucher_that_went_on(store: &Subject) {
    let withheld = withheld(store).await;
    let second = begun(store, post(withheld.voucher, session(1), 300)).await;
    let commit = meant(&withheld, released(&withheld));
    assert_eq!(commit.voucher, [VoucherEvent::Release]);
    let error = fails_whole(store, commit.clone()).await;
    assert!(matches!(error, StorageError::VoucherMoved), "{error:?}");
    failed(store, &second).await;
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::VoucherMoved), "{error:?}");
}

/// What the operator took back stays taken back.
pub async fn nothing_is_released_for_a_voucher_that_was_taken_back(store: &Subject) {
    let withheld = withheld(store).await;
    let void = VoucherEvent::Void { reason: "refunded".parse().unwrap() };
    store.change_voucher(withheld.voucher, void).await.unwrap();
    let before = picture(store, withheld.id, withheld.voucher).await;
    let error = fails_whole(store, meant(&withheld, released(&withheld))).await;
    assert!(matches!(error, StorageError::VoucherMoved), "{error:?}");
    assert_eq!(picture(store, withheld.id, withheld.voucher).await, before);
}

/// Its order goes on being settled while nobody has released it, and nothing becomes of the voucher by that.
pub async fn a_withheld_message_goes_on_being_settled(store: &Subject) {
    let withheld = withheld(store).await;
    let Phase::Withheld(message) = withheld.phase.clone() else { unreachable!("it is withheld") };
    let open = Delivery { settlement: Settlement::Finishing { not_before: at(30), asked: 1 }, ..message };
    let next = went_on(store, &withheld, moved(&withheld, Phase::Withheld(open))).await;
    assert_eq!(reload(store, next.id).await, next);
    assert_eq!(voucher(store, next.voucher).await.state, VoucherState::RetryableFailed);
    enlisted(store, 2).await;
    let adopted = store.adopt(adopt(2, 9)).await.unwrap();
    assert_eq!(adopted.len(), 1, "its order is not settled");
}
