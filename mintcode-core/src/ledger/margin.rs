//! What is left of the sales after the costs: by redemption, plan, SKU and day.
//!
//! Everything is counted on the day it was booked, and in the selling currency, each cost at the rate of its own
//! attempt; refunds and recoveries count against the day they came.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::{Book, Booked, Entry, Kind};
use crate::ids::{PlanId, SkuId};
use crate::money::{Amount, Currency};

/// What a line of the daily report is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The SKU.
    pub sku: SkuId,
    /// The plan; `None` for entries of no plan.
    pub plan: Option<PlanId>,
}

/// Sums of entries, in the selling currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Deliveries that were paid for; one that replaces another, or of a free SKU, earns nothing and is not among them.
    pub delivered: u64,
    /// What they earned.
    pub revenue: Amount,
    /// What suppliers charged, less what they gave back; losses are part of it.
    pub cost: Amount,
    /// What of the cost served nobody.
    pub loss: Amount,
}

/// [`Totals`] with what is left of the revenue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// See [`Totals::delivered`].
    pub delivered: u64,
    /// See [`Totals::revenue`].
    pub revenue: Amount,
    /// See [`Totals::cost`].
    pub cost: Amount,
    /// See [`Totals::loss`].
    pub loss: Amount,
    /// Revenue less cost.
    pub margin: Amount,
}

/// What one redemption came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Earned {
    /// What it earned.
    pub revenue: Amount,
    /// What suppliers charged, less what they gave back.
    pub cost: Amount,
    /// What of the cost served nobody.
    pub loss: Amount,
    /// Revenue less cost.
    pub margin: Amount,
    /// The selling currency of its time.
    pub currency: Currency,
}

impl Earned {
    /// What `ledger`, all the entries of one redemption, come to; one without a sale is told of in `selling`, the
    /// selling currency of today.
    pub fn of(ledger: &[Entry], selling: Currency) -> Result<Self, TooLarge> {
        let mut totals = Totals::default();
        for entry in ledger {
            totals.add(entry.book, entry.kind, 1, entry.value)?;
        }
        let Sums { delivered: _, revenue, cost, loss, margin } = totals.sums()?;
        let sale = ledger.iter().find(|entry| entry.book == Book::Sale);
        let currency = sale.map_or(selling, |sale| sale.currency);
        Ok(Self { revenue, cost, loss, margin, currency })
    }
}

impl Totals {
    /// The totals with their margin.
    pub fn sums(self) -> Result<Sums, TooLarge> {
        let Self { delivered, revenue, cost, loss } = self;
        Ok(Sums { delivered, revenue, cost, loss, margin: self.margin().ok_or(TooLarge)? })
    }

    /// Revenue less cost; `None` where that does not fit.
    #[must_use]
    pub fn margin(&self) -> Option<Amount> {
        self.revenue.checked_sub(self.cost)
    }

    /// Adds the sum of `entries` entries of one kind, worth `value` together; what is only on hold adds nothing.
    pub fn add(&mut self, book: Book, kind: Kind, entries: u64, value: Amount) -> Result<(), TooLarge> {
        let fit = |sum: Option<Amount>| sum.ok_or(TooLarge);
        match (book, kind) {
            (Book::Sale, Kind::Capture) => {
                self.delivered = self.delivered.checked_add(entries).ok_or(TooLarge)?;
                self.revenue = fit(self.revenue.checked_add(value))?;
            }
            (Book::Cost, Kind::Charge) => self.cost = fit(self.cost.checked_add(value))?,
            (Book::Cost, Kind::Refund) => self.cost = fit(self.cost.checked_sub(value))?,
            (Book::Cost, Kind::Loss) => self.loss = fit(self.loss.checked_add(value))?,
            (Book::Cost, Kind::Recovery) => self.loss = fit(self.loss.checked_sub(value))?,
            (Book::Cost, Kind::Hold | Kind::Release | Kind::Capture)
            | (
                Book::Sale,
                Kind::Hold | Kind::Release | Kind::Charge | Kind::Refund | Kind::Loss | Kind::Recovery,
            ) => {}
        }
        Ok(())
    }
}

/// Whether entries of that kind are part of the totals: what is only on hold is not.
fn counts(book: Book, kind: Kind) -> bool {
    match book {
        Book::Sale => kind == Kind::Capture,
        Book::Cost => matches!(kind, Kind::Charge | Kind::Refund | Kind::Loss | Kind::Recovery),
    }
}

/// A sum that is larger than any amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sum of the report does not fit")]
pub struct TooLarge;

/// The totals by day, SKU and plan.
pub fn daily<'a>(booked: impl IntoIterator<Item = &'a Booked>) -> Result<BTreeMap<Line, Totals>, TooLarge> {
    by(booked, |booked| Line {
        day: booked.at.date_naive(),
        sku: booked.sku.clone(),
        plan: booked.entry.plan.clone(),
    })
}

/// The totals by whatever `key` tells of an entry, such as its redemption.
pub fn by<'a, K: Ord>(
    booked: impl IntoIterator<Item = &'a Booked>,
    key: impl Fn(&Booked) -> K,
) -> Result<BTreeMap<K, Totals>, TooLarge> {
    let mut totals = BTreeMap::<K, Totals>::new();
    for booked in booked {
        let Entry { book, kind, value, .. } = booked.entry;
        if counts(book, kind) {
            totals.entry(key(booked)).or_default().add(book, kind, 1, value)?;
        }
    }
    Ok(totals)
}
