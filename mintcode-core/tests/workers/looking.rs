//! Looking at orders: one by one, by the page, and within the budget.

use std::time::Duration;

use mintcode_core::order::OrderStatus;
use mintcode_core::redemption::{Phase, Status};
use mintcode_core::testing::Line;
use tokio::time::Instant;

use crate::site::{Process, Site, pass};
use crate::spy::Asked;

fn line(sms_after: u64) -> Line {
    Line { sms_after: Some(Duration::from_secs(sms_after)), ..Line::default() }
}

/// Redeems every voucher and waits until each has its number.
async fn all_waiting(site: &Site, process: &Process) -> Vec<mintcode_core::ids::RedemptionId> {
    let mut ids = Vec::new();
    for voucher in 0..site.codes.len() {
        ids.push(site.redeem(process, voucher).await);
    }
    for id in &ids {
        site.until(*id, |now| now.status() != Status::Queued && now.status() != Status::Ordering).await;
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn a_few_orders_are_looked_at_one_by_one() {
    let site = Site::open(3).await;
    site.spy.inner.stock("canada", "virtual4", line(40));
    let only = site.start(1);
    pass(1).await;
    let ids = all_waiting(&site, &only).await;
    let (lists, from) = (only.spy.count(Asked::List), Instant::now());
    pass(35).await;
    assert_eq!(only.spy.count(Asked::List), lists);
    let checks = only.spy.asked_since(from).into_iter().filter(|(_, asked)| *asked == Asked::Check).count();
    // Once a second at first, every four seconds towards the end.
    assert!((3 * 15..=3 * 30).contains(&checks), "{checks}");
    for id in ids {
        assert!(matches!(site.at_rest(id).await.phase, Phase::Delivered(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn many_orders_are_looked_at_by_the_page() {
    let mut site = Site::open(600).await;
    site.requests_per_second = 20;
    site.spy.inner.stock("canada", "virtual4", line(100));
    let only = site.start(1);
    pass(1).await;
    let ids = all_waiting(&site, &only).await;
    let from = Instant::now();
    pass(20).await;
    let asked = only.spy.asked_since(from);
    let lists = asked.iter().filter(|(_, asked)| *asked == Asked::List).count();
    let looks = lists * 100 + asked.len() - lists;
    assert!(looks >= 600 * 4, "{looks} looks in 20 s: {lists} pages of {} requests", asked.len());
    for id in &ids {
        let done = site.until(*id, |now| matches!(now.phase, Phase::Delivered(_))).await;
        let Phase::Delivered(delivery) = &done.phase else { unreachable!() };
        let took = (delivery.delivered_at - delivery.held.messages[0].received_at).num_milliseconds();
        assert!(took <= 12_000, "the SMS was found after {took} ms");
    }
    for id in ids {
        site.at_rest(id).await;
    }
    assert_eq!((site.spy.inner.charged(), site.spy.inner.open()), (600, 0));
    let most = only.spy.most_in_a_second();
    assert!(most <= 21, "{most} requests in one second");
}

#[tokio::test(start_paused = true)]
async fn an_order_missing_from_the_list_is_not_over() {
    let mut site = Site::open(300).await;
    site.requests_per_second = 20;
    site.spy.inner.stock("canada", "virtual4", line(60));
    let only = site.start(1);
    pass(1).await;
    let ids = all_waiting(&site, &only).await;
    for sold in site.spy.inner.orders().iter().take(5) {
        only.spy.hide(sold.order.id.clone());
    }
    for id in ids {
        let done = site.at_rest(id).await;
        assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_list_alone_is_not_believed() {
    let mut site = Site::open(300).await;
    site.requests_per_second = 20;
    site.spy.inner.stock("canada", "virtual4", line(60));
    let only = site.start(1);
    pass(1).await;
    let ids = all_waiting(&site, &only).await;
    for sold in site.spy.inner.orders().iter().take(5) {
        only.spy.list_as_cancelled(sold.order.id.clone());
    }
    for id in ids {
        let done = site.at_rest(id).await;
        assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
    }
}

#[tokio::test(start_paused = true)]
async fn several_workers_share_one_budget_and_one_list() {
    let mut site = Site::open(400).await;
    site.requests_per_second = 10;
    site.spy.inner.stock("canada", "virtual4", line(150));
    let workers: Vec<_> = (1..=4)
        .map(|seed| {
            // All of them ask through one and the same spy, which counts for the supplier.
            let engine = site.builder(
                seed,
                &crate::site::hands(site.clock),
                &mintcode_core::testing::Faults::none(),
                site.spy.clone(),
            );
            let engine = engine.build().unwrap();
            (engine.redeemer(), engine.start())
        })
        .collect();
    pass(11).await;
    let mut ids = Vec::new();
    for (place, code) in site.codes.iter().enumerate() {
        let proof = mintcode_core::engine::Proof { session: Some("one customer"), ..Default::default() };
        ids.push(workers[place % 4].0.redeem(code, proof).await.unwrap().redemption.id);
    }
    for id in ids {
        site.at_rest(id).await;
    }
    assert_eq!(site.spy.inner.open(), 0);
    let most = site.spy.most_in_a_second();
    assert!(most <= 11, "{most} requests in one second");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_account_rests_and_only_settling_goes_on_after_four_refusals() {
    let site = Site::open(2).await;
    site.spy.inner.stock("canada", "virtual4", line(400));
    let only = site.start(1);
    pass(1).await;
    let id = site.redeem(&only, 0).await;
    site.until(id, |now| now.status() == Status::WaitingSms).await;
    only.spy.throttle(Some(Duration::from_secs(2)));
    let from = Instant::now();
    pass(60).await;
    let asked = only.spy.asked_since(from);
    let refused = asked.iter().filter(|(_, asked)| *asked != Asked::Buy).count();
    assert_eq!(refused, 4, "{asked:?}");
    only.spy.throttle(None);
    let from = Instant::now();
    let done = site.at_rest(id).await;
    assert_eq!(done.status(), Status::Failed);
    let asked = only.spy.asked_since(from);
    assert!(asked.iter().all(|(_, asked)| *asked == Asked::Settle), "{asked:?}");
    assert_eq!(site.spy.inner.orders()[0].status, OrderStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_rush_of_buyers_keeps_no_sms_waiting() {
    let mut site = Site::open(1_000).await;
    site.requests_per_second = 10;
    site.spy.inner.stock("canada", "virtual4", line(10));
    let only = site.start(1);
    pass(1).await;
    let first = site.redeem(&only, 0).await;
    site.until(first, |now| now.status() == Status::WaitingSms).await;
    for voucher in 1..1_000 {
        site.redeem(&only, voucher).await;
    }
    let done = site.until(first, |now| matches!(now.phase, Phase::Delivered(_))).await;
    let Phase::Delivered(delivery) = &done.phase else { unreachable!() };
    let took = (delivery.delivered_at - delivery.held.messages[0].received_at).num_seconds();
    assert!(took <= 5, "the SMS was found after {took} s");
    site.until(first, mintcode_core::redemption::Redemption::is_at_rest).await;
}

#[tokio::test(start_paused = true)]
async fn orders_are_looked_at_one_by_one_while_the_list_cannot_be_read() {
    let site = Site::open(40).await;
    site.spy.inner.stock("canada", "virtual4", line(60));
    let only = site.start(1);
    only.spy.break_list();
    pass(1).await;
    for id in all_waiting(&site, &only).await {
        let done = site.until(id, |now| matches!(now.phase, Phase::Delivered(_))).await;
        let Phase::Delivered(delivery) = &done.phase else { unreachable!() };
        let took = (delivery.delivered_at - delivery.held.messages[0].received_at).num_seconds();
        assert!(took <= 15, "the SMS was found after {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn looks_that_are_never_answered_keep_no_others_back() {
    let mut site = Site::open(40).await;
    // Without a list every order is asked for by itself.
    site.is_exclusive = false;
    site.spy.inner.remove_list();
    site.spy.inner.stock("canada", "virtual4", line(100));
    let only = site.start(1);
    pass(1).await;
    let ids = all_waiting(&site, &only).await;
    for sold in site.spy.inner.orders().iter().take(35) {
        only.spy.hang(sold.order.id.clone());
    }
    for id in &ids[35..] {
        let done = site.until(*id, |now| matches!(now.phase, Phase::Delivered(_))).await;
        let Phase::Delivered(delivery) = &done.phase else { unreachable!() };
        let took = (delivery.delivered_at - delivery.held.messages[0].received_at).num_seconds();
        assert!(took <= 120, "the SMS was found after {took} s");
    }
}
