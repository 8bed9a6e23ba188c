//! The plan choice as a table: what is asked, what is answered, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::{
    Account, AccountChange, AccountEvent, AccountStanding, Health, HealthRules, Off, Source, Standing, WhyOff,
};
use mintcode_core::ids::{PlanId, SupplierName};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::ports::Stop;
use mintcode_core::redemption::{
    Candidate, Choice, ChoiceRecord, Event, FailureKind, NotBought, Question, Wish, choose,
};
use mintcode_core::responsible::DenyList;
use mintcode_core::testing::sample;

use crate::run::{Run, order, two_plans};

fn at(seconds: u64) -> DateTime<Utc> {
    sample::now() + Duration::from_secs(seconds)
}

fn candidate(id: &str) -> Candidate {
    let plan = sample::plan(id, "canada", "virtual4");
    Candidate {
        cap: plan.max_cost,
        worth: plan.expected_cost,
        plan,
        standing: Standing::On,
        is_denied: false,
    }
}

fn account(standing: AccountStanding) -> BTreeMap<SupplierName, AccountStanding> {
    BTreeMap::from([(SupplierName::default(), standing)])
}

/// Plans A, B and C, all of which may be tried, for a voucher that was never redeemed.
fn question() -> Question {
    Question {
        plans: ["A", "B", "C"].map(candidate).into(),
        accounts: account(AccountStanding::Open),
        behind: None,
        same: None,
        tried: BTreeSet::new(),
        exhausted: BTreeSet::new(),
        max_plans: 3,
        buys_left: 18,
        is_denied: false,
    }
}

fn ids(ids: &[&str]) -> BTreeSet<PlanId> {
    ids.iter().map(|id| sample::plan_id(id)).collect()
}

fn told(choice: &Choice) -> String {
    match choice {
        Choice::Next { plan, cap, is_probe } => {
            format!("{} at most {cap}{}", plan.id, if *is_probe { " as a probe" } else { "" })
        }
        Choice::Wait { plan, until } => format!("wait for {plan} until {}", (*until - at(0)).num_seconds()),
        Choice::GiveUp { kind, stop: None } => format!("give up: {}", kind.name()),
        Choice::GiveUp { kind, stop: Some(stop) } => format!("give up: {} ({stop:?})", kind.name()),
    }
}

