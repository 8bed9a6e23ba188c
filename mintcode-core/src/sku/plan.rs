//! A plan: one fixed supplier, country and operator.

use serde::{Deserialize, Serialize};

use crate::ids::{PlanId, SupplierName};
use crate::money::Amount;

/// One way to buy a number, as the operator fixed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The operator's id of the plan, unique within the SKU.
    pub id: PlanId,
    /// Who sells the number.
    #[serde(default)]
    pub supplier: SupplierName,
    /// The country's slug at the supplier.
    pub country: String,
    /// The network operator's slug at the supplier; never `any`.
    pub operator: String,
    /// What it usually costs, in the supplier's currency.
    pub expected_cost: Amount,
    /// The most it may cost, in the supplier's currency; a dearer order is given back at once.
    pub max_cost: Amount,
    /// Whether it may be chosen.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Lower first; equal priorities go by expected cost.
    #[serde(default = "ten")]
    pub priority: i32,
}

fn yes() -> bool {
    true
}

fn ten() -> i32 {
    10
}

impl Plan {
    /// What is wrong with the plan, as the field's name and what to do.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let demand = |holds: bool, field, message| if holds { Ok(()) } else { Err((field, message)) };
        demand(is_slug(&self.country), "country", "must be a slug of lower-case letters and digits")?;
        demand(self.country != "any", "country", "must name one country, \"any\" is refused")?;
        demand(is_slug(&self.operator), "operator", "must be a slug of lower-case letters and digits")?;
        demand(self.operator != "any", "operator", "must name one operator, \"any\" is refused")?;
        demand(self.expected_cost >= Amount::ZERO, "expected_cost", "must not be negative")?;
        demand(self.max_cost > Amount::ZERO, "max_cost", "must be above zero")?;
        demand(self.max_cost >= self.expected_cost, "max_cost", "must not be below expected_cost")
    }
}

/// Whether `text` can be a supplier's slug, which becomes part of a request's path.
pub(super) fn is_slug(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}
