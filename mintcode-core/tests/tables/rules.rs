//! The operator's rules, one line each: in this state, at this event, under this policy, that is decided.

use std::time::Duration;

use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::ports::Stop;
use mintcode_core::redemption::{Call, CallFailure, Event, NotBought, Wish};
use mintcode_core::sku::{OnNoSms, Policy};
use mintcode_core::testing::sample;

use crate::run::{Run, order, two_plans};
use crate::told::told;

const SECOND: Duration = Duration::from_secs(1);
const CODE: &[&str] = &["Your code is 482915"];

/// Asserts that the decision on `event` says everything of `expected` and nothing of `never`.
#[track_caller]
fn rule(name: &str, run: &Run, event: Event, expected: &[&str], never: &[&str]) {
    let said = told(run, &run.decide(event));
    for part in expected {
        assert!(said.contains(part), "{name}: {part:?} is not in\n{said}");
    }
    for part in never {
        assert!(!said.contains(part), "{name}: {part:?} is in\n{said}");
    }
}

fn fresh() -> Run {
    Run::of(two_plans())
}

fn under(policy: impl FnOnce(&mut Policy)) -> Run {
    let mut sku = two_plans();
    policy(&mut sku.policy);
    Run::of(sku)
}

fn bought(price: i64, run: &Run) -> Event {
    Event::Bought { attempt: run.redemption.attempts(), order: order(price, run.now) }
}

fn not_bought(why: NotBought) -> Event {
    Event::NotBought { attempt: 1, why }
}

fn failed(call: Call, failure: CallFailure) -> Event {
    Event::CallFailed { order: OrderId::new("1001"), call, failure }
}

#[test]
fn rule_1_an_sms_is_a_delivery_and_is_charged() {
    let run = fresh().waiting();
    let code = run.seen(OrderStatus::Open, CODE);
    rule(
        "a code",
        &run,
        code,
        &[
            "delivered 1001 with 1 messages open until +120.000s",
            "voucher: deliver",
            "books: sale capture 0.80",
            "source: a number got its SMS",
        ],
        &["refund"],
    );

    let run = under(|policy| policy.further_sms = Duration::ZERO).waiting();
    let code = run.seen(OrderStatus::Open, CODE);
    rule("no further SMS wanted", &run, code, &["delivered", "finishing", "do finish 1001"], &["open until"]);

    // The window for further SMS ends before the number does.
    let run = fresh().waiting().later(14 * 60 * SECOND);
    let code = run.seen(OrderStatus::Open, CODE);
    rule("a short window", &run, code, &["open until +50.000s"], &[]);
}

#[test]
fn rule_1_a_text_without_a_code_waits_for_the_orders_end_and_is_delivered_then() {
    let run = fresh().waiting();
    let text = run.seen(OrderStatus::Open, &["Welcome!"]);
    rule("a text", &run, text.clone(), &["waiting 1001 with 1 messages"], &["delivered"]);
    let run = run.at_once(text);
    let over = run.seen(OrderStatus::Finished, &["Welcome!"]);
    rule("the order is over", &run, over, &["delivered 1001 with 1 messages settled Some(Finished)"], &[]);
    let run = run.later(300 * SECOND);
    rule("time is over", &run, Event::Tick, &["delivered", "do finish 1001"], &["cancel"]);
}

#[test]
fn rule_2_no_sms_ends_the_redemption_uses_a_try_and_costs_nothing() {
    let run = fresh().waiting().later(300 * SECOND);
    let give_back = &["releasing", "by cancel, then fail no_sms", "do cancel 1001"];
    rule("the deadline", &run, Event::Tick, give_back, &[]);
    let run = run.at_once(Event::Tick);
    let cancelled = run.seen(OrderStatus::Cancelled, &[]);
    rule(
        "given back",
        &run,
        cancelled,
        &[
            "failed no_sms, again +60.000s, 2 tries left",
            "ended no_sms Cancelled",
            "voucher: end with a try used behind A",
            "books: sale release 0.80, cost refund 0.12",
            "source: a number got no SMS",
            "account: one number given back",
        ],
        &["alert"],
    );

    let run = under(|policy| policy.on_no_sms = OnNoSms::Ban).waiting().later(300 * SECOND);
    rule("banned by policy", &run, Event::Tick, &["by ban", "do ban 1001"], &["do cancel"]);

    let run = fresh().waiting();
    let timed_out = run.seen(OrderStatus::TimedOut, &[]);
    rule(
        "the supplier gave up",
        &run,
        timed_out,
        &["failed no_sms", "books: sale release 0.80, cost refund 0.12"],
        &["account"],
    );
}

