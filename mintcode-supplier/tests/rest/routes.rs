//! Every route as it works on a good day, and every refusal.

use std::time::Duration;

use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::ports::supplier::{BuyError, CallError, Stop, Supplier};
use mintcode_supplier::simulator::{Arming, Fault, Line, Route, Scenario, Status};

use crate::support::{Desk, HandClock, client, telegram, wanted};

#[tokio::test]
async fn a_number_is_bought_receives_its_code_and_is_finished() {
    let desk = Desk::open(Scenario::default()).await;
    let order = desk.buy(telegram()).await.unwrap();
    assert_eq!(order.price, "0.12".parse().unwrap());
    assert_eq!(order.expires_at - order.created_at, chrono::TimeDelta::minutes(15));

    let sight = desk.supplier.check(&order.id).await.unwrap();
    assert_eq!((sight.status, sight.messages.len()), (OrderStatus::Open, 0));
    desk.clock.advance(4);
    let sight = desk.supplier.check(&order.id).await.unwrap();
    assert_eq!(sight.status, OrderStatus::Open, "a message does not close an order");

    let finished = desk.supplier.finish(&order.id).await.unwrap();
    assert_eq!(finished.status, OrderStatus::Finished);
    assert_eq!(finished.messages, sight.messages);

    let books = desk.simulator.books();
    let sale = &books.orders[0];
    assert_eq!((&sale.phone, sale.status), (&order.phone, Status::Finished));
    assert_eq!(sale.sms, sight.messages);
    assert_eq!(sale.sms[0].code.as_ref().map(String::len), Some(5));
    assert_eq!(books.balance, "999.88".parse().unwrap());
}

#[tokio::test]
async fn a_number_is_given_back_in_either_way() {
    let desk = Desk::open(Scenario::default()).await;
    let (first, second) = (desk.bought().await, desk.bought().await);
    assert!(second > first);
    assert_eq!(desk.supplier.cancel(&first).await.unwrap().status, OrderStatus::Cancelled);
    assert_eq!(desk.supplier.ban(&second).await.unwrap().status, OrderStatus::Banned);
    assert_eq!(desk.supplier.check(&first).await.unwrap().status, OrderStatus::Cancelled);
    let profile = desk.supplier.profile().await.unwrap();
    assert_eq!((profile.balance, profile.currency), ("1000".parse().unwrap(), Currency::USD));
    assert_eq!(profile.rating_milli, Some(95_800));
    assert!(!profile.id.is_empty());
}

#[tokio::test]
async fn an_order_left_alone_times_out() {
    let desk = Desk::open(Scenario::default()).await;
    let order = desk.buy(wanted("georgia", "virtual51", "telegram")).await.unwrap();
    desk.clock.advance(15 * 60);
    let sight = desk.supplier.check(&order.id).await.unwrap();
    assert_eq!((sight.status, sight.messages.len()), (OrderStatus::TimedOut, 0));
}

#[tokio::test]
async fn refusals_of_a_purchase_are_told_apart() {
    let scenario = Scenario { balance: "0.13".parse().unwrap(), ..Scenario::default() };
    let desk = Desk::open(scenario).await;
    for (wanted, expected) in [
        (wanted("canada", "virtual8", "telegram"), None),
        (wanted("nowhere", "virtual4", "telegram"), None),
        (wanted("canada", "virtual12", "telegram"), Some(Stop::Balance)),
        (wanted("canada", "virtual4", "zzprobezz"), Some(Stop::Parameters)),
        (wanted("canada", "virtual999", "telegram"), Some(Stop::Parameters)),
        (wanted("canada", "virtual_4", "telegram"), Some(Stop::Parameters)),
    ] {
        match (desk.buy(wanted.clone()).await, expected) {
            (Err(BuyError::OutOfStock), None) => {}
            (Err(BuyError::Stopped(stop)), Some(expected)) if stop == expected => {}
            (other, _) => panic!("{wanted:?}: {other:?}"),
        }
    }
    let used_up = Desk::open(Scenario { rating: "0.1".parse().unwrap(), ..Scenario::default() }).await;
    let order = used_up.bought().await;
    used_up.supplier.cancel(&order).await.unwrap();
    assert!(matches!(used_up.buy(telegram()).await, Err(BuyError::Stopped(Stop::Rating))));
}

#[tokio::test]
async fn what_would_name_another_route_or_operator_is_never_sent() {
    let desk = Desk::open(Scenario::default()).await;
    for (country, operator, product) in [
        ("canada", "any", "telegram"),
        ("any", "virtual4", "telegram"),
        ("..", "virtual4", "telegram"),
        ("canada", "", "telegram"),
        ("canada", "virtual4/telegram?x=", "telegram"),
        ("canada", "virtual4", "Telegram"),
    ] {
        let result = desk.buy(wanted(country, operator, product)).await;
        assert!(matches!(result, Err(BuyError::Stopped(Stop::Parameters))), "{result:?}");
    }
    for id in ["", "..", "12/../profile", "abc"] {
        assert!(matches!(desk.supplier.cancel(&OrderId::new(id)).await, Err(CallError::NotFound)), "{id:?}");
    }
    assert!(desk.simulator.books().calls.is_empty());
}

