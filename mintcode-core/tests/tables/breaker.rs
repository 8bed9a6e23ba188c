//! The breaker of a source and the standing of an account.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::alert::{Alert, AlertChange};
use mintcode_core::health::{
    Account, AccountChange, AccountEvent, AccountStanding, Health, HealthChange, HealthEvent, HealthRules,
    Off, Probe, ProbeTaken, Source, Standing, WhyOff,
};
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::testing::{SeededEntropy, sample};

const CAP: Amount = Amount::from_micros(200_000);

fn at(seconds: u64) -> DateTime<Utc> {
    sample::now() + Duration::from_secs(seconds)
}

fn source() -> Source {
    Source::of_plan(&sample::plan("A", "canada", "virtual4"), "telegram")
}

fn probe(attempt: u32, until: u64) -> Probe {
    Probe { redemption: RedemptionId::draw(&SeededEntropy::new(1)), attempt, until: at(until) }
}

/// A source's life, told as it happens.
struct Life {
    health: Health,
    rules: HealthRules,
}

impl Life {
    fn new() -> Self {
        Self { health: Health::default(), rules: HealthRules::default() }
    }

    fn try_to_take(&mut self, event: HealthEvent, seconds: u64) -> Result<Vec<AlertChange>, ProbeTaken> {
        let change = HealthChange { source: source(), event };
        let (health, alerts) = self.health.clone().after(&change, &self.rules, at(seconds))?;
        self.health = health;
        Ok(alerts)
    }

    #[track_caller]
    fn take(&mut self, event: HealthEvent, seconds: u64) -> Vec<AlertChange> {
        self.try_to_take(event, seconds).unwrap()
    }

    fn empty(&mut self, seconds: u64) -> Vec<AlertChange> {
        self.take(HealthEvent::Empty { was_probe: false }, seconds)
    }

    fn sold(&mut self, seconds: u64) -> Vec<AlertChange> {
        self.take(HealthEvent::Sold { was_probe: false }, seconds)
    }

    fn standing(&self, seconds: u64) -> Standing {
        self.health.standing(CAP, at(seconds))
    }

    /// Switched off at second 0.
    fn off() -> Self {
        let mut life = Self::new();
        (0..5).for_each(|_| drop(life.empty(0)));
        life
    }
}

fn off(until: u64) -> Alert {
    Alert::SourceOff { source: source(), until: at(until) }
}

#[test]
fn a_source_is_switched_off_at_eighty_in_a_hundred_empty_tries_of_at_least_five() {
    // Tries in order, + sold and - empty, and whether the last one switches it off.
    for (tries, is_off) in [
        ("----", false),
        ("-----", true),
        ("+----", true),
        ("++---", false),
        ("++--------", true),
        ("+++---------", false),
        ("+++------------", true),
        ("+++++", false),
    ] {
        let mut life = Life::new();
        for mark in tries.bytes() {
            if mark == b'-' {
                life.empty(1)
            } else {
                life.sold(1)
            };
        }
        assert_eq!(life.health.off.is_some(), is_off, "{tries}");
        assert_eq!(life.standing(2) == Standing::On, !is_off, "{tries}");
    }
}

#[test]
fn only_an_empty_try_switches_it_off() {
    let mut life = Life::new();
    (0..4).for_each(|_| drop(life.empty(0)));
    life.sold(1);
    assert_eq!(life.standing(1), Standing::On);
    let nobodys = HealthEvent::ProbeReleased { redemption: probe(1, 0).redemption, attempt: 1 };
    assert_eq!(life.take(nobodys, 2), []);
    assert_eq!(life.take(HealthEvent::Number { got_sms: false }, 2), []);
    assert_eq!(life.standing(2), Standing::On);
}

#[test]
fn tries_older_than_the_window_count_no_more() {
    let mut life = Life::new();
    (0..4).for_each(|_| drop(life.empty(0)));
    life.empty(700);
    assert_eq!(life.standing(700), Standing::On);
    let mut life = Life::new();
    life.rules = HealthRules { window: Duration::from_hours(1), ..life.rules };
    (0..4).for_each(|_| drop(life.empty(0)));
    life.empty(700);
    assert_eq!(life.standing(700), Standing::Off { until: at(1300) });
}

