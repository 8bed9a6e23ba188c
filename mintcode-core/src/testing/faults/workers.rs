//! Workers, chores and budgets that fail once.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Faulty;
use crate::budget::{Lease, LeaseWish};
use crate::ids::{SupplierName, WorkerId};
use crate::ports::{StorageError, WorkerRow, Workers};

#[async_trait]
impl<P: Workers> Workers for Faulty<P> {
    async fn time(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.read(self.port.time()).await
    }

    async fn enlist(
        &self,
        worker: WorkerId,
        alone: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.write(self.port.enlist(worker, alone, now)).await
    }

    async fn beat(
        &self,
        worker: WorkerId,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.write(self.port.beat(worker, now)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StorageError> {
        self.read(self.port.workers()).await
    }

    async fn strike_off(&self, silent: WorkerRow) -> Result<bool, StorageError> {
        self.write(self.port.strike_off(silent)).await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StorageError> {
        self.write(self.port.retire(worker)).await
    }

    async fn take_chore(
        &self,
        chore: &str,
        worker: WorkerId,
        term: Duration,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        self.write(self.port.take_chore(chore, worker, term, now)).await
    }

    async fn lease_requests(
        &self,
        supplier: &SupplierName,
        wish: LeaseWish,
        now: DateTime<Utc>,
    ) -> Result<Lease, StorageError> {
        self.write(self.port.lease_requests(supplier, wish, now)).await
    }

    async fn note_hit(
        &self,
        supplier: &SupplierName,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        self.write(self.port.note_hit(supplier, retry_after, now)).await
    }

    async fn note_proof(&self, supplier: &SupplierName) -> Result<(), StorageError> {
        self.write(self.port.note_proof(supplier)).await
    }
}
