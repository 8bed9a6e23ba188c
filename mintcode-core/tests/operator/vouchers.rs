//! Support work on vouchers and redemptions, and messages that are withheld.

use mintcode_core::engine::{RedeemError, SupportError};
use mintcode_core::ids::RedemptionId;
use mintcode_core::ledger::{self, Book, Kind};
use mintcode_core::money::Amount;
use mintcode_core::order::OrderStatus;
use mintcode_core::ports::{Inbox, Reports, Storage, Vouchers};
use mintcode_core::redemption::{FailureKind, Phase, Status, Wish};
use mintcode_core::rules::Rules;
use mintcode_core::testing::{Line, SeededEntropy};
use mintcode_core::voucher::{Refusal, VoidReason, VoucherState};

use crate::{MINUTE, empty, failure, of_a_bank, one_plan, redeem, run, silent, until_told, voucher, world};

#[tokio::test(start_paused = true)]
async fn a_message_of_a_bank_reaches_nobody_until_the_owner_releases_it() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", of_a_bank());
    let withheld = run(&world).await;
    assert_eq!(withheld.status(), Status::Failed);
    let snapshot = withheld.snapshot();
    let failure = snapshot.failure.unwrap();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::ContactSupport, false));
    assert_eq!((snapshot.attempt, snapshot.redemptions_left), (None, 3));
    let held = withheld.held().unwrap();
    assert_eq!((held.messages.len(), held.shown().count()), (1, 0));
    assert_eq!(voucher(&world, &withheld).await.state, VoucherState::RetryableFailed);
    until_told(&world, "withheld", 1).await;
    assert_eq!(world.supplier.charged(), 1);
    let booked = world.storage.booked(withheld.id).await.unwrap();
    assert!(booked.iter().any(|booked| booked.entry.kind == Kind::Loss));

    world.support.release(withheld.id).await.unwrap();
    let released = world.until(withheld.id, |now| now.status() == Status::Delivered).await;
    let Phase::Delivered(delivery) = &released.phase else { panic!("{:?}", released.phase) };
    assert_eq!(delivery.code().as_deref(), Some("482915"));
    assert_eq!(voucher(&world, &released).await.state, VoucherState::Fulfilled);
    let booked: Vec<_> = world.storage.booked(withheld.id).await.unwrap();
    let entries: Vec<_> = booked.into_iter().map(|booked| booked.entry).collect();
    ledger::check([(&released, &entries[..])]).unwrap();
    assert_eq!(world.supplier.charged(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_withheld_cannot_be_released_once_the_voucher_went_on() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", of_a_bank());
    let first = redeem(&world, &world.code).await.unwrap();
    let withheld = world.at_rest(first).await;
    // Nothing holds the next redemption back: the customer did nothing wrong.
    world.supplier.stock("canada", "virtual4", Line::default());
    let second = redeem(&world, &world.code).await.unwrap();
    assert_eq!(world.at_rest(second).await.status(), Status::Delivered);

    let error = world.support.release(withheld.id).await.unwrap_err();
    assert!(matches!(error, SupportError::NotAllowed { event: "release", .. }), "{error:?}");
    // Not even one that was asked for before anybody knew.
    world.storage.append_inbox(first, Inbox::Wish(Wish::Release)).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.now(first).await.status(), Status::Failed);
    assert_eq!(world.now(first).await.version, withheld.version);
    assert_eq!(world.storage.inbox(first).await.unwrap(), []);
    assert_eq!(world.support.release(second).await.unwrap().status(), Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_voucher_voided_in_mid_run_stops_it_and_is_cancelled_when_the_number_is_back() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = redeem(&world, &world.code).await.unwrap();
    let waiting = world.until(id, |now| now.status() == Status::WaitingSms).await;
    let reason: VoidReason = "refunded".parse().unwrap();
    let voided = world.support.void(waiting.voucher, reason.clone()).await.unwrap();
    assert!(matches!(voided.state, VoucherState::Redeeming { .. }));
    assert_eq!(world.at_rest(id).await.status(), Status::Cancelled);
    let now = voucher(&world, &waiting).await;
    assert_eq!((now.state, now.void), (VoucherState::Cancelled, Some(reason.clone())));
    assert_eq!((world.supplier.open(), world.supplier.charged()), (0, 0));
    let error = redeem(&world, &world.code).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Cancelled)), "{error:?}");
    // Twice is once.
    world.support.void(waiting.voucher, reason).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_code_that_arrives_in_time_wins_over_the_void() {
    let world = world(one_plan(), Rules::default()).await;
    let id = redeem(&world, &world.code).await.unwrap();
    let waiting = world.until(id, |now| now.status() == Status::WaitingSms).await;
    world.supplier.refuse_cancels_before(MINUTE);
    world.support.void(waiting.voucher, VoidReason::default()).await.unwrap();
    assert_eq!(world.at_rest(id).await.status(), Status::Delivered);
    let error = world.support.void(waiting.voucher, VoidReason::default()).await.unwrap_err();
    assert!(matches!(error, SupportError::NotAllowed { state: "fulfilled", event: "void" }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn vouchers_expire_by_themselves_and_an_extension_revives_them() {
    let mut sku = one_plan();
    sku.policy.voucher_lifetime = 10 * MINUTE;
    let world = world(sku, Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    let id = redeem(&world, &world.code).await.unwrap();
    let failed = world.at_rest(id).await;
    tokio::time::sleep(12 * MINUTE).await;
    assert!(matches!(voucher(&world, &failed).await.state, VoucherState::Expired { .. }));

    let past = failed.created_at;
    let error = world.support.extend(failed.voucher, past).await.unwrap_err();
    assert!(matches!(error, SupportError::InThePast), "{error:?}");
    world.supplier.stock("canada", "virtual4", Line::default());
    let revived = world.support.extend(failed.voucher, past + 60 * MINUTE).await.unwrap();
    assert_eq!(revived.state, VoucherState::RetryableFailed);
    let again = redeem(&world, &world.code).await.unwrap();
    assert_eq!(world.at_rest(again).await.status(), Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_voucher_whose_time_runs_out_in_mid_run_expires_when_the_run_has_ended() {
    let mut sku = one_plan();
    sku.policy.voucher_lifetime = MINUTE;
    let world = world(sku, Rules::default()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = redeem(&world, &world.code).await.unwrap();
    let waiting = world.until(id, |now| now.status() == Status::WaitingSms).await;
    tokio::time::sleep(3 * MINUTE).await;
    assert!(matches!(voucher(&world, &waiting).await.state, VoucherState::Redeeming { .. }));
    assert_eq!(failure(&world.at_rest(id).await), FailureKind::NoSms);
    assert!(matches!(voucher(&world, &waiting).await.state, VoucherState::Expired { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_reset_gives_an_exhausted_voucher_its_tries_back() {
    let mut sku = one_plan();
    sku.policy.max_redemptions = 1;
    sku.policy.max_duration = MINUTE;
    let world = world(sku, Rules::default()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = redeem(&world, &world.code).await.unwrap();
    let failed = world.at_rest(id).await;
    tokio::time::sleep(MINUTE).await;
    let error = redeem(&world, &world.code).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Exhausted)), "{error:?}");
    world.support.reset(failed.voucher).await.unwrap();
    world.supplier.stock("canada", "virtual4", Line::default());
    let again = redeem(&world, &world.code).await.unwrap();
    assert_eq!(world.at_rest(again).await.status(), Status::Delivered);
    let error = world.support.reset(failed.voucher).await.unwrap_err();
    assert!(matches!(error, SupportError::NotAllowed { event: "reset", .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fulfilled_voucher_is_replaced_once_at_no_price() {
    let world = world(one_plan(), Rules::default()).await;
    let id = redeem(&world, &world.code).await.unwrap();
    let waiting = world.until(id, |now| now.status() == Status::WaitingSms).await;
    let early = world.support.reissue(waiting.voucher, "admin".to_owned()).await.err().unwrap();
    assert!(matches!(early, SupportError::NotAllowed { event: "reissue", .. }), "{early:?}");
    world.at_rest(id).await;

    let first = world.support.reissue(waiting.voucher, "admin".to_owned()).await.unwrap();
    let again = world.support.reissue(waiting.voucher, "admin".to_owned()).await.unwrap();
    assert_eq!((first.is_replay, again.is_replay), (false, true));
    assert_eq!(first.code.reveal(), again.code.reveal());
    let replacement = redeem(&world, &first.code.reveal()).await.unwrap();
    let done = world.at_rest(replacement).await;
    assert_eq!((done.status(), done.price), (Status::Delivered, Amount::ZERO));
    let trail = world.storage.trail(&[waiting.voucher]).await.unwrap().unwrap();
    assert_eq!(trail.replaced_by, Some(done.voucher));
    assert_eq!(voucher(&world, &done).await.replaces, Some(waiting.voucher));
    // It cost what it cost, and earned nothing.
    let booked = world.storage.booked(replacement).await.unwrap();
    assert!(booked.iter().all(|booked| booked.entry.book == Book::Cost));
}

#[tokio::test(start_paused = true)]
async fn a_redemption_stopped_by_the_operator_gives_its_number_back() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = redeem(&world, &world.code).await.unwrap();
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    world.support.cancel(id).await.unwrap();
    let stopped = world.at_rest(id).await;
    assert_eq!(stopped.status(), Status::Cancelled);
    assert_eq!(world.supplier.orders()[0].status, OrderStatus::Cancelled);
    let error = world.support.cancel(id).await.unwrap_err();
    assert!(matches!(error, SupportError::NotAllowed { .. }), "{error:?}");
    let nobody = RedemptionId::draw(&SeededEntropy::new(77));
    assert!(matches!(world.support.cancel(nobody).await.unwrap_err(), SupportError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_starts_again_goes_on_with_what_operators_wished() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", of_a_bank());
    let withheld = run(&world).await;
    world.support.release(withheld.id).await.unwrap();
    let world = world.crash_and_restart();
    world.until(withheld.id, |now| now.status() == Status::Delivered).await;
}
