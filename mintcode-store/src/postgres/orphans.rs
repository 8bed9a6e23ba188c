//! Orders that no redemption knows of.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::health::Source;
use mintcode_core::ids::SupplierName;
use mintcode_core::order::OrderId;
use mintcode_core::orphan::{Orphan, OrphanLoss, OrphanPhase};
use mintcode_core::ports::orphans::Orphans;
use mintcode_core::ports::storage::StorageError;

use super::connection::Connection;
use super::redemptions::claimant;
use super::transaction::{Parameters, execute, row, rows};
use super::{PostgresStore, alerts};
use crate::columns::size;
use crate::rows::{Row, count, json, micros};

#[async_trait]
impl Orphans for PostgresStore {
    async fn installed_at(
        &self,
        supplier: &SupplierName,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StorageError> {
        let known = installed_at(&*self.database.connection().await?, supplier).await?;
        if let Some(installed_at) = known {
            return Ok(installed_at);
        }
        let supplier = supplier.clone();
        let installed = self.database.write(move |connection| {
            let supplier = supplier.clone();
            async move { install(&connection, &supplier, now).await }
        });
        installed.await
    }

    async fn claim_orphans(
        &self,
        found: Vec<Orphan>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Orphan>, StorageError> {
        let found = Arc::new(found);
        let claimed = self.database.write(move |connection| {
            let found = Arc::clone(&found);
            async move {
                let mut claimed = Vec::new();
                for orphan in &*found {
                    if is_free(&connection, orphan).await? && insert(&connection, orphan).await? {
                        alerts::apply(&connection, &orphan.alerts(None), now).await?;
                        claimed.push(orphan.clone());
                    }
                }
                Ok::<_, StorageError>(claimed)
            }
        });
        claimed.await
    }

    async fn open_orphans(&self, supplier: &SupplierName, limit: u32) -> Result<Vec<Orphan>, StorageError> {
        let sql = "SELECT order_id, version, state FROM orphan WHERE supplier = $1 AND settled_at IS NULL
                   ORDER BY found_at, size, order_id LIMIT $2";
        let connection = self.database.connection().await?;
        orphans(&connection, sql, &[&supplier.as_str(), &i64::from(limit)]).await
    }

    async fn update_orphan(
        &self,
        next: Orphan,
        told: Vec<AlertChange>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let change = Arc::new((next, told));
        let updated = self.database.write(move |connection| {
            let change = Arc::clone(&change);
            async move {
                let (next, told) = &*change;
                update(&connection, next).await?;
                alerts::apply(&connection, told, now).await
            }
        });
        updated.await
    }

    async fn orphan_losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OrphanLoss>, StorageError> {
        let sql = "SELECT order_id, version, state FROM orphan WHERE settled_at >= $1 AND settled_at < $2
                   ORDER BY supplier, settled_at, size, order_id";
        let connection = self.database.connection().await?;
        let settled = orphans(&connection, sql, &[&micros(from), &micros(to)]).await?;
        Ok(settled.iter().filter_map(Orphan::loss).collect())
    }
}

async fn installed_at(
    connection: &Connection,
    supplier: &SupplierName,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let sql = "SELECT installed_at FROM installation WHERE supplier = $1";
    let installed_at = row(connection, sql, &[&supplier.as_str()], |row| row.try_get(0)).await?;
    Row::of("installation", supplier).times(installed_at)
}

async fn install(
    connection: &Connection,
    supplier: &SupplierName,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, StorageError> {
    let sql = "INSERT INTO installation (supplier, installed_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let row = || Row::of("installation", supplier);
    execute(connection, sql, &[&supplier.as_str(), &micros(now)], row).await?;
    // As stored: whoever asks later gets it without its finer parts.
    installed_at(connection, supplier).await?.ok_or_else(|| row().corrupt())
}

/// Whether nobody has claimed the order, and nobody may be about to.
async fn is_free(connection: &Connection, orphan: &Orphan) -> Result<bool, StorageError> {
    let Source { supplier, product, country, operator } = &orphan.source;
    if claimant(connection, supplier, &orphan.order.id).await?.is_some() {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM attempt
               WHERE is_unresolved AND supplier = $1 AND product = $2 AND country = $3 AND operator = $4
               LIMIT 1";
    let unresolved =
        row(connection, sql, &[&supplier.as_str(), product, country, operator], |_| Ok(())).await?;
    Ok(unresolved.is_none())
}

/// Stores the orphan; `false` where somebody claimed it since it was looked for.
async fn insert(connection: &Connection, orphan: &Orphan) -> Result<bool, StorageError> {
    let sql = "INSERT INTO orphan (supplier, size, order_id, product, country, operator, found_at, version,
                   settled_at, state)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let Source { supplier, product, country, operator } = &orphan.source;
    let inserted = execute(
        connection,
        sql,
        &[
            &supplier.as_str(),
            &size(&orphan.order.id),
            &orphan.order.id.as_str(),
            product,
            country,
            operator,
            &micros(orphan.found_at),
            &count(orphan.version),
            &settled_at(orphan),
            &json(orphan),
        ],
        || Row::of("orphan", &orphan.order.id),
    )
    .await?;
    Ok(inserted > 0)
}

async fn update(connection: &Connection, next: &Orphan) -> Result<(), StorageError> {
    let sql = "UPDATE orphan SET version = $4, settled_at = $5, state = $6
               WHERE supplier = $1 AND size = $2 AND order_id = $3 AND version + 1 = $4";
    let id = &next.order.id;
    let updated = execute(
        connection,
        sql,
        &[
            &next.source.supplier.as_str(),
            &size(id),
            &id.as_str(),
            &count(next.version),
            &settled_at(next),
            &json(next),
        ],
        || Row::of("orphan", id),
    )
    .await?;
    if updated == 0 { Err(StorageError::Conflict) } else { Ok(()) }
}

fn settled_at(orphan: &Orphan) -> Option<i64> {
    match orphan.phase {
        OrphanPhase::Settled { at, .. } => Some(micros(at)),
        OrphanPhase::Returning { .. } => None,
    }
}

async fn orphans(
    connection: &Connection,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Orphan>, StorageError> {
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    rows(connection, sql, parameters, read)
        .await?
        .into_iter()
        .map(|(order, version, state): (String, i64, String)| {
            let row = Row::of("orphan", &order);
            let orphan = Orphan { version: row.int(version)?, ..row.json(&state)? };
            if orphan.order.id == OrderId::new(order) { Ok(orphan) } else { Err(row.corrupt()) }
        })
        .collect()
}
