//! Every outside call fails once in turn, before its work and after it, over the whole path from code to code.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use mintcode_core::money::Amount;
use mintcode_core::order::OrderStatus;
use mintcode_core::redemption::{Outcome, Phase, Redemption, Timing};
use mintcode_core::sku::Sku;
use mintcode_core::testing::{Fault, Faults, Line, World, sample};
use mintcode_core::voucher::VoucherState;

fn two_plans() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    // A short wait: every second of it brings calls of its own.
    sku.policy.max_duration = Duration::from_secs(120);
    sku.plans.push(sample::plan("B", "england", "virtual66"));
    sku
}

/// Runs one redemption in a fresh world for every call it makes, failing that call, and returns how many calls had
/// their turn.
async fn every_call<F: Future<Output = u64>>(run: impl Fn(Option<(u64, Fault)>) -> F) -> u64 {
    let undisturbed = run(None).await;
    let mut tried = 0;
    for when in [Fault::BeforeWork, Fault::AfterWork] {
        for nth in 1.. {
            let made = run(Some((nth, when))).await;
            if made >= nth {
                tried += 1;
            } else if nth > undisturbed {
                // Fewer calls than that: every one had its turn.
                break;
            }
        }
    }
    // What is done beside the redemption may come a little later or earlier in one run than in another.
    assert!(tried + 4 >= 2 * undisturbed, "{tried} calls failed, though one run makes {undisturbed}");
    tried
}

fn faults(fault: Option<(u64, Fault)>) -> std::sync::Arc<Faults> {
    fault.map_or_else(Faults::none, |(nth, when)| Faults::at(nth, when))
}

async fn state_of(world: &World) -> VoucherState {
    use mintcode_core::ports::{Storage, Vouchers};
    let redemption = world.redeem().await.unwrap();
    let redemption = world.storage.redemption(redemption.id).await.unwrap().unwrap();
    world.storage.trail(&[redemption.voucher]).await.unwrap().unwrap().voucher.state
}

fn assert_delivered(redemption: &Redemption, context: &str) {
    let Phase::Delivered(delivery) = &redemption.phase else { panic!("{context}: {redemption:#?}") };
    assert_eq!(delivery.code().as_deref(), Some("482915"), "{context}");
}

