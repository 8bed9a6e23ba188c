//! What was delivered, what it cost, and how plans did: summed up by day, SKU and plan.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::ids::{PlanId, SkuId};
use crate::ledger::margin::{Sums, TooLarge, Totals};
use crate::money::{Amount, Currency};
use crate::orphan::OrphanLoss;
use crate::ports::{LedgerTotal, Orphans, PlanTotal, Reports, StorageError};

/// The books and the attempts of a span of time. Money counts on the day it was booked, an orphan's loss on the day it was
/// settled, attempts on the day they began.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// From then on.
    pub from: DateTime<Utc>,
    /// Until before then.
    pub to: DateTime<Utc>,
    /// The selling currency, in which all amounts are.
    pub currency: Currency,
    /// Everything together.
    pub totals: SpanSums,
    /// By day in UTC, for days on which something was booked or lost.
    pub days: Vec<DaySums>,
    /// By SKU.
    pub skus: Vec<SkuSums>,
    /// By plan, in the order of SKUs and plans.
    pub plans: Vec<PlanSums>,
}

/// Everything that came in and went out in some time, what belongs to no SKU too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SpanSums {
    /// See [`Totals::delivered`].
    pub delivered: u64,
    /// See [`Totals::revenue`].
    pub revenue: Amount,
    /// See [`Totals::cost`].
    pub cost: Amount,
    /// See [`Totals::loss`].
    pub loss: Amount,
    /// What was charged for orders that no redemption knew of. No part of the cost.
    pub orphan_loss: Amount,
    /// Revenue less cost and less what orphans have cost.
    pub margin: Amount,
}

/// The sums of one day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DaySums {
    /// The day.
    pub day: NaiveDate,
    /// Its sums.
    #[serde(flatten)]
    pub sums: SpanSums,
}

/// The sums of one SKU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SkuSums {
    /// The SKU.
    pub sku: SkuId,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// How a plan did, and what it cost and earned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanSums {
    /// Its SKU.
    pub sku: SkuId,
    /// The plan.
    pub plan: PlanId,
    /// Attempts.
    pub attempts: u64,
    /// Attempts that got a number.
    pub numbers: u64,
    /// Attempts that found nothing in stock.
    pub out_of_stock: u64,
    /// Numbers that got an SMS.
    pub with_sms: u64,
    /// The share of numbers that got an SMS, 0 to 1, to four digits; `None` without numbers.
    pub success_rate: Option<f64>,
    /// From the intent to the SMS, on average; `None` without an SMS.
    pub sms_after_seconds: Option<f64>,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A sum is larger than any amount.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Storage failed; the same call may succeed later.
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

impl Report {
    /// Sums up what `reports` and `orphans` have from `from` until before `to`, in the selling `currency`.
    pub async fn read(
        reports: &dyn Reports,
        orphans: &dyn Orphans,
        currency: Currency,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Self, ReportError> {
        let booked = reports.ledger_totals(from, to).await?;
        let plans = reports.plan_totals(from, to).await?;
        let losses = orphans.orphan_losses(from, to).await?;
        let totals = summed(&booked, |_| Some(()))?.remove(&()).unwrap_or_default();
        let skus = summed(&booked, |row| Some(row.sku.clone()))?.into_iter();
        Ok(Self {
            from,
            to,
            currency,
            totals: SpanSums::of(totals, &losses)?,
            days: by_day(&booked, losses)?,
            skus: skus
                .map(|(sku, totals)| Ok(SkuSums { sku, sums: totals.sums()? }))
                .collect::<Result<_, TooLarge>>()?,
            plans: by_plan(plans, &booked)?,
        })
    }
}

impl SpanSums {
    fn of(totals: Totals, losses: &[OrphanLoss]) -> Result<Self, TooLarge> {
        let Sums { delivered, revenue, cost, loss, margin } = totals.sums()?;
        let orphan_loss = Amount::checked_sum(losses.iter().map(|loss| loss.value)).ok_or(TooLarge)?;
        let margin = margin.checked_sub(orphan_loss).ok_or(TooLarge)?;
        Ok(Self { delivered, revenue, cost, loss, orphan_loss, margin })
    }
}

/// Days on which something was booked and days on which an orphan was lost: one may be without the other.
fn by_day(booked: &[LedgerTotal], losses: Vec<OrphanLoss>) -> Result<Vec<DaySums>, TooLarge> {
    let mut days = BTreeMap::<NaiveDate, (Totals, Vec<OrphanLoss>)>::new();
    for (day, totals) in summed(booked, |row| Some(row.day))? {
        days.entry(day).or_default().0 = totals;
    }
    for loss in losses {
        days.entry(loss.at.date_naive()).or_default().1.push(loss);
    }
    let rows = days.into_iter();
    rows.map(|(day, (totals, losses))| Ok(DaySums { day, sums: SpanSums::of(totals, &losses)? })).collect()
}

/// `booked` by the key of each row; rows without one are left out.
fn summed<K: Ord>(
    booked: &[LedgerTotal],
    key: impl Fn(&LedgerTotal) -> Option<K>,
) -> Result<BTreeMap<K, Totals>, TooLarge> {
    let mut sums = BTreeMap::<K, Totals>::new();
    for row in booked {
        if let Some(key) = key(row) {
            sums.entry(key).or_default().add(row.book, row.kind, row.entries, row.value)?;
        }
    }
    Ok(sums)
}

/// Plans that were tried and plans that cost or earned something: one may be without the other in a span.
fn by_plan(plans: Vec<PlanTotal>, booked: &[LedgerTotal]) -> Result<Vec<PlanSums>, TooLarge> {
    let mut sums = summed(booked, |row| Some((row.sku.clone(), row.plan.clone()?)))?;
    let mut tried: BTreeMap<_, _> =
        plans.into_iter().map(|total| ((total.sku.clone(), total.plan.clone()), total)).collect();
    for key in tried.keys() {
        sums.entry(key.clone()).or_default();
    }
    let rows = sums.into_iter().map(|((sku, plan), totals)| {
        let tried = tried.remove(&(sku.clone(), plan.clone()));
        let count = |of: fn(&PlanTotal) -> u64| tried.as_ref().map_or(0, of);
        let (numbers, with_sms) = (count(|total| total.numbers), count(|total| total.with_sms));
        Ok(PlanSums {
            attempts: count(|total| total.attempts),
            numbers,
            out_of_stock: count(|total| total.out_of_stock),
            with_sms,
            success_rate: (numbers > 0).then(|| quotient(with_sms, numbers)),
            sms_after_seconds: tried
                .as_ref()
                .and_then(|total| total.sms_after_ms)
                .map(|ms| quotient(ms, 1000)),
            sums: totals.sums()?,
            sku,
            plan,
        })
    });
    rows.collect()
}

/// `one` by `other`, to four digits after the point.
#[expect(clippy::cast_precision_loss, reason = "a report shows four digits")]
fn quotient(one: u64, other: u64) -> f64 {
    (one as f64 / other as f64 * 10_000.0).round() / 10_000.0
}