#[test]
fn the_first_plan_that_nothing_stands_in_the_way_of_is_tried() {
    type Change = fn(&mut Question);
    let cases: Vec<(&str, Change, &str, &str)> = vec![
        (
            "nothing stands in the way",
            |_| {},
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12",
        ),
        (
            "a plan switched off by hand",
            |it| it.plans[0].plan.enabled = false,
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (switched off by hand)",
        ),
        (
            "a plan in a denied country",
            |it| it.plans[0].is_denied = true,
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (its country is on the deny list)",
        ),
        (
            "a plan of a supplier that is not configured",
            |it| it.plans[0].plan.supplier = SupplierName::new("gone").unwrap(),
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (its supplier is not configured)",
        ),
        (
            "a plan that is expected to cost more than the SKU allows",
            |it| it.plans[0].cap = Amount::from_micros(119_999),
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (expected above its cap)",
        ),
        (
            "a plan that is expected to cost just what the SKU allows",
            |it| it.plans[0].cap = Amount::from_micros(120_000),
            "A at most 0.12",
            "first by priority 10 and expected cost 0.12",
        ),
        (
            "a plan that was out of stock in this redemption",
            |it| (it.tried, it.exhausted) = (ids(&["A"]), ids(&["A"])),
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (out of stock)",
        ),
        (
            "a plan that is off by itself",
            |it| it.plans[0].standing = Standing::Off { until: at(60) },
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (off by itself)",
        ),
        (
            "a plan that is to be probed",
            |it| it.plans[0].standing = Standing::Probe,
            "A at most 0.20 as a probe",
            "first by priority 10 and expected cost 0.12, to probe a source that was off",
        ),
        (
            "the number of the last try got no SMS",
            |it| it.behind = Some(sample::plan_id("A")),
            "B at most 0.20",
            "first by priority 10 and expected cost 0.12, behind plan A",
        ),
        (
            "behind the last plan comes the first",
            |it| it.behind = Some(sample::plan_id("C")),
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12, behind plan C",
        ),
        (
            "behind a plan that is no more",
            |it| it.behind = Some(sample::plan_id("Z")),
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12, behind plan Z",
        ),
        (
            "the plan behind which it starts comes last",
            |it| {
                it.behind = Some(sample::plan_id("A"));
                it.plans[1].plan.enabled = false;
                it.plans[2].plan.enabled = false;
            },
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12, behind plan A, without B (switched off by hand), C (switched off by hand)",
        ),
        (
            "after a pause the same plan again",
            |it| (it.same, it.tried) = (Some(sample::plan_id("B")), ids(&["B"])),
            "B at most 0.20",
            "the same plan again after a pause",
        ),
        (
            "after a pause the same plan again, whatever lies behind",
            |it| (it.same, it.behind) = (Some(sample::plan_id("B")), Some(sample::plan_id("B"))),
            "B at most 0.20",
            "the same plan again after a pause",
        ),
        (
            "after a pause a plan that was switched off in the meantime",
            |it| {
                (it.same, it.tried) = (Some(sample::plan_id("B")), ids(&["B"]));
                it.plans[1].plan.enabled = false;
            },
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12, without B (switched off by hand)",
        ),
        (
            "after a pause a plan that is no more",
            |it| it.same = Some(sample::plan_id("Z")),
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12",
        ),
        (
            "enough plans were tried, and one of them may be tried again",
            |it| (it.tried, it.max_plans, it.behind) = (ids(&["A"]), 1, Some(sample::plan_id("A"))),
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12, behind plan A, without B (enough plans were tried), C (enough plans were tried)",
        ),
        (
            "enough plans were tried, all of them out of stock",
            |it| (it.tried, it.exhausted, it.max_plans) = (ids(&["A", "B"]), ids(&["A", "B"]), 2),
            "give up: out_of_stock",
            "no plan is left, without A (out of stock), B (out of stock), C (enough plans were tried)",
        ),
        (
            "one more plan may be tried",
            |it| (it.tried, it.exhausted, it.max_plans) = (ids(&["A", "B"]), ids(&["A", "B"]), 3),
            "C at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (out of stock), B (out of stock)",
        ),
        (
            "every plan is off by itself",
            |it| it.plans.iter_mut().for_each(|plan| plan.standing = Standing::Off { until: at(60) }),
            "give up: out_of_stock",
            "no plan is left, without A (off by itself), B (off by itself), C (off by itself)",
        ),
        (
            "every plan is switched off by hand",
            |it| it.plans.iter_mut().for_each(|plan| plan.plan.enabled = false),
            "give up: temporarily_unavailable",
            "no plan is left, without A (switched off by hand), B (switched off by hand), C (switched off by hand)",
        ),
        ("there are no plans", |it| it.plans.clear(), "give up: temporarily_unavailable", "no plan is left"),
        (
            "the product is denied",
            |it| it.is_denied = true,
            "give up: contact_support",
            "the product, or every country, is on the deny list",
        ),
        (
            "every country is denied",
            |it| it.plans.iter_mut().for_each(|plan| plan.is_denied = true),
            "give up: contact_support",
            "the product, or every country, is on the deny list",
        ),
        (
            "the voucher's purchases are used up",
            |it| it.buys_left = 0,
            "give up: contact_support",
            "the voucher has no purchase left",
        ),
        (
            "one purchase is left",
            |it| it.buys_left = 1,
            "A at most 0.20",
            "first by priority 10 and expected cost 0.12",
        ),
        (
            "the account gave back too many numbers",
            |it| it.accounts = account(AccountStanding::Paused { until: at(90) }),
            "wait for A until 90",
            "plan A has to wait: too many numbers were given back lately, without A (too many numbers were given back), B (too many numbers were given back), C (too many numbers were given back)",
        ),
        (
            "another account may buy",
            |it| {
                let other = SupplierName::new("other").unwrap();
                it.accounts.insert(SupplierName::default(), AccountStanding::Paused { until: at(90) });
                it.accounts.insert(other.clone(), AccountStanding::Open);
                it.plans[2].plan.supplier = other;
            },
            "C at most 0.20",
            "first by priority 10 and expected cost 0.12, without A (too many numbers were given back), B (too many numbers were given back)",
        ),
        (
            "the account that may buy first is waited for",
            |it| {
                let other = SupplierName::new("other").unwrap();
                it.accounts.insert(SupplierName::default(), AccountStanding::Paused { until: at(90) });
                it.accounts.insert(other.clone(), AccountStanding::Paused { until: at(30) });
                it.plans[2].plan.supplier = other;
            },
            "wait for C until 30",
            "plan C has to wait: too many numbers were given back lately, without A (too many numbers were given back), B (too many numbers were given back), C (too many numbers were given back)",
        ),
        (
            "a plan that may not be tried is not waited for",
            |it| {
                it.accounts.insert(SupplierName::default(), AccountStanding::Paused { until: at(90) });
                it.plans[0].plan.enabled = false;
            },
            "wait for B until 90",
            "plan B has to wait: too many numbers were given back lately, without A (switched off by hand), B (too many numbers were given back), C (too many numbers were given back)",
        ),
        (
            "the account's standing is below the floor",
            |it| it.accounts = account(AccountStanding::BelowFloor),
            "give up: contact_support (Rating)",
            "no plan is left, without A (the account's standing is below the floor), B (the account's standing is below the floor), C (the account's standing is below the floor)",
        ),
    ];
    for (name, change, choice, reason) in cases {
        let mut question = question();
        change(&mut question);
        let answer = choose(&question);
        assert_eq!((told(&answer.choice).as_str(), answer.reason.as_str()), (choice, reason), "{name}");
        // Whatever was asked, the record says the same again, byte for byte.
        let text = ChoiceRecord { at: at(0), question, answer }.text();
        let record = ChoiceRecord::read(&text).unwrap();
        assert_eq!(record.replay().text(), text, "{name}");
    }
}

