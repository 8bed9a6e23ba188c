//! Workers, their chores and their budgets.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStorage, State};
use crate::budget::{Lease, LeaseWish};
use crate::ids::{SupplierName, WorkerId};
use crate::ports::{StorageError, WorkerRow, Workers};

#[async_trait]
impl Workers for MemoryStorage {
    async fn time(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        Ok(self.own_time())
    }

    async fn enlist(
        &self,
        worker: WorkerId,
        alone: bool,
        _now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.transaction(|state| {
            if alone {
                let others: Vec<_> =
                    state.workers.keys().filter(|other| **other != worker).copied().collect();
                for other in others {
                    state.strike_off(other);
                }
            }
            state.workers.entry(worker).or_default();
            Ok(self.own_time())
        })
    }

    async fn beat(
        &self,
        worker: WorkerId,
        _now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.transaction(|state| {
            *state.workers.get_mut(&worker).ok_or(StorageError::Fenced)? += 1;
            Ok(self.own_time())
        })
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StorageError> {
        self.transaction(|state| {
            let workers = state.workers.iter();
            Ok(workers.map(|(worker, beats)| WorkerRow { worker: *worker, beats: *beats }).collect())
        })
    }

    async fn strike_off(&self, silent: WorkerRow) -> Result<bool, StorageError> {
        self.transaction(|state| {
            let is_silent = state.workers.get(&silent.worker) == Some(&silent.beats);
            if is_silent {
                state.strike_off(silent.worker);
            }
            Ok(is_silent)
        })
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StorageError> {
        self.transaction(|state| {
            state.strike_off(worker);
            Ok(())
        })
    }

    async fn take_chore(
        &self,
        chore: &str,
        worker: WorkerId,
        term: Duration,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        self.transaction(|state| {
            if !state.workers.contains_key(&worker) {
                return Ok(false);
            }
            let now = self.own_time().unwrap_or(now);
            let until = match state.chores.get(chore) {
                Some((holder, until)) if *holder == worker => (now + term).max(*until),
                Some((_, until)) if now < *until => return Ok(false),
                Some(_) | None => now + term,
            };
            state.chores.insert(chore.to_owned(), (worker, until));
            Ok(true)
        })
    }

    async fn lease_requests(
        &self,
        supplier: &SupplierName,
        wish: LeaseWish,
        now: DateTime<Utc>,
    ) -> Result<Lease, StorageError> {
        self.transaction(|state| {
            let now = self.own_time().unwrap_or(now);
            Ok(state.budgets.entry(supplier.clone()).or_default().lease(wish, now))
        })
    }

    async fn note_hit(
        &self,
        supplier: &SupplierName,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        self.transaction(|state| {
            let now = self.own_time().unwrap_or(now);
            state.budgets.entry(supplier.clone()).or_default().hit(retry_after, now);
            Ok(())
        })
    }

    async fn note_proof(&self, supplier: &SupplierName) -> Result<(), StorageError> {
        self.transaction(|state| {
            state.budgets.entry(supplier.clone()).or_default().proved();
            Ok(())
        })
    }
}

impl State {
    /// Removes `worker`, and frees its chores.
    fn strike_off(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
        self.chores.retain(|_, (holder, _)| *holder != worker);
    }
}
