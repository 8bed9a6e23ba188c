//! What can go wrong on purpose, and when it does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chance::fraction;
use super::scenario::optional_span;

/// A route of the supplier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// `/user/profile`
    Profile,
    /// `/user/orders`
    Orders,
    /// `/user/payments`
    Payments,
    /// `/user/buy/activation/…`
    Buy,
    /// `/user/check/…`
    Check,
    /// `/user/finish/…`
    Finish,
    /// `/user/cancel/…`
    Cancel,
    /// `/user/ban/…`
    Ban,
    /// `/guest/countries`
    Countries,
    /// `/guest/products/…`
    Products,
    /// `/guest/prices`
    Prices,
}

/// Something that goes wrong on purpose. What a fault needs to know beside its name is in [`Arming`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A purchase is refused for want of stock.
    NoFreePhones,
    /// A purchase is refused for want of money.
    NotEnoughBalance,
    /// The connection is dropped before the purchase is made.
    BuyRefusedBefore,
    /// The connection is dropped after the purchase was made.
    BuyAnswerLost,
    /// The connection is dropped instead of showing an order.
    CheckAnswerLost,
    /// The connection is dropped after the order was finished.
    FinishAnswerLost,
    /// The connection is dropped after the order was cancelled.
    CancelAnswerLost,
    /// The connection is dropped after the order was banned.
    BanAnswerLost,
    /// 500 `internal error`.
    #[serde(rename = "server_error_500")]
    ServerError500,
    /// 502 with a page of a gateway.
    #[serde(rename = "bad_gateway_502_html")]
    BadGateway502Html,
    /// 429 `too many requests`, with `Retry-After` where `retry_after` is set.
    #[serde(rename = "throttle_429")]
    Throttle429,
    /// 503 without a body, with `Retry-After` where `retry_after` is set.
    #[serde(rename = "unavailable_503")]
    Unavailable503,
    /// 401 without a body.
    BadKey,
    /// The answer comes `delay` (15 s unless set) after the work is done.
    SlowAnswer,
    /// The second half of the answer is missing.
    TruncatedBody,
    /// An order is charged twice its listed price.
    PriceHigherThanListed,
    /// An order is shown with a status nobody has heard of.
    UnknownStatus,
    /// Cancelling is refused as too early.
    CancelTooEarly,
    /// A message arrives just before the order is cancelled or banned, which is refused for it.
    SmsBetweenCheckAndCancel,
    /// The order bought receives a message without a code after its first one.
    SecondMessageWithoutCode,
    /// The order bought receives its code in the text alone.
    SmsWithoutCode,
    /// The list of orders lacks those younger than `delay` (60 s unless set).
    StaleOrderList,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 22] = [
        Self::NoFreePhones,
        Self::NotEnoughBalance,
        Self::BuyRefusedBefore,
        Self::BuyAnswerLost,
        Self::CheckAnswerLost,
        Self::FinishAnswerLost,
        Self::CancelAnswerLost,
        Self::BanAnswerLost,
        Self::ServerError500,
        Self::BadGateway502Html,
        Self::Throttle429,
        Self::Unavailable503,
        Self::BadKey,
        Self::SlowAnswer,
        Self::TruncatedBody,
        Self::PriceHigherThanListed,
        Self::UnknownStatus,
        Self::CancelTooEarly,
        Self::SmsBetweenCheckAndCancel,
        Self::SecondMessageWithoutCode,
        Self::SmsWithoutCode,
        Self::StaleOrderList,
    ];

    /// The name used in scenarios and over the control route.
    #[must_use]
    pub fn name(self) -> String {
        // The names are serde's, so that they cannot differ from what is read.
        serde_json::to_string(&self).map(|name| name.trim_matches('"').to_owned()).unwrap_or_default()
    }

    /// The routes the fault makes sense on; every route where there are none.
    fn routes(self) -> &'static [Route] {
        match self {
            Self::NoFreePhones
            | Self::NotEnoughBalance
            | Self::BuyRefusedBefore
            | Self::BuyAnswerLost
            | Self::PriceHigherThanListed
            | Self::SecondMessageWithoutCode
            | Self::SmsWithoutCode => &[Route::Buy],
            Self::CheckAnswerLost => &[Route::Check],
            Self::FinishAnswerLost => &[Route::Finish],
            Self::CancelAnswerLost => &[Route::Cancel],
            Self::BanAnswerLost => &[Route::Ban],
            Self::UnknownStatus => &[Route::Buy, Route::Check, Route::Finish, Route::Cancel, Route::Ban],
            Self::CancelTooEarly | Self::SmsBetweenCheckAndCancel => &[Route::Cancel, Route::Ban],
            Self::StaleOrderList => &[Route::Orders],
            Self::ServerError500
            | Self::BadGateway502Html
            | Self::Throttle429
            | Self::Unavailable503
            | Self::BadKey
            | Self::SlowAnswer
            | Self::TruncatedBody => &[],
        }
    }

    fn fits(self, route: Route) -> bool {
        self.routes().is_empty() || self.routes().contains(&route)
    }
}

