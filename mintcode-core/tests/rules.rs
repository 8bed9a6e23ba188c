//! The operator's rules, one by one, over the real engine: what the customer is told, and what the supplier's books say.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::Duration;

use chrono::Utc;
use mintcode_core::engine::{Proof, RedeemError, WishError};
use mintcode_core::money::Amount;
use mintcode_core::order::OrderStatus;
use mintcode_core::ports::{Catalogue, PlanChange, Stop, Vouchers};
use mintcode_core::redemption::{FailureKind, Outcome, Phase, Redemption, Settlement, Status, Timing};
use mintcode_core::sku::{OnNoSms, Sku};
use mintcode_core::testing::{Faults, Line, World, sample};
use mintcode_core::voucher::{Refusal, Voucher, VoucherState};

const SECOND: Duration = Duration::from_secs(1);

fn one_plan() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    sku
}

fn two_plans() -> Sku {
    let mut sku = one_plan();
    sku.plans.push(sample::plan("B", "england", "virtual66"));
    sku
}

async fn world(sku: Sku) -> World {
    let world = World::new(sku, Faults::none()).await;
    world.supplier.stock("canada", "virtual4", Line::default());
    world.supplier.stock("england", "virtual66", Line::default());
    world
}

fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

fn empty() -> Line {
    Line { stock: 0, ..Line::default() }
}

fn outcomes(redemption: &Redemption) -> Vec<(&str, Outcome)> {
    redemption.closed.iter().map(|closed| (closed.intent.plan.as_str(), closed.outcome)).collect()
}

fn failure(redemption: &Redemption) -> FailureKind {
    let Phase::Failed(failure) = &redemption.phase else { panic!("not failed: {:?}", redemption.phase) };
    failure.kind
}

async fn voucher(world: &World, redemption: &Redemption) -> Voucher {
    world.storage.trail(&[redemption.voucher]).await.unwrap().unwrap().voucher
}

fn seconds_between(from: chrono::DateTime<Utc>, to: chrono::DateTime<Utc>) -> i64 {
    (to - from).num_seconds()
}