#[test]
fn rule_2_what_is_not_the_customers_doing_uses_no_try() {
    for (name, why, kind) in [
        ("no stock left", NotBought::OutOfStock, "out_of_stock"),
        (
            "throttled too long",
            NotBought::Throttled { retry_after_ms: Some(600_000) },
            "temporarily_unavailable",
        ),
        ("an operator stop", NotBought::Stopped(Stop::Balance), "contact_support"),
    ] {
        let mut run = fresh();
        run.sku.plans.truncate(1);
        rule(
            name,
            &run.ordering(),
            not_bought(why),
            &["failed", kind, "3 tries left", "voucher: end"],
            &["try used"],
        );
    }
}

#[test]
fn rule_2_the_policies_limits_hold() {
    // max_duration: too little time is left for a number that could be waited for.
    let run = under(|policy| policy.max_duration = 40 * SECOND);
    rule("in time", &run.clone().later(29 * SECOND), Event::Tick, &["do buy"], &["failed"]);
    rule("too late", &run.later(30 * SECOND), Event::Tick, &["failed deadline"], &["do buy"]);
    // The lifetime counts from the first redemption.
    let run = under(|policy| policy.voucher_lifetime = 90 * SECOND);
    assert_eq!(run.voucher.expires_at, Some(run.now + 90 * SECOND));
    // The cool-down between redemptions is the policy's.
    let mut run = under(|policy| policy.cooldown = 7 * SECOND);
    run.sku.plans.clear();
    rule("cool-down", &run, Event::Tick, &["failed temporarily_unavailable, again +7.000s"], &[]);
    rule("given up", &run, Event::Wish(Wish::Cancel), &["cancelled", "voucher: end"], &["try used"]);
    // max_plans_per_redemption.
    let run = under(|policy| policy.max_plans_per_redemption = 1).ordering();
    rule("one plan", &run, not_bought(NotBought::OutOfStock), &["failed out_of_stock"], &["do buy"]);
    // max_buys: nothing is bought for a voucher for ever.
    let run = under(|policy| policy.max_buys = Some(1)).ordering();
    let run = run.at_once(Event::BuyUnclear { attempt: 1 }).later(35 * SECOND);
    let listing = run.listing(Vec::new(), true);
    let run = run.at_once(listing).later(15 * SECOND);
    rule(
        "the purchases are used up",
        &run,
        run.listing(Vec::new(), true),
        &["failed contact_support"],
        &["do buy"],
    );
}

#[test]
fn rule_2_the_next_number_starts_behind_the_plan_that_got_none() {
    let run = fresh().waiting();
    let wish = Event::Wish(Wish::Replace { attempt: 1 });
    rule("replace", &run, wish.clone(), &["releasing", "then another number", "do cancel 1001"], &[]);
    let run = run.at_once(wish);
    let given_back = run.seen(OrderStatus::Cancelled, &[]);
    rule("replaced", &run, given_back, &["ordering plan B", "ended replaced Cancelled"], &[]);

    let mut sku = two_plans();
    sku.policy.cooldown = Duration::ZERO;
    let fresh_voucher =
        mintcode_core::voucher::Voucher { start_behind: Some(sample::plan_id("A")), ..sample::voucher(&sku) };
    let run = Run::with(sku, fresh_voucher);
    rule("the next redemption", &run, Event::Tick, &["ordering plan B", "behind plan A"], &[]);
}

#[test]
fn rule_3_out_of_stock_and_nothing_else_goes_to_the_next_plan() {
    let run = fresh().ordering();
    let next = &["ordering plan B at most 0.20", "without A (out of stock)", "do buy", "source: empty"];
    rule("out of stock", &run, not_bought(NotBought::OutOfStock), next, &["cooling"]);
    for (name, event) in [
        ("throttled", not_bought(NotBought::Throttled { retry_after_ms: None })),
        ("not sent", not_bought(NotBought::NotSent)),
    ] {
        rule(
            name,
            &run,
            event,
            &["cooling_down until +45.000s for plan A", "voucher: settle"],
            &["plan B", "empty"],
        );
    }
    rule("unclear", &run, Event::BuyUnclear { attempt: 1 }, &["uncertain"], &["plan B", "empty"]);
}

