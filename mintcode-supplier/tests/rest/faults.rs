//! Every fault, as the client sees it and as the books have it.

use std::time::Duration;

use mintcode_core::order::{Order, OrderStatus};
use mintcode_core::ports::supplier::{BuyError, CallError, Stop, Supplier};
use mintcode_supplier::rest::Failure;
use mintcode_supplier::simulator::{Arming, Fault, Route, Scenario, Status};

use crate::support::{Desk, telegram, unclear, unclear_call};

/// What a purchase comes to.
#[derive(Debug, PartialEq, Eq)]
enum Bought {
    Order,
    OutOfStock,
    Stopped(Stop),
    Throttled(Option<u64>),
    NotSent,
    Unclear,
}

fn bought(result: &Result<Order, BuyError>) -> Bought {
    match result {
        Ok(_) => Bought::Order,
        Err(BuyError::OutOfStock) => Bought::OutOfStock,
        Err(BuyError::Stopped(stop)) => Bought::Stopped(*stop),
        Err(BuyError::Throttled { retry_after }) => Bought::Throttled(retry_after.map(|wait| wait.as_secs())),
        Err(BuyError::NotSent(_)) => Bought::NotSent,
        Err(BuyError::Unclear(_)) => Bought::Unclear,
    }
}

#[tokio::test]
async fn a_purchase_struck_by_a_fault_is_told_as_it_is() {
    let wait = Some(Duration::from_secs(7));
    let next = Arming::next;
    let rows = [
        (next(Fault::NoFreePhones), Bought::OutOfStock, 0),
        (next(Fault::NotEnoughBalance), Bought::Stopped(Stop::Balance), 0),
        (next(Fault::BadKey), Bought::Stopped(Stop::Key), 0),
        (next(Fault::Throttle429), Bought::Throttled(None), 0),
        (Arming { retry_after: wait, ..next(Fault::Throttle429) }, Bought::Throttled(Some(7)), 0),
        (next(Fault::BuyRefusedBefore), Bought::Unclear, 0),
        (next(Fault::BuyAnswerLost), Bought::Unclear, 1),
        (next(Fault::ServerError500), Bought::Unclear, 0),
        (Arming { after_work: true, ..next(Fault::ServerError500) }, Bought::Unclear, 1),
        (next(Fault::BadGateway502Html), Bought::Unclear, 0),
        (Arming { after_work: true, ..next(Fault::BadGateway502Html) }, Bought::Unclear, 1),
        (next(Fault::Unavailable503), Bought::Unclear, 0),
        (next(Fault::TruncatedBody), Bought::Unclear, 1),
        (next(Fault::UnknownStatus), Bought::Order, 1),
        (next(Fault::PriceHigherThanListed), Bought::Order, 1),
    ];
    for (arming, expected, sold) in rows {
        let desk = Desk::open(Scenario { fault: vec![arming.clone()], ..Scenario::default() }).await;
        assert_eq!(bought(&desk.buy(telegram()).await), expected, "{arming:?}");
        assert_eq!(desk.sold(), sold, "{arming:?}");
        assert_eq!(desk.simulator.armed()[0].struck, 1, "{arming:?}");
        assert_eq!(desk.simulator.books().calls[&Route::Buy], 1, "sent more than once: {arming:?}");
        assert_eq!(bought(&desk.buy(telegram()).await), Bought::Order, "after {arming:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_a_dropped_connection() {
    let desk = Desk::open(Scenario::default()).await;
    for fault in [Fault::BuyRefusedBefore, Fault::BuyAnswerLost] {
        desk.simulator.arm(Arming::next(fault)).unwrap();
        let failure = unclear(desk.buy(telegram()).await);
        assert!(matches!(failure, Failure::Broken(_)), "{fault:?}: {failure:?}");
    }
    assert_eq!(desk.sold(), 1);
}

#[tokio::test]
async fn a_slow_answer_is_unclear_and_the_purchase_made() {
    let slow = Arming { delay: Some(Duration::from_hours(1)), ..Arming::next(Fault::SlowAnswer) };
    let scenario = Scenario { fault: vec![slow], ..Scenario::default() };
    let desk = Desk::open_with_timeout(scenario, Duration::from_millis(500)).await;
    assert_eq!(unclear(desk.buy(telegram()).await), Failure::TimedOut);
    while desk.sold() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dearer_order_shows_what_was_charged() {
    let desk = Desk::open(Scenario::default()).await;
    desk.simulator.arm(Arming::next(Fault::PriceHigherThanListed)).unwrap();
    let order = desk.buy(telegram()).await.unwrap();
    assert_eq!(order.price, "0.24".parse().unwrap());
    assert_eq!(desk.simulator.books().orders[0].charged, order.price);
}

#[tokio::test]
async fn a_look_struck_by_a_fault_changes_nothing() {
    let desk = Desk::open(Scenario::default()).await;
    let id = desk.bought().await;
    desk.clock.advance(4);
    for fault in
        [Fault::CheckAnswerLost, Fault::ServerError500, Fault::BadGateway502Html, Fault::TruncatedBody]
    {
        desk.simulator.arm(Arming::next(fault)).unwrap();
        unclear_call(desk.supplier.check(&id).await);
        assert_eq!(desk.supplier.check(&id).await.unwrap().messages.len(), 1, "{fault:?}");
    }
    for fault in [Fault::Throttle429, Fault::Unavailable503] {
        let wait = Some(Duration::from_secs(3));
        desk.simulator.arm(Arming { retry_after: wait, ..Arming::next(fault) }).unwrap();
        match desk.supplier.check(&id).await {
            Err(CallError::Throttled { retry_after }) => assert_eq!(retry_after, wait, "{fault:?}"),
            other => panic!("{fault:?}: {other:?}"),
        }
    }
    desk.simulator.arm(Arming::next(Fault::UnknownStatus)).unwrap();
    let sight = desk.supplier.check(&id).await.unwrap();
    assert_eq!((sight.status, sight.messages.len()), (OrderStatus::Open, 1));
    desk.simulator.arm(Arming::next(Fault::BadKey)).unwrap();
    assert!(matches!(desk.supplier.check(&id).await, Err(CallError::Stopped(Stop::Key))));
}

#[tokio::test]
async fn a_settlement_whose_answer_is_lost_is_done_all_the_same() {
    let desk = Desk::open(Scenario::default()).await;
    let (finished, cancelled, banned) = (desk.bought().await, desk.bought().await, desk.bought().await);
    for fault in [Fault::FinishAnswerLost, Fault::CancelAnswerLost, Fault::BanAnswerLost] {
        desk.simulator.arm(Arming::next(fault)).unwrap();
    }
    unclear_call(desk.supplier.cancel(&cancelled).await);
    unclear_call(desk.supplier.ban(&banned).await);
    desk.clock.advance(4);
    unclear_call(desk.supplier.finish(&finished).await);
    let statuses: Vec<_> = desk.simulator.books().orders.iter().map(|sale| sale.status).collect();
    assert_eq!(statuses, [Status::Finished, Status::Canceled, Status::Banned]);
    // Asked again, the supplier no longer knows it; a look tells.
    assert!(matches!(desk.supplier.cancel(&cancelled).await, Err(CallError::NotFound)));
    assert_eq!(desk.supplier.check(&cancelled).await.unwrap().status, OrderStatus::Cancelled);
}

#[tokio::test]
async fn a_cancel_can_be_too_early_or_too_late() {
    let desk = Desk::open(Scenario::default()).await;
    let id = desk.bought().await;
    desk.simulator.arm(Arming::next(Fault::CancelTooEarly)).unwrap();
    assert!(matches!(desk.supplier.cancel(&id).await, Err(CallError::TooEarly)));
    desk.simulator.arm(Arming::next(Fault::SmsBetweenCheckAndCancel)).unwrap();
    assert!(desk.supplier.check(&id).await.unwrap().messages.is_empty());
    assert!(matches!(desk.supplier.cancel(&id).await, Err(CallError::Conflict)));
    let sight = desk.supplier.check(&id).await.unwrap();
    assert_eq!((sight.status, sight.messages.len()), (OrderStatus::Open, 1));
}

#[tokio::test]
async fn messages_without_a_code_come_without_one() {
    let desk = Desk::open(Scenario::default()).await;
    let codes = async |fault, wait| {
        desk.simulator.arm(Arming::next(fault)).unwrap();
        let id = desk.bought().await;
        desk.clock.advance(wait);
        let messages = desk.supplier.check(&id).await.unwrap().messages;
        messages
            .into_iter()
            .map(|message| (message.text.contains("code"), message.code.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(Fault::SmsWithoutCode, 4).await, [(true, false)]);
    assert_eq!(codes(Fault::SecondMessageWithoutCode, 9).await, [(true, true), (false, false)]);
}

#[tokio::test]
async fn a_stale_list_lacks_the_newest_orders() {
    let desk = Desk::open(Scenario::default()).await;
    let old = desk.bought().await;
    desk.clock.advance(60);
    let new = desk.bought().await;
    let listed = async || {
        let page = desk.supplier.recent_orders(0).await.unwrap();
        page.into_iter().map(|row| row.order.id).collect::<Vec<_>>()
    };
    desk.simulator.arm(Arming::next(Fault::StaleOrderList)).unwrap();
    assert_eq!(listed().await, std::slice::from_ref(&old));
    assert_eq!(listed().await, [new, old]);
}
