//! Who drives a redemption, and what becomes of it when that worker is gone.

use std::time::Duration;

use mintcode_core::alert::Alert;
use mintcode_core::ports::Workers;
use mintcode_core::redemption::{Phase, Status, Timing};
use mintcode_core::testing::{Faults, Line};

use crate::site::{Site, pass};
use crate::spy::Asked;

fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

fn after(seconds: u64) -> Line {
    Line { sms_after: Some(Duration::from_secs(seconds)), ..Line::default() }
}

#[tokio::test(start_paused = true)]
async fn a_dead_workers_redemptions_are_taken_over_once_it_was_not_heard_of_for_its_life_span() {
    let site = Site::open(1).await;
    site.spy.inner.stock("canada", "virtual4", after(60));
    let (first, _second) = (site.start(1), site.start(2));
    pass(1).await;
    let id = site.redeem(&first, 0).await;
    let waiting = site.until(id, |now| now.status() == Status::WaitingSms).await;
    first.running.kill();
    pass(25).await;
    assert_eq!(site.now(id).await, waiting, "it may still be alive");
    pass(20).await;
    let taken = site.now(id).await;
    assert_eq!((taken.epoch, taken.takeovers), (2, 0), "taken over, and driven on");
    assert_ne!(taken.owner, waiting.owner);
    let done = site.at_rest(id).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    assert_eq!((site.spy.inner.charged(), site.spy.inner.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_leaves_its_work_to_others_at_once() {
    let site = Site::open(1).await;
    site.spy.inner.stock("canada", "virtual4", after(60));
    let (first, _second) = (site.start(1), site.start(2));
    pass(1).await;
    let id = site.redeem(&first, 0).await;
    let waiting = site.until(id, |now| now.status() == Status::WaitingSms).await;
    first.running.stop().await;
    pass(2).await;
    let taken = site.now(id).await;
    assert_eq!(taken.epoch, 2);
    assert_ne!(taken.owner, waiting.owner);
    assert_eq!(site.storage.workers().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_drains_ends_what_it_has_and_begins_nothing() {
    let site = Site::open(2).await;
    site.spy.inner.stock("canada", "virtual4", after(30));
    let (first, second) = (site.start(1), site.start(2));
    pass(1).await;
    let id = site.redeem(&first, 0).await;
    site.until(id, |now| now.status() == Status::WaitingSms).await;
    let redeemer = first.redeemer.clone();
    let draining = tokio::spawn(first.running.drain(Duration::from_secs(600)));
    pass(1).await;
    let later = redeemer.redeem(&site.codes[1], mintcode_core::engine::Proof::default()).await.unwrap();
    draining.await.unwrap();
    let done = site.now(id).await;
    assert!(done.is_at_rest() && done.epoch == 1, "driven to its end by the same worker: {:?}", done.phase);
    site.at_rest(later.redemption.id).await;
    assert_eq!(second.spy.count(Asked::Buy), 1, "what began meanwhile is the other's");
}

#[tokio::test(start_paused = true)]
async fn a_worker_cut_off_from_storage_asks_nothing_more_of_the_supplier_and_is_followed_by_another() {
    let site = Site::open(1).await;
    site.spy.inner.stock("canada", "virtual4", after(200));
    let (first, second) = (site.start(1), site.start(2));
    pass(1).await;
    let id = site.redeem(&first, 0).await;
    let waiting = site.until(id, |now| now.status() == Status::WaitingSms).await;
    first.link.set_away(true);
    pass(26).await;
    // Five sixths of 30 s have passed since its last beat.
    let silent_since = tokio::time::Instant::now();
    pass(100).await;
    assert_eq!(first.spy.asked_since(silent_since), []);
    let taken = site.now(id).await;
    assert_ne!(taken.owner, waiting.owner);
    first.link.set_away(false);
    pass(5).await;
    let workers = site.storage.workers().await.unwrap();
    assert_eq!(workers.len(), 2, "it came back as another one");
    assert!(workers.iter().all(|row| Some(row.worker) != waiting.owner));
    let done = site.at_rest(id).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    assert_eq!(first.spy.count(Asked::Buy) + second.spy.count(Asked::Buy), 1);
    assert_eq!((site.spy.inner.charged(), site.spy.inner.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_purchase_brought_a_cut_off_worker_reaches_whoever_drives_the_redemption_now() {
    let mut site = Site::open(1).await;
    // Nothing is looked for in lists, so that only the answer itself can help.
    site.is_exclusive = false;
    site.spy.inner.stock("canada", "virtual4", after(120));
    let (first, second) = (site.start(1), site.start(2));
    pass(1).await;
    site.spy.inner.answer_purchases_after(Duration::from_secs(8));
    let id = site.redeem(&first, 0).await;
    site.until(id, |now| matches!(now.phase, Phase::Ordering(_))).await;
    first.link.set_away(true);
    pass(60).await;
    let taken = site.now(id).await;
    assert!(matches!(taken.phase, Phase::Uncertain(_)) && taken.epoch == 2, "{:?}", taken.phase);
    first.link.set_away(false);
    let done = site.at_rest(id).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    assert_eq!(first.spy.count(Asked::Buy) + second.spy.count(Asked::Buy), 1);
    assert_eq!((site.spy.inner.charged(), site.spy.inner.open()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_anothers_redemption_is_carried_out_by_its_owner() {
    let site = Site::open(1).await;
    site.spy.inner.stock("canada", "virtual4", silent());
    let (first, second) = (site.start(1), site.start(2));
    pass(1).await;
    let id = site.redeem(&first, 0).await;
    let waiting = site.until(id, |now| now.status() == Status::WaitingSms).await;
    second.redeemer.cancel(id).await.unwrap();
    let done = site.at_rest(id).await;
    assert_eq!(done.status(), Status::Cancelled);
    assert_eq!((done.owner, done.epoch), (waiting.owner, 1), "nobody took it over for that");
    assert_eq!((first.spy.count(Asked::Settle), second.spy.count(Asked::Settle)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_overslept_begins_anew() {
    let site = Site::open(1).await;
    site.spy.inner.stock("canada", "virtual4", after(100));
    let only = site.start(1);
    pass(1).await;
    let id = site.redeem(&only, 0).await;
    let waiting = site.until(id, |now| now.status() == Status::WaitingSms).await;
    only.clock.oversleep(Duration::from_secs(60));
    pass(5).await;
    let taken = site.now(id).await;
    assert!(taken.owner.is_some() && taken.owner != waiting.owner);
    assert_eq!(site.storage.workers().await.unwrap().len(), 1);
    let done = site.at_rest(id).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
}

#[tokio::test(start_paused = true)]
async fn redemptions_of_three_workers_that_die_one_after_another_all_end() {
    let site = Site::open(30).await;
    site.spy.inner.stock("canada", "virtual4", after(50));
    let first = site.start(1);
    pass(1).await;
    let mut ids = Vec::new();
    for voucher in 0..30 {
        ids.push(site.redeem(&first, voucher).await);
    }
    for seed in 2..5 {
        let next = site.start(seed);
        pass(7).await;
        next.running.kill();
    }
    first.running.kill();
    let _last = site.start(9);
    for id in ids {
        let done = site.at_rest(id).await;
        assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    }
    assert_eq!((site.spy.inner.charged(), site.spy.inner.open()), (30, 0));
}

#[tokio::test(start_paused = true)]
async fn a_redemption_that_outlives_no_worker_is_left_to_the_operator() {
    let mut site = Site::open(1).await;
    let secs = Duration::from_secs;
    site.timing = Timing { worker_ttl: secs(6), heartbeat: secs(2), send_window: secs(1), ..site.timing };
    site.spy.inner.stock("canada", "virtual4", after(150));
    let mut worker = site.start(1);
    pass(1).await;
    let id = site.redeem(&worker, 0).await;
    let mut last = site.until(id, |now| now.status() == Status::WaitingSms).await;
    for seed in 2..=6 {
        worker.running.kill();
        worker = site.start(seed);
        last = site.until(id, |now| now.epoch > last.epoch).await;
    }
    assert_eq!(last.takeovers, 5, "each of them died with it");
    worker.running.kill();

    let survivor = site.start(7);
    let quarantined = site.until(id, |now| now.owner.is_none()).await;
    let alert = Alert::Quarantined { voucher: last.mask, sku: last.sku.clone() };
    assert_eq!(site.open_alerts().await, [alert]);
    pass(30).await;
    assert_eq!(site.now(id).await, quarantined);
    assert_eq!(survivor.spy.count(Asked::Check), 0, "nobody touches it");

    let desk = site.builder(8, &survivor.clock, &Faults::none(), site.spy.clone()).build().unwrap();
    desk.support().resume(id).await.unwrap();
    assert_eq!(site.open_alerts().await, []);
    let done = site.at_rest(id).await;
    assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    assert_eq!((site.spy.inner.charged(), site.spy.inner.open()), (1, 0));
}