#[test]
fn rule_3_nothing_is_bought_above_a_cap() {
    let run = under(|policy| policy.max_cost = Some("0.10".parse().unwrap()));
    rule(
        "all plans above the SKU's cap",
        &run,
        Event::Tick,
        &["failed temporarily_unavailable"],
        &["do buy"],
    );
    let run = under(|policy| policy.max_cost = Some("0.13".parse().unwrap()));
    rule("the SKU's cap", &run, Event::Tick, &["ordering plan A at most 0.13"], &[]);

    let run = fresh().ordering();
    rule("at the cap", &run, bought(200_000, &run), &["waiting", "source: sold"], &["dear"]);
    rule(
        "dearer than the cap",
        &run,
        bought(200_001, &run),
        &[
            "ordering plan B",
            "gives back 1001 unseen as too_dear",
            "do buy",
            "books: cost charge 0.200001",
            "source: dear",
        ],
        &["waiting"],
    );
}

#[test]
fn rule_4_trouble_backs_off_and_tries_the_same_plan_again() {
    let run = fresh().ordering();
    let asked = |ms| not_bought(NotBought::Throttled { retry_after_ms: Some(ms) });
    rule(
        "the supplier's own Retry-After",
        &run,
        asked(90_000),
        &["cooling_down until +90.000s for plan A"],
        &[],
    );
    rule("at once is not at once", &run, asked(0), &["cooling_down until +5.000s for plan A"], &[]);
    rule(
        "longer than there is time",
        &run,
        asked(290_000),
        &["failed temporarily_unavailable"],
        &["cooling"],
    );
    let run = run.at_once(asked(90_000)).later(90 * SECOND);
    let again = &["ordering plan A", "the same plan again after a pause", "do buy"];
    rule("again", &run, Event::Tick, again, &["plan B"]);
    rule("a customer who gave up", &run, Event::Wish(Wish::Cancel), &["cancelled"], &["do buy"]);
}

#[test]
fn rule_5_operator_stops_end_with_contact_support_and_alert() {
    for (stop, alert) in [
        (Stop::Key, "alert: key_refused"),
        (Stop::Balance, "alert: balance_empty"),
        (Stop::Rating, "alert: rating_refused"),
        (Stop::Parameters, "alert: parameters_refused"),
    ] {
        let expected = ["failed contact_support", "again +0.000s, 3 tries left", alert];
        rule(
            "stopped",
            &fresh().ordering(),
            not_bought(NotBought::Stopped(stop)),
            &expected,
            &["do buy", "try used"],
        );
    }
}

#[test]
fn rule_7_orders_never_dangle() {
    // Shortly before the order's own end it is given back, whatever time the redemption has.
    let run = under(|policy| policy.max_duration = 3600 * SECOND).waiting();
    rule("alive", &run.clone().later(889 * SECOND), Event::Tick, &["do check 1001"], &["cancel"]);
    rule("near its end", &run.later(890 * SECOND), Event::Tick, &["releasing", "do cancel 1001"], &[]);

    let releasing = || fresh().waiting().then(300 * SECOND, Event::Tick);
    let run = releasing();
    let arrived = run.seen(OrderStatus::Open, CODE);
    rule("an SMS arrived after all", &run, arrived, &["delivered", "voucher: deliver"], &["failed"]);
    for (name, event, expected) in [
        ("too early", failed(Call::Settle, CallFailure::TooEarly), "asked 2, again +30.000s"),
        (
            "why it was refused is not believed",
            failed(Call::Settle, CallFailure::Conflict),
            "stays; do check 1001",
        ),
        ("nor is silence", failed(Call::Settle, CallFailure::Unclear), "stays; do check 1001"),
        ("one 404 is no end", failed(Call::Check, CallFailure::NotFound), "unknown 1"),
    ] {
        rule(name, &run, event, &[expected], &["failed no_sms"]);
    }
    let run = run.at_once(failed(Call::Check, CallFailure::NotFound));
    let vanished = &["failed no_sms", "cost hold 0.12", "alert: order_vanished"];
    rule("gone on two looks", &run, failed(Call::Check, CallFailure::NotFound), vanished, &["refund"]);
}

#[test]
fn rule_7_a_number_is_not_replaced_when_there_is_no_time_for_another() {
    let wish = || Event::Wish(Wish::Replace { attempt: 1 });
    let run = fresh().waiting();
    rule("time enough", &run.clone().later(240 * SECOND), wish(), &["releasing"], &["refused"]);
    rule("too late", &run.clone().later(241 * SECOND), wish(), &["refused"], &[]);
    let mut slow = run.clone();
    slow.suppliers.values_mut().for_each(|facts| facts.capabilities.minimum_cancel_age = 120 * SECOND);
    rule("too late to give it back", &slow.later(181 * SECOND), wish(), &["refused"], &[]);
    let mut last = run;
    last.sku.plans.iter_mut().for_each(|plan| plan.enabled = false);
    rule("no plan is left", &last, wish(), &["refused"], &[]);
}

