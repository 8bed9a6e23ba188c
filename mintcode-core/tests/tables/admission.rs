//! Whether a redemption may begin, rule by rule: decided before anything is locked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::health::{
    Account, AccountChange, AccountEvent, Health, Off, Outlook, Probe, Source, WhyOff,
};
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::redemption::{Holder, HolderKey, Phase, Redemption};
use mintcode_core::responsible::DenyList;
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::velocity::{Cap, Counter};
use mintcode_core::voucher::{
    Admission, Refusal, Request, Resting, Surroundings, Voucher, VoucherState, admit,
};

use crate::run::{Run, two_plans};

fn at(seconds: u64) -> DateTime<Utc> {
    sample::now() + Duration::from_secs(seconds)
}

fn holder(who: u8) -> Holder {
    Holder { session: Some(HolderKey::new(&[who; 32])), idempotency: None }
}

/// A request for a voucher, and everything its answer depends on.
struct Asked {
    sku: Sku,
    voucher: Voucher,
    last: Option<Redemption>,
    outlook: Outlook,
    rules: Rules,
    begun: Vec<(Cap, Counter)>,
    again: bool,
    holder: Holder,
    now: DateTime<Utc>,
}

impl Asked {
    fn new() -> Self {
        let sku = two_plans();
        Self {
            voucher: sample::voucher(&sku),
            sku,
            last: None,
            outlook: Outlook::default(),
            rules: Rules::default(),
            begun: Vec::new(),
            again: false,
            holder: holder(1),
            now: at(0),
        }
    }

    /// The voucher of a redemption of holder 1 that stands there.
    fn after(run: Run) -> Self {
        let last = Redemption { holder: holder(1), ..run.redemption };
        Self { voucher: run.voucher, last: Some(last), now: run.now, ..Self::new() }
    }

    fn answer(&self) -> Admission {
        let id = RedemptionId::draw(&SeededEntropy::new(99));
        let again = self.last.as_ref().filter(|_| self.again).map(|last| last.id);
        let request = Request { holder: self.holder.clone(), id, again };
        let around = Surroundings { outlook: &self.outlook, rules: &self.rules, begun: &self.begun };
        admit(self.voucher.clone(), &self.sku, self.last.as_ref(), request, &around, self.now)
    }

