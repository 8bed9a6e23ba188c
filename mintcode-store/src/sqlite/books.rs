//! The ledger: what is booked is never changed.

use chrono::{DateTime, Utc};
use mintcode_core::ids::{PlanId, RedemptionId, SupplierName};
use mintcode_core::ledger::{Booked, Entry};
use mintcode_core::order::OrderId;
use mintcode_core::ports::reports::LedgerTotal;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::Redemption;
use rusqlite::Connection;

use super::redemptions::{execute, rows};
use crate::books::{DAY_MICROS, EntryRow, TotalRow};
use crate::rows::{Row, count, micros};

/// Books `entries` with the change that made `redemption` what it is.
pub(super) fn insert(
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
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let (id, version, at) = (redemption.id.to_string(), count(redemption.version), micros(at));
    for (line, entry) in (0_i64..).zip(entries) {
        let parameters = rusqlite::params![
            id,
            entry.attempt,
            entry.book.name(),
            entry.kind.name(),
            entry.order.as_ref().map_or("", OrderId::as_str),
            version,
            line,
            redemption.sku.as_str(),
            entry.plan.as_ref().map(PlanId::as_str),
            entry.supplier.as_ref().map(SupplierName::as_str),
            entry.amount.micros(),
            entry.currency.to_string(),
            entry.value.micros(),
            at,
        ];
        execute(connection, sql, parameters, || Row::of("ledger", &format!("{id}/{entry}")))?;
    }
    Ok(())
}

/// What is booked for a redemption, oldest first.
pub(super) fn of_redemption(connection: &Connection, id: RedemptionId) -> Result<Vec<Booked>, StorageError> {
    rows_of(connection, &id.to_string())?.into_iter().map(|row| row.read(id)).collect()
}

/// The same, as it is stored.
pub(super) fn rows_of(connection: &Connection, id: &str) -> Result<Vec<EntryRow>, StorageError> {
    let sql = "SELECT attempt, book, kind, order_id, plan, supplier, amount, currency, value, sku, booked_at FROM ledger
               WHERE redemption = ?1 ORDER BY version, line";
    rows(connection, sql, [id], |row| {
        Ok(EntryRow {
            attempt: row.get(0)?,
            book: row.get(1)?,
            kind: row.get(2)?,
            order: row.get(3)?,
            plan: row.get(4)?,
            supplier: row.get(5)?,
            amount: row.get(6)?,
            currency: row.get(7)?,
            value: row.get(8)?,
            sku: row.get(9)?,
            booked_at: row.get(10)?,
        })
    })
}

/// The totals of what was booked from `from` until before `to`.
pub(super) fn totals(
    connection: &Connection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<LedgerTotal>, StorageError> {
    let sql = "SELECT booked_at / ?3, sku, plan, book, kind, count(*), sum(value / 4294967296), sum(value % 4294967296)
               FROM ledger WHERE booked_at >= ?1 AND booked_at < ?2 GROUP BY 1, 2, 3, 4, 5";
    let found = rows(connection, sql, (micros(from), micros(to), DAY_MICROS), |row| {
        Ok(TotalRow {
            day: row.get(0)?,
            sku: row.get(1)?,
            plan: row.get(2)?,
            book: row.get(3)?,
            kind: row.get(4)?,
            entries: row.get(5)?,
            halves: (row.get(6)?, row.get(7)?),
        })
    })?;
    let mut totals = found.into_iter().map(TotalRow::read).collect::<Result<Vec<_>, _>>()?;
    totals.sort();
    Ok(totals)
}
