//! How a redemption of a SKU goes: limits, times, and what happens without an SMS.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::money::Amount;
use crate::span;

/// The operator's rules for redemptions of one SKU; a redemption keeps the policy it began with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Tries per voucher; a try is used up once a number was shown. 1 to 100.
    pub max_redemptions: u32,
    /// Different plans tried in one redemption. 1 to 100.
    pub max_plans_per_redemption: u32,
    /// How long one redemption may look for a code.
    #[serde(with = "span::text")]
    pub max_duration: Duration,
    /// The most any number may cost, over all plans, in the supplier's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Amount>,
    /// Purchases per voucher, whatever becomes of their numbers; twice redemptions times plans where absent. A clear no
    /// is no purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_buys: Option<u32>,
    /// Pause between two redemptions of a voucher.
    #[serde(with = "span::text")]
    pub cooldown: Duration,
    /// How long a number stays open for more messages after the code; zero finishes at once.
    #[serde(with = "span::text")]
    pub further_sms: Duration,
    /// How long a voucher lives from its first redemption on.
    #[serde(with = "span::text")]
    pub voucher_lifetime: Duration,
    /// How a number without an SMS is given back.
    pub on_no_sms: OnNoSms,
}

impl Policy {
    /// Purchases per voucher: [`Policy::max_buys`] or its default.
    #[must_use]
    pub fn buys_allowed(&self) -> u32 {
        self.max_buys.unwrap_or_else(|| {
            2_u32.saturating_mul(self.max_redemptions).saturating_mul(self.max_plans_per_redemption)
        })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_redemptions: 3,
            max_plans_per_redemption: 3,
            max_duration: Duration::from_mins(5),
            max_cost: None,
            max_buys: None,
            cooldown: Duration::from_mins(1),
            further_sms: Duration::from_mins(2),
            voucher_lifetime: Duration::from_hours(7 * 24),
            on_no_sms: OnNoSms::Cancel,
        }
    }
}

/// How a number without an SMS is given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoSms {
    /// Cancelled.
    #[default]
    Cancel,
    /// Reported as already used, so that the supplier does not offer it again.
    Ban,
}
