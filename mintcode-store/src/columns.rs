//! What columns say beside the documents, the same in every database.

use mintcode_core::order::OrderId;
use mintcode_core::redemption::{Phase, Redemption};

use crate::rows::count;

/// What the indexes of redemptions need of its status.
pub(crate) fn standing(redemption: &Redemption) -> &'static str {
    match redemption.phase {
        Phase::Delivered(_) => "delivered",
        Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled => "ended",
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::Waiting(_)
        | Phase::Releasing(_)
        | Phase::CoolingDown { .. } => "live",
    }
}

/// What orders ids of different lengths by age.
pub(crate) fn size(order: &OrderId) -> i64 {
    count(order.as_str().len() as u64)
}