#[test]
fn the_minimum_of_tries_is_the_operators_and_at_least_one() {
    let mut life = Life::new();
    life.rules = HealthRules { min_tries: 0, ..life.rules };
    assert_eq!(life.empty(0), [AlertChange::Raise(off(600))]);
    let mut life = Life::new();
    life.rules = HealthRules { min_tries: 7, off: Duration::from_secs(30), ..life.rules };
    (0..6).for_each(|_| assert_eq!(life.empty(0), []));
    assert_eq!(life.empty(0), [AlertChange::Raise(off(30))]);
}

#[test]
fn after_ten_minutes_it_is_probed_by_one_attempt_at_a_time() {
    let mut life = Life::off();
    assert_eq!(life.standing(599), Standing::Off { until: at(600) });
    assert_eq!(life.try_to_take(HealthEvent::Probing(probe(1, 645)), 599), Err(ProbeTaken));
    assert_eq!(life.standing(600), Standing::Probe);
    assert_eq!(life.take(HealthEvent::Probing(probe(1, 645)), 600), []);
    assert_eq!(life.standing(601), Standing::Off { until: at(645) });
    assert_eq!(life.try_to_take(HealthEvent::Probing(probe(2, 650)), 601), Err(ProbeTaken));
    // The same attempt, stored once more.
    assert_eq!(life.take(HealthEvent::Probing(probe(1, 645)), 601), []);
    // Nothing was heard of it.
    assert_eq!(life.standing(645), Standing::Probe);
    assert_eq!(life.take(HealthEvent::Probing(probe(2, 690)), 645), []);
    assert_eq!(life.standing(646), Standing::Off { until: at(690) });
}

#[test]
fn the_probe_switches_it_on_or_off_again_and_another_attempt_does_not() {
    let probed = || {
        let mut life = Life::off();
        life.take(HealthEvent::Probing(probe(1, 645)), 600);
        life
    };
    let mut life = probed();
    assert_eq!(life.take(HealthEvent::Sold { was_probe: true }, 601), [AlertChange::clear(&off(0))]);
    assert_eq!(life.standing(601), Standing::On);
    // What was counted before says nothing any more.
    (0..4).for_each(|_| assert_eq!(life.empty(602), []));
    assert_eq!(life.empty(602), [AlertChange::Raise(off(1202))]);

    let mut life = probed();
    assert_eq!(life.take(HealthEvent::Empty { was_probe: true }, 601), []);
    assert_eq!(life.standing(601), Standing::Off { until: at(1201) });
    assert_eq!(life.standing(1201), Standing::Probe);

    let mut life = probed();
    assert_eq!(life.sold(601), []);
    assert_eq!(life.empty(602), []);
    assert_eq!(life.standing(602), Standing::Off { until: at(645) });
}

#[test]
fn a_probe_that_taught_nothing_leaves_its_place_to_another() {
    let mut life = Life::off();
    life.take(HealthEvent::Probing(probe(1, 645)), 600);
    let other = HealthEvent::ProbeReleased { redemption: probe(2, 0).redemption, attempt: 2 };
    life.take(other, 601);
    assert_eq!(life.standing(601), Standing::Off { until: at(645) });
    let own = HealthEvent::ProbeReleased { redemption: probe(1, 0).redemption, attempt: 1 };
    life.take(own, 601);
    assert_eq!(life.standing(601), Standing::Probe);
}

#[test]
fn a_source_that_is_on_again_needs_no_probe() {
    let mut life = Life::new();
    assert_eq!(life.take(HealthEvent::Probing(probe(1, 45)), 0), []);
    assert_eq!(life.health, Health::default());
    // A late verdict of a probe whose source is on says nothing new.
    assert_eq!(life.take(HealthEvent::Empty { was_probe: true }, 1), []);
    assert_eq!(life.standing(1), Standing::On);
}

const PRICE: Amount = Amount::from_micros(250_000);

fn dear(was_probe: bool) -> HealthEvent {
    HealthEvent::Dear { price: PRICE, cap: CAP, was_probe }
}