    #[track_caller]
    fn refusal(&self) -> Refusal {
        match self.answer() {
            Admission::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[track_caller]
    fn begun(&self) -> (Voucher, Redemption, Option<RedemptionId>) {
        match self.answer() {
            Admission::Begin { voucher, redemption, follows } => (*voucher, *redemption, follows),
            other => panic!("not begun: {other:?}"),
        }
    }

    fn switch_off(&mut self, plan: usize, until: u64) {
        let off = Off { since: at(0), until: at(until), why: WhyOff::Empty, probe: None };
        let health = Health { off: Some(off), ..Health::default() };
        self.outlook.sources.insert(Source::of_plan(&self.sku.plans[plan], &self.sku.product), health);
    }
}

fn failed() -> Run {
    let run =
        Run::of(two_plans()).waiting().then(Duration::from_secs(300), mintcode_core::redemption::Event::Tick);
    let event = run.seen(mintcode_core::order::OrderStatus::Cancelled, &[]);
    run.at_once(event)
}

#[test]
fn a_fresh_voucher_begins_with_what_holds_now() {
    let asked = Asked::new();
    let (voucher, redemption, follows) = asked.begun();
    assert_eq!(voucher.state, VoucherState::Locked { from: Resting::Issued });
    assert_eq!((redemption.version, redemption.epoch, follows), (1, 1, None));
    assert_eq!(redemption.phase, Phase::Queued);
    assert_eq!((redemption.price, redemption.currency), (asked.sku.price, asked.rules.rates.selling));
    assert_eq!(redemption.policy, asked.sku.policy);
    assert_eq!(redemption.deadline, at(300));
}

#[test]
fn what_replaces_another_voucher_earns_nothing() {
    let mut asked = Asked::new();
    asked.voucher.replaces = Some(asked.voucher.hash);
    assert_eq!(asked.begun().1.price, Amount::ZERO);
}

#[test]
fn the_first_redemption_sets_the_end_and_no_later_one_does() {
    let week = Duration::from_hours(7 * 24);
    let end = |expires_at, redemption| {
        let mut asked = Asked::new();
        asked.voucher = Voucher { expires_at, redemption, ..asked.voucher };
        asked.begun().0.expires_at
    };
    let earlier = Some(RedemptionId::draw(&SeededEntropy::new(3)));
    assert_eq!(end(None, None), Some(at(0) + week));
    assert_eq!(end(Some(at(60)), None), Some(at(60)));
    assert_eq!(end(Some(at(0) + week * 2), None), Some(at(0) + week));
    assert_eq!(end(Some(at(0) + week * 2), earlier), Some(at(0) + week * 2));
    assert_eq!(end(None, earlier), None);
}

#[test]
fn the_voucher_has_to_be_good() {
    let refusal = |change: fn(&mut Asked)| {
        let mut asked = Asked::new();
        asked.voucher.state = VoucherState::RetryableFailed;
        change(&mut asked);
        asked.refusal()
    };
    assert_eq!(refusal(|asked| asked.voucher.tries = 3), Refusal::Exhausted);
    assert_eq!(refusal(|asked| asked.voucher.ready_at = Some(at(1))), Refusal::CoolingDown { until: at(1) });
    assert_eq!(refusal(|asked| asked.voucher.state = VoucherState::Cancelled), Refusal::Cancelled);
    assert_eq!(refusal(|asked| asked.voucher.state = VoucherState::Fulfilled), Refusal::Used);
    let expired = VoucherState::Expired { from: Resting::Issued };
    assert_eq!(
        refusal(move |asked| asked.voucher.state = VoucherState::Expired { from: Resting::Issued }),
        {
            let mut asked = Asked::new();
            asked.voucher.state = expired;
            asked.refusal()
        }
    );

    let mut asked = Asked::new();
    asked.voucher = Voucher { tries: 2, ready_at: Some(at(0)), ..asked.voucher };
    asked.begun();
    asked.voucher.expires_at = Some(at(0));
    let Admission::Expired(expired) = asked.answer() else { panic!("not expired") };
    assert_eq!(expired.state, VoucherState::Expired { from: Resting::Issued });
    asked.voucher.expires_at = Some(at(1));
    asked.begun();
}

#[test]
fn the_same_holder_comes_back_to_the_same_redemption_and_nobody_else_does() {
    for (run, others) in [
        (Run::of(two_plans()), Refusal::Busy),
        (Run::of(two_plans()).waiting(), Refusal::Busy),
        (
            {
                let run = Run::of(two_plans()).waiting();
                let event = run.seen(mintcode_core::order::OrderStatus::Open, &["Your code is 482915"]);
                run.at_once(event)
            },
            Refusal::Used,
        ),
    ] {
        let mut asked = Asked::after(run);
        assert_eq!(asked.answer(), Admission::Same);
        asked.holder = holder(2);
        assert_eq!(asked.refusal(), others);
        // Nor is a redemption followed that has not failed.
        asked.again = true;
        assert_eq!(asked.refusal(), Refusal::NotAllowed);
    }
}

#[test]
fn another_redemption_follows_the_failed_one_of_the_same_holder() {
    let mut asked = Asked::after(failed());
    asked.now += Duration::from_secs(60);
    let last = asked.last.clone().unwrap();
    let (_, next, follows) = asked.begun();
    assert_eq!(
        (follows, next.tries_before, next.start_behind),
        (Some(last.id), 1, Some(sample::plan_id("A")))
    );
    // Somebody else who has the code begins one that nobody is led to.
    asked.holder = holder(2);
    assert_eq!(asked.begun().2, None);
    // By the redemption's id it is the same holder, whoever asks.
    asked.again = true;
    let (_, next, follows) = asked.begun();
    assert_eq!((follows, next.holder), (Some(last.id), holder(1)));
    // Only the last one is followed.
    let request = Request {
        holder: holder(1),
        id: RedemptionId::draw(&SeededEntropy::new(98)),
        again: Some(RedemptionId::draw(&SeededEntropy::new(97))),
    };
    let around = Surroundings { outlook: &asked.outlook, rules: &asked.rules, begun: &asked.begun };
    for last in [Some(&last), None] {
        let answer = admit(asked.voucher.clone(), &asked.sku, last, request.clone(), &around, asked.now);
        assert_eq!(answer, Admission::Refused(Refusal::NotAllowed));
    }
}

#[test]
fn with_all_plans_off_it_is_refused_before_locking_with_the_next_probe() {
    let mut asked = Asked::new();
    asked.switch_off(0, 600);
    asked.begun();
    asked.switch_off(1, 400);
    let refused = asked.refusal();
    assert_eq!(refused, Refusal::Unavailable { until: Some(at(400)) });
    assert_eq!(
        refused.alert(&asked.sku.id),
        Some(AlertChange::Raise(Alert::NoPlanLeft { sku: asked.sku.id.clone() }))
    );
    assert_eq!(Refusal::Busy.alert(&asked.sku.id), None);
    // From then on it may be probed, by one at a time.
    asked.now = at(400);
    asked.begun();
    let source = Source::of_plan(&asked.sku.plans[1], &asked.sku.product);
    let redemption = RedemptionId::draw(&SeededEntropy::new(5));
    let probe = Some(Probe { redemption, attempt: 1, until: at(440) });
    asked.outlook.sources.get_mut(&source).unwrap().off.as_mut().unwrap().probe = probe;
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: Some(at(440)) });
    // A plan that is switched off by hand comes back by hand alone.
    asked.sku.plans.iter_mut().for_each(|plan| plan.enabled = false);
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: None });
}

