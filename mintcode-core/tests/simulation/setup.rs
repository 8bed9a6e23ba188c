//! What a seed makes of a world: how many take part, how the supplier is, and how often what goes wrong.

use std::time::Duration;

use chrono::TimeDelta;
use mintcode_core::health::HealthRules;
use mintcode_core::redemption::Timing;
use mintcode_core::rules::Rules;
use mintcode_core::sku::{OnNoSms, Sku};
use mintcode_core::testing::sample;
use mintcode_core::velocity::{Cap, Caps};

use super::dice::Dice;

/// The plans of the one SKU: country and operator.
pub(crate) const SHELVES: [(&str, &str); 3] =
    [("canada", "virtual4"), ("england", "virtual66"), ("india", "virtual1")];
/// The longest a process stands still.
pub(crate) const LONGEST_STALL: u64 = 40;
/// How far a process's clock may be off: as long as an answer of storage may take.
pub(crate) const CLOCK_OFF: TimeDelta = TimeDelta::seconds(5);

/// How a world is.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) vouchers: u32,
    pub(crate) processes: usize,
    /// How long things go wrong, from the start.
    pub(crate) troubled: Duration,
    /// When the last customer comes at the latest.
    pub(crate) arrivals: Duration,
    pub(crate) rates: Rates,
    pub(crate) temper: Temper,
    pub(crate) timing: Timing,
    pub(crate) sku: Sku,
}

/// How often a call goes wrong: so many times in a million calls that matter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) crash: u64,
    pub(crate) stall: u64,
    pub(crate) fail: u64,
    pub(crate) lose: u64,
    pub(crate) slow: u64,
    /// How often the weather changes in a minute.
    pub(crate) storms: u64,
}

/// How the supplier is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temper {
    /// Requests per second that it allows.
    pub(crate) rate: u32,
    /// How far its clock is ahead.
    pub(crate) ahead: TimeDelta,
    pub(crate) minimum_cancel_age: Duration,
    pub(crate) lifetime: Duration,
    /// Rows of a page.
    pub(crate) page: usize,
    /// Rows that the list ever tells.
    pub(crate) rows: usize,
    /// The longest its list and its looks lag behind, in milliseconds.
    pub(crate) lag: u64,
    /// Purchases that take their time to appear.
    pub(crate) late: u64,
    /// Requests that never arrive, and answers that never do.
    pub(crate) lost: u64,
    /// Answers that come after everybody stopped waiting.
    pub(crate) overdue: u64,
    /// Orders that are not known for a moment.
    pub(crate) forgetful: u64,
    /// Requests refused for being too many although they are not.
    pub(crate) throttles: u64,
    /// Orders that get an SMS.
    pub(crate) delivers: u64,
    /// SMS that come when patience is at its end.
    pub(crate) dawdles: u64,
}

impl Setup {
    /// The world of a seed.
    pub(crate) fn draw(dice: &Dice) -> Self {
        let mut sku = sku();
        if dice.chance(2_000) {
            sku.policy.on_no_sms = OnNoSms::Ban;
        }
        Self {
            vouchers: 5 + u32::try_from(dice.below(6)).unwrap(),
            processes: *dice.pick(&[1, 2, 2, 2, 3, 3]),
            troubled: Duration::from_secs(180),
            arrivals: Duration::from_secs(130),
            rates: Rates {
                crash: *dice.pick(&[0, 3_000, 8_000, 20_000]),
                stall: *dice.pick(&[0, 3_000, 10_000]),
                fail: *dice.pick(&[0, 10_000, 30_000]),
                lose: *dice.pick(&[0, 10_000, 30_000]),
                slow: *dice.pick(&[10_000, 50_000, 200_000]),
                storms: *dice.pick(&[0, 1, 3]),
            },
            temper: Temper::draw(dice),
            timing: timing(),
            sku,
        }
    }