#[tokio::test(start_paused = true)]
async fn a_code_is_delivered_and_then_the_order_is_finished() {
    let world = world(two_plans()).await;
    let begun = world.redeem().await.unwrap();
    assert_eq!(begun.status(), Status::Queued);

    let waiting = world.until(begun.id, |now| now.status() == Status::WaitingSms).await;
    assert!(waiting.phone(1).unwrap().reveal().starts_with("+1204"));
    assert!(matches!(voucher(&world, &waiting).await.state, VoucherState::Redeeming { .. }));

    let done = world.at_rest(begun.id).await;
    let Phase::Delivered(delivery) = &done.phase else { panic!("{:?}", done.phase) };
    assert_eq!(delivery.code().as_deref(), Some("482915"));
    assert!(matches!(
        delivery.settlement,
        Settlement::Settled { order_end: Some(OrderStatus::Finished), .. }
    ));
    let voucher = voucher(&world, &done).await;
    assert_eq!((voucher.state, voucher.tries, voucher.buys), (VoucherState::Fulfilled, 0, 1));
    assert_eq!(world.supplier.charged(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_change_is_in_the_history_without_a_gap() {
    let world = world(two_plans()).await;
    let id = world.redeem().await.unwrap().id;
    let done = world.at_rest(id).await;
    let history = world.redeemer.history(id, 0, 100).await.unwrap();
    let versions: Vec<_> = history.iter().map(|snapshot| snapshot.version).collect();
    assert_eq!(versions, (1..=done.version).collect::<Vec<_>>());
    let mut statuses: Vec<_> = history.iter().map(|snapshot| snapshot.status).collect();
    statuses.dedup();
    assert_eq!(statuses, [Status::Queued, Status::Ordering, Status::WaitingSms, Status::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn out_of_stock_and_nothing_else_goes_to_the_next_plan_at_once() {
    let world = world(two_plans()).await;
    world.supplier.stock("canada", "virtual4", empty());
    let begun = world.redeem().await.unwrap();
    let done = world.at_rest(begun.id).await;
    assert_eq!(outcomes(&done), [("A", Outcome::OutOfStock)]);
    assert_eq!(done.held().unwrap().intent.plan.as_str(), "B");
    let bought_at = done.held().unwrap().intent.intended_at;
    assert_eq!(seconds_between(begun.created_at, bought_at), 0);
}

#[tokio::test(start_paused = true)]
async fn with_no_plan_left_the_customer_may_try_again_later_and_no_try_is_used() {
    let world = world(two_plans()).await;
    world.supplier.stock("canada", "virtual4", empty());
    world.supplier.stock("england", "virtual66", empty());
    let id = world.redeem().await.unwrap().id;
    let failed = world.at_rest(id).await;
    assert_eq!(failure(&failed), FailureKind::OutOfStock);
    assert_eq!(failed.tries_left(), 3);
    let voucher = voucher(&world, &failed).await;
    assert_eq!((voucher.state, voucher.tries), (VoucherState::RetryableFailed, 0));

    let error = world.redeemer.retry(id, Proof::default()).await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::CoolingDown { .. })), "{error:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.supplier.stock("england", "virtual66", Line::default());
    let again = world.redeemer.retry(id, Proof::default()).await.unwrap();
    assert!(again.is_new);
    assert_eq!(world.at_rest(again.redemption.id).await.status(), Status::Delivered);
    assert_eq!(world.now(id).await.next, Some(again.redemption.id));
}

#[tokio::test(start_paused = true)]
async fn no_more_plans_are_tried_than_the_policy_allows() {
    let mut sku = two_plans();
    sku.policy.max_plans_per_redemption = 1;
    let world = world(sku).await;
    world.supplier.stock("canada", "virtual4", empty());
    let failed = world.at_rest(world.redeem().await.unwrap().id).await;
    assert_eq!(failure(&failed), FailureKind::OutOfStock);
    assert_eq!(outcomes(&failed), [("A", Outcome::OutOfStock)]);
    assert!(world.supplier.orders().is_empty());
}

#[tokio::test(start_paused = true)]
async fn plans_go_by_priority_and_then_by_expected_cost() {
    let mut sku = two_plans();
    sku.plans[1].expected_cost = Amount::from_micros(110_000);
    sku.plans.push(sample::plan("C", "usa", "virtual8"));
    sku.plans[2].priority = 1;
    let world = world(sku).await;
    let done = world.at_rest(world.redeem().await.unwrap().id).await;
    // C has the lowest priority number and no stock; B is cheaper than A.
    assert_eq!(outcomes(&done), [("C", Outcome::OutOfStock)]);
    assert_eq!(done.held().unwrap().intent.plan.as_str(), "B");
}

#[tokio::test(start_paused = true)]
async fn no_plan_above_the_skus_cost_cap_is_tried() {
    let mut sku = two_plans();
    sku.policy.max_cost = Some(Amount::from_micros(115_000));
    sku.plans[1].expected_cost = Amount::from_micros(100_000);
    let world = world(sku).await;
    world.supplier.stock("england", "virtual66", empty());
    let failed = world.at_rest(world.redeem().await.unwrap().id).await;
    assert_eq!(outcomes(&failed), [("B", Outcome::OutOfStock)]);
    assert!(world.supplier.orders().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_order_dearer_than_its_cap_goes_back_unseen_and_counts_as_out_of_stock() {
    let world = world(two_plans()).await;
    world.supplier.stock("canada", "virtual4", Line { price: Amount::from_micros(200_001), ..silent() });
    let id = world.redeem().await.unwrap().id;
    let done = world.at_rest(id).await;
    assert_eq!(outcomes(&done), [("A", Outcome::TooDear)]);
    assert_eq!(done.status(), Status::Delivered);
    let statuses: Vec<_> = world.supplier.orders().iter().map(|sold| sold.status).collect();
    assert_eq!(statuses, [OrderStatus::Cancelled, OrderStatus::Finished]);
    let shown = world.redeemer.history(id, 0, 100).await.unwrap();
    assert!(shown.iter().all(|snapshot| snapshot.attempt != Some(1)), "the dear number was shown");
}

#[tokio::test(start_paused = true)]
async fn a_plan_switched_off_is_not_tried_and_all_off_is_refused_before_locking() {
    let world = world(two_plans()).await;
    let off = || PlanChange { enabled: Some(false), ..PlanChange::default() };
    let sku = sample::sku("tg").id;
    world.storage.change_plan(&sku, &sample::plan_id("A"), off()).await.unwrap();
    world.storage.change_plan(&sku, &sample::plan_id("B"), off()).await.unwrap();
    let error = world.redeem().await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Unavailable { until: None })), "{error:?}");

    let on = PlanChange { enabled: Some(true), ..PlanChange::default() };
    world.storage.change_plan(&sku, &sample::plan_id("B"), on).await.unwrap();
    let done = world.at_rest(world.redeem().await.unwrap().id).await;
    assert_eq!(done.held().unwrap().intent.plan.as_str(), "B");
}

#[tokio::test(start_paused = true)]
async fn a_number_without_an_sms_is_given_back_at_the_deadline_and_uses_up_a_try() {
    let world = world(two_plans()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let begun = world.redeem().await.unwrap();
    let failed = world.at_rest(begun.id).await;
    assert_eq!(failure(&failed), FailureKind::NoSms);
    assert_eq!(seconds_between(begun.created_at, failed.updated_at), 300);
    assert_eq!(failed.tries_left(), 2);
    assert_eq!(world.supplier.orders()[0].status, OrderStatus::Cancelled);
    assert_eq!(voucher(&world, &failed).await.tries, 1);

    // The next redemption starts behind the plan that got none.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let done = world.at_rest(world.redeem().await.unwrap().id).await;
    assert_eq!(done.held().unwrap().intent.plan.as_str(), "B");
}

#[tokio::test(start_paused = true)]
async fn a_number_without_an_sms_is_banned_where_the_policy_says_so() {
    let mut sku = one_plan();
    sku.policy.on_no_sms = OnNoSms::Ban;
    let world = world(sku).await;
    world.supplier.stock("canada", "virtual4", silent());
    world.at_rest(world.redeem().await.unwrap().id).await;
    assert_eq!(world.supplier.orders()[0].status, OrderStatus::Banned);
}

#[tokio::test(start_paused = true)]
async fn after_three_numbers_without_an_sms_the_tries_are_used_up() {
    let world = world(one_plan()).await;
    world.supplier.stock("canada", "virtual4", silent());
    for left in [2, 1, 0] {
        let failed = world.at_rest(world.redeem().await.unwrap().id).await;
        assert_eq!(failed.tries_left(), left);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let error = world.redeem().await.unwrap_err();
    assert!(matches!(error, RedeemError::Refused(Refusal::Exhausted)), "{error:?}");
    assert_eq!(world.supplier.orders().len(), 3);
    assert_eq!(world.supplier.charged(), 0);
}

#[tokio::test(start_paused = true)]
async fn purchases_of_a_voucher_are_counted_over_all_its_redemptions() {
    let mut sku = one_plan();
    sku.policy.max_buys = Some(1);
    let world = world(sku).await;
    world.supplier.stock("canada", "virtual4", silent());
    world.at_rest(world.redeem().await.unwrap().id).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let failed = world.at_rest(world.redeem().await.unwrap().id).await;
    assert_eq!(failure(&failed), FailureKind::ContactSupport);
    assert_eq!(world.supplier.orders().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_sms_that_arrives_while_the_number_is_given_back_is_delivered() {
    let world = world(one_plan()).await;
    // The supplier refuses to take it back so early, and the SMS comes meanwhile.
    world.supplier.refuse_cancels_before(Duration::from_secs(120));
    world.supplier.stock(
        "canada",
        "virtual4",
        Line { sms_after: Some(Duration::from_secs(20)), ..Line::default() },
    );
    let id = world.redeem().await.unwrap().id;
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    let releasing = world.redeemer.cancel(id).await.unwrap();
    assert_eq!(releasing.status(), Status::Releasing);
    let done = world.at_rest(id).await;
    assert_eq!(done.status(), Status::Delivered);
    assert_eq!(voucher(&world, &done).await.state, VoucherState::Fulfilled);
    assert_eq!(world.supplier.charged(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_to_take_a_number_back_yet_is_asked_again_until_it_is_settled() {
    let world = world(one_plan()).await;
    world.supplier.refuse_cancels_before(Duration::from_secs(120));
    world.supplier.stock("canada", "virtual4", silent());
    let id = world.redeem().await.unwrap().id;
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    let releasing = world.redeemer.cancel(id).await.unwrap();
    let refused = |now: &Redemption| {
        now.snapshot().resumes_at.is_some_and(|at| seconds_between(releasing.created_at, at) >= 30)
    };
    let resumes_at = world.until(id, refused).await.snapshot().resumes_at;
    assert_eq!(seconds_between(releasing.updated_at, resumes_at.unwrap()), 30);
    let ended = world.at_rest(id).await;
    assert_eq!(ended.status(), Status::Cancelled);
    assert_eq!(world.supplier.open(), 0);
    assert!(seconds_between(ended.created_at, ended.updated_at) >= 120);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_number_is_settled_before_the_next_is_bought_from_the_plan_behind() {
    let world = world(two_plans()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = world.redeem().await.unwrap().id;
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    world.redeemer.replace(id).await.unwrap();
    let done = world.at_rest(id).await;
    assert_eq!(outcomes(&done), [("A", Outcome::Replaced)]);
    assert_eq!(done.held().unwrap().intent.plan.as_str(), "B");
    let orders = world.supplier.orders();
    assert_eq!(orders[0].status, OrderStatus::Cancelled);
    assert!(done.closed[0].ended_at <= orders[1].order.created_at);
}

#[tokio::test(start_paused = true)]
async fn a_number_cannot_be_replaced_when_too_little_time_is_left_nor_twice_by_one_wish() {
    let world = world(one_plan()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = world.redeem().await.unwrap().id;
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    let (first, second) = tokio::join!(world.redeemer.replace(id), world.redeemer.replace(id));
    assert!(first.is_ok() && second.is_ok());
    world.until(id, |now| now.attempts() == 2 && now.status() == Status::WaitingSms).await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(world.now(id).await.attempts(), 2, "one wish replaced two numbers");

    tokio::time::sleep(Duration::from_secs(240)).await;
    let error = world.redeemer.replace(id).await.unwrap_err();
    assert!(matches!(error, WishError::NotAllowed), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn giving_up_keeps_the_voucher_good_and_uses_a_try_only_if_a_number_was_shown() {
    let world = world(one_plan()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let id = world.redeem().await.unwrap().id;
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    world.redeemer.cancel(id).await.unwrap();
    let ended = world.at_rest(id).await;
    assert_eq!((ended.status(), ended.tries_left()), (Status::Cancelled, 2));
    assert_eq!(voucher(&world, &ended).await.state, VoucherState::RetryableFailed);
    let error = world.redeemer.cancel(id).await.unwrap_err();
    assert!(matches!(error, WishError::NotAllowed), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_for_the_operator_ends_at_once_uses_no_try_and_holds_nothing_back() {
    for stop in [Stop::Key, Stop::Balance, Stop::Rating, Stop::Parameters] {
        let world = world(two_plans()).await;
        world.supplier.stop_sales(Some(stop));
        let id = world.redeem().await.unwrap().id;
        let failed = world.at_rest(id).await;
        assert_eq!(failure(&failed), FailureKind::ContactSupport, "{stop:?}");
        assert_eq!((failed.tries_left(), failed.closed.len()), (3, 1), "{stop:?}");
        let shown = failed.snapshot().failure.unwrap();
        assert!(!shown.retryable && shown.retry_at.is_none(), "{stop:?}");

        world.supplier.stop_sales(None);
        let again = world.redeem().await.unwrap();
        assert_eq!(world.at_rest(again.id).await.status(), Status::Delivered, "{stop:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purchase_without_an_answer_is_looked_for_and_adopted() {
    let world = world(two_plans()).await;
    // Longer than the engine waits, and for ever as far as this redemption is concerned.
    world.supplier.answer_purchases_after(Duration::from_hours(1));
    let id = world.redeem().await.unwrap().id;
    let uncertain = world.until(id, |now| matches!(now.phase, Phase::Uncertain(_))).await;
    assert_eq!(uncertain.status(), Status::Ordering);
    let done = world.at_rest(id).await;
    assert_eq!(done.status(), Status::Delivered);
    assert_eq!(done.attempts(), 1);
    assert_eq!(world.supplier.orders().len(), 1);
    assert!(seconds_between(done.created_at, done.updated_at) >= 35, "looked before it had settled");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_is_taken_where_no_list_can_be_read() {
    let world = world(two_plans()).await;
    world.supplier.remove_list();
    world.supplier.answer_purchases_after(Duration::from_secs(25));
    let id = world.redeem().await.unwrap().id;
    let done = world.at_rest(id).await;
    assert_eq!(done.status(), Status::Delivered);
    assert_eq!(world.supplier.orders().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn on_a_shared_account_an_uncertain_purchase_is_never_bought_again() {
    let world = World::with(two_plans(), Faults::none(), Timing::default(), false).await;
    world.supplier.stock("canada", "virtual4", silent());
    world.supplier.answer_purchases_after(Duration::from_mins(10));
    let begun = world.redeem().await.unwrap();
    let failed = world.at_rest(begun.id).await;
    assert_eq!(failure(&failed), FailureKind::TemporarilyUnavailable);
    assert_eq!(outcomes(&failed), [("A", Outcome::Unresolved)]);
    assert_eq!(seconds_between(begun.created_at, failed.updated_at), 300);
    assert_eq!(world.supplier.orders().len(), 1);
    assert_eq!(failed.tries_left(), 3);

    // The answer comes after all: the order goes back.
    let settled = world.until(begun.id, |now| outcomes(now) == [("A", Outcome::Late)]).await;
    assert_eq!(settled.status(), Status::Failed);
    assert_eq!(world.supplier.orders()[0].status, OrderStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn more_messages_are_shown_while_the_number_stays_open() {
    let mut sku = one_plan();
    sku.policy.further_sms = Duration::from_secs(30);
    let world = world(sku).await;
    let id = world.redeem().await.unwrap().id;
    let delivered = world.until(id, |now| now.status() == Status::Delivered).await;
    assert!(!delivered.is_at_rest());
    assert_eq!(world.supplier.open(), 1);
    let done = world.at_rest(id).await;
    assert_eq!(world.supplier.charged(), 1);
    assert!(seconds_between(delivered.updated_at, done.updated_at) >= 30);
}

#[tokio::test(start_paused = true)]
async fn a_text_without_a_code_is_delivered_when_the_number_ends() {
    let world = world(one_plan()).await;
    let text = Line { text: "Welcome! Glad to have you.".to_owned(), code: None, ..Line::default() };
    world.supplier.stock("canada", "virtual4", text);
    let begun = world.redeem().await.unwrap();
    let done = world.at_rest(begun.id).await;
    let Phase::Delivered(delivery) = &done.phase else { panic!("{:?}", done.phase) };
    assert_eq!(delivery.code(), None);
    assert_eq!(delivery.message().unwrap().text, "Welcome! Glad to have you.");
    assert_eq!(seconds_between(begun.created_at, delivery.delivered_at), 300);
    assert_eq!(world.supplier.charged(), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_change_ends_with_the_change_or_with_patience() {
    let world = world(one_plan()).await;
    world.supplier.stock("canada", "virtual4", silent());
    let begun = world.redeem().await.unwrap();
    let changed = world.redeemer.wait(begun.id, begun.version, 10 * SECOND).await.unwrap().unwrap();
    assert!(changed.version > begun.version);
    let waiting = world.until(begun.id, |now| now.status() == Status::WaitingSms).await;
    let start = tokio::time::Instant::now();
    let same = world.redeemer.wait(begun.id, waiting.version, 10 * SECOND).await.unwrap().unwrap();
    assert_eq!(same.version, waiting.version);
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_granted_already_is_neither_stored_nor_looked_after() {
    let faults = Faults::none();
    let world = World::new(one_plan(), faults.clone()).await;
    world.supplier.refuse_cancels_before(Duration::from_secs(120));
    world.supplier.stock("canada", "virtual4", silent());
    let id = world.redeem().await.unwrap().id;
    world.until(id, |now| now.status() == Status::WaitingSms).await;
    world.redeemer.cancel(id).await.unwrap();
    world.until(id, |now| now.snapshot().resumes_at.is_some()).await;

    let before = faults.calls();
    for _ in 0..50 {
        assert_eq!(world.redeemer.cancel(id).await.unwrap().status(), Status::Releasing);
    }
    // Each asks for the redemption and its SKU, and for nothing of the supplier.
    assert_eq!(faults.calls() - before, 100);
}
