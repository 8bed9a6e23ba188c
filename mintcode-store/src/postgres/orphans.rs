//! Orders that no redemption knows of.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::health::Source;
use mintcode_core::ids::SupplierName;
use mintcode_core::order::OrderId;
use mintcode_core::orphan::{Orphan, OrphanLoss};
use mintcode_core::ports::orphans::Orphans;
use mintcode_core::ports::storage::StorageError;

use super::connection::Connection;
use super::redemptions::claimant;
use super::transaction::{Parameters, execute, row, rows};
use super::{PostgresStore, alerts};
use crate::columns::{orphan_row, size};
use crate::rows::{Row, count, micros};
use crate::vault::Vault;

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
        let (found, vault) = (Arc::new(found), Arc::clone(&self.vault));
        let claimed = self.database.write(move |connection| {
            let (found, vault) = (Arc::clone(&found), Arc::clone(&vault));
            async move {
                let mut claimed = Vec::new();
                for orphan in &*found {
                    if is_free(&connection, orphan).await? && insert(&connection, &vault, orphan).await? {
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
        let sql =
            "SELECT supplier, order_id, version, state FROM orphan WHERE supplier = $1 AND settled_at IS NULL
                   ORDER BY found_at, size, order_id LIMIT $2";
        let connection = self.database.connection().await?;
        orphans(&connection, &self.vault, sql, &[&supplier.as_str(), &i64::from(limit)]).await
    }

    async fn update_orphan(
        &self,
        next: Orphan,
        told: Vec<AlertChange>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let (change, vault) = (Arc::new((next, told)), Arc::clone(&self.vault));
        let updated = self.database.write(move |connection| {
            let (change, vault) = (Arc::clone(&change), Arc::clone(&vault));
            async move {
                let (next, told) = &*change;
                update(&connection, &vault, next).await?;
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
        let sql =
            "SELECT supplier, order_id, version, state FROM orphan WHERE settled_at >= $1 AND settled_at < $2
                   ORDER BY supplier, settled_at, size, order_id";
        let connection = self.database.connection().await?;
        let settled = orphans(&connection, &self.vault, sql, &[&micros(from), &micros(to)]).await?;
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
async fn insert(connection: &Connection, vault: &Vault, orphan: &Orphan) -> Result<bool, StorageError> {
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
            &orphan.settled_at().map(micros),
            &vault.seal(&orphan_row(supplier.as_str(), orphan.order.id.as_str()), "state", orphan)?,
        ],
        || Row::of("orphan", &orphan.order.id),
    )
    .await?;
    Ok(inserted > 0)
}

pub(super) async fn update(
    connection: &Connection,
    vault: &Vault,
    next: &Orphan,
) -> Result<(), StorageError> {
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
            &next.settled_at().map(micros),
            &vault.seal(&orphan_row(next.source.supplier.as_str(), id.as_str()), "state", next)?,
        ],
        || Row::of("orphan", id),
    )
    .await?;
    if updated == 0 { Err(StorageError::Conflict) } else { Ok(()) }
}

async fn orphans(
    connection: &Connection,
    vault: &Vault,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Orphan>, StorageError> {
    one_by_one(connection, vault, sql, parameters).await?.into_iter().collect()
}

/// Reads `supplier, order_id, version, state` of each row, whether or not it can be read.
pub(super) async fn one_by_one(
    connection: &Connection,
    vault: &Vault,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Result<Orphan, StorageError>>, StorageError> {
    let read =
        |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    let found = rows(connection, sql, parameters, read).await?;
    let orphans =
        found.into_iter().map(|(supplier, order, version, state): (String, String, i64, Vec<u8>)| {
            let row = orphan_row(&supplier, &order);
            let orphan = Orphan { version: row.int(version)?, ..vault.open(&row, "state", &state)? };
            if orphan.order.id == OrderId::new(order) { Ok(orphan) } else { Err(row.corrupt()) }
        });
    Ok(orphans.collect())
}
