//! Where numbers are bought.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::SupplierName;
use crate::ports::Wanted;
use crate::sku::Plan;

/// Where numbers are bought: what a breaker is kept for, shared by every SKU whose plans buy there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Who sells.
    pub supplier: SupplierName,
    /// The product's slug.
    pub product: String,
    /// The country's slug.
    pub country: String,
    /// The operator's slug.
    pub operator: String,
}

impl Source {
    /// Where `plan` buys `product`.
    #[must_use]
    pub fn of_plan(plan: &Plan, product: &str) -> Self {
        Self {
            supplier: plan.supplier.clone(),
            product: product.to_owned(),
            country: plan.country.clone(),
            operator: plan.operator.clone(),
        }
    }

    /// Where `supplier` sells what is wanted.
    #[must_use]
    pub fn of_wanted(supplier: &SupplierName, wanted: &Wanted) -> Self {
        Self {
            supplier: supplier.clone(),
            product: wanted.product.clone(),
            country: wanted.country.clone(),
            operator: wanted.operator.clone(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.supplier, self.product, self.country, self.operator)
    }
}
