//! What an account at a supplier may still do.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{HealthRules, Tally};
use crate::alert::{Alert, AlertChange};
use crate::ids::SupplierName;
use crate::money::{Amount, Currency};

/// What is known of an account at a supplier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Numbers given back lately.
    pub given_back: Tally,
    /// As it was last seen.
    pub seen: Option<SeenProfile>,
}

/// An account as the supplier showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeenProfile {
    /// Money left.
    pub balance: Amount,
    /// In this currency.
    pub currency: Currency,
    /// Its standing in thousandths, where the supplier has one.
    pub rating_milli: Option<i64>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Something about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// Whose.
    pub supplier: SupplierName,
    /// What.
    pub event: AccountEvent,
}

/// What happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountEvent {
    /// A number was given back.
    GivenBack,
    /// The account was looked at.
    Seen {
        /// Money left.
        balance: Amount,
        /// In this currency.
        currency: Currency,
        /// Its standing in thousandths.
        rating_milli: Option<i64>,
    },
}

/// Whether an account may buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AccountStanding {
    /// It may.
    Open,
    /// Too many numbers were given back: not before then.
    Paused {
        /// Then.
        until: DateTime<Utc>,
    },
    /// Its standing is below the operator's floor.
    BelowFloor,
}

impl Account {
    /// After `event`, with what that says to the operator.
    #[must_use]
    pub fn after(
        mut self,
        change: &AccountChange,
        rules: &HealthRules,
        now: DateTime<Utc>,
    ) -> (Self, Vec<AlertChange>) {
        let supplier = change.supplier.clone();
        let alerts = match change.event {
            AccountEvent::GivenBack => {
                self.given_back.count(false, HealthRules::GIVE_BACK_WINDOW, now);
                let paused = self.paused_until(rules, now);
                let alert = |until| AlertChange::raise(Alert::AccountPaused { supplier, until });
                paused.map(alert).into_iter().collect()
            }
            AccountEvent::Seen { balance, currency, rating_milli } => {
                self.seen = Some(SeenProfile { balance, currency, rating_milli, at: now });
                // Whatever keeps purchases back is worth an alert.
                let low = rules.rating_low_milli.max(rules.rating_floor_milli);
                let rating_is_low = rating_milli.is_some_and(|rating| rating < low);
                let paused = self.paused_until(rules, now);
                let account_paused =
                    Alert::AccountPaused { supplier: supplier.clone(), until: paused.unwrap_or(now) };
                let balance_low = Alert::BalanceLow { supplier: supplier.clone(), balance, currency };
                let rating_low = Alert::RatingLow {
                    supplier: supplier.clone(),
                    rating_milli: rating_milli.unwrap_or_default(),
                };
                vec![
                    AlertChange::when(paused.is_some(), account_paused),
                    AlertChange::when(balance < rules.balance_low, balance_low),
                    AlertChange::when(rating_is_low, rating_low),
                ]
            }
        };
        (self, alerts)
    }

    fn paused_until(&self, rules: &HealthRules, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.given_back.below(rules.give_backs, HealthRules::GIVE_BACK_WINDOW, now)
    }

    /// Whether the account may buy now.
    #[must_use]
    pub fn standing(&self, rules: &HealthRules, now: DateTime<Utc>) -> AccountStanding {
        let rating = self.seen.and_then(|seen| seen.rating_milli);
        if rating.is_some_and(|rating| rating < rules.rating_floor_milli) {
            return AccountStanding::BelowFloor;
        }
        match self.paused_until(rules, now) {
            Some(until) => AccountStanding::Paused { until },
            None => AccountStanding::Open,
        }
    }
}
