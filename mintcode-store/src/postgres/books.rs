//! The ledger: what is booked is never changed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mintcode_core::ids::{PlanId, RedemptionId, SupplierName};
use mintcode_core::ledger::{Booked, Entry};
use mintcode_core::order::OrderId;
use mintcode_core::ports::reports::LedgerTotal;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::Redemption;

use super::connection::Connection;
use super::transaction::{execute, rows};
use crate::books::{DAY_MICROS, EntryRow, TotalRow};
use crate::rows::{Row, count, micros};

/// Books `entries` with the change that made `redemption` what it is.
pub(super) async fn insert(
    connection: &Connection,
    redemption: &Redemption,
    entries: &[Entry],
    at: DateTime<Utc>,
) -> Result<(), StorageError> {
    if entries.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO ledger (redemption, attempt, book, kind, order_id, version, line, sku, plan, supplier, amount,
                   currency, value, booked_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let (id, version, at) = (redemption.id.to_string(), count(redemption.version), micros(at));
    for (line, entry) in (0_i64..).zip(entries) {
        execute(
            connection,
            sql,
            &[
                &id,
                &i64::from(entry.attempt),
                &entry.book.name(),
                &entry.kind.name(),
                &entry.order.as_ref().map_or("", OrderId::as_str),
                &version,
                &line,
                &redemption.sku.as_str(),
                &entry.plan.as_ref().map(PlanId::as_str),
                &entry.supplier.as_ref().map(SupplierName::as_str),
                &entry.amount.micros(),
                &entry.currency.to_string(),
                &entry.value.micros(),
                &at,
            ],
            || Row::of("ledger", &format!("{id}/{entry}")),
        )
        .await?;
    }
    Ok(())
}

/// What is booked for a redemption, oldest first.
pub(super) async fn of_redemption(
    connection: &Connection,
    id: RedemptionId,
) -> Result<Vec<Booked>, StorageError> {
    let name = id.to_string();
    let mut booked = rows_of(connection, std::slice::from_ref(&name)).await?;
    booked.remove(&name).unwrap_or_default().into_iter().map(|row| row.read(id)).collect()
}

/// What is booked for each of `redemptions`, as it is stored, oldest first.
pub(super) async fn rows_of(
    connection: &Connection,
    redemptions: &[String],
) -> Result<BTreeMap<String, Vec<EntryRow>>, StorageError> {
    let sql = "SELECT redemption, attempt, book, kind, order_id, plan, supplier, amount, currency, value, sku, booked_at
               FROM ledger WHERE redemption = ANY($1) ORDER BY redemption, version, line";
    let read = |row: &tokio_postgres::Row| {
        let entry = EntryRow {
            attempt: row.try_get(1)?,
            book: row.try_get(2)?,
            kind: row.try_get(3)?,
            order: row.try_get(4)?,
            plan: row.try_get(5)?,
            supplier: row.try_get(6)?,
            amount: row.try_get(7)?,
            currency: row.try_get(8)?,
            value: row.try_get(9)?,
            sku: row.try_get(10)?,
            booked_at: row.try_get(11)?,
        };
        Ok((row.try_get(0)?, entry))
    };
    let mut booked: BTreeMap<String, Vec<EntryRow>> = BTreeMap::new();
    for (redemption, entry) in rows(connection, sql, &[&redemptions], read).await? {
        booked.entry(redemption).or_default().push(entry);
    }
    Ok(booked)
}

/// The totals of what was booked from `from` until before `to`.
pub(super) async fn totals(
    connection: &Connection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<LedgerTotal>, StorageError> {
    let sql = "SELECT booked_at / $3, sku, plan, book, kind, count(*), sum(value / 4294967296)::bigint,
                   sum(value % 4294967296)::bigint
               FROM ledger WHERE booked_at >= $1 AND booked_at < $2 GROUP BY 1, 2, 3, 4, 5";
    let read = |row: &tokio_postgres::Row| {
        Ok(TotalRow {
            day: row.try_get(0)?,
            sku: row.try_get(1)?,
            plan: row.try_get(2)?,
            book: row.try_get(3)?,
            kind: row.try_get(4)?,
            entries: row.try_get(5)?,
            halves: (row.try_get(6)?, row.try_get(7)?),
        })
    };
    let found = rows(connection, sql, &[&micros(from), &micros(to), &DAY_MICROS], read).await?;
    let mut totals = found.into_iter().map(TotalRow::read).collect::<Result<Vec<_>, _>>()?;
    totals.sort();
    Ok(totals)
}
