//! What columns say beside the documents, the same in every database.

use mintcode_core::order::OrderId;
use mintcode_core::ports::storage::{Inbox, StorageError};
use mintcode_core::redemption::{Phase, Redemption};

use crate::rows::{Row, count};
use crate::vault::Vault;

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

/// Where an orphan's document belongs: as the migration of SQLite names it that first sealed them.
pub(crate) fn orphan_row(supplier: &str, order: &str) -> Row {
    Row::of("orphan", &format!("{supplier}/{order}"))
}

/// An item for the inbox of `redemption`. Its id is not known before it is stored, so it is bound to the redemption.
pub(crate) fn sealed_item(vault: &Vault, redemption: &str, item: &Inbox) -> Result<Vec<u8>, StorageError> {
    vault.seal(&Row::of("inbox", redemption), "item", item)
}