/// The supplier's books show one order that was charged and none left open.
fn assert_books(world: &World, context: &str) {
    assert_eq!(world.supplier.charged(), 1, "{context}: {:?}", world.supplier.orders());
    assert_eq!(world.supplier.open(), 0, "{context}: {:?}", world.supplier.orders());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_survives_a_fault_at_every_call() {
    let tried = every_call(|fault| async move {
        let faults = faults(fault);
        let world = World::new(two_plans(), faults.clone()).await;
        world.supplier.stock("canada", "virtual4", Line::default());

        let redemption = world.redeem().await.unwrap();
        let redemption = world.at_rest(redemption.id).await;
        let context = format!("{fault:?}");
        assert_delivered(&redemption, &context);
        assert_books(&world, &context);
        assert_eq!(state_of(&world).await, VoucherState::Fulfilled, "{context}");
        faults.calls()
    })
    .await;
    // begin, labels, start-up, SKU, intent, purchase, order, looks, delivery, finish, settlement: each in both ways.
    assert!(tried >= 34, "only {tried} calls were tried");
}

#[tokio::test(start_paused = true)]
async fn the_fall_to_the_next_plan_survives_a_fault_at_every_call() {
    every_call(|fault| async move {
        let faults = faults(fault);
        let world = World::new(two_plans(), faults.clone()).await;
        world.supplier.stock("canada", "virtual4", Line { stock: 0, ..Line::default() });
        world.supplier.stock("england", "virtual66", Line::default());

        let redemption = world.redeem().await.unwrap();
        let redemption = world.at_rest(redemption.id).await;
        let context = format!("{fault:?}");
        assert_delivered(&redemption, &context);
        assert_books(&world, &context);
        let first = &redemption.closed[0];
        assert!(
            matches!(first.outcome, Outcome::OutOfStock | Outcome::NotSent | Outcome::Absent),
            "{context}"
        );
        faults.calls()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_number_without_an_sms_is_given_back_whatever_call_fails() {
    every_call(|fault| async move {
        let faults = faults(fault);
        // Fewer looks, since every call has its turn.
        let secs = Duration::from_secs;
        let timing = Timing {
            inbox_look: secs(20),
            poll_min: secs(10),
            poll_max: secs(20),
            heartbeat: secs(60),
            worker_ttl: secs(180),
            orphan_age: secs(300),
            ..Timing::default()
        };
        let mut sku = two_plans();
        sku.policy.max_duration = secs(60);
        let world = World::builder(sku).faults(faults.clone()).timing(timing).start().await;
        world.supplier.stock("canada", "virtual4", Line { sms_after: None, ..Line::default() });

        let redemption = world.redeem().await.unwrap();
        let redemption = world.at_rest(redemption.id).await;
        let context = format!("{fault:?}");
        assert!(matches!(redemption.phase, Phase::Failed(_)), "{context}: {:?}", redemption.phase);
        assert_eq!(world.supplier.charged(), 0, "{context}");
        assert_eq!(world.supplier.open(), 0, "{context}: {:?}", world.supplier.orders());
        assert!(
            world.supplier.orders().iter().all(|sold| sold.status == OrderStatus::Cancelled),
            "{context}"
        );
        faults.calls()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_number_is_given_back_whatever_call_fails() {
    every_call(|fault| async move {
        let faults = faults(fault);
        let world = World::new(two_plans(), faults.clone()).await;
        world.supplier.stock("canada", "virtual4", Line { sms_after: None, ..Line::default() });
        world.supplier.stock("england", "virtual66", Line::default());

        let id = world.redeem().await.unwrap().id;
        world.until(id, |redemption| matches!(redemption.phase, Phase::Waiting(_))).await;
        while world.redeemer.replace(id).await.is_err()
            && matches!(world.now(id).await.phase, Phase::Waiting(_))
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let redemption = world.at_rest(id).await;
        let context = format!("{fault:?}");
        assert_delivered(&redemption, &context);
        assert_books(&world, &context);
        faults.calls()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_every_call_loses_and_doubles_nothing() {
    let mut crashes = 0;
    let mut uncertain = 0;
    for when in [Fault::HangBeforeWork, Fault::HangAfterWork] {
        for nth in 1.. {
            let faults = Faults::at(nth, when);
            let world = World::new(two_plans(), faults.clone()).await;
            world.supplier.stock("canada", "virtual4", Line::default());
            // The customer loses the connection when the process dies, and comes back.
            let first = tokio::time::timeout(Duration::from_secs(60), async {
                let id = world.redeem().await.unwrap().id;
                while !faults.has_struck() && !world.now(id).await.is_at_rest() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
            first.await.ok();
            if !faults.has_struck() {
                break;
            }
            crashes += 1;
            let world = world.crash_and_restart();
            let id = world.redeem().await.unwrap().id;
            uncertain +=
                u32::from(matches!(world.now(id).await.phase, Phase::Ordering(_) | Phase::Uncertain(_)));
            let redemption = world.at_rest(id).await;
            let context = format!("{when:?} in call {nth}");
            assert_delivered(&redemption, &context);
            assert_books(&world, &context);
        }
    }
    assert!(crashes >= 34, "only {crashes} crashes");
    assert!(uncertain >= 2, "no crash came while a purchase was under way");
}

#[tokio::test(start_paused = true)]
async fn an_order_dearer_than_its_cap_goes_back_and_the_next_plan_is_tried_whatever_call_fails() {
    every_call(|fault| async move {
        let faults = faults(fault);
        let world = World::new(two_plans(), faults.clone()).await;
        let dear = Line { price: Amount::from_micros(200_001), sms_after: None, ..Line::default() };
        world.supplier.stock("canada", "virtual4", dear);
        world.supplier.stock("england", "virtual66", Line::default());

        let redemption = world.redeem().await.unwrap();
        let redemption = world.at_rest(redemption.id).await;
        let context = format!("{fault:?}");
        assert_delivered(&redemption, &context);
        assert_books(&world, &context);
        assert!(redemption.closed.iter().any(|closed| closed.outcome == Outcome::TooDear), "{context}");
        faults.calls()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_withheld_is_settled_and_released_whatever_call_fails() {
    every_call(|fault| async move {
        let faults = faults(fault);
        let world = World::new(two_plans(), faults.clone()).await;
        let text = "Sberbank: payment 5,000 RUB, card *1234. Code 482915";
        let line = Line { text: text.to_owned(), ..Line::default() };
        world.supplier.stock("canada", "virtual4", line);

        let redemption = world.redeem().await.unwrap();
        let withheld = world.at_rest(redemption.id).await;
        let context = format!("{fault:?}");
        assert!(matches!(withheld.phase, Phase::Withheld(_)), "{context}: {:?}", withheld.phase);
        assert!(!withheld.uses_a_try(), "{context}");
        assert_books(&world, &context);
        while world.support.release(withheld.id).await.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let released = world.until(withheld.id, |now| matches!(now.phase, Phase::Delivered(_))).await;
        assert_delivered(&released, &context);
        assert_eq!(state_of(&world).await, VoucherState::Fulfilled, "{context}");
        faults.calls()
    })
    .await;
}
