//! What operators set, see and do, over the real engine: breakers, accounts, alerts, support work, withheld messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use mintcode_core::alert::Alert;
use mintcode_core::engine::{Engine, MintRequest, Proof, RedeemError, SetupError, SupportError};
use mintcode_core::health::{HealthRules, Source};
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::ledger::{self, Book, Kind};
use mintcode_core::money::{Amount, Currency, Rates};
use mintcode_core::order::OrderStatus;
use mintcode_core::ports::{
    AlertError, AlertRow, AlertSink, Catalogue, Inbox, Put, RedemptionSearch, Reports, SkuError, Stop,
    Storage, Vouchers,
};
use mintcode_core::redemption::{FailureKind, Outcome, Phase, Redemption, Status, Wish};
use mintcode_core::responsible::DenyList;
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, World, sample};
use mintcode_core::velocity::{Cap, Caps};
use mintcode_core::voucher::{Refusal, VoidReason, Voucher, VoucherKeys, VoucherSecret, VoucherState};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const BANK: &str = "Sberbank: payment 5,000 RUB, card *1234. Code 482915";

fn one_plan() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    sku.policy.cooldown = SECOND;
    sku
}

fn two_plans() -> Sku {
    let mut sku = one_plan();
    sku.plans.push(sample::plan("B", "england", "virtual66"));
    sku
}

fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

fn empty() -> Line {
    Line { stock: 0, ..Line::default() }
}

fn of_a_bank() -> Line {
    Line { text: BANK.to_owned(), code: Some("482915".to_owned()), ..Line::default() }
}

async fn world(sku: Sku, rules: Rules) -> World {
    let world = World::builder(sku).rules(rules).start().await;
    world.supplier.stock("canada", "virtual4", Line::default());
    world.supplier.stock("england", "virtual66", Line::default());
    world
}

async fn redeem(world: &World, code: &str) -> Result<RedemptionId, RedeemError> {
    let session = format!("whoever has {code}");
    let proof = Proof { session: Some(&session), ..Proof::default() };
    world.redeemer.redeem(code, proof).await.map(|redeemed| redeemed.redemption.id)
}

/// A redemption of a fresh voucher, when nothing is left to do for it.
async fn run(world: &World) -> Redemption {
    let code = world.mint().await;
    let id = redeem(world, &code).await.unwrap();
    world.at_rest(id).await
}

fn failure(redemption: &Redemption) -> FailureKind {
    let Phase::Failed(failure) = &redemption.phase else { panic!("not failed: {:?}", redemption.phase) };
    failure.kind
}

fn plans(redemption: &Redemption) -> Vec<String> {
    redemption.attempt_rows().iter().map(|row| row.plan.to_string()).collect()
}

async fn voucher(world: &World, redemption: &Redemption) -> Voucher {
    world.storage.trail(&[redemption.voucher]).await.unwrap().unwrap().voucher
}

fn source() -> Source {
    Source::of_plan(&sample::plan("A", "canada", "virtual4"), "telegram")
}

fn told(world: &World, kind: &str) -> usize {
    world.alerts.told().iter().filter(|alert| alert.kind() == kind).count()
}

