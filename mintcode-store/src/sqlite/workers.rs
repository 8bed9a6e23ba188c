//! The workers that are alive, and the chores that one of them does for all.
//!
//! All processes that have the file open are on one machine and share its clock, so storage has none of its own.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::budget::{Budget, Lease, LeaseWish};
use mintcode_core::ids::{SupplierName, WorkerId};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::workers::{WorkerRow, Workers};
use rusqlite::Connection;

use super::redemptions::{execute, rows};
use super::{SqliteStore, budgets};
use crate::rows::{Row, count, micros};

#[async_trait]
impl Workers for SqliteStore {
    async fn time(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        Ok(None)
    }

    async fn enlist(
        &self,
        worker: WorkerId,
        alone: bool,
        _now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.writer.write(move |connection| enlist(connection, worker, alone)).await?;
        Ok(None)
    }

    async fn beat(
        &self,
        worker: WorkerId,
        _now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.writer
            .write(move |connection| {
                let sql = "UPDATE worker SET beats = beats + 1 WHERE id = ?1";
                match execute(connection, sql, [worker.to_string()], || Row::of("worker", &worker))? {
                    0 => Err(StorageError::Fenced),
                    _ => Ok(None),
                }
            })
            .await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StorageError> {
        self.read(|connection| {
            rows(connection, "SELECT id, beats FROM worker", [], |row| Ok((row.get(0)?, row.get(1)?)))?
                .into_iter()
                .map(|(id, beats): (String, i64)| {
                    let row = Row::of("worker", &id);
                    Ok(WorkerRow { worker: row.parse(&id)?, beats: row.int(beats)? })
                })
                .collect()
        })
    }

    async fn strike_off(&self, silent: WorkerRow) -> Result<bool, StorageError> {
        self.writer
            .write(move |connection| {
                let worker = silent.worker.to_string();
                let sql = "DELETE FROM worker WHERE id = ?1 AND beats = ?2";
                let row = || Row::of("worker", &worker);
                let is_struck_off = execute(connection, sql, (&worker, count(silent.beats)), row)? > 0;
                if is_struck_off {
                    free_chores(connection, &worker)?;
                }
                Ok::<_, StorageError>(is_struck_off)
            })
            .await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StorageError> {
        self.writer
            .write(move |connection| {
                let worker = worker.to_string();
                let row = || Row::of("worker", &worker);
                execute(connection, "DELETE FROM worker WHERE id = ?1", [&worker], row)?;
                free_chores(connection, &worker)
            })
            .await
    }

    async fn take_chore(
        &self,
        chore: &str,
        worker: WorkerId,
        term: Duration,
        now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let (chore, worker) = (chore.to_owned(), worker.to_string());
        let until = now.checked_add_signed(signed(term)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.writer
            .write(move |connection| {
                let sql = "INSERT INTO chore (name, worker, until)
                           SELECT ?1, id, ?3 FROM worker WHERE id = ?2
                           ON CONFLICT DO UPDATE SET worker = excluded.worker,
                               until = iif(worker = excluded.worker, max(until, excluded.until), excluded.until)
                           WHERE worker = excluded.worker OR until <= ?4";
                let parameters = (&chore, worker, micros(until), micros(now));
                Ok(execute(connection, sql, parameters, || Row::of("chore", &chore))? > 0)
            })
            .await
    }

    async fn lease_requests(
        &self,
        supplier: &SupplierName,
        wish: LeaseWish,
        now: DateTime<Utc>,
    ) -> Result<Lease, StorageError> {
        let supplier = supplier.clone();
        self.writer
            .write(move |connection| budgets::change(connection, &supplier, |budget| budget.lease(wish, now)))
            .await
    }

    async fn note_hit(
        &self,
        supplier: &SupplierName,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let supplier = supplier.clone();
        self.writer
            .write(move |connection| {
                budgets::change(connection, &supplier, |budget| budget.hit(retry_after, now))
            })
            .await
    }

    async fn note_proof(&self, supplier: &SupplierName) -> Result<(), StorageError> {
        let supplier = supplier.clone();
        self.writer.write(move |connection| budgets::change(connection, &supplier, Budget::proved)).await
    }
}

fn enlist(connection: &Connection, worker: WorkerId, alone: bool) -> Result<(), StorageError> {
    let worker = worker.to_string();
    let row = || Row::of("worker", &worker);
    if alone {
        execute(connection, "DELETE FROM worker WHERE id <> ?1", [&worker], row)?;
        execute(connection, "DELETE FROM chore WHERE worker <> ?1", [&worker], row)?;
    }
    let sql = "INSERT INTO worker (id, beats) VALUES (?1, 0) ON CONFLICT DO NOTHING";
    execute(connection, sql, [&worker], row).map(drop)
}

fn free_chores(connection: &Connection, worker: &str) -> Result<(), StorageError> {
    execute(connection, "DELETE FROM chore WHERE worker = ?1", [worker], || Row::of("chore", worker))
        .map(drop)
}

fn signed(span: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(span).unwrap_or(chrono::TimeDelta::MAX)
}
