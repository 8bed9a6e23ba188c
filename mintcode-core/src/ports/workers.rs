//! Who works on a storage, and what the workers share out among themselves.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::storage::StorageError;
use crate::budget::{Lease, LeaseWish};
use crate::ids::{SupplierName, WorkerId};

/// A worker as storage knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// The worker.
    pub worker: WorkerId,
    /// How often it was heard of: grows with every beat.
    pub beats: u64,
}

/// Keeps the workers that are alive, and what they share: chores that one of them does for all, and the budget of
/// requests to an account.
///
/// A redemption's owner that is not among the workers counts as gone: [`Storage::adopt`](super::Storage::adopt) takes over
/// what it drove.
#[async_trait]
pub trait Workers: Send + Sync {
    /// The time by the storage's own clock, if it has one: what [`Workers::beat`] tells, to whoever asks.
    async fn time(&self) -> Result<Option<DateTime<Utc>>, StorageError>;

    /// Adds `worker`, with no beat yet, and returns the time by the storage's own clock, if it has one. If the worker is
    /// `alone`, nobody else can be at work, and all others are struck off.
    async fn enlist(
        &self,
        worker: WorkerId,
        alone: bool,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError>;

    /// Counts one more beat of `worker`, and returns the time by the storage's own clock, if it has one. Fails with
    /// [`StorageError::Fenced`] where the worker is struck off.
    async fn beat(&self, worker: WorkerId, now: DateTime<Utc>)
    -> Result<Option<DateTime<Utc>>, StorageError>;

    /// All workers, in no promised order.
    async fn workers(&self) -> Result<Vec<WorkerRow>, StorageError>;

    /// Strikes a worker off that has not been heard of since: nothing happens, and the answer is `false`, where its beats
    /// are others by now.
    async fn strike_off(&self, silent: WorkerRow) -> Result<bool, StorageError>;

    /// Takes `worker` off by its own wish: its redemptions can be taken over at once, and its chores are free.
    async fn retire(&self, worker: WorkerId) -> Result<(), StorageError>;

    /// Gives the chore of that name to `worker` for `term` from now on, or longer if it has it already; `false` while
    /// another worker has it, and to whoever is not enlisted.
    async fn take_chore(
        &self,
        chore: &str,
        worker: WorkerId,
        term: Duration,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError>;

    /// Leases requests of the account from its budget: [`Budget::lease`](crate::budget::Budget::lease), by the storage's
    /// own clock if it has one.
    async fn lease_requests(
        &self,
        supplier: &SupplierName,
        wish: LeaseWish,
        now: DateTime<Utc>,
    ) -> Result<Lease, StorageError>;

    /// The supplier refused a request for being one too many: [`Budget::hit`](crate::budget::Budget::hit).
    async fn note_hit(
        &self,
        supplier: &SupplierName,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError>;

    /// The request that tried an account after a penalty went through: [`Budget::proved`](crate::budget::Budget::proved).
    async fn note_proof(&self, supplier: &SupplierName) -> Result<(), StorageError>;
}
