//! What operators ask: how things stand and what they cost.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::health::{Account, Health, Source};
use mintcode_core::ids::{RedemptionId, SkuId, SupplierName};
use mintcode_core::ledger::Booked;
use mintcode_core::ports::reports::{LedgerTotal, PlanTotal, RedemptionSearch, Reports};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::{Redemption, Status};
use rusqlite::Connection;

use super::redemptions::{redemption_row, row, rows};
use super::{SqliteStore, books, outlook};
use crate::books::PlanRow;
use crate::rows::micros;
use crate::vault::Vault;

#[async_trait]
impl Reports for SqliteStore {
    async fn redemptions(
        &self,
        search: RedemptionSearch,
        limit: u32,
    ) -> Result<Vec<Redemption>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read_long(move |connection| find(connection, &vault, &search, limit)).await
    }

    async fn choices(&self, redemption: RedemptionId) -> Result<Vec<String>, StorageError> {
        self.read(|connection| {
            let sql = "SELECT record FROM choice WHERE redemption = ?1 ORDER BY version";
            rows(connection, sql, [redemption.to_string()], |row| row.get(0))
        })
    }

    async fn booked(&self, redemption: RedemptionId) -> Result<Vec<Booked>, StorageError> {
        self.read(|connection| books::of_redemption(connection, redemption))
    }

    async fn ledger_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LedgerTotal>, StorageError> {
        self.read_long(move |connection| books::totals(connection, from, to)).await
    }

    async fn plan_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<PlanTotal>, StorageError> {
        self.read_long(move |connection| plan_totals(connection, from, to)).await
    }

    async fn sources(&self) -> Result<Vec<(Source, Health)>, StorageError> {
        self.read(outlook::sources)
    }

    async fn accounts(&self) -> Result<Vec<(SupplierName, Account)>, StorageError> {
        self.read(outlook::accounts)
    }
}

fn find(
    connection: &Connection,
    vault: &Vault,
    search: &RedemptionSearch,
    limit: u32,
) -> Result<Vec<Redemption>, StorageError> {
    let before = match search.before.map(|before| before.to_string()) {
        None => (i64::MAX, String::new()),
        Some(id) => {
            let sql = "SELECT created_at FROM redemption WHERE id = ?1";
            match row(connection, sql, [&id], |row| row.get(0))? {
                Some(created_at) => (created_at, id),
                None => return Ok(Vec::new()),
            }
        }
    };
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption
               WHERE (created_at, id) < (?1, ?2) AND (?3 IS NULL OR sku = ?3) AND (?4 IS NULL OR status = ?4)
               ORDER BY created_at DESC, id DESC LIMIT ?5";
    let sku = search.sku.as_ref().map(SkuId::as_str);
    let parameters = (before.0, before.1, sku, search.status.map(Status::name), limit);
    rows(connection, sql, parameters, redemption_row)?.into_iter().map(|row| row.read(vault)).collect()
}

fn plan_totals(
    connection: &Connection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<PlanTotal>, StorageError> {
    let sql = "SELECT sku, plan, count(*), count(order_id), sum(outcome IS 'out_of_stock'), count(sms_at),
                   sum(max((sms_at - started_at) / 1000, 0))
               FROM attempt JOIN redemption ON redemption.id = attempt.redemption
               WHERE started_at >= ?1 AND started_at < ?2
               GROUP BY sku, plan ORDER BY sku, plan";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(PlanRow {
            sku: row.get(0)?,
            plan: row.get(1)?,
            attempts: row.get(2)?,
            numbers: row.get(3)?,
            out_of_stock: row.get(4)?,
            with_sms: row.get(5)?,
            waited_ms: row.get(6)?,
        })
    };
    rows(connection, sql, (micros(from), micros(to)), read)?.into_iter().map(PlanRow::read).collect()
}