#[test]
fn a_record_that_was_tampered_with_does_not_hold() {
    let answer = choose(&question());
    let record = ChoiceRecord { at: at(0), question: question(), answer };
    let mut tampered = record.clone();
    tampered.question.plans[0].plan.enabled = false;
    assert_ne!(tampered.replay(), tampered);
    assert_eq!(record.replay(), record);
    assert!(ChoiceRecord::read("{}").is_err());
}

fn asked(run: &Run) -> Question {
    Question::of(&run.redemption, None, &run.context(), run.now)
}

fn order_of(run: &Run) -> Vec<String> {
    asked(run).plans.iter().map(|candidate| candidate.plan.id.to_string()).collect()
}

#[test]
fn every_plan_has_a_verdict_in_the_order_in_which_it_comes_up() {
    let mut question = question();
    question.behind = Some(sample::plan_id("A"));
    question.plans[2].plan.enabled = false;
    let verdicts = question.verdicts();
    let told: Vec<_> = verdicts.iter().map(|it| (it.plan.id.as_str(), it.obstacle)).collect();
    assert_eq!(told, [("B", None), ("C", Some("switched off by hand")), ("A", None)]);
}

#[test]
fn plans_go_by_priority_then_by_expected_cost_then_by_id() {
    let mut run = Run::of(two_plans());
    run.sku.plans.push(sample::plan("C", "india", "virtual1"));
    assert_eq!(order_of(&run), ["A", "C", "B"]);
    run.sku.plans[1].priority = 9;
    assert_eq!(order_of(&run), ["B", "A", "C"]);
    run.sku.plans[2].expected_cost = Amount::from_micros(119_999);
    assert_eq!(order_of(&run), ["B", "C", "A"]);
}

#[test]
fn plans_of_different_currencies_go_by_what_they_are_worth() {
    let mut run = Run::of(two_plans());
    let elsewhere = SupplierName::new("elsewhere").unwrap();
    let rate = "0.0125".parse().unwrap();
    let facts =
        mintcode_core::redemption::SupplierFacts { rate, ..run.suppliers[&SupplierName::default()].clone() };
    run.suppliers.insert(elsewhere.clone(), facts);
    // 5 roubles are 0.0625 dollars.
    run.sku.plans[1].supplier = elsewhere;
    run.sku.plans[1].expected_cost = "5".parse().unwrap();
    run.sku.plans[1].max_cost = "9".parse().unwrap();
    assert_eq!(order_of(&run), ["B", "A"]);
    assert_eq!(asked(&run).plans[0].worth, Amount::from_micros(62_500));
    run.sku.plans[1].expected_cost = "10".parse().unwrap();
    run.sku.plans[1].max_cost = "10".parse().unwrap();
    assert_eq!(order_of(&run), ["A", "B"]);
}