/// Waits, at most an hour, until the alert is told that often.
async fn until_told(world: &World, kind: &str, times: usize) {
    for _ in 0..3_600 {
        if told(world, kind) == times {
            return;
        }
        tokio::time::sleep(SECOND).await;
    }
    panic!("{kind} was told {} times", told(world, kind));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_out_of_stock_too_often_is_left_out_and_then_probed() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..5 {
        assert_eq!(plans(&run(&world).await), ["A", "B"]);
    }
    let without = run(&world).await;
    assert_eq!(plans(&without), ["B"]);
    assert!(without.intent(1).unwrap().reason.contains("without A (off by itself)"));
    until_told(&world, "source_off", 1).await;

    // Ten minutes later it gets one try, which fails, and is off again; that is told no second time.
    tokio::time::sleep(11 * MINUTE).await;
    let probed = run(&world).await;
    assert_eq!(plans(&probed), ["A", "B"]);
    assert!(probed.intent(1).unwrap().is_probe);
    assert_eq!(plans(&run(&world).await), ["B"]);

    tokio::time::sleep(11 * MINUTE).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(told(&world, "source_off"), 1);
    assert_eq!(world.support.alerts(true, 10).await.unwrap(), []);

    // It is on again, so that it can be told again.
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..9 {
        run(&world).await;
    }
    until_told(&world, "source_off", 2).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_two_redemptions_probes_and_the_other_goes_on_without() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..5 {
        run(&world).await;
    }
    tokio::time::sleep(11 * MINUTE).await;
    world.supplier.answer_purchases_after(SECOND);
    let (one, other) = (world.mint().await, world.mint().await);
    let (one, other) = tokio::join!(redeem(&world, &one), redeem(&world, &other));
    let (one, other) = (world.at_rest(one.unwrap()).await, world.at_rest(other.unwrap()).await);
    let mut tried = [plans(&one), plans(&other)];
    tried.sort();
    assert_eq!(tried, [vec!["A".to_owned(), "B".to_owned()], vec!["B".to_owned()]]);
}

