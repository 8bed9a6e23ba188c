//! The workers that are alive, and the chores that one of them does for all. All of it goes by the database's clock.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::budget::{Lease, LeaseWish};
use mintcode_core::ids::{SupplierName, WorkerId};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::ports::workers::{WorkerRow, Workers};

use super::connection::Connection;
use super::transaction::{execute, row, rows};
use super::{PostgresStore, budgets};
use crate::rows::{Row, count};

#[async_trait]
impl Workers for PostgresStore {
    async fn time(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        own_time(&*self.database.connection().await?).await.map(Some)
    }

    async fn enlist(
        &self,
        worker: WorkerId,
        alone: bool,
        _now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        let enlisted = self.database.write(move |connection| async move {
            enlist(&connection, worker, alone).await?;
            own_time(&connection).await
        });
        enlisted.await.map(Some)
    }

    async fn beat(
        &self,
        worker: WorkerId,
        _now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        let time = self.database.write(move |connection| async move {
            let sql = "UPDATE worker SET beats = beats + 1 WHERE id = $1";
            match execute(&connection, sql, &[&worker.to_string()], || Row::of("worker", &worker)).await? {
                0 => Err(StorageError::Fenced),
                _ => own_time(&connection).await,
            }
        });
        time.await.map(Some)
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StorageError> {
        let connection = self.database.connection().await?;
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows(&connection, "SELECT id, beats FROM worker", &[], read)
            .await?
            .into_iter()
            .map(|(id, beats): (String, i64)| {
                let row = Row::of("worker", &id);
                Ok(WorkerRow { worker: row.parse(&id)?, beats: row.int(beats)? })
            })
            .collect()
    }

    async fn strike_off(&self, silent: WorkerRow) -> Result<bool, StorageError> {
        let struck = self.database.write(move |connection| async move {
            let worker = silent.worker.to_string();
            let sql = "DELETE FROM worker WHERE id = $1 AND beats = $2";
            let row = || Row::of("worker", &worker);
            let is_struck_off = execute(&connection, sql, &[&worker, &count(silent.beats)], row).await? > 0;
            if is_struck_off {
                free_chores(&connection, &worker).await?;
            }
            Ok::<_, StorageError>(is_struck_off)
        });
        struck.await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StorageError> {
        let retired = self.database.write(move |connection| async move {
            let worker = worker.to_string();
            let row = || Row::of("worker", &worker);
            execute(&connection, "DELETE FROM worker WHERE id = $1", &[&worker], row).await?;
            free_chores(&connection, &worker).await
        });
        retired.await
    }

    async fn take_chore(
        &self,
        chore: &str,
        worker: WorkerId,
        term: Duration,
        _now: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        let chore = chore.to_owned();
        let term = i64::try_from(term.as_micros()).unwrap_or(i64::MAX / 2);
        let taken = self.database.write(move |connection| {
            let chore = chore.clone();
            async move {
                // The worker's row is held, so that nobody strikes it off meanwhile and leaves it its chore.
                let sql = "WITH taker AS (SELECT id FROM worker WHERE id = $2 FOR SHARE)
                           INSERT INTO chore (name, worker, until) SELECT $1, id, now_micros() + $3 FROM taker
                           ON CONFLICT (name) DO UPDATE SET worker = excluded.worker,
                               until = CASE WHEN chore.worker = excluded.worker
                                   THEN greatest(chore.until, excluded.until) ELSE excluded.until END
                           WHERE chore.worker = excluded.worker OR chore.until <= now_micros()";
                let row = || Row::of("chore", &chore);
                Ok::<_, StorageError>(
                    execute(&connection, sql, &[&chore, &worker.to_string(), &term], row).await? > 0,
                )
            }
        });
        taken.await
    }

    async fn lease_requests(
        &self,
        supplier: &SupplierName,
        wish: LeaseWish,
        _now: DateTime<Utc>,
    ) -> Result<Lease, StorageError> {
        let supplier = supplier.clone();
        let lease = self.database.write(move |connection| {
            let supplier = supplier.clone();
            async move { budgets::change(&connection, &supplier, |budget, now| budget.lease(wish, now)).await }
        });
        lease.await
    }

    async fn note_hit(
        &self,
        supplier: &SupplierName,
        retry_after: Option<Duration>,
        _now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let supplier = supplier.clone();
        let noted = self.database.write(move |connection| {
            let supplier = supplier.clone();
            async move {
                budgets::change(&connection, &supplier, |budget, now| budget.hit(retry_after, now)).await
            }
        });
        noted.await
    }

    async fn note_proof(&self, supplier: &SupplierName) -> Result<(), StorageError> {
        let supplier = supplier.clone();
        let noted = self.database.write(move |connection| {
            let supplier = supplier.clone();
            async move { budgets::change(&connection, &supplier, |budget, _| budget.proved()).await }
        });
        noted.await
    }
}

/// What time it is in the database.
pub(super) async fn own_time(connection: &Connection) -> Result<DateTime<Utc>, StorageError> {
    let micros: Option<i64> = row(connection, "SELECT now_micros()", &[], |row| row.try_get(0)).await?;
    let row = Row::of("now_micros", "");
    row.time(micros.ok_or_else(|| row.corrupt())?)
}

async fn enlist(connection: &Connection, worker: WorkerId, alone: bool) -> Result<(), StorageError> {
    let worker = worker.to_string();
    let row = || Row::of("worker", &worker);
    if alone {
        execute(connection, "DELETE FROM worker WHERE id <> $1", &[&worker], row).await?;
        execute(connection, "DELETE FROM chore WHERE worker <> $1", &[&worker], row).await?;
    }
    let sql = "INSERT INTO worker (id, beats) VALUES ($1, 0) ON CONFLICT DO NOTHING";
    execute(connection, sql, &[&worker], row).await.map(drop)
}

async fn free_chores(connection: &Connection, worker: &str) -> Result<(), StorageError> {
    let row = || Row::of("chore", worker);
    execute(connection, "DELETE FROM chore WHERE worker = $1", &[&worker], row).await.map(drop)
}