/// Off for its price since second 0.
fn too_dear() -> Life {
    let mut life = Life::new();
    assert_eq!(life.take(dear(false), 0), [AlertChange::Raise(off(600))]);
    life
}

fn listed(price: i64) -> HealthEvent {
    HealthEvent::Listed { price: Amount::from_micros(price) }
}

#[test]
fn an_order_dearer_than_its_cap_switches_the_source_off_for_whoever_pays_less() {
    let life = too_dear();
    assert_eq!(life.standing(1), Standing::Off { until: at(600) });
    assert_eq!(life.standing(600), Standing::Probe);
    assert_eq!(life.health.standing(PRICE, at(1)), Standing::On);
    assert_eq!(life.health.tries.within(life.rules.window, at(1)), (1, 1));
}

#[test]
fn a_listed_price_that_fits_the_cap_brings_the_probe_forward_and_no_other_does() {
    let mut life = too_dear();
    assert_eq!(life.take(listed(200_001), 60), []);
    assert_eq!(life.standing(600), Standing::Off { until: at(660) });
    // Not on again, and nothing is told: the probe has to buy first.
    assert_eq!(life.take(listed(200_000), 120), []);
    assert_eq!(life.standing(120), Standing::Probe);
    life.take(HealthEvent::Probing(probe(1, 165)), 121);
    assert_eq!(life.take(HealthEvent::Sold { was_probe: true }, 122), [AlertChange::clear(&off(0))]);
    assert_eq!(life.standing(122), Standing::On);

    // A source that is off for being empty is not probed for its price, and one that is on stays on.
    let mut life = Life::off();
    assert_eq!(life.take(listed(1), 60), []);
    let empty = Off { since: at(0), until: at(600), why: WhyOff::Empty, probe: None };
    assert_eq!(life.health.off, Some(empty));
    let mut life = Life::new();
    assert_eq!(life.take(listed(900_000), 60), []);
    assert_eq!(life.standing(60), Standing::On);
}

#[test]
fn a_catalogue_that_lied_to_the_probe_is_not_believed_until_the_next_one() {
    let mut life = too_dear();
    life.take(listed(150_000), 60);
    life.take(HealthEvent::Probing(probe(1, 105)), 61);
    assert_eq!(life.take(dear(true), 62), []);
    assert_eq!(life.take(listed(150_000), 63), []);
    assert_eq!(life.standing(63), Standing::Off { until: at(662) });
    assert_eq!(life.standing(662), Standing::Probe);
}

#[test]
fn a_source_that_is_off_for_its_price_is_switched_off_for_everybody_when_it_is_empty() {
    let mut life = too_dear();
    let pays_more = |life: &Life, seconds| life.health.standing(PRICE, at(seconds));
    (0..3).for_each(|_| drop(life.empty(1)));
    assert_eq!(pays_more(&life, 1), Standing::On);
    assert_eq!(life.empty(2), []);
    assert_eq!(pays_more(&life, 2), Standing::Off { until: at(602) });
    // And being empty, further empty tries put off no probe.
    assert_eq!(life.empty(3), []);
    assert_eq!(pays_more(&life, 3), Standing::Off { until: at(602) });
}

#[test]
fn a_clock_that_was_far_ahead_keeps_nothing_shut() {
    let year = 365 * 86_400;
    let mut life = Life::new();
    (0..5).for_each(|_| drop(life.empty(year)));
    assert!(matches!(life.standing(year), Standing::Off { .. }));
    assert!(matches!(life.standing(year - 3_600), Standing::Off { .. }));
    assert_eq!(life.standing(year - 3_601), Standing::Probe);
    assert_eq!(life.health.tries.within(life.rules.window, at(0)), (0, 0));
    assert_eq!(life.health.tries.within(life.rules.window, at(year - 600)), (5, 5));
}

