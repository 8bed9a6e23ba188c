//! How suppliers do: which sources sell, which are switched off by themselves, and what an account may still do.
//!
//! Everything is computed from our own attempts. Storage keeps a [`Health`] per [`Source`] and an [`Account`] per
//! supplier, and applies what a redemption's move means for them in the same transaction.

mod account;
mod breaker;
mod silence;
mod source;
mod tally;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::account::{Account, AccountChange, AccountEvent, AccountStanding, SeenProfile};
pub use self::breaker::{Health, HealthChange, HealthEvent, Off, Probe, ProbeTaken, Standing, WhyOff};
pub use self::silence::Silence;
pub use self::source::Source;
pub use self::tally::Tally;
use crate::ids::SupplierName;
use crate::money::Amount;

/// When a source is switched off by itself, and what an account is held back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRules {
    /// Tries older than this count no more.
    pub window: Duration,
    /// With fewer tries in the window a source stays on, however they went.
    pub min_tries: u32,
    /// How long a source stays off before it is probed with one try.
    pub off: Duration,
    /// Numbers that may be given back at one account within [`HealthRules::GIVE_BACK_WINDOW`]; with more, nothing is bought.
    pub give_backs: u32,
    /// Nothing is bought while the account's standing is below this, in thousandths.
    pub rating_floor_milli: i64,
    /// A balance below this is worth an alert, in the account's currency.
    pub balance_low: Amount,
    /// A standing below this is worth an alert, in thousandths.
    pub rating_low_milli: i64,
}

impl HealthRules {
    /// The time over which [`HealthRules::give_backs`] are counted.
    pub const GIVE_BACK_WINDOW: Duration = Duration::from_mins(10);
    /// The share of empty tries, in hundredths, from which on a source is switched off.
    pub const TOO_EMPTY: u64 = 80;
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            window: Duration::from_mins(10),
            min_tries: 5,
            off: Duration::from_mins(10),
            give_backs: 60,
            rating_floor_milli: 80_000,
            balance_low: Amount::from_micros(5_000_000),
            rating_low_milli: 85_000,
        }
    }
}

/// How everything stands that a SKU's plans need. What nothing is known of is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// By source.
    pub sources: BTreeMap<Source, Health>,
    /// By supplier.
    pub accounts: BTreeMap<SupplierName, Account>,
}
