//! Orders that nobody knows of.

use std::time::Duration;

use mintcode_core::alert::Alert;
use mintcode_core::ids::SupplierName;
use mintcode_core::money::Amount;
use mintcode_core::order::OrderStatus;
use mintcode_core::ports::{Orphans, Supplier, Wanted};
use mintcode_core::testing::{Line, TokioClock, permit, sample};
use std::sync::Arc;

use crate::site::{Site, pass};
use crate::spy::Asked;

/// Buys as a process would that died before it could tell anybody.
async fn forget_an_order(site: &Site) -> mintcode_core::order::Order {
    let wanted = Wanted {
        product: sample::sku("tg").product,
        country: "canada".to_owned(),
        operator: "virtual4".to_owned(),
        max_cost: Amount::MAX,
    };
    let send_by = TokioClock::epoch() + Duration::from_hours(1);
    let permit = permit(wanted, send_by, Arc::new(site.clock)).await;
    site.spy.inner.buy(permit).await.unwrap()
}

fn line(sms_after: Option<Duration>) -> Line {
    Line { sms_after, ..Line::default() }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_order_goes_back_once_it_is_old_enough() {
    let site = Site::open(0).await;
    site.spy.inner.stock("canada", "virtual4", line(None));
    let only = site.start(1);
    pass(200).await;
    let order = forget_an_order(&site).await;
    pass(95).await;
    assert_eq!(site.spy.inner.open(), 1, "it may be somebody's who is about to say so");
    pass(40).await;
    assert_eq!(site.spy.inner.orders()[0].status, OrderStatus::Cancelled);
    assert_eq!(only.spy.count(Asked::Settle), 1);
    let supplier = SupplierName::default();
    let found = Alert::OrphanFound { supplier: supplier.clone(), order: order.id, price: order.price };
    assert_eq!(site.alerts.told(), [found]);
    assert_eq!(site.storage.open_orphans(&supplier, 9).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_order_with_a_message_is_completed_and_booked_as_lost() {
    let site = Site::open(0).await;
    site.spy.inner.stock("canada", "virtual4", line(Some(Duration::from_secs(5))));
    let _only = site.start(1);
    pass(200).await;
    let order = forget_an_order(&site).await;
    pass(140).await;
    assert_eq!(site.spy.inner.charged(), 1);
    let day = Duration::from_hours(24);
    let losses = site.storage.orphan_losses(TokioClock::epoch(), TokioClock::epoch() + day).await.unwrap();
    assert_eq!(losses.len(), 1);
    assert_eq!((&losses[0].order.id, losses[0].value), (&order.id, order.price));
    let is_loss = |alert: &Alert| matches!(alert, Alert::OrphanLoss { .. });
    assert!(site.alerts.told().iter().any(is_loss), "{:?}", site.alerts.told());
}

#[tokio::test(start_paused = true)]
async fn on_a_shared_account_every_order_may_be_somebody_elses() {
    let mut site = Site::open(0).await;
    site.is_exclusive = false;
    site.spy.inner.stock("canada", "virtual4", line(None));
    let only = site.start(1);
    pass(200).await;
    forget_an_order(&site).await;
    pass(600).await;
    assert_eq!(site.spy.inner.open(), 1);
    assert_eq!(only.spy.count(Asked::Settle), 0);
}

#[tokio::test(start_paused = true)]
async fn orders_from_before_the_account_was_ours_are_left_alone() {
    let site = Site::open(0).await;
    site.spy.inner.stock("canada", "virtual4", line(None));
    forget_an_order(&site).await;
    pass(1).await;
    let _only = site.start(1);
    pass(600).await;
    assert_eq!(site.spy.inner.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_swept_first_thing_after_a_start() {
    let site = Site::open(0).await;
    site.spy.inner.stock("canada", "virtual4", line(None));
    let first = site.start(1);
    pass(30).await;
    forget_an_order(&site).await;
    pass(30).await;
    first.running.stop().await;
    pass(200).await;
    let _second = site.start(2);
    pass(99).await;
    assert_eq!(site.spy.inner.open(), 1, "what the process before was doing is settled first");
    pass(40).await;
    assert_eq!(site.spy.inner.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn of_several_workers_one_sweeps() {
    let site = Site::open(0).await;
    site.spy.inner.stock("canada", "virtual4", line(None));
    let workers = [site.start(1), site.start(2), site.start(3)];
    pass(200).await;
    forget_an_order(&site).await;
    pass(200).await;
    assert_eq!(site.spy.inner.open(), 0);
    let settled: usize = workers.iter().map(|worker| worker.spy.count(Asked::Settle)).sum();
    assert_eq!(settled, 1);
    // Its first look tells the newest orders.
    let listing = workers.iter().filter(|worker| worker.spy.count(Asked::List) > 1).count();
    assert_eq!(listing, 1);
}
