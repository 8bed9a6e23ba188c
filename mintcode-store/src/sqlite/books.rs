//! The ledger: what is booked is never changed.

use chrono::{DateTime, Utc};
use mintcode_core::ids::{PlanId, RedemptionId, SupplierName};
use mintcode_core::ledger::{Book, Booked, Entry, Kind};
use mintcode_core::money::Amount;
use mintcode_core::order::OrderId;
use mintcode_core::ports::reports::LedgerTotal;
use mintcode_core::ports::storage::StorageError;
use mintcode_core::redemption::Redemption;
use rusqlite::Connection;

use super::redemptions::{execute, rows};
use crate::rows::{Row, count, micros};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

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
    let sql = "SELECT attempt, book, kind, order_id, plan, supplier, amount, currency, value, sku, booked_at FROM ledger
               WHERE redemption = ?1 ORDER BY version, line";
    let read = |row: &rusqlite::Row<'_>| {
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
    };
    rows(connection, sql, [id.to_string()], read)?.into_iter().map(|row| row.read(id)).collect()
}

struct EntryRow {
    attempt: u32,
    book: String,
    kind: String,
    order: String,
    plan: Option<String>,
    supplier: Option<String>,
    amount: i64,
    currency: String,
    value: i64,
    sku: String,
    booked_at: i64,
}

impl EntryRow {
    fn read(self, redemption: RedemptionId) -> Result<Booked, StorageError> {
        let row = Row::of("ledger", &redemption);
        Ok(Booked {
            redemption,
            sku: row.parse(&self.sku)?,
            at: row.time(self.booked_at)?,
            entry: Entry {
                book: Book::read(&self.book).ok_or_else(|| row.corrupt())?,
                kind: Kind::read(&self.kind).ok_or_else(|| row.corrupt())?,
                attempt: self.attempt,
                supplier: row.parse_option(self.supplier.as_deref())?,
                order: Some(self.order).filter(|order| !order.is_empty()).map(OrderId::new),
                plan: row.parse_option(self.plan.as_deref())?,
                amount: Amount::from_micros(self.amount),
                currency: row.parse(&self.currency)?,
                value: Amount::from_micros(self.value),
            },
        })
    }
}

/// The totals of what was booked from `from` until before `to`.
pub(super) fn totals(
    connection: &Connection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<LedgerTotal>, StorageError> {
    // Summed in two halves: where SQLite's own sum does not fit, it names no row and looks like a database that is away.
    let sql = "SELECT booked_at / ?3, sku, plan, book, kind, count(*), sum(value / 4294967296), sum(value % 4294967296)
               FROM ledger WHERE booked_at >= ?1 AND booked_at < ?2 GROUP BY 1, 2, 3, 4, 5";
    let found = rows(connection, sql, (micros(from), micros(to), DAY_MICROS), |row| {
        let half = |index| row.get::<_, i64>(index).map(i128::from);
        let value = half(6)? * 4_294_967_296 + half(7)?;
        let names: (String, Option<String>, String, String) =
            (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok((row.get::<_, i64>(0)?, names, row.get::<_, i64>(5)?, value))
    })?;
    let mut totals = found
        .into_iter()
        .map(|(day, (sku, plan, book, kind), entries, value)| {
            let row = Row::of("ledger", &sku);
            Ok(LedgerTotal {
                day: row.time(day.saturating_mul(DAY_MICROS))?.date_naive(),
                sku: row.parse(&sku)?,
                plan: row.parse_option(plan.as_deref())?,
                book: Book::read(&book).ok_or_else(|| row.corrupt())?,
                kind: Kind::read(&kind).ok_or_else(|| row.corrupt())?,
                entries: u64::try_from(entries).map_err(|_| row.corrupt())?,
                value: Amount::from_micros(i64::try_from(value).map_err(|_| row.corrupt())?),
            })
        })
        .collect::<Result<Vec<_>, StorageError>>()?;
    totals.sort();
    Ok(totals)
}
