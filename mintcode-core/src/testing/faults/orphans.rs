//! Orphans that fail once.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Faulty;
use crate::alert::AlertChange;
use crate::ids::SupplierName;
use crate::orphan::{Orphan, OrphanLoss};
use crate::ports::{Orphans, StorageError};

#[async_trait]
impl<P: Orphans> Orphans for Faulty<P> {
    async fn installed_at(
        &self,
        supplier: &SupplierName,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StorageError> {
        self.write(self.port.installed_at(supplier, now)).await
    }

    async fn claim_orphans(
        &self,
        found: Vec<Orphan>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Orphan>, StorageError> {
        self.write(self.port.claim_orphans(found, now)).await
    }

    async fn open_orphans(&self, supplier: &SupplierName, limit: u32) -> Result<Vec<Orphan>, StorageError> {
        self.read(self.port.open_orphans(supplier, limit)).await
    }

    async fn update_orphan(
        &self,
        next: Orphan,
        alerts: Vec<AlertChange>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        self.write(self.port.update_orphan(next, alerts, now)).await
    }

    async fn orphan_losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OrphanLoss>, StorageError> {
        self.read(self.port.orphan_losses(from, to)).await
    }
}
