//! Orders at a supplier that no redemption knows of.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::storage::StorageError;
use crate::alert::AlertChange;
use crate::ids::SupplierName;
use crate::orphan::{Orphan, OrphanLoss};

/// Keeps orphan orders: claimed like an attempt's, so that whoever comes later can no longer adopt them.
#[async_trait]
pub trait Orphans: Send + Sync {
    /// Since when the account is worked with: `now` at the first asking, and the same ever after. Older orders are
    /// somebody else's.
    async fn installed_at(
        &self,
        supplier: &SupplierName,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StorageError>;

    /// Claims those of `found` that nobody has claimed, neither an attempt nor as an orphan, and of whose plan (supplier,
    /// product, country and operator) no attempt is unresolved; stores them with their alerts
    /// ([`Orphan::alerts`]) and returns them, in order. The others are left alone.
    async fn claim_orphans(
        &self,
        found: Vec<Orphan>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Orphan>, StorageError>;

    /// Orphans of the account that are not settled, oldest first, at most `limit`.
    async fn open_orphans(&self, supplier: &SupplierName, limit: u32) -> Result<Vec<Orphan>, StorageError>;

    /// Stores an orphan as it is now, with what that tells the operator. Fails with [`StorageError::Conflict`] where the
    /// stored version is not the one before.
    async fn update_orphan(
        &self,
        next: Orphan,
        alerts: Vec<AlertChange>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError>;

    /// What orphans settled from `from` until before `to` have cost, by supplier, oldest first.
    async fn orphan_losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OrphanLoss>, StorageError>;
}