    /// A quiet world: nothing goes wrong but what belongs to the trade.
    pub(crate) fn calm(dice: &Dice) -> Self {
        let drawn = Self::draw(dice);
        let temper = Temper { late: 0, lost: 0, overdue: 0, forgetful: 0, throttles: 0, ..drawn.temper };
        Self { processes: 1, rates: Rates::default(), temper, ..drawn }
    }

    /// A world with so many vouchers, whose holders all come within a quarter of an hour.
    pub(crate) fn crowd(dice: &Dice, vouchers: u32) -> Self {
        let arrivals = Duration::from_secs(900);
        let mut drawn = Self::draw(dice);
        drawn.temper = Temper { rate: 60, rows: usize::MAX, page: 100, throttles: 0, ..drawn.temper };
        // The same trouble in all as in a small world, not the same for each call.
        let rates = Rates { crash: 30, stall: 30, fail: 1_000, lose: 1_000, slow: 10_000, storms: 1 };
        Self {
            vouchers,
            processes: 3,
            arrivals,
            troubled: arrivals + Duration::from_secs(120),
            rates,
            ..drawn
        }
    }
}

impl Temper {
    /// Requests in one second that keep within the rate.
    pub(crate) fn most_in_a_second(&self) -> usize {
        (self.rate + self.rate / 10 + 1) as usize
    }

    fn draw(dice: &Dice) -> Self {
        let ahead = i64::try_from(dice.below(3_001)).unwrap() - 1_500;
        Self {
            rate: 20,
            ahead: TimeDelta::milliseconds(ahead),
            minimum_cancel_age: Duration::from_secs(*dice.pick(&[0, 10, 30])),
            lifetime: dice.secs(600, 900),
            page: *dice.pick(&[3, 10, 100]),
            rows: *dice.pick(&[usize::MAX, usize::MAX, 60]),
            lag: *dice.pick(&[0, 1_000, 3_000]),
            late: *dice.pick(&[0, 500, 2_000]),
            lost: *dice.pick(&[0, 300, 1_500]),
            overdue: *dice.pick(&[0, 300, 1_500]),
            forgetful: *dice.pick(&[0, 0, 50]),
            throttles: *dice.pick(&[0, 0, 0, 0, 0, 0, 0, 30]),
            delivers: *dice.pick(&[5_000, 7_500, 9_000]),
            dawdles: *dice.pick(&[500, 3_000]),
        }
    }
}

/// Times as short as the engine's rules allow, so that much happens in little time.
fn timing() -> Timing {
    let secs = Duration::from_secs;
    Timing {
        buy_timeout: secs(3),
        send_window: secs(1),
        settle_time: secs(8),
        late_max: secs(4),
        skew: secs(2),
        backoff_min: secs(3),
        backoff_max: secs(6),
        poll_min: secs(2),
        poll_max: secs(8),
        too_early_wait: secs(5),
        expiry_margin: secs(5),
        inbox_look: secs(3),
        worker_ttl: secs(6),
        heartbeat: secs(3),
        orphan_age: secs(20),
        sweep_interval: secs(15),
    }
}

fn sku() -> Sku {
    let mut sku = sample::sku("tg");
    sku.plans = SHELVES
        .iter()
        .zip(["A", "B", "C"])
        .map(|((country, operator), id)| sample::plan(id, country, operator))
        .collect();
    sku.policy.max_duration = Duration::from_secs(90);
    sku.policy.cooldown = Duration::from_secs(5);
    sku.policy.further_sms = Duration::from_secs(8);
    sku
}

/// What the operator has set: breakers that open and are probed within a world's life.
pub(crate) fn rules(setup: &Setup) -> Rules {
    let health = HealthRules {
        window: Duration::from_secs(120),
        min_tries: 3,
        off: Duration::from_secs(30),
        // Enough for all who come, and few enough to be felt by those who try again and again.
        give_backs: 20.max(setup.vouchers),
        ..HealthRules::default()
    };
    let cap = Cap { per_hour: u32::MAX, per_day: u32::MAX };
    let caps = Caps { session: cap, address: cap, sku: cap };
    Rules { health, caps, ..Rules::clone(&sample::rules()) }
}