#[tokio::test(start_paused = true)]
async fn with_every_plan_off_nothing_is_locked_and_the_next_probe_is_told() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    for _ in 0..5 {
        assert_eq!(failure(&run(&world).await), FailureKind::OutOfStock);
    }
    let before = tokio::time::Instant::now();
    let error = redeem(&world, &world.code).await.unwrap_err();
    let RedeemError::Refused(Refusal::Unavailable { until: Some(until) }) = error else {
        panic!("{error:?}")
    };
    let wait = (until - world.support.alerts(true, 10).await.unwrap()[0].raised_at).to_std().unwrap();
    assert!(wait <= 10 * MINUTE + 10 * SECOND, "{wait:?}");
    assert!(world.support.redemptions(RedemptionSearch::default(), 100).await.unwrap().len() == 5);
    until_told(&world, "no_plan_left", 1).await;

    tokio::time::sleep_until(before + 11 * MINUTE).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    let id = redeem(&world, &world.code).await.unwrap();
    assert_eq!(world.at_rest(id).await.status(), Status::Delivered);
    assert_eq!(world.support.alerts(true, 10).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_too_dear_comes_back_when_the_catalogue_shows_a_fitting_price() {
    let world = world(two_plans(), Rules::default()).await;
    let price = Amount::from_micros(260_000);
    world.supplier.stock("canada", "virtual4", Line { price, ..Line::default() });
    let first = run(&world).await;
    let outcomes: Vec<_> = first.attempt_rows().iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::TooDear), Some(Outcome::Delivered)]);
    // However long it takes: the catalogue is asked, rather than another order bought and given back.
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["B"]);

    // Nor does a price that is lower and still too high.
    world.supplier.list_price("canada", "virtual4", Some(Amount::from_micros(220_000)));
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["B"]);

    // A catalogue that lies costs one order, and is not believed for a while.
    world.supplier.list_price("canada", "virtual4", Some(Amount::from_micros(120_000)));
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["A", "B"]);
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["B"]);

    world.supplier.stock("canada", "virtual4", Line::default());
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(plans(&run(&world).await), ["A"]);
    assert_eq!(told(&world, "source_off"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_account_below_the_floor_buys_nothing_and_one_that_is_well_again_does() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.show_account(Amount::from_micros(4_000_000), Some(79_000));
    tokio::time::sleep(2 * MINUTE).await;
    let stopped = run(&world).await;
    assert_eq!(failure(&stopped), FailureKind::ContactSupport);
    assert_eq!((stopped.tries_left(), world.supplier.orders().len()), (3, 0));
    assert_eq!((told(&world, "rating_low"), told(&world, "balance_low")), (1, 1));
    let accounts = world.support.accounts().await.unwrap();
    assert_eq!(accounts[0].1.seen.unwrap().rating_milli, Some(79_000));

    // It is told once, however often it is seen.
    tokio::time::sleep(30 * MINUTE).await;
    assert_eq!((told(&world, "rating_low"), told(&world, "balance_low")), (1, 1));
    world.supplier.show_account(Amount::from_micros(90_000_000), Some(96_000));
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(run(&world).await.status(), Status::Delivered);
    world.supplier.show_account(Amount::from_micros(4_000_000), Some(96_000));
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!((told(&world, "rating_low"), told(&world, "balance_low")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn operator_stops_are_told_once_and_again_after_a_purchase_went_through() {
    let world = world(one_plan(), Rules::default()).await;
    for (stop, kind) in [
        (Stop::Key, "key_refused"),
        (Stop::Balance, "balance_empty"),
        (Stop::Rating, "rating_refused"),
        (Stop::Parameters, "parameters_refused"),
    ] {
        for times in 1..3 {
            world.supplier.stop_sales(Some(stop));
            for _ in 0..3 {
                let stopped = run(&world).await;
                assert_eq!((failure(&stopped), stopped.tries_left()), (FailureKind::ContactSupport, 3));
            }
            until_told(&world, kind, times).await;
            world.supplier.stop_sales(None);
            assert_eq!(run(&world).await.status(), Status::Delivered);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_too_many_numbers_were_given_back_nothing_begins_for_a_while() {
    let health = HealthRules { give_backs: 2, ..HealthRules::default() };
    let world = world(one_plan(), Rules { health, ..Rules::default() }).await;
    world.supplier.stock("canada", "virtual4", silent());
    for _ in 0..2 {
        let id = redeem(&world, &world.mint().await).await.unwrap();
        world.until(id, |now| now.status() == Status::WaitingSms).await;
        world.redeemer.cancel(id).await.unwrap();
        world.at_rest(id).await;
    }
    let error = redeem(&world, &world.code).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Unavailable { until: Some(_) })), "{error:?}");
    until_told(&world, "account_paused", 1).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    tokio::time::sleep(12 * MINUTE).await;
    assert_eq!(run(&world).await.status(), Status::Delivered);
    assert_eq!(world.support.alerts(true, 10).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_redemption_under_way_waits_for_the_account() {
    let health = HealthRules { give_backs: 1, ..HealthRules::default() };
    let mut sku = two_plans();
    sku.policy.max_duration = 20 * MINUTE;
    let world = world(sku, Rules { health, ..Rules::default() }).await;
    world.supplier.stock("canada", "virtual4", silent());
    let (id, other) =
        (redeem(&world, &world.code).await.unwrap(), redeem(&world, &world.mint().await).await.unwrap());
    for id in [id, other] {
        world.until(id, |now| now.status() == Status::WaitingSms).await;
    }
    // Both numbers go back a minute later, and the other one first.
    world.supplier.refuse_cancels_before(MINUTE);
    world.redeemer.cancel(other).await.unwrap();
    world.redeemer.replace(id).await.unwrap();
    let waits = world.until(id, |now| now.status() == Status::CoolingDown).await;
    assert_eq!(world.supplier.orders().len(), 2);
    let done = world.at_rest(id).await;
    assert_eq!(plans(&done), ["A", "B"]);
    assert_eq!(done.status(), Status::Delivered);
    let bought_at = done.held().unwrap().intent.intended_at;
    assert!((bought_at - waits.updated_at).to_std().unwrap() >= 9 * MINUTE);
    assert_eq!(voucher(&world, &done).await.buys, 2);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_cannot_be_told_is_told_when_it_can() {
    let world = world(one_plan(), Rules::default()).await;
    world.alerts.set_broken(true);
    world.supplier.stop_sales(Some(Stop::Balance));
    run(&world).await;
    tokio::time::sleep(30 * MINUTE).await;
    assert_eq!(told(&world, "balance_empty"), 0);
    let failed = world.alerts.failed().len();
    assert!((5..15).contains(&failed), "tried {failed} times");
    world.alerts.set_broken(false);
    until_told(&world, "balance_empty", 1).await;
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!(told(&world, "balance_empty"), 1);
    // Cleared by hand, it is told again when it is so again.
    let open = world.support.alerts(true, 10).await.unwrap();
    world.support.acknowledge(open[0].id).await.unwrap();
    run(&world).await;
    until_told(&world, "balance_empty", 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_each_look_finds_again_ends_with_what_it_tells_of() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.show_account(Amount::ZERO, None);
    until_told(&world, "balance_low", 1).await;
    let open = world.support.alerts(true, 10).await.unwrap();
    let error = world.support.acknowledge(open[0].id).await.unwrap_err();
    assert!(matches!(error, SupportError::NotAllowed { state: "balance_low", .. }), "{error:?}");
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(told(&world, "balance_low"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_cleared_by_hand_once() {
    let world = world(one_plan(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", of_a_bank());
    run(&world).await;
    until_told(&world, "withheld", 1).await;
    let open = world.support.alerts(true, 10).await.unwrap();
    world.support.acknowledge(open[0].id).await.unwrap();
    let error = world.support.acknowledge(open[0].id).await.unwrap_err();
    assert!(matches!(error, SupportError::NotFound), "{error:?}");
    assert_eq!(world.support.alerts(true, 10).await.unwrap(), []);
    assert_eq!(world.support.alerts(false, 10).await.unwrap().len(), 1);
}

/// Whoever tells panics.
struct Panics;

#[async_trait::async_trait]
impl AlertSink for Panics {
    async fn tell(&self, _: &AlertRow) -> Result<(), AlertError> {
        panic!("a sink that was written in a hurry")
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_beside_the_redemptions_ends_none_of_them() {
    let clock = Arc::new(TokioClock::default());
    let supplier = FakeSupplier::new(clock.clone());
    supplier.stock("canada", "virtual4", Line::default());
    supplier.show_account(Amount::ZERO, None);
    let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
    let (storage, entropy) = (Arc::new(MemoryStorage::new()), Arc::new(SeededEntropy::new(1)));
    storage.put_sku(one_plan(), Put::Create).await.unwrap();
    let engine = Engine::builder(storage, clock, entropy, VoucherKeys::new(&secret, &[]))
        .supplier(SupplierName::default(), Arc::new(supplier), true, 50)
        .alerts(Arc::new(Panics))
        .build()
        .unwrap();
    let (redeemer, issuer, support) = (engine.redeemer(), engine.issuer(), engine.support());
    let running = engine.start();
    tokio::time::sleep(MINUTE).await;
    // The alert that nobody can be told is there, and has been tried more than once.
    let alerts = support.alerts(true, 10).await.unwrap();
    assert_eq!(alerts[0].alert.kind(), "balance_low");

    let sku = one_plan().id;
    let request = MintRequest {
        sku: &sku,
        count: 1,
        expires_in: None,
        note: None,
        minted_by: "test".to_owned(),
        idempotency: None,
    };
    let code = issuer.mint(request).await.unwrap().codes.next().unwrap().reveal();
    let begun = redeemer.redeem(&code, Proof::default()).await.unwrap().redemption;
    let mut now = begun.clone();
    while now.status() != Status::Delivered {
        now = redeemer.wait(begun.id, now.version, MINUTE).await.unwrap().unwrap();
        assert_ne!(now.status(), Status::Failed);
    }
    running.stop().await;
}

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
async fn every_choice_explains_itself_and_is_made_again_byte_for_byte() {
    let world = world(two_plans(), Rules::default()).await;
    world.supplier.stock("canada", "virtual4", empty());
    let done = run(&world).await;
    let explained = world.support.explain(done.id).await.unwrap().unwrap();
    let reasons: Vec<_> = explained.iter().map(|one| one.record.answer.reason.clone()).collect();
    assert_eq!(
        reasons,
        [
            "first by priority 10 and expected cost 0.12",
            "first by priority 10 and expected cost 0.12, without A (out of stock)"
        ]
    );
    for one in &explained {
        assert!(one.holds());
        assert_eq!(one.stored, one.record.text());
    }
    // The record is what held then, whatever the operator does to the plans since.
    world.support.put_sku(one_plan(), Put::Replace).await.unwrap();
    assert_eq!(world.support.explain(done.id).await.unwrap().unwrap(), explained);
    let nobody = RedemptionId::draw(&SeededEntropy::new(77));
    assert_eq!(world.support.explain(nobody).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn costs_are_kept_in_the_suppliers_currency_and_valued_at_the_configured_rate() {
    let euro: Currency = "EUR".parse().unwrap();
    let mut rates = Rates::only(Currency::USD);
    rates.rates.insert(euro, "1.25".parse().unwrap());
    let rules = Rules { rates, ..Rules::default() };
    let world = World::builder(one_plan()).rules(rules).supplier_currency(euro).start().await;
    world.supplier.stock("canada", "virtual4", Line::default());
    let done = run(&world).await;
    let booked = world.storage.booked(done.id).await.unwrap();
    let charge = &booked.iter().find(|booked| booked.entry.kind == Kind::Charge).unwrap().entry;
    assert_eq!((charge.amount, charge.currency), (Amount::from_micros(120_000), euro));
    assert_eq!(charge.value, Amount::from_micros(150_000));
    let totals = ledger::margin::by(&booked, |booked| booked.redemption).unwrap()[&done.id];
    assert_eq!(totals.margin(), Some(Amount::from_micros(650_000)));
}

#[tokio::test(start_paused = true)]
async fn currencies_without_a_rate_are_never_mixed() {
    let clock = Arc::new(TokioClock::default());
    let supplier = FakeSupplier::new(clock.clone());
    supplier.charge_in("EUR".parse().unwrap());
    let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
    let (storage, entropy) = (Arc::new(MemoryStorage::new()), Arc::new(SeededEntropy::new(1)));
    let engine = Engine::builder(storage, clock, entropy, VoucherKeys::new(&secret, &[]))
        .supplier(SupplierName::default(), Arc::new(supplier), true, 50)
        .build();
    let Err(error) = engine else { panic!("an engine was built") };
    assert!(matches!(error, SetupError::NoRate { .. }));
    assert_eq!(error.to_string(), "supplier main charges in EUR, which has no rate in USD");
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_begins_too_many_redemptions_waits_and_nobody_else_does() {
    let caps = Caps { session: Cap { per_hour: 2, per_day: 3 }, ..Caps::default() };
    let world = world(one_plan(), Rules { caps, ..Rules::default() }).await;
    let eager = Proof { session: Some("eager"), ..Proof::default() };
    let redeem = async |proof| world.redeemer.redeem(&world.mint().await, proof).await;
    let first = redeem(eager).await.unwrap().redemption;
    redeem(eager).await.unwrap();
    let refused = redeem(eager).await.unwrap_err();
    let RedeemError::Refused(Refusal::TooMany { until }) = refused else { panic!("{refused:?}") };
    assert_eq!((until - first.created_at).to_std().unwrap(), 60 * MINUTE);
    redeem(Proof { session: Some("patient"), ..Proof::default() }).await.unwrap();

    tokio::time::sleep(61 * MINUTE).await;
    redeem(eager).await.unwrap();
    let refused = redeem(eager).await.unwrap_err();
    assert!(matches!(refused, RedeemError::Refused(Refusal::DailyLimit { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_neither_sold_nor_redeemed() {
    let world = world(one_plan(), Rules::default()).await;
    let bank = Sku { product: "paypal".to_owned(), ..one_plan() };
    let error = world.support.put_sku(bank, Put::Apply).await.unwrap_err();
    assert!(matches!(error, SkuError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("paypal"), "{error}");

    // An operator who denies what was sold until now keeps its vouchers from being redeemed.
    let deny = DenyList::shipped().with(["telegram".to_owned()], []);
    let strict = self::world(one_plan(), Rules { deny, ..Rules::default() }).await;
    let error = redeem(&strict, &strict.code).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::NotOffered)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn numbers_without_sms_are_told_of_when_they_are_too_many() {
    let mut sku = one_plan();
    sku.policy.max_duration = MINUTE;
    let world = world(sku, Rules::default()).await;
    world.supplier.stock("canada", "virtual4", silent());
    for _ in 0..10 {
        assert_eq!(failure(&run(&world).await), FailureKind::NoSms);
    }
    until_told(&world, "source_silent", 1).await;
    let about = Alert::SourceSilent { source: source() };
    assert!(world.alerts.told().contains(&about));
    let sources = world.support.sources().await.unwrap();
    assert_eq!(sources[0].1.silence.counts(), (10, 10));
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