#[tokio::test]
async fn an_unknown_order_is_not_found_on_every_route() {
    let desk = Desk::open(Scenario::default()).await;
    let id = OrderId::new("1000000007");
    assert!(matches!(desk.supplier.check(&id).await, Err(CallError::NotFound)));
    assert!(matches!(desk.supplier.finish(&id).await, Err(CallError::NotFound)));
    assert!(matches!(desk.supplier.cancel(&id).await, Err(CallError::NotFound)));
    assert!(matches!(desk.supplier.ban(&id).await, Err(CallError::NotFound)));
}

#[tokio::test]
async fn what_the_state_of_an_order_forbids_is_a_conflict() {
    let desk = Desk::open(Scenario { cancel_min_age: Duration::from_secs(2), ..Scenario::default() }).await;
    let id = desk.bought().await;
    assert!(matches!(desk.supplier.cancel(&id).await, Err(CallError::TooEarly)));
    assert!(matches!(desk.supplier.finish(&id).await, Err(CallError::Conflict)));
    desk.clock.advance(4);
    assert!(matches!(desk.supplier.cancel(&id).await, Err(CallError::Conflict)));
    assert!(matches!(desk.supplier.ban(&id).await, Err(CallError::Conflict)));
    assert_eq!(desk.supplier.check(&id).await.unwrap().messages.len(), 1);
}

#[tokio::test]
async fn a_wrong_key_stops_everything() {
    let desk = Desk::open(Scenario::default()).await;
    let base = format!("{}/v1", desk.address);
    let stranger = client(&base, "another key", HandClock::new(), Duration::from_secs(30));
    assert!(matches!(stranger.profile().await, Err(CallError::Stopped(Stop::Key))));
    assert!(matches!(stranger.recent_orders(0).await, Err(CallError::Stopped(Stop::Key))));
    let permit = mintcode_core::testing::permit(telegram(), crate::support::start(), HandClock::new()).await;
    assert!(matches!(stranger.buy(permit).await, Err(BuyError::Stopped(Stop::Key))));
    assert_eq!(desk.sold(), 0);
}

#[tokio::test]
async fn the_list_of_orders_goes_from_the_newest_to_the_end() {
    let desk = Desk::open(Scenario::default()).await;
    let mut ids = Vec::new();
    for _ in 0..101 {
        ids.push(desk.bought().await);
    }
    ids.reverse();
    desk.clock.advance(4);
    let first = desk.supplier.recent_orders(0).await.unwrap();
    let second = desk.supplier.recent_orders(100).await.unwrap();
    assert_eq!((first.len(), second.len()), (100, 1));
    let listed: Vec<_> = first.iter().chain(&second).map(|row| row.order.id.clone()).collect();
    assert_eq!(listed, ids);
    let row = &first[0];
    assert_eq!((&*row.product, &*row.country, &*row.operator), ("telegram", "canada", "virtual4"));
    assert_eq!((row.sight.messages.len(), row.order.price), (1, Amount::from_micros(120_000)));
    let beyond = desk.supplier.recent_orders(101).await.unwrap();
    assert!(beyond.is_empty());
}

#[tokio::test]
async fn four_decimals_are_kept_all_the_way() {
    let price = "0.1359".parse().unwrap();
    let line =
        Line { charged: Some(price), ..Line::new("canada", "virtual4", "telegram", Amount::from_micros(1)) };
    let desk = Desk::open(Scenario { line: vec![line], ..Scenario::default() }).await;
    assert_eq!(desk.buy(telegram()).await.unwrap().price, price);
    assert_eq!(desk.supplier.profile().await.unwrap().balance, "999.8641".parse().unwrap());
    let books = desk.simulator.books();
    assert_eq!((books.calls[&Route::Buy], books.calls[&Route::Profile]), (1, 1));
}

#[tokio::test]
async fn the_catalogue_tells_what_a_number_costs() {
    let desk = Desk::open(Scenario::default()).await;
    let listed = async |country, operator, product| {
        desk.supplier.listed_price(&wanted(country, operator, product)).await.unwrap()
    };
    assert_eq!(listed("canada", "virtual4", "telegram").await, Some("0.12".parse().unwrap()));
    assert!(listed("canada", "virtual8", "telegram").await.is_some(), "an empty shelf has a price, too");
    for (country, operator, product) in [
        ("canada", "virtual999", "telegram"),
        ("canada", "virtual4", "openai"),
        ("atlantis", "virtual4", "telegram"),
        ("canada", "virtual4", "zzprobezz"),
        ("canada&product=telegram", "virtual4", "telegram"),
        ("", "", ""),
    ] {
        assert_eq!(listed(country, operator, product).await, None, "{country} {operator} {product}");
    }
    assert_eq!(desk.simulator.books().calls.keys().collect::<Vec<_>>(), [&Route::Prices]);
}

#[tokio::test]
async fn a_catalogue_that_does_not_answer_is_not_one_without_the_price() {
    let desk = Desk::open(Scenario::default()).await;
    for (fault, is_throttle) in [(Fault::Throttle429, true), (Fault::BadGateway502Html, false)] {
        desk.simulator.arm(Arming { route: Some(Route::Prices), ..Arming::next(fault) }).unwrap();
        let answer = desk.supplier.listed_price(&telegram()).await;
        match answer {
            Err(CallError::Throttled { .. }) if is_throttle => {}
            Err(CallError::Unclear(_)) if !is_throttle => {}
            other => panic!("{fault:?}: {other:?}"),
        }
    }
    assert_eq!(desk.supplier.listed_price(&telegram()).await.unwrap(), Some("0.12".parse().unwrap()));
}