#[test]
fn as_many_numbers_as_plans_are_handed_out_and_no_more() {
    let wish = |attempt| Event::Wish(Wish::Replace { attempt });
    let replaced = |run: Run, attempt| {
        let run = run.at_once(wish(attempt));
        let event = run.seen(OrderStatus::Cancelled, &[]);
        let run = run.at_once(event);
        let order = mintcode_core::order::Order { id: OrderId::new("1001"), ..order(120_000, run.now) };
        run.at_once(Event::Bought { attempt: attempt + 1, order })
    };
    let run = under(|policy| policy.max_plans_per_redemption = 2).waiting();
    let run = replaced(run, 1);
    rule("the second of two", &run, wish(2), &["refused"], &["releasing"]);
    let run = under(|policy| policy.max_plans_per_redemption = 1).waiting();
    rule("the only one", &run, wish(1), &["refused"], &["releasing"]);
    let run = fresh().waiting();
    rule("the first of three", &run, wish(1), &["releasing"], &["refused"]);

    // The plan in hand counts as tried: with no other it comes again, and not if it is switched off by now.
    let mut run = fresh().waiting();
    run.sku.plans[1].enabled = false;
    rule("the same plan once more", &run, wish(1), &["releasing"], &["refused"]);
    run.sku.plans[0].enabled = false;
    rule("no plan to follow", &run, wish(1), &["refused"], &["releasing"]);
}

#[test]
fn a_number_that_was_waited_for_says_something_about_its_source_and_one_given_back_at_once_does_not() {
    for (waited, expected, never) in [
        (59 * SECOND, &["ended replaced"][..], &["got no SMS"][..]),
        (60 * SECOND, &["ended replaced", "source: a number got no SMS"][..], &[][..]),
    ] {
        let run = fresh().waiting().then(waited, Event::Wish(Wish::Replace { attempt: 1 }));
        let given_back = run.seen(OrderStatus::Cancelled, &[]);
        rule("replaced", &run, given_back, expected, never);
    }
}

#[test]
fn rule_5_holds_after_a_number_was_shown_too() {
    let run = fresh().waiting().then(SECOND, Event::Wish(Wish::Replace { attempt: 1 }));
    let given_back = run.seen(OrderStatus::Cancelled, &[]);
    let run = run.at_once(given_back);
    let event = |why| Event::NotBought { attempt: 2, why };
    let stopped = event(NotBought::Stopped(Stop::Balance));
    rule("stopped", &run, stopped, &["failed contact_support", "3 tries left"], &["try used"]);
    let empty = event(NotBought::OutOfStock);
    rule("out of stock", &run, empty, &["ordering plan A", "2 tries left"], &[]);
}

#[test]
fn what_was_decided_about_a_message_stays() {
    let bank = "Sberbank: payment 5,000 RUB, card *1234. Code 482915";
    let delivered = |run: &Run| match &run.redemption.phase {
        mintcode_core::redemption::Phase::Delivered(delivery) => delivery.clone(),
        phase => panic!("not delivered: {phase:?}"),
    };
    // Released, and then another message comes.
    let run = fresh().waiting();
    let seen = run.seen(OrderStatus::Open, &[bank]);
    let run = run.at_once(seen).at_once(Event::Wish(Wish::Release));
    assert_eq!(delivered(&run).held.shown().count(), 1);
    let more = run.seen(OrderStatus::Open, &[bank, "Welcome!"]);
    let run = run.at_once(more);
    assert_eq!(delivered(&run).held.shown().count(), 2);

    // Shown, and then a pattern is added that would match it.
    let run = fresh().waiting();
    let seen = run.seen(OrderStatus::Open, CODE);
    let mut run = run.at_once(seen);
    run.rules.screening =
        mintcode_core::responsible::Screening::new(false, &["your code".to_owned()]).unwrap();
    let more = run.seen(OrderStatus::Open, &[CODE[0], "Your code is 111111"]);
    let run = run.at_once(more);
    assert_eq!(delivered(&run).code().as_deref(), Some("482915"));
    assert_eq!(delivered(&run).held.shown().count(), 1);
}