/// A fault and when it strikes: the next call it fits, unless one of `times`, `nth` and `chance` says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arming {
    /// What goes wrong.
    pub name: Fault,
    /// On which route alone; on every route the fault makes sense on unless set.
    #[serde(default)]
    pub route: Option<Route>,
    /// Strikes the next calls, this many.
    #[serde(default)]
    pub times: Option<u32>,
    /// Strikes the call of this number, counting from 1 and from now, once.
    #[serde(default)]
    pub nth: Option<u32>,
    /// Strikes each call with this probability, for ever.
    #[serde(default)]
    pub chance: Option<f64>,
    /// A length of time, for faults that have one.
    #[serde(default, deserialize_with = "optional_span")]
    pub delay: Option<Duration>,
    /// What a 429 or 503 asks to wait, in whole seconds.
    #[serde(default, deserialize_with = "optional_span")]
    pub retry_after: Option<Duration>,
    /// Whether an answer that takes the place of the real one does so after the work was done.
    #[serde(default)]
    pub after_work: bool,
}

impl Arming {
    /// Strikes the next call that `fault` fits.
    #[must_use]
    pub fn next(fault: Fault) -> Self {
        let (route, times, nth, chance, delay, retry_after) = (None, None, None, None, None, None);
        Self { name: fault, route, times, nth, chance, delay, retry_after, after_work: false }
    }

    /// Why this can never strike as it says.
    pub(crate) fn problem(&self) -> Option<String> {
        let name = self.name.name();
        let ways = [self.times.is_some(), self.nth.is_some(), self.chance.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Some(format!("{name} takes one of times, nth and chance"));
        }
        if self.chance.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return Some(format!("the chance of {name} is not between 0 and 1"));
        }
        if self.route.is_some_and(|route| !self.name.fits(route)) {
            return Some(format!("{name} makes no sense on that route"));
        }
        None
    }

    fn fits(&self, route: Route) -> bool {
        self.route.is_none_or(|only| only == route) && self.name.fits(route)
    }
}

/// An armed fault and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmedFault {
    /// What goes wrong.
    pub name: Fault,
    /// How many calls it could have struck.
    pub seen: u64,
    /// How many it struck.
    pub struck: u64,
}

struct Armed {
    arming: Arming,
    seen: u64,
    struck: u64,
}

impl Armed {
    fn strikes(&mut self, seed: u64, place: u64) -> bool {
        self.seen += 1;
        let strikes = match (self.arming.times, self.arming.nth, self.arming.chance) {
            (_, _, Some(chance)) => fraction(seed, "fault", place.wrapping_mul(1 << 40) + self.seen) < chance,
            (_, Some(nth), None) => self.seen == u64::from(nth),
            (times, None, None) => self.struck < u64::from(times.unwrap_or(1)),
        };
        self.struck += u64::from(strikes);
        strikes
    }
}

/// The faults armed, and the calls counted.
pub(crate) struct Faults {
    seed: u64,
    armed: Vec<Armed>,
    calls: BTreeMap<Route, u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, armed: Vec::new(), calls: BTreeMap::new() }
    }

    pub(crate) fn arm(&mut self, arming: Arming) {
        self.armed.push(Armed { arming, seen: 0, struck: 0 });
    }

    pub(crate) fn disarm(&mut self) {
        self.armed.clear();
    }

    /// Counts a call of `route` and says what strikes it: one fault at most, the one armed first.
    pub(crate) fn strike(&mut self, route: Route) -> Option<Arming> {
        *self.calls.entry(route).or_default() += 1;
        let seed = self.seed;
        let mut places = (0..).zip(&mut self.armed).filter(|(_, armed)| armed.arming.fits(route));
        places.find_map(|(place, armed)| armed.strikes(seed, place).then(|| armed.arming.clone()))
    }

    pub(crate) fn calls(&self) -> BTreeMap<Route, u64> {
        self.calls.clone()
    }

    pub(crate) fn armed(&self) -> Vec<ArmedFault> {
        let shown =
            |armed: &Armed| ArmedFault { name: armed.arming.name, seen: armed.seen, struck: armed.struck };
        self.armed.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(arming: Arming, route: Route, calls: usize) -> Vec<usize> {
        let mut faults = Faults::new(7);
        faults.arm(arming);
        (1..=calls).filter(|_| faults.strike(route).is_some()).collect()
    }

    #[test]
    fn a_fault_strikes_when_it_says() {
        let lost = Arming::next(Fault::BuyAnswerLost);
        assert_eq!(struck(lost.clone(), Route::Buy, 5), [1]);
        assert_eq!(struck(Arming { times: Some(2), ..lost.clone() }, Route::Buy, 5), [1, 2]);
        assert_eq!(struck(Arming { nth: Some(3), ..lost.clone() }, Route::Buy, 5), [3]);
        assert_eq!(struck(lost, Route::Check, 5), [0; 0]);
        let anywhere = Arming { route: Some(Route::Orders), ..Arming::next(Fault::ServerError500) };
        assert_eq!(struck(anywhere.clone(), Route::Orders, 2), [1]);
        assert_eq!(struck(anywhere, Route::Check, 2), [0; 0]);
    }

    #[test]
    fn a_chance_repeats_under_its_seed_and_comes_near_its_share() {
        let arming = Arming { chance: Some(0.25), ..Arming::next(Fault::Throttle429) };
        let first = struck(arming.clone(), Route::Check, 4_000);
        assert_eq!(first, struck(arming, Route::Check, 4_000));
        assert!((900..1_100).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn every_fault_has_a_name_of_its_own_that_is_read_back() {
        let mut names = std::collections::BTreeSet::new();
        for fault in Fault::ALL {
            let read: Fault = serde_json::from_str(&format!("\"{}\"", fault.name())).unwrap();
            assert_eq!(read, fault);
            assert!(names.insert(fault.name()));
        }
        assert!(names.contains("server_error_500") && names.contains("stale_order_list"));
    }
}