#[test]
fn what_is_asked_is_what_holds_at_that_moment() {
    let mut run = Run::of(two_plans());
    run.redemption.policy.max_cost = Some(Amount::from_micros(180_000));
    run.redemption.start_behind = Some(sample::plan_id("B"));
    run.sku.plans[1].max_cost = Amount::from_micros(160_000);
    let source = Source::of_plan(&run.sku.plans[1], "telegram");
    let off = Off { since: sample::now(), until: at(30), why: WhyOff::Empty, probe: None };
    run.outlook.sources.insert(source, Health { off: Some(off), ..Health::default() });
    run.rules.deny = DenyList::empty().with([], ["england".to_owned()]);
    let question = asked(&run);
    let seen: Vec<_> = question
        .plans
        .iter()
        .map(|plan| (plan.plan.id.as_str(), plan.cap.micros(), plan.standing, plan.is_denied))
        .collect();
    assert_eq!(
        seen,
        [("A", 180_000, Standing::On, false), ("B", 160_000, Standing::Off { until: at(30) }, true)]
    );
    assert_eq!(question.behind, Some(sample::plan_id("B")));
    assert_eq!((question.max_plans, question.buys_left, question.is_denied), (3, 18, false));
    assert_eq!(question.accounts, BTreeMap::from([(SupplierName::default(), AccountStanding::Open)]));
    run.rules.deny = DenyList::empty().with(["telegram".to_owned()], []);
    assert!(asked(&run).is_denied);
}

#[test]
fn the_accounts_standing_is_asked() {
    let mut run = Run::of(two_plans());
    let supplier = SupplierName::default();
    let event = AccountEvent::Seen {
        balance: Amount::from_micros(1),
        currency: Currency::USD,
        rating_milli: Some(HealthRules::default().rating_floor_milli - 1),
    };
    let change = AccountChange { supplier: supplier.clone(), event };
    let (account, _) = Account::default().after(&change, &run.rules.health, run.now);
    run.outlook.accounts.insert(supplier.clone(), account);
    assert_eq!(asked(&run).accounts[&supplier], AccountStanding::BelowFloor);
    let stopped = run.take(Event::Tick);
    let answer = stopped.choice.unwrap().answer;
    assert_eq!(answer.choice, Choice::GiveUp { kind: FailureKind::ContactSupport, stop: Some(Stop::Rating) });
}

#[test]
fn history_counts_what_was_tried_exhausted_and_replaced() {
    let empty = |run: Run| {
        let attempt = run.redemption.attempts();
        run.at_once(Event::NotBought { attempt, why: NotBought::OutOfStock })
    };
    let run = empty(Run::of(two_plans()).ordering());
    assert_eq!((asked(&run).tried, asked(&run).exhausted), (ids(&["A"]), ids(&["A"])));
    assert_eq!(asked(&run).behind, None);

    // A dearer order counts as out of stock while it is still on its way back.
    let run = Run::of(two_plans()).ordering();
    let dear = order(300_000, run.now);
    let run = run.at_once(Event::Bought { attempt: 1, order: dear });
    assert_eq!((asked(&run).tried, asked(&run).exhausted), (ids(&["A"]), ids(&["A"])));
    assert_eq!(asked(&run).buys_left, 16);

    // A number that was replaced: its plan was tried, may be tried again, and comes last.
    let run = Run::of(two_plans()).waiting().at_once(Event::Wish(Wish::Replace { attempt: 1 }));
    let event = run.seen(mintcode_core::order::OrderStatus::Cancelled, &[]);
    let run = run.at_once(event);
    let question = asked(&run);
    assert_eq!((question.tried, question.exhausted), (ids(&["A"]), ids(&[])));
    assert_eq!(question.behind, Some(sample::plan_id("A")));
    assert_eq!(run.intent().plan, sample::plan_id("B"));
}
