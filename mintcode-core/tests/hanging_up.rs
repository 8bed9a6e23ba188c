//! Customers hang up in the middle of a call: what was stored is carried out all the same.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use mintcode_core::engine::Proof;
use mintcode_core::ports::Storage;
use mintcode_core::redemption::Status;
use mintcode_core::testing::{Faults, Line, World, sample};

/// Polls `call` at most `polls` times and drops it then, as a server does when the connection is gone. Tells whether
/// it was cut off.
async fn hang_up_after<T>(polls: u32, call: impl Future<Output = T>) -> bool {
    let mut call = pin!(call);
    for _ in 0..polls {
        let is_done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
        if is_done {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

async fn world() -> World {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    World::new(sku, Faults::slow()).await
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_stored_is_granted_though_the_customer_hangs_up() {
    let mut granted = 0;
    for polls in 1..100 {
        let world = world().await;
        world.supplier.stock("canada", "virtual4", Line { sms_after: None, ..Line::default() });
        let id = world.redeem().await.unwrap().id;
        world.until(id, |now| now.status() == Status::WaitingSms).await;
        let was_cut_off = hang_up_after(polls, world.redeemer.cancel(id)).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.storage.inbox(id).await.unwrap(), [], "a wish was left lying after {polls} polls");
        granted += u32::from(was_cut_off && world.now(id).await.status() == Status::Cancelled);
        if !was_cut_off {
            assert!(granted > 0, "no call was cut off between storing the wish and its answer");
            return;
        }
    }
    panic!("the call never ended");
}

#[tokio::test(start_paused = true)]
async fn a_redemption_that_is_stored_is_driven_though_the_customer_hangs_up() {
    let mut driven = 0;
    for polls in 1..100 {
        let world = world().await;
        world.supplier.stock("canada", "virtual4", Line::default());
        let proof = Proof { session: Some("a customer"), idempotency: None, ..Proof::default() };
        let was_cut_off = hang_up_after(polls, world.redeemer.redeem(&world.code, proof)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        driven += u32::from(was_cut_off && world.supplier.charged() == 1);
        let redemption = world.redeemer.redeem(&world.code, proof).await.unwrap().redemption;
        assert_ne!(redemption.status(), Status::Ordering, "stuck after {polls} polls");
        world.until(redemption.id, |now| now.status() == Status::Delivered).await;
        if !was_cut_off {
            assert!(driven > 0, "no call was cut off between the beginning and its answer");
            return;
        }
    }
    panic!("the call never ended");
}
