//! What operators ask: how things stand and what they cost.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::health::{Account, Health, Source};
use mintcode_core::ids::{RedemptionId, SkuId, SupplierName};
use mintcode_core::ledger::Booked;
use mintcode_core::ports::reports::{LedgerTotal, PlanTotal, RedemptionSearch, Reports};
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::{Redemption, Status};

use super::connection::Connection;
use super::redemptions::redemption_row;
use super::transaction::{row, rows};
use super::{PostgresStore, books, outlook};
use crate::books::PlanRow;
use crate::rows::micros;
use crate::vault::Vault;

#[async_trait]
impl Reports for PostgresStore {
    async fn redemptions(
        &self,
        search: RedemptionSearch,
        limit: u32,
    ) -> Result<Vec<Redemption>, StorageError> {
        find(&*self.database.connection().await?, &self.vault, &search, limit).await
    }

    async fn choices(&self, redemption: RedemptionId) -> Result<Vec<String>, StorageError> {
        let connection = self.database.connection().await?;
        let sql = "SELECT record FROM choice WHERE redemption = $1 ORDER BY version";
        rows(&connection, sql, &[&redemption.to_string()], |row| row.try_get(0)).await
    }

    async fn booked(&self, redemption: RedemptionId) -> Result<Vec<Booked>, StorageError> {
        books::of_redemption(&*self.database.connection().await?, redemption).await
    }

    async fn ledger_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LedgerTotal>, StorageError> {
        books::totals(&*self.database.connection().await?, from, to).await
    }

    async fn plan_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<PlanTotal>, StorageError> {
        plan_totals(&*self.database.connection().await?, from, to).await
    }

    async fn sources(&self) -> Result<Vec<(Source, Health)>, StorageError> {
        outlook::sources(&*self.database.connection().await?).await
    }

    async fn accounts(&self) -> Result<Vec<(SupplierName, Account)>, StorageError> {
        outlook::accounts(&*self.database.connection().await?).await
    }
}

async fn find(
    connection: &Connection,
    vault: &Vault,
    search: &RedemptionSearch,
    limit: u32,
) -> Result<Vec<Redemption>, StorageError> {
    let before = match search.before.map(|before| before.to_string()) {
        None => (i64::MAX, String::new()),
        Some(id) => {
            let sql = "SELECT created_at FROM redemption WHERE id = $1";
            match row(connection, sql, &[&id], |row| row.try_get(0)).await? {
                Some(created_at) => (created_at, id),
                None => return Ok(Vec::new()),
            }
        }
    };
    let sql = "SELECT id, version, epoch, owner, takeovers, next, state FROM redemption
               WHERE (created_at, id) < ($1, $2) AND ($3::text IS NULL OR sku = $3)
                   AND ($4::text IS NULL OR status = $4)
               ORDER BY created_at DESC, id DESC LIMIT $5";
    let sku = search.sku.as_ref().map(SkuId::as_str);
    let status = search.status.map(Status::name);
    rows(connection, sql, &[&before.0, &before.1, &sku, &status, &i64::from(limit)], redemption_row)
        .await?
        .into_iter()
        .map(|row| row.read(vault))
        .collect()
}

async fn plan_totals(
    connection: &Connection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<PlanTotal>, StorageError> {
    let sql = "SELECT sku, plan, count(*), count(order_id), count(*) FILTER (WHERE outcome = 'out_of_stock'),
                   count(sms_at), sum(greatest((sms_at - started_at) / 1000, 0)) FILTER (WHERE sms_at IS NOT NULL)::bigint
               FROM attempt JOIN redemption ON redemption.id = attempt.redemption
               WHERE started_at >= $1 AND started_at < $2
               GROUP BY sku, plan ORDER BY sku, plan";
    let read = |row: &tokio_postgres::Row| {
        Ok(PlanRow {
            sku: row.try_get(0)?,
            plan: row.try_get(1)?,
            attempts: row.try_get(2)?,
            numbers: row.try_get(3)?,
            out_of_stock: row.try_get(4)?,
            with_sms: row.try_get(5)?,
            waited_ms: row.try_get(6)?,
        })
    };
    let found = rows(connection, sql, &[&micros(from), &micros(to)], read).await?;
    found.into_iter().map(PlanRow::read).collect()
}
