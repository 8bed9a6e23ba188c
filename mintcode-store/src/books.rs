//! The books as columns hold them, the same in every database.

use mintcode_core::ids::RedemptionId;
use mintcode_core::ledger::{Book, Booked, Entry, Kind};
use mintcode_core::money::Amount;
use mintcode_core::order::OrderId;
use mintcode_core::ports::reports::{LedgerTotal, PlanTotal};
use mintcode_core::ports::storage::StorageError;

use crate::rows::Row;

pub(crate) const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// The columns of an entry.
pub(crate) struct EntryRow {
    pub(crate) attempt: i64,
    pub(crate) book: String,
    pub(crate) kind: String,
    pub(crate) order: String,
    pub(crate) plan: Option<String>,
    pub(crate) supplier: Option<String>,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) value: i64,
    pub(crate) sku: String,
    pub(crate) booked_at: i64,
}

impl EntryRow {
    pub(crate) fn read(self, redemption: RedemptionId) -> Result<Booked, StorageError> {
        let row = Row::of("ledger", &redemption);
        Ok(Booked {
            redemption,
            sku: row.parse(&self.sku)?,
            at: row.time(self.booked_at)?,
            entry: Entry {
                book: Book::read(&self.book).ok_or_else(|| row.corrupt())?,
                kind: Kind::read(&self.kind).ok_or_else(|| row.corrupt())?,
                attempt: row.int(self.attempt)?,
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

/// The sum of entries of one kind, as a database gives it.
pub(crate) struct TotalRow {
    /// Days since 1970-01-01.
    pub(crate) day: i64,
    pub(crate) sku: String,
    pub(crate) plan: Option<String>,
    pub(crate) book: String,
    pub(crate) kind: String,
    pub(crate) entries: i64,
    /// The values, each cut into whole multiples of 2^32 and the rest, summed apart: where a database's own sum does not
    /// fit, it names no row and looks like one that is away.
    pub(crate) halves: (i64, i64),
}

impl TotalRow {
    pub(crate) fn read(self) -> Result<LedgerTotal, StorageError> {
        let row = Row::of("ledger", &self.sku);
        let value = i128::from(self.halves.0) * 4_294_967_296 + i128::from(self.halves.1);
        Ok(LedgerTotal {
            day: row.time(self.day.saturating_mul(DAY_MICROS))?.date_naive(),
            sku: row.parse(&self.sku)?,
            plan: row.parse_option(self.plan.as_deref())?,
            book: Book::read(&self.book).ok_or_else(|| row.corrupt())?,
            kind: Kind::read(&self.kind).ok_or_else(|| row.corrupt())?,
            entries: row.int(self.entries)?,
            value: Amount::from_micros(i64::try_from(value).map_err(|_| row.corrupt())?),
        })
    }
}

/// How a plan did, as a database counts it.
pub(crate) struct PlanRow {
    pub(crate) sku: String,
    pub(crate) plan: String,
    pub(crate) attempts: i64,
    pub(crate) numbers: i64,
    pub(crate) out_of_stock: i64,
    pub(crate) with_sms: i64,
    /// Milliseconds from intents to their SMS, in all.
    pub(crate) waited_ms: Option<i64>,
}

impl PlanRow {
    pub(crate) fn read(self) -> Result<PlanTotal, StorageError> {
        let row = Row::of("attempt", &format!("{}/{}", self.sku, self.plan));
        let average = |waited| row.int(waited / self.with_sms.max(1));
        Ok(PlanTotal {
            sku: row.parse(&self.sku)?,
            plan: row.parse(&self.plan)?,
            attempts: row.int(self.attempts)?,
            numbers: row.int(self.numbers)?,
            out_of_stock: row.int(self.out_of_stock)?,
            with_sms: row.int(self.with_sms)?,
            sms_after_ms: self.waited_ms.map(average).transpose()?,
        })
    }
}
