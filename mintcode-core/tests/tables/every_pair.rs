//! Every state with every event: decided, or refused with the typed error.

use std::fmt::Write as _;
use std::time::Duration;

use mintcode_core::health::{AccountChange, AccountEvent, Health, Off, Source, WhyOff};
use mintcode_core::ids::SupplierName;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::ports::Stop;
use mintcode_core::redemption::{Call, CallFailure, Event, Listing, NotBought, Phase, Wish};

use crate::run::{Run, order, two_plans};
use crate::told::told;

const SECOND: Duration = Duration::from_secs(1);
const BANK: &str = "Sberbank: payment 5,000 RUB, card *1234. Code 482915";

/// Every state a redemption can be in, with the differences that matter to what comes next.
fn states() -> Vec<(&'static str, Run)> {
    let fresh = || Run::of(two_plans());
    let waiting = || fresh().waiting();
    let with = |change: fn(&mut Run)| {
        let mut run = fresh();
        change(&mut run);
        run
    };
    let probed = || {
        with(|run| {
            let source = Source::of_plan(&run.sku.plans[0], &run.sku.product);
            let off = Off { since: run.now, until: run.now, why: WhyOff::Empty, probe: None };
            run.outlook.sources.insert(source, Health { off: Some(off), ..Health::default() });
        })
    };
    let shared = || with(|run| run.suppliers.values_mut().for_each(|facts| facts.is_exclusive = false));
    let unclear = |run: Run| run.ordering().at_once(Event::BuyUnclear { attempt: 1 });
    let code = ["Your code is 482915"];
    let seen = |run: Run, texts: &[&str]| {
        let event = run.seen(OrderStatus::Open, texts);
        run.then(SECOND, event)
    };
    let not_found = || Event::CallFailed {
        order: OrderId::new("1001"),
        call: Call::Check,
        failure: CallFailure::NotFound,
    };
    let at_once = |run: &mut Run| run.redemption.policy.further_sms = Duration::ZERO;
    let no_sms = || waiting().then(300 * SECOND, Event::Tick);
    let replaced = || waiting().then(SECOND, Event::Wish(Wish::Replace { attempt: 1 }));
    let too_dear = || {
        let run = fresh().ordering();
        let order = order(300_000, run.now);
        run.at_once(Event::Bought { attempt: 1, order })
    };
    let throttled =
        Event::NotBought { attempt: 1, why: NotBought::Throttled { retry_after_ms: Some(40_000) } };
    vec![
        ("queued", fresh()),
        ("queued, without a plan switched on", with(|run| run.sku.plans.clear())),
        ("queued, at the deadline", fresh().later(300 * SECOND)),
        ("queued, while the account has to wait", with(give_back_too_many)),
        ("queued, while the account is below the floor", with(|run| look_at_account(run, Some(1)))),
        ("queued, with a source to be probed", probed()),
        ("ordering", fresh().ordering()),
        ("ordering, as a probe", probed().ordering()),
        ("uncertain, as a probe", unclear(probed()).later(35 * SECOND)),
        ("ordering, to be cancelled", fresh().ordering().at_once(Event::Wish(Wish::Cancel))),
        ("ordering, at the deadline", fresh().ordering().later(300 * SECOND)),
        ("uncertain", unclear(fresh())),
        ("uncertain, to be cancelled", unclear(fresh()).at_once(Event::Wish(Wish::Cancel))),
        ("uncertain, at the first look", unclear(fresh()).later(35 * SECOND)),
        ("uncertain, absent once", {
            let run = unclear(fresh()).later(35 * SECOND);
            let listing = run.listing(Vec::new(), true);
            run.at_once(listing).later(15 * SECOND)
        }),
        ("uncertain, when the search ends", unclear(fresh()).later(361 * SECOND)),
        ("uncertain, to be cancelled, when the search ends", {
            unclear(fresh()).at_once(Event::Wish(Wish::Cancel)).later(361 * SECOND)
        }),
        ("uncertain on a shared account", unclear(shared())),
        ("uncertain on a shared account, at the deadline", unclear(shared()).later(300 * SECOND)),
        ("waiting", waiting()),
        ("waiting, as a probe", probed().waiting()),
        ("waiting, old", waiting().later(80 * SECOND)),
        ("waiting, unknown once", waiting().then(SECOND, not_found())),
        ("waiting, with a text", seen(waiting(), &["Welcome!"])),
        ("waiting, at the deadline", waiting().later(300 * SECOND)),
        ("waiting, at the deadline, with a text", seen(waiting(), &["Welcome!"]).later(300 * SECOND)),
        ("releasing after no SMS", no_sms()),
        ("releasing after no SMS, due again", no_sms().later(2 * SECOND)),
        ("releasing after no SMS, unknown once", no_sms().then(SECOND / 2, not_found())),
        ("releasing for another number", replaced()),
        ("releasing for another number, late", replaced().later(280 * SECOND)),
        ("releasing for another number, too late", replaced().later(290 * SECOND)),
        ("releasing to be cancelled", waiting().then(SECOND, Event::Wish(Wish::Cancel))),
        ("cooling down", fresh().ordering().at_once(throttled.clone())),
        ("cooling down, over", fresh().ordering().at_once(throttled).later(40 * SECOND)),
        ("delivered, open for more", seen(waiting(), &code)),
        ("delivered, no longer open", seen(waiting(), &code).later(120 * SECOND)),
        ("delivered, finishing", {
            let mut run = waiting();
            at_once(&mut run);
            seen(run, &code)
        }),
        ("delivered, finishing, due again", {
            let mut run = waiting();
            at_once(&mut run);
            seen(run, &code).later(2 * SECOND)
        }),
        ("delivered, open, unknown once", seen(waiting(), &code).then(SECOND, not_found())),
        ("delivered, settled", {
            let run = waiting();
            let event = run.seen(OrderStatus::Finished, &code);
            run.at_once(event)
        }),
        ("withheld, finishing", seen(waiting(), &[BANK])),
        ("withheld, settled", {
            let run = waiting();
            let event = run.seen(OrderStatus::Finished, &[BANK]);
            run.at_once(event)
        }),
        ("failed", {
            let run = no_sms();
            let event = run.seen(OrderStatus::Cancelled, &[]);
            run.at_once(event)
        }),
        ("cancelled", fresh().at_once(Event::Wish(Wish::Cancel))),
        ("ordering, another order going back", too_dear()),
        ("ordering, another order going back, with a message, due again", {
            let run = too_dear();
            let event = run.seen(OrderStatus::Open, &code);
            run.at_once(event).later(3 * SECOND)
        }),
        ("ordering, another order going back, unknown once", too_dear().then(SECOND, not_found())),
        ("ordering, another order going back, due again", {
            let run = too_dear();
            run.then(SECOND / 10, Event::Tick).later(3 * SECOND)
        }),
    ]
}

