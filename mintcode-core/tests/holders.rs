//! Who may redeem a voucher, and for how long: holders, strangers, forgers and late-comers, over the real engine.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use mintcode_core::engine::{Proof, RedeemError};
use mintcode_core::ports::Vouchers;
use mintcode_core::redemption::{Redemption, Status};
use mintcode_core::sku::Sku;
use mintcode_core::testing::{Faults, Line, World, sample};
use mintcode_core::voucher::{Refusal, Voucher, VoucherState};

fn one_plan() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    sku
}

async fn world(sku: Sku) -> World {
    let world = World::new(sku, Faults::none()).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    world
}

fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

fn empty() -> Line {
    Line { stock: 0, ..Line::default() }
}

async fn voucher(world: &World, redemption: &Redemption) -> Voucher {
    world.storage.trail(&[redemption.voucher]).await.unwrap().unwrap().voucher
}

#[tokio::test(start_paused = true)]
async fn the_same_holder_gets_the_same_redemption_and_a_stranger_learns_nothing() {
    let world = world(one_plan()).await;
    let by_cookie = Proof { session: Some("cookie"), idempotency: None, ..Proof::default() };
    let first = world.redeemer.redeem(&world.code, by_cookie).await.unwrap();
    let again = world.redeemer.redeem(&world.code, by_cookie).await.unwrap();
    assert!(first.is_new && !again.is_new);
    assert_eq!(first.redemption.id, again.redemption.id);

    for stranger in
        [Proof::default(), Proof { session: Some("other"), idempotency: None, ..Proof::default() }]
    {
        let error = world.redeemer.redeem(&world.code, stranger).await.unwrap_err();
        assert!(matches!(error, RedeemError::Refused(Refusal::Busy)), "{error:?}");
    }
    world.at_rest(first.redemption.id).await;
    let error = world.redeemer.redeem(&world.code, Proof::default()).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Used)), "{error:?}");
    let shown_again = world.redeemer.redeem(&world.code, by_cookie).await.unwrap();
    assert_eq!(shown_again.redemption.status(), Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn sixty_four_at_once_begin_one_redemption() {
    let world = world(one_plan()).await;
    let everyone = (0..64).map(|customer| {
        let (redeemer, code) = (world.redeemer.clone(), world.code.clone());
        tokio::spawn(async move {
            let session = format!("customer {customer}");
            redeemer
                .redeem(&code, Proof { session: Some(&session), idempotency: None, ..Proof::default() })
                .await
                .is_ok()
        })
    });
    let mut winners = 0;
    for customer in everyone.collect::<Vec<_>>() {
        winners += u32::from(customer.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_not_ours_is_invalid_whatever_is_wrong_with_it() {
    let world = world(one_plan()).await;
    let mut wrong = world.code.clone();
    wrong.replace_range(0..1, if wrong.starts_with('7') { "8" } else { "7" });
    for code in ["", "hello", &wrong, &world.code[1..], &format!("{}0", world.code)] {
        let error = world.redeemer.redeem(code, Proof::default()).await.unwrap_err();
        assert!(matches!(error, RedeemError::Invalid), "{error:?}");
    }
    let mangled = format!(" {}\u{3000}", world.code.to_lowercase().replace('0', "o").replace('1', "l"));
    assert!(world.redeemer.redeem(&mangled, Proof::default()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_voucher_lives_from_its_first_redemption_on() {
    let mut sku = one_plan();
    sku.policy.voucher_lifetime = Duration::from_hours(1);
    let world = world(sku).await;
    world.supplier.stock("canada", "virtual4", empty());
    // Unsold stock does not die on the shelf.
    tokio::time::sleep(Duration::from_hours(24)).await;
    let failed = world.at_rest(world.redeem().await.unwrap().id).await;
    let voucher_then = voucher(&world, &failed).await;
    assert_eq!(voucher_then.expires_at, Some(failed.created_at + Duration::from_hours(1)));
    tokio::time::sleep(Duration::from_hours(1)).await;
    let error = world.redeem().await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Expired)), "{error:?}");
    assert!(matches!(voucher(&world, &failed).await.state, VoucherState::Expired { .. }));
}

#[tokio::test(start_paused = true)]
async fn who_had_the_voucher_before_is_not_led_to_a_strangers_redemption() {
    let world = world(one_plan()).await;
    world.supplier.stock("canada", "virtual4", empty());
    let by = |session| Proof { session: Some(session), idempotency: None, ..Proof::default() };
    let first = world.redeemer.redeem(&world.code, by("first")).await.unwrap().redemption.id;
    world.at_rest(first).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    let second = world.redeemer.redeem(&world.code, by("second")).await.unwrap().redemption.id;
    assert_eq!(world.now(first).await.next, None);
    world.at_rest(second).await;
    let error = world.redeemer.retry(first, Proof::default()).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::NotAllowed)), "{error:?}");
    let error = world.redeemer.redeem(&world.code, by("first")).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Used)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_redemption_tried_again_by_its_id_stays_with_its_holder() {
    let world = world(one_plan()).await;
    world.supplier.stock("canada", "virtual4", empty());
    let id = world.redeem().await.unwrap().id;
    world.at_rest(id).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.supplier.stock("canada", "virtual4", silent());
    let again = world.redeemer.retry(id, Proof::default()).await.unwrap().redemption;
    assert_eq!(world.redeem().await.unwrap().id, again.id);
    assert_eq!(world.now(id).await.next, Some(again.id));
}
