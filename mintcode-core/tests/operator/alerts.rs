//! What operators are told, and accounts that may not buy.

use mintcode_core::alert::Alert;
use mintcode_core::engine::{Engine, MintRequest, Proof, RedeemError, SupportError};
use mintcode_core::health::HealthRules;
use mintcode_core::ids::SupplierName;
use mintcode_core::money::Amount;
use mintcode_core::ports::{AlertError, AlertRow, AlertSink, Catalogue, Put, RedemptionSearch, Stop};
use mintcode_core::redemption::{FailureKind, Status};
use mintcode_core::rules::Rules;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock};
use mintcode_core::voucher::{Refusal, VoucherKeys, VoucherSecret};
use std::sync::Arc;

use crate::{
    MINUTE, SECOND, empty, failure, of_a_bank, one_plan, plans, redeem, run, silent, source, told, two_plans,
    until_told, voucher, world,
};

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