#[test]
fn eight_silent_numbers_of_ten_are_told_once_and_again_only_after_they_were_fewer() {
    let silent = Alert::SourceSilent { source: source() };
    let mut life = Life::new();
    let mut told = Vec::new();
    for (second, mark) in (0..).zip("++--------++--".bytes()) {
        let alerts = life.take(HealthEvent::Number { got_sms: mark == b'+' }, second);
        told.extend(alerts.into_iter().map(|alert| (second, alert)));
    }
    assert_eq!(told, [(9, AlertChange::Raise(silent.clone()))]);
    let mut cleared = Vec::new();
    for second in 20..30 {
        cleared.extend(life.take(HealthEvent::Number { got_sms: true }, second));
    }
    assert_eq!(cleared, [AlertChange::clear(&silent)]);
}

fn account() -> (Account, SupplierName) {
    (Account::default(), SupplierName::default())
}

fn seen(balance: i64, rating_milli: Option<i64>) -> AccountEvent {
    AccountEvent::Seen { balance: Amount::from_micros(balance), currency: Currency::USD, rating_milli }
}

#[test]
fn an_account_that_gave_back_too_many_numbers_buys_again_when_they_are_ten_minutes_old() {
    let rules = HealthRules::default();
    let (mut account, supplier) = account();
    let change = AccountChange { supplier, event: AccountEvent::GivenBack };
    for number in 0..60 {
        assert_eq!(account.standing(&rules, at(number)), AccountStanding::Open, "{number}");
        let (after, alerts) = account.after(&change, &rules, at(number));
        assert_eq!(alerts.len(), usize::from(number == 59));
        account = after;
    }
    let look = AccountChange { supplier: SupplierName::default(), event: seen(100_000_000, None) };
    let told = account.clone().after(&look, &rules, at(60)).1;
    assert!(matches!(&told[0], AlertChange::Raise(Alert::AccountPaused { .. })), "{told:?}");
    let AccountStanding::Paused { until } = account.standing(&rules, at(60)) else { panic!("not paused") };
    // The numbers of the first minute make up one slice, which counts a tenth of the window longer.
    assert_eq!(until, at(660));
    assert_eq!(account.standing(&rules, until), AccountStanding::Open);
}

#[test]
fn an_account_below_the_floor_buys_nothing() {
    let rules = HealthRules::default();
    for (rating, standing) in [
        (Some(79_999), AccountStanding::BelowFloor),
        (Some(80_000), AccountStanding::Open),
        (None, AccountStanding::Open),
    ] {
        let (account, supplier) = account();
        let change = AccountChange { supplier, event: seen(100_000_000, rating) };
        let (account, _) = account.after(&change, &rules, at(0));
        assert_eq!(account.standing(&rules, at(1)), standing);
        let seen = account.seen.unwrap();
        assert_eq!((seen.rating_milli, seen.at), (rating, at(0)));
    }
}

#[test]
fn a_standing_that_keeps_purchases_back_is_told_wherever_the_alert_is_set() {
    let rules = HealthRules { rating_floor_milli: 90_000, ..HealthRules::default() };
    let (account, supplier) = account();
    let change = AccountChange { supplier, event: seen(100_000_000, Some(87_000)) };
    let (account, alerts) = account.after(&change, &rules, at(0));
    assert_eq!(account.standing(&rules, at(0)), AccountStanding::BelowFloor);
    assert!(alerts.iter().any(|alert| matches!(alert, AlertChange::Raise(Alert::RatingLow { .. }))));
}

#[test]
fn a_look_at_an_account_tells_of_a_low_balance_or_standing_or_that_it_is_well() {
    let rules = HealthRules::default();
    for (balance, rating, low) in [
        (5_000_000, Some(85_000), (false, false)),
        (4_999_999, Some(85_000), (true, false)),
        (5_000_000, Some(84_999), (false, true)),
        (5_000_000, None, (false, false)),
    ] {
        let (account, supplier) = account();
        let change = AccountChange { supplier: supplier.clone(), event: seen(balance, rating) };
        let (_, alerts) = account.after(&change, &rules, at(0));
        let raised = |kind: &str| {
            alerts.iter().any(|alert| matches!(alert, AlertChange::Raise(alert) if alert.kind() == kind))
        };
        assert_eq!((raised("balance_low"), raised("rating_low")), low);
        let paused = Alert::AccountPaused { supplier, until: at(0) };
        assert_eq!(alerts[0], AlertChange::clear(&paused));
        assert_eq!(alerts.len(), 3);
    }
}
