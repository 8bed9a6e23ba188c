//! What the operator has set for all SKUs together.

use std::time::Duration;

use crate::guessing::GuessQuotas;
use crate::health::HealthRules;
use crate::money::{Currency, Rates};
use crate::responsible::{DenyList, Screening};
use crate::velocity::Caps;

/// The operator's rules beside the policies of single SKUs. The default is what is built in.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When sources and accounts are held back.
    pub health: HealthRules,
    /// How many redemptions a customer, an address and a SKU may begin.
    pub caps: Caps,
    /// How many wrong codes are answered.
    pub guesses: GuessQuotas,
    /// What is not served.
    pub deny: DenyList,
    /// Which messages are withheld.
    pub screening: Screening,
    /// The selling currency, and what others are worth in it.
    pub rates: Rates,
    /// How long numbers and messages of redemptions at rest are kept: 30 days.
    pub retention: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            health: HealthRules::default(),
            caps: Caps::default(),
            guesses: GuessQuotas::default(),
            deny: DenyList::shipped(),
            screening: Screening::shipped(),
            rates: Rates::only(Currency::USD),
            retention: Duration::from_hours(30 * 24),
        }
    }
}