#[test]
fn a_source_that_is_off_for_its_price_is_on_for_a_sku_that_pays_it() {
    let mut asked = Asked::new();
    asked.sku.plans.truncate(1);
    asked.switch_off(0, 600);
    let source = Source::of_plan(&asked.sku.plans[0], &asked.sku.product);
    let off = asked.outlook.sources.get_mut(&source).unwrap().off.as_mut().unwrap();
    off.why = WhyOff::Dear {
        price: Amount::from_micros(200_000),
        cap: Amount::from_micros(190_000),
        is_quote_false: false,
    };
    asked.begun();
    asked.sku.policy.max_cost = Some(Amount::from_micros(199_999));
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: Some(at(600)) });
    asked.sku.policy.max_cost = Some(Amount::from_micros(300_000));
    asked.begun();
}

#[test]
fn with_every_account_paused_it_is_refused_before_locking() {
    let mut asked = Asked::new();
    asked.rules.health.give_backs = 1;
    let supplier = SupplierName::default();
    let change = AccountChange { supplier: supplier.clone(), event: AccountEvent::GivenBack };
    let (account, alerts) = Account::default().after(&change, &asked.rules.health, at(0));
    let until = at(660);
    assert_eq!(alerts, [AlertChange::Raise(Alert::AccountPaused { supplier: supplier.clone(), until })]);
    asked.outlook.accounts.insert(supplier, account);
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: Some(until) });
    // One plan of another supplier is enough.
    asked.sku.plans[1].supplier = SupplierName::new("other").unwrap();
    asked.begun();
    asked.switch_off(1, 300);
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: Some(at(300)) });
}

#[test]
fn an_account_below_the_floor_lets_the_customer_hear_of_support() {
    let mut asked = Asked::new();
    let supplier = SupplierName::default();
    let (balance, currency) = (Amount::from_micros(1), Currency::USD);
    let event = AccountEvent::Seen { balance, currency, rating_milli: Some(1) };
    let change = AccountChange { supplier: supplier.clone(), event };
    asked.outlook.accounts.insert(supplier, Account::default().after(&change, &asked.rules.health, at(0)).0);
    asked.begun();
}

#[test]
fn what_is_on_the_deny_list_is_not_offered() {
    let denying = |services: &[&str], countries: &[&str]| {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut asked = Asked::new();
        asked.rules.deny = DenyList::empty().with(list(services), list(countries));
        asked
    };
    denying(&["whatsapp"], &["canada"]).begun();
    assert_eq!(denying(&["telegram"], &[]).refusal(), Refusal::NotOffered);
    assert_eq!(denying(&[], &["canada", "england"]).refusal(), Refusal::NotOffered);
    let mut asked = denying(&[], &["canada"]);
    asked.sku.plans[1].enabled = false;
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: None });
    asked.sku.plans.clear();
    assert_eq!(asked.refusal(), Refusal::Unavailable { until: None });
}

#[test]
fn velocity_caps_hold_new_redemptions_back_by_the_hour_and_by_the_day() {
    let cap = Cap { per_hour: 2, per_day: 3 };
    let counter =
        |times: &[u64]| times.iter().fold(Counter::default(), |counter, time| counter.counted(at(*time)));
    let refusal = |begun: &[u64], now: u64| {
        let mut asked = Asked::new();
        asked.begun = vec![(Cap { per_hour: 1000, per_day: 1000 }, counter(begun)), (cap, counter(begun))];
        asked.now = at(now);
        match asked.answer() {
            Admission::Refused(refusal) => Some(refusal),
            _ => None,
        }
    };
    assert_eq!(refusal(&[0], 1), None);
    assert_eq!(refusal(&[0, 1], 2), Some(Refusal::TooMany { until: at(3600) }));
    assert_eq!(refusal(&[0, 1], 3600), None);
    assert_eq!(refusal(&[0, 1, 3600], 3601), Some(Refusal::DailyLimit { until: at(86_400) }));
    assert_eq!(refusal(&[0, 1, 3600], 86_400), None);
    // The voucher's own state is told first.
    let mut asked = Asked::new();
    asked.begun = vec![(cap, counter(&[0, 0]))];
    asked.voucher.tries = 3;
    assert_eq!(asked.refusal(), Refusal::Exhausted);
}