fn account_after(run: &mut Run, event: AccountEvent) {
    let supplier = SupplierName::default();
    let account = run.outlook.accounts.remove(&supplier).unwrap_or_default();
    let change = AccountChange { supplier: supplier.clone(), event };
    let (account, _) = account.after(&change, &run.rules.health, run.now);
    run.outlook.accounts.insert(supplier, account);
}

fn give_back_too_many(run: &mut Run) {
    run.rules.health.give_backs = 1;
    account_after(run, AccountEvent::GivenBack);
    run.now += 570 * SECOND;
    run.redemption.deadline = run.now + 300 * SECOND;
}

fn look_at_account(run: &mut Run, rating_milli: Option<i64>) {
    let (balance, currency) = (Amount::from_micros(1), Currency::USD);
    account_after(run, AccountEvent::Seen { balance, currency, rating_milli });
}

/// Every event, with the differences that matter.
fn events(run: &Run) -> Vec<(String, Event)> {
    let attempt = run.redemption.attempts();
    let mut events = vec![
        ("tick".to_owned(), Event::Tick),
        ("recovered".to_owned(), Event::Recovered),
        ("bought".to_owned(), Event::Bought { attempt, order: order(120_000, run.now) }),
        ("bought again".to_owned(), {
            let known = run.redemption.attempt_rows().into_iter().find_map(|row| row.order);
            let id = known.unwrap_or_else(|| OrderId::new("1001"));
            Event::Bought { attempt, order: mintcode_core::order::Order { id, ..order(120_000, run.now) } }
        }),
        ("bought, another order".to_owned(), {
            let id = OrderId::new("1002");
            Event::Bought { attempt, order: mintcode_core::order::Order { id, ..order(120_000, run.now) } }
        }),
        ("bought too dear".to_owned(), {
            let id = OrderId::new("1003");
            Event::Bought { attempt, order: mintcode_core::order::Order { id, ..order(300_000, run.now) } }
        }),
        (
            "bought by an attempt nobody made".to_owned(),
            Event::Bought {
                attempt: 99,
                order: mintcode_core::order::Order { id: OrderId::new("1004"), ..order(120_000, run.now) },
            },
        ),
        ("buy unclear".to_owned(), Event::BuyUnclear { attempt }),
        ("buy unclear of another attempt".to_owned(), Event::BuyUnclear { attempt: 99 }),
        ("list failed".to_owned(), Event::ListFailed(CallFailure::Unclear)),
        ("wish replace".to_owned(), Event::Wish(Wish::Replace { attempt })),
        ("wish replace of another attempt".to_owned(), Event::Wish(Wish::Replace { attempt: 99 })),
        ("wish cancel".to_owned(), Event::Wish(Wish::Cancel)),
        ("wish release".to_owned(), Event::Wish(Wish::Release)),
    ];
    for (name, why) in [
        ("out of stock", NotBought::OutOfStock),
        ("not sent", NotBought::NotSent),
        ("throttled", NotBought::Throttled { retry_after_ms: None }),
        ("throttled for 2 s", NotBought::Throttled { retry_after_ms: Some(2_000) }),
        ("throttled for an hour", NotBought::Throttled { retry_after_ms: Some(3_600_000) }),
        ("stopped: key", NotBought::Stopped(Stop::Key)),
        ("stopped: balance", NotBought::Stopped(Stop::Balance)),
        ("stopped: rating", NotBought::Stopped(Stop::Rating)),
        ("stopped: parameters", NotBought::Stopped(Stop::Parameters)),
    ] {
        events.push((format!("not bought, {name}"), Event::NotBought { attempt, why }));
    }
    events.push((
        "not bought by another attempt".to_owned(),
        Event::NotBought { attempt: 99, why: NotBought::OutOfStock },
    ));
    let mut ids = run.redemption.background.iter().map(|surplus| surplus.held.order.id.clone());
    let id = ids.next_back().unwrap_or_else(|| OrderId::new("1001"));
    let statuses = [
        OrderStatus::Open,
        OrderStatus::Finished,
        OrderStatus::Cancelled,
        OrderStatus::Banned,
        OrderStatus::TimedOut,
    ];
    for status in statuses {
        for (name, texts) in [
            ("nothing", &[][..]),
            ("a code", &["Your code is 482915"][..]),
            ("a text", &["Welcome!"][..]),
            ("a bank's message", &[BANK][..]),
            ("a code and a bank's message", &["Your code is 482915", BANK][..]),
        ] {
            let sight = crate::run::sight(status, texts);
            events.push((format!("seen {status:?} with {name}"), Event::Seen { order: id.clone(), sight }));
        }
    }
    events.push((
        "seen, an order nobody knows".to_owned(),
        Event::Seen {
            order: OrderId::new("9"),
            sight: crate::run::sight(OrderStatus::Open, &["Your code is 482915"]),
        },
    ));
    for call in [Call::Check, Call::Settle] {
        for failure in [
            CallFailure::Throttled { retry_after: None },
            CallFailure::Throttled { retry_after: Some(20 * SECOND) },
            CallFailure::Stopped(Stop::Key),
            CallFailure::NotFound,
            CallFailure::TooEarly,
            CallFailure::Conflict,
            CallFailure::Unclear,
        ] {
            let name = format!("{} failed, {}", words(call), failed(failure));
            events.push((name, Event::CallFailed { order: id.clone(), call, failure }));
        }
    }
    events.push((
        "check failed of an order nobody knows".to_owned(),
        Event::CallFailed { order: OrderId::new("9"), call: Call::Check, failure: CallFailure::NotFound },
    ));
    events.extend(listings(run));
    events
}