#[test]
fn a_purchase_that_is_uncertain_is_never_repeated_blindly() {
    let run = fresh().ordering().at_once(Event::BuyUnclear { attempt: 1 });
    rule("settling first", &run, Event::Tick, &["stays", "look +35.000s"], &["do buy", "do list"]);
    let run = run.later(35 * SECOND);
    rule("then a look", &run, Event::Tick, &["do list orders"], &["do buy"]);
    let once = run.listing(Vec::new(), true);
    rule("absent once", &run, once.clone(), &["uncertain absent once"], &["do buy"]);
    let run = run.at_once(once);
    rule("too soon for twice", &run, run.listing(Vec::new(), true), &["stays"], &["do buy"]);
    let run = run.later(15 * SECOND);
    let again = &["ordering plan A", "ended absent", "do buy"];
    rule("absent twice", &run, run.listing(Vec::new(), true), again, &[]);

    let mut shared = fresh();
    shared.suppliers.values_mut().for_each(|facts| facts.is_exclusive = false);
    let run = shared.ordering().at_once(Event::BuyUnclear { attempt: 1 });
    rule("a shared account", &run, Event::Tick, &["stays", "look +300.000s"], &["do list"]);
    rule(
        "a shared account, at the deadline",
        &run.later(300 * SECOND),
        Event::Tick,
        &["failed temporarily_unavailable", "cost hold 0.20", "alert: purchase_unresolved"],
        &["do buy"],
    );
}

#[test]
fn a_number_found_late_is_given_back_unseen() {
    let run = fresh().ordering().at_once(Event::BuyUnclear { attempt: 1 });
    let late = bought(120_000, &run);
    rule("in time", &run, late.clone(), &["waiting 1001", "source: sold"], &[]);
    rule(
        "after the deadline",
        &run.clone().later(300 * SECOND),
        late.clone(),
        &["releasing 1001", "then fail deadline", "look +0.000s"],
        &["waiting"],
    );
    let run = run.at_once(Event::Wish(Wish::Cancel));
    rule("for a customer who gave up", &run, late, &["releasing 1001", "then cancelled"], &["waiting"]);
}

#[test]
fn a_message_of_a_bank_is_withheld_told_and_released_by_the_owner() {
    let bank = &["Sberbank: payment 5,000 RUB, card *1234. Code 482915"];
    let run = fresh().waiting();
    let seen = run.seen(OrderStatus::Open, bank);
    rule(
        "withheld",
        &run,
        seen.clone(),
        &[
            "withheld 1001 with 1 messages finishing",
            "3 tries left",
            "do finish 1001",
            "voucher: end",
            "cost loss 0.12",
            "alert: withheld",
        ],
        &["delivered", "try used", "capture"],
    );
    let run = run.at_once(seen);
    rule("a customer cannot release it", &run, Event::Wish(Wish::Cancel), &["refused"], &[]);
    rule(
        "released",
        &run,
        Event::Wish(Wish::Release),
        &["delivered 1001", "voucher: release", "sale capture 0.80", "cost recovery 0.12"],
        &[],
    );

    // An ordinary code beside it is delivered, and so is one that came first.
    let run = fresh().waiting();
    let both = run.seen(OrderStatus::Open, &[CODE[0], bank[0]]);
    rule("beside a code", &run, both.clone(), &["delivered 1001", "alert: withheld"], &["loss"]);
    let code = run.seen(OrderStatus::Open, CODE);
    let run = run.at_once(code);
    rule("behind a code", &run, both.clone(), &["delivered 1001 with 2 messages", "alert: withheld"], &[]);
    let mintcode_core::redemption::Phase::Delivered(delivery) = &run.at_once(both).redemption.phase else {
        panic!("not delivered")
    };
    assert_eq!(delivery.code().as_deref(), Some("482915"));
    assert_eq!(delivery.message().unwrap().text, CODE[0]);
    assert_eq!(delivery.held.shown().count(), 1);
}

#[test]
fn plans_caps_and_switches_are_those_of_the_moment_and_the_policy_is_that_of_the_beginning() {
    let mut run = fresh().ordering();
    run.sku.plans[1].enabled = false;
    rule("switched off", &run, not_bought(NotBought::OutOfStock), &["failed out_of_stock"], &["do buy"]);
    run.sku.plans[1].enabled = true;
    run.sku.plans[1].max_cost = "0.16".parse().unwrap();
    rule("a new cap", &run, not_bought(NotBought::OutOfStock), &["ordering plan B at most 0.16"], &[]);
    run.sku.policy.max_plans_per_redemption = 1;
    run.sku.price = "9.99".parse().unwrap();
    rule("a new policy", &run, not_bought(NotBought::OutOfStock), &["ordering plan B"], &["failed"]);
    let seen = fresh().waiting();
    let code = seen.seen(OrderStatus::Open, CODE);
    rule("a new price", &seen, code, &["sale capture 0.80"], &["9.99"]);
}
