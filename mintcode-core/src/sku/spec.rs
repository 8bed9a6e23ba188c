//! A SKU as an operator writes it, and the check that turns it into a [`Sku`].

use std::collections::HashSet;

use serde::Deserialize;

use super::plan::is_slug;
use super::{DeliveryKind, LocalizedName, Plan, Policy, Sku};
use crate::ids::SkuId;
use crate::money::Amount;
use crate::voucher::Label;

/// A SKU as written in a file or sent over the API: the same shape in both.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkuSpec {
    /// See [`Sku::id`].
    pub id: SkuId,
    /// See [`Sku::name`].
    pub name: LocalizedName,
    /// See [`Sku::label`].
    pub label: Label,
    /// See [`Sku::product`].
    pub product: String,
    /// See [`Sku::delivery`].
    #[serde(default)]
    pub delivery: DeliveryKind,
    /// See [`Sku::price`].
    pub price: Amount,
    /// See [`Sku::policy`].
    #[serde(default)]
    pub policy: Policy,
    /// See [`Sku::plans`].
    #[serde(rename = "plan", alias = "plans")]
    pub plans: Vec<Plan>,
}

/// One thing that is wrong with a request, by field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The path of the field, such as `plan[1].operator`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl TryFrom<SkuSpec> for Sku {
    type Error = Vec<FieldError>;

    fn try_from(spec: SkuSpec) -> Result<Self, Vec<FieldError>> {
        let errors = check(&spec);
        if !errors.is_empty() {
            return Err(errors);
        }
        let SkuSpec { id, name, label, product, delivery, price, policy, plans } = spec;
        Ok(Self { id, name, label, product, delivery, price, policy, plans, archived: false })
    }
}

fn check(spec: &SkuSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut demand = |holds: bool, field: &str, message: &str| {
        if !holds {
            errors.push(FieldError::new(field, message));
        }
    };
    for (field, name) in [("name.en", &spec.name.en), ("name.zh", &spec.name.zh)] {
        demand(!name.trim().is_empty(), field, "must not be empty");
        demand(!name.chars().any(char::is_control), field, "must be one line without control characters");
    }
    demand(is_slug(&spec.product), "product", "must be a slug of lower-case letters and digits");
    demand(spec.price >= Amount::ZERO, "price", "must not be negative");
    demand(!spec.plans.is_empty(), "plan", "needs at least one plan");

    let policy = &spec.policy;
    let counted = 1..=100;
    demand(counted.contains(&policy.max_redemptions), "policy.max_redemptions", "must be 1 to 100");
    demand(
        counted.contains(&policy.max_plans_per_redemption),
        "policy.max_plans_per_redemption",
        "must be 1 to 100",
    );
    demand(!policy.max_duration.is_zero(), "policy.max_duration", "must be longer than zero");
    demand(!policy.voucher_lifetime.is_zero(), "policy.voucher_lifetime", "must be longer than zero");
    demand(policy.max_buys != Some(0), "policy.max_buys", "must be at least 1");
    demand(policy.max_cost.is_none_or(|cost| cost > Amount::ZERO), "policy.max_cost", "must be above zero");

    let mut ids = HashSet::new();
    for (index, plan) in spec.plans.iter().enumerate() {
        if !ids.insert(&plan.id) {
            errors.push(FieldError::new(format!("plan[{index}].id"), "is used by another plan of this SKU"));
        }
        if let Err((field, message)) = plan.check() {
            errors.push(FieldError::new(format!("plan[{index}].{field}"), message));
        }
    }
    errors
}
