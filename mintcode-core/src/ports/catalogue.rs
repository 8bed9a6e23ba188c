//! Keeps what is sold.

use async_trait::async_trait;
use serde::Deserialize;

use super::storage::StorageError;
use crate::ids::{PlanId, SkuId};
use crate::money::Amount;
use crate::sku::Sku;

/// Why a SKU was not stored or changed.
#[derive(Debug, thiserror::Error)]
pub enum SkuError {
    /// There is no such SKU.
    #[error("no such SKU")]
    NoSku,
    /// The SKU has no such plan.
    #[error("no such plan")]
    NoPlan,
    /// There is one of that id already.
    #[error("a SKU of that id exists")]
    Exists,
    /// Label and product cannot change once vouchers carry them.
    #[error("{0} is fixed once a batch exists")]
    Fixed(&'static str),
    /// Another SKU that vouchers were minted for has the label.
    #[error("the label belongs to another SKU")]
    LabelTaken,
    /// What is sold, or where it is bought, is on the deny list.
    #[error("the deny list forbids it: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Denied(Vec<crate::sku::FieldError>),
    /// The change would make a plan that no SKU may have.
    #[error("{0}")]
    Invalid(crate::sku::FieldError),
    /// Storage failed.
    #[error("the catalogue is unavailable")]
    Storage(#[from] StorageError),
}

/// What to do with a SKU that exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Only if there is none of that id.
    Create,
    /// Only if there is one.
    Replace,
    /// Either.
    Apply,
}

/// A change of one plan; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanChange {
    /// See [`Plan::enabled`](crate::sku::Plan::enabled).
    pub enabled: Option<bool>,
    /// See [`Plan::priority`](crate::sku::Plan::priority).
    pub priority: Option<i32>,
    /// See [`Plan::expected_cost`](crate::sku::Plan::expected_cost).
    pub expected_cost: Option<Amount>,
    /// See [`Plan::max_cost`](crate::sku::Plan::max_cost).
    pub max_cost: Option<Amount>,
}

impl PlanChange {
    /// Applies the change to the plan of that id; storages call this inside their transaction.
    pub fn apply(&self, mut sku: Sku, plan: &PlanId) -> Result<Sku, SkuError> {
        let index = sku.plans.iter().position(|candidate| candidate.id == *plan).ok_or(SkuError::NoPlan)?;
        let changed = &mut sku.plans[index];
        changed.enabled = self.enabled.unwrap_or(changed.enabled);
        changed.priority = self.priority.unwrap_or(changed.priority);
        changed.expected_cost = self.expected_cost.unwrap_or(changed.expected_cost);
        changed.max_cost = self.max_cost.unwrap_or(changed.max_cost);
        changed
            .check()
            .map_err(|(field, message)| SkuError::Invalid(crate::sku::FieldError::new(field, message)))?;
        Ok(sku)
    }
}

/// Whether `new` may take the place of `old`; storages call this inside their transaction.
pub fn may_replace(old: &Sku, new: &Sku, has_batch: bool) -> Result<(), SkuError> {
    if has_batch && old.label != new.label {
        return Err(SkuError::Fixed("label"));
    }
    if has_batch && old.product != new.product {
        return Err(SkuError::Fixed("product"));
    }
    Ok(())
}

/// Keeps SKUs. Every method is one transaction.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// Stores `sku` as `put` says; [`may_replace`] decides on changes of one that exists, and no two SKUs share a label
    /// ([`SkuError::LabelTaken`]). A replaced SKU is back on sale. Returns whether it is new.
    async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError>;

    /// Stores all of `skus` in one transaction, each as [`Catalogue::put_sku`] would after those before it, or none of
    /// them: then the error tells which one was refused, counted from 0. Returns for each whether it is new.
    async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)>;

    /// The SKU, archived or not.
    async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError>;

    /// All SKUs by id, archived ones too.
    async fn skus(&self) -> Result<Vec<Sku>, StorageError>;

    /// Takes a SKU off sale. Its vouchers stay good.
    async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError>;

    /// Changes one plan, effective at the next choice, and returns the SKU.
    async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError>;
}
