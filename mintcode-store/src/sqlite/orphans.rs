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
use rusqlite::Connection;

use super::redemptions::{claimant, execute, row, rows};
use super::{SqliteStore, alerts};
use crate::columns::{orphan_row, size};
use crate::rows::{Row, count, micros};
use crate::vault::Vault;

#[async_trait]
impl Orphans for SqliteStore {
    async fn installed_at(
        &self,
        supplier: &SupplierName,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StorageError> {
        if let Some(installed_at) = self.read(|connection| installed_at(connection, supplier))? {
            return Ok(installed_at);
        }
        let supplier = supplier.clone();
        self.writer.write(move |connection| install(connection, &supplier, now)).await
    }

    async fn claim_orphans(
        &self,
        found: Vec<Orphan>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Orphan>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.writer
            .write(move |connection| {
                let mut claimed = Vec::new();
                for orphan in found {
                    if is_free(connection, &orphan)? {
                        insert(connection, &vault, &orphan)?;
                        alerts::apply(connection, &orphan.alerts(None), now)?;
                        claimed.push(orphan);
                    }
                }
                Ok::<_, StorageError>(claimed)
            })
            .await
    }

    async fn open_orphans(&self, supplier: &SupplierName, limit: u32) -> Result<Vec<Orphan>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT supplier, order_id, version, state FROM orphan WHERE supplier = ?1 AND settled_at IS NULL
                       ORDER BY found_at, size, order_id LIMIT ?2";
            orphans(connection, &self.vault, sql, (supplier.as_str(), limit))
        })
    }

    async fn update_orphan(
        &self,
        next: Orphan,
        told: Vec<AlertChange>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let vault = Arc::clone(&self.vault);
        self.writer
            .write(move |connection| {
                update(connection, &vault, &next)?;
                alerts::apply(connection, &told, now)
            })
            .await
    }

    async fn orphan_losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OrphanLoss>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read_long(move |connection| {
            let sql = "SELECT supplier, order_id, version, state FROM orphan WHERE settled_at >= ?1 AND settled_at < ?2
                       ORDER BY supplier, settled_at, size, order_id";
            let settled = orphans(connection, &vault, sql, (micros(from), micros(to)))?;
            Ok(settled.iter().filter_map(Orphan::loss).collect())
        })
        .await
    }
}

fn installed_at(
    connection: &Connection,
    supplier: &SupplierName,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let sql = "SELECT installed_at FROM installation WHERE supplier = ?1";
    let installed_at = row(connection, sql, [supplier.as_str()], |row| row.get(0))?;
    Row::of("installation", supplier).times(installed_at)
}

fn install(
    connection: &Connection,
    supplier: &SupplierName,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, StorageError> {
    let sql = "INSERT INTO installation (supplier, installed_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let row = || Row::of("installation", supplier);
    execute(connection, sql, (supplier.as_str(), micros(now)), row)?;
    // As stored: whoever asks later gets it without its finer parts.
    installed_at(connection, supplier)?.ok_or_else(|| row().corrupt())
}

/// Whether nobody has claimed the order, and nobody may be about to.
fn is_free(connection: &Connection, orphan: &Orphan) -> Result<bool, StorageError> {
    let Source { supplier, product, country, operator } = &orphan.source;
    if claimant(connection, supplier, &orphan.order.id)?.is_some() {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM attempt
               WHERE is_unresolved = 1 AND supplier = ?1 AND product = ?2 AND country = ?3 AND operator = ?4
               LIMIT 1";
    let unresolved = row(connection, sql, (supplier.as_str(), product, country, operator), |_| Ok(()))?;
    Ok(unresolved.is_none())
}

fn insert(connection: &Connection, vault: &Vault, orphan: &Orphan) -> Result<(), StorageError> {
    let sql = "INSERT INTO orphan (supplier, size, order_id, product, country, operator, found_at, version,
                   settled_at, state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let Source { supplier, product, country, operator } = &orphan.source;
    let parameters = (
        supplier.as_str(),
        size(&orphan.order.id),
        orphan.order.id.as_str(),
        product,
        country,
        operator,
        micros(orphan.found_at),
        count(orphan.version),
        orphan.settled_at().map(micros),
        vault.seal(&orphan_row(supplier.as_str(), orphan.order.id.as_str()), "state", orphan)?,
    );
    execute(connection, sql, parameters, || Row::of("orphan", &orphan.order.id)).map(drop)
}

pub(super) fn update(connection: &Connection, vault: &Vault, next: &Orphan) -> Result<(), StorageError> {
    let sql = "UPDATE orphan SET version = ?4, settled_at = ?5, state = ?6
               WHERE supplier = ?1 AND size = ?2 AND order_id = ?3 AND version + 1 = ?4";
    let id = &next.order.id;
    let parameters = (
        next.source.supplier.as_str(),
        size(id),
        id.as_str(),
        count(next.version),
        next.settled_at().map(micros),
        vault.seal(&orphan_row(next.source.supplier.as_str(), id.as_str()), "state", next)?,
    );
    match execute(connection, sql, parameters, || Row::of("orphan", id))? {
        0 => Err(StorageError::Conflict),
        _ => Ok(()),
    }
}

fn orphans(
    connection: &Connection,
    vault: &Vault,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Orphan>, StorageError> {
    one_by_one(connection, vault, sql, parameters)?.into_iter().collect()
}

/// As `sql` finds them, each with what is wrong with it.
pub(super) fn one_by_one(
    connection: &Connection,
    vault: &Vault,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Result<Orphan, StorageError>>, StorageError> {
    let found =
        rows(connection, sql, parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let read = |(supplier, order, version, state): (String, String, i64, Vec<u8>)| {
        let row = orphan_row(&supplier, &order);
        let orphan = Orphan { version: row.int(version)?, ..vault.open(&row, "state", &state)? };
        if orphan.order.id == OrderId::new(order) { Ok(orphan) } else { Err(row.corrupt()) }
    };
    Ok(found.into_iter().map(read).collect())
}
