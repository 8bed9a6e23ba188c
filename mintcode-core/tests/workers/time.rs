//! Clocks that are wrong.

use std::sync::Arc;
use std::time::Duration;

use mintcode_core::alert::Alert;
use mintcode_core::engine::Proof;
use mintcode_core::ports::Clock;
use mintcode_core::redemption::{FailureKind, Phase, Status};
use mintcode_core::testing::{Faults, Line, MemoryStorage, TokioClock, sample};

use crate::site::{Site, hands, pass};
use crate::spy::Asked;

async fn a_wall_clock_set_by(seconds: i64) {
    let site = Site::open(2).await;
    let line = |after| Line { sms_after: after, ..Line::default() };
    site.spy.inner.stock("canada", "virtual4", line(Some(Duration::from_secs(200))));
    let only = site.start(1);
    pass(1).await;
    let late = site.redeem(&only, 0).await;
    site.until(late, |now| now.status() == Status::WaitingSms).await;
    site.spy.inner.stock("canada", "virtual4", line(None));
    let never = site.redeem(&only, 1).await;
    site.until(never, |now| now.status() == Status::WaitingSms).await;
    only.clock.set_ahead(seconds);
    let done = site.at_rest(late).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    let ended = site.at_rest(never).await;
    assert!(matches!(&ended.phase, Phase::Failed(failure) if failure.kind == FailureKind::NoSms));
    let lasted = (ended.updated_at - ended.created_at).num_seconds();
    assert!((300..=303).contains(&lasted), "it ended after {lasted} s");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_five_minutes_ahead_takes_nobodys_number() {
    a_wall_clock_set_by(300).await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_five_minutes_back_keeps_nobodys_number_longer() {
    a_wall_clock_set_by(-300).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_wrong_clock_goes_by_the_storages() {
    let clock = TokioClock::default();
    let storage = MemoryStorage::with_clock(Arc::new(clock));
    let site = Site::selling(sample::sku("tg"), 1, storage, clock).await;
    site.spy.inner.stock("canada", "virtual4", Line::default());
    let first = site.start(1);
    first.running.stop().await;
    let wrong = site.start(2);
    wrong.clock.set_ahead(3600);
    pass(1).await;
    let id = site.redeem(&wrong, 0).await;
    let done = site.at_rest(id).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    assert!((done.created_at - TokioClock::epoch()).num_seconds() < 10, "{}", done.created_at);
}

#[tokio::test(start_paused = true)]
async fn a_redemption_begun_before_there_is_a_worker_goes_by_the_storages_clock() {
    let clock = TokioClock::default();
    let site = Site::selling(sample::sku("tg"), 1, MemoryStorage::with_clock(Arc::new(clock)), clock).await;
    let wrong = hands(clock);
    wrong.set_ahead(3600);
    let engine = site.builder(1, &wrong, &Faults::none(), site.spy.clone()).build().unwrap();
    let proof = Proof { session: Some("one customer"), ..Proof::default() };
    let begun = engine.redeemer().redeem(&site.codes[0], proof).await.unwrap().redemption;
    assert_eq!(begun.created_at, clock.now());
}

#[tokio::test(start_paused = true)]
async fn a_worker_off_the_storages_clock_buys_nothing_and_says_so() {
    let clock = TokioClock::default();
    let theirs = hands(clock);
    let storage = MemoryStorage::with_clock(Arc::new(theirs.clone()));
    let site = Site::selling(sample::sku("tg"), 2, storage, clock).await;
    site.spy.inner.stock("canada", "virtual4", Line::default());
    let only = site.start(1);
    pass(1).await;
    let before = site.redeem(&only, 0).await;
    site.until(before, |now| now.status() == Status::WaitingSms).await;
    theirs.set_ahead(6);
    pass(11).await;
    assert!(matches!(site.open_alerts().await[..], [Alert::ClockOff { ahead_ms: -6_000, .. }]));
    let held_back = site.redeem(&only, 1).await;
    pass(60).await;
    assert_eq!(site.now(held_back).await.phase, Phase::Queued);
    assert_eq!(only.spy.count(Asked::Buy), 1);
    let done = site.at_rest(before).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "what was bought is looked after: {:?}", done.phase);
    theirs.set_ahead(4);
    pass(11).await;
    assert_eq!(site.open_alerts().await, []);
    let done = site.at_rest(held_back).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
}