fn words(call: Call) -> &'static str {
    match call {
        Call::Check => "check",
        Call::Settle => "settling",
    }
}

fn failed(failure: CallFailure) -> String {
    match failure {
        CallFailure::Throttled { retry_after: None } => "throttled".to_owned(),
        CallFailure::Throttled { retry_after: Some(pause) } => format!("throttled for {} s", pause.as_secs()),
        CallFailure::Stopped(_) => "stopped".to_owned(),
        CallFailure::NotFound => "not found".to_owned(),
        CallFailure::TooEarly => "too early".to_owned(),
        CallFailure::Conflict => "conflict".to_owned(),
        CallFailure::Unclear => "unclear".to_owned(),
    }
}

fn listings(run: &Run) -> Vec<(String, Event)> {
    let Phase::Uncertain(search) = &run.redemption.phase else {
        return vec![("listed".to_owned(), run.listing(Vec::new(), true))];
    };
    let began = search.intent.intended_at;
    let claimed = |claimed: &str, window| {
        Event::Listed(Listing {
            orders: vec![run.listed(120_000, OrderStatus::Open, &[])],
            is_whole: true,
            claimed: [OrderId::new(claimed)].into(),
            other_send_window: window,
        })
    };
    vec![
        ("listed, not there".to_owned(), run.listing(Vec::new(), true)),
        ("listed, cut short".to_owned(), run.listing(Vec::new(), false)),
        ("listed, there".to_owned(), run.listing(vec![run.listed(120_000, OrderStatus::Open, &[])], true)),
        ("listed, there and cut short".to_owned(), {
            run.listing(vec![run.listed(120_000, OrderStatus::Open, &[])], false)
        }),
        ("listed, there and too dear".to_owned(), {
            run.listing(vec![run.listed(300_000, OrderStatus::Open, &[])], true)
        }),
        ("listed, there and too dear with a code".to_owned(), {
            run.listing(vec![run.listed(300_000, OrderStatus::Open, &["Your code is 482915"])], true)
        }),
        ("listed, there with a code".to_owned(), {
            run.listing(vec![run.listed(120_000, OrderStatus::Open, &["Your code is 482915"])], true)
        }),
        ("listed, there with a bank's message".to_owned(), {
            run.listing(vec![run.listed(120_000, OrderStatus::Open, &[BANK])], true)
        }),
        ("listed, there and over".to_owned(), {
            run.listing(vec![run.listed(120_000, OrderStatus::Cancelled, &[])], true)
        }),
        ("listed, there and over with a code".to_owned(), {
            run.listing(vec![run.listed(120_000, OrderStatus::Finished, &["Your code is 482915"])], true)
        }),
        ("listed, there and claimed".to_owned(), claimed("1001", None)),
        ("listed, there and perhaps another's".to_owned(), claimed("9", Some(began))),
    ]
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    let mut table = String::from(
        "# What happens in every state at every event. Made by tests/tables/every_pair.rs; see tests/tables/main.rs.\n",
    );
    for (name, run) in states() {
        writeln!(table, "\n## {name}").unwrap();
        // What comes to the same is told together, in the order in which it first comes up.
        let mut outcomes: Vec<(String, Vec<String>)> = Vec::new();
        for (event, happened) in events(&run) {
            let outcome = told(&run, &run.decide(happened));
            match outcomes.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, events)) => events.push(event),
                None => outcomes.push((outcome, vec![event])),
            }
        }
        for (outcome, events) in outcomes {
            writeln!(table, "{}\n    -> {outcome}", events.join(" | ")).unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables/every_pair.txt");
    if std::env::var_os("MINTCODE_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    for (line, (is, was)) in (1..).zip(table.lines().zip(stored.lines())) {
        assert_eq!(is, was, "every_pair.txt, line {line}");
    }
    assert_eq!(table.lines().count(), stored.lines().count());
}
