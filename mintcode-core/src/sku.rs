//! What is sold: a product, the ordered plans that buy it, and the policy of a redemption.

mod plan;
mod policy;
mod spec;

use serde::{Deserialize, Serialize};

pub use self::plan::Plan;
pub use self::policy::{OnNoSms, Policy};
pub use self::spec::{FieldError, SkuSpec};
use crate::ids::SkuId;
use crate::money::Amount;
use crate::voucher::Label;

/// A SKU as stored and as shown to operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sku {
    /// The operator's id.
    pub id: SkuId,
    /// What customers read.
    pub name: LocalizedName,
    /// What the tags of its vouchers are keyed by; fixed once a batch exists.
    pub label: Label,
    /// The product's slug at the suppliers; fixed once a batch exists.
    pub product: String,
    /// What is delivered.
    pub delivery: DeliveryKind,
    /// What an order by SKU costs, in the selling currency.
    pub price: Amount,
    /// How a redemption goes.
    pub policy: Policy,
    /// The plans, in the order they were given; a [`Question`](crate::redemption::Question) has them in the order of trying.
    pub plans: Vec<Plan>,
    /// Taken off sale: nothing can be minted, issued vouchers stay good.
    #[serde(default)]
    pub archived: bool,
}

/// A name in the two languages of the pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalizedName {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// What a voucher of a SKU is redeemed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// One verification code received by SMS.
    #[default]
    SmsCode,
}
