//! What was earned and what it cost, and how the plans did.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ledger::margin::{TooLarge, Totals};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::ports::{LedgerTotal, PlanTotal};
use serde::{Deserialize, Serialize};

use crate::app::Shared;
use crate::error::ApiError;
use crate::input::Search;

/// How far back is looked unless asked otherwise.
const USUAL_SPAN: TimeDelta = TimeDelta::days(30);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/admin/stats", get(stats))
}

#[derive(Deserialize)]
struct Span {
    from: Option<String>,
    to: Option<String>,
}

#[derive(Serialize)]
struct StatsView {
    from: DateTime<Utc>,
    /// Not part of it any more.
    to: DateTime<Utc>,
    /// The selling currency, in which all amounts are.
    currency: Currency,
    totals: Sums,
    days: Vec<Day>,
    skus: Vec<SkuSums>,
    plans: Vec<PlanSums>,
}

#[derive(Serialize)]
struct Sums {
    delivered: u64,
    revenue: Amount,
    cost: Amount,
    loss: Amount,
    margin: Amount,
}

#[derive(Serialize)]
struct Day {
    day: NaiveDate,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Serialize)]
struct SkuSums {
    sku: SkuId,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Serialize)]
struct PlanSums {
    sku: SkuId,
    plan: PlanId,
    attempts: u64,
    numbers: u64,
    out_of_stock: u64,
    with_sms: u64,
    /// The share of numbers that got an SMS, 0 to 1; `null` without numbers.
    success_rate: Option<f64>,
    /// From the intent to the SMS, on average; `null` without an SMS.
    sms_after_seconds: Option<f64>,
    #[serde(flatten)]
    sums: Sums,
}

/// `GET /admin/stats`: money counts on the day it was booked, attempts on the day they began.
async fn stats(
    State(shared): State<Shared>,
    Search(span): Search<Span>,
) -> Result<Json<StatsView>, ApiError> {
    let (from, to) = read_span(&span, shared.clock.now())?;
    let booked = shared.support.ledger_totals(from, to).await?;
    let plans = shared.support.plan_totals(from, to).await?;
    let mut totals = Totals::default();
    for row in &booked {
        totals.add(row.book, row.kind, row.entries, row.value)?;
    }
    let days = summed(&booked, |row| Some(row.day))?;
    let skus = summed(&booked, |row| Some(row.sku.clone()))?;
    let days = days.into_iter().map(|(day, totals)| Ok(Day { day, sums: totals.try_into()? }));
    let skus = skus.into_iter().map(|(sku, totals)| Ok(SkuSums { sku, sums: totals.try_into()? }));
    Ok(Json(StatsView {
        from,
        to,
        currency: shared.support.rules().rates.selling,
        totals: totals.try_into()?,
        days: days.collect::<Result<_, TooLarge>>()?,
        skus: skus.collect::<Result<_, TooLarge>>()?,
        plans: by_plan(plans, &booked)?,
    }))
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

fn by_plan(plans: Vec<PlanTotal>, booked: &[LedgerTotal]) -> Result<Vec<PlanSums>, TooLarge> {
    let mut sums = summed(booked, |row| Some((row.sku.clone(), row.plan.clone()?)))?;
    let mut tried: BTreeMap<_, _> =
        plans.into_iter().map(|total| ((total.sku.clone(), total.plan.clone()), total)).collect();
    for key in tried.keys() {
        sums.entry(key.clone()).or_default();
    }
    let rows = sums.into_iter().map(|(key, totals)| {
        let tried = tried.remove(&key);
        PlanSums::new(key, tried.as_ref(), totals)
    });
    rows.collect()
}

impl PlanSums {
    fn new(
        (sku, plan): (SkuId, PlanId),
        tried: Option<&PlanTotal>,
        totals: Totals,
    ) -> Result<Self, TooLarge> {
        let count = |of: fn(&PlanTotal) -> u64| tried.map_or(0, of);
        let (numbers, with_sms) = (count(|total| total.numbers), count(|total| total.with_sms));
        let sms_after_ms = tried.and_then(|total| total.sms_after_ms);
        Ok(Self {
            sku,
            plan,
            attempts: count(|total| total.attempts),
            numbers,
            out_of_stock: count(|total| total.out_of_stock),
            with_sms,
            success_rate: (numbers > 0).then(|| quotient(with_sms, numbers)),
            sms_after_seconds: sms_after_ms.map(|millis| quotient(millis, 1000)),
            sums: totals.try_into()?,
        })
    }
}

/// `one` by `other`, to four digits after the point.
#[expect(clippy::cast_precision_loss, reason = "a report shows four digits")]
fn quotient(one: u64, other: u64) -> f64 {
    (one as f64 / other as f64 * 10_000.0).round() / 10_000.0
}

impl TryFrom<Totals> for Sums {
    type Error = TooLarge;

    fn try_from(totals: Totals) -> Result<Self, TooLarge> {
        let Totals { delivered, revenue, cost, loss } = totals;
        Ok(Self { delivered, revenue, cost, loss, margin: totals.margin().ok_or(TooLarge)? })
    }
}

fn read_span(span: &Span, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), ApiError> {
    let to = span.to.as_deref().map(|text| moment("to", text)).transpose()?;
    let to = to.map_or(Some(now), Moment::end).ok_or_else(|| ApiError::field("to", "is too late"))?;
    let from = span.from.as_deref().map(|text| moment("from", text)).transpose()?;
    let from = from.map_or_else(|| to.checked_sub_signed(USUAL_SPAN), |from| Some(from.begin()));
    match from {
        Some(from) if from < to => Ok((from, to)),
        Some(_) | None => Err(ApiError::field("from", "must be before to")),
    }
}

/// A point in time, or a whole day.
enum Moment {
    At(DateTime<Utc>),
    Day(NaiveDate),
}

impl Moment {
    fn begin(self) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Day(day) => day.and_time(NaiveTime::MIN).and_utc(),
        }
    }

    /// A day that is named as the last one counts as a whole.
    fn end(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at),
            Self::Day(day) => day.checked_add_days(Days::new(1)).map(|next| Self::Day(next).begin()),
        }
    }
}

fn moment(field: &str, text: &str) -> Result<Moment, ApiError> {
    // In a query a plus stands for a space.
    let at = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).map(|at| Moment::At(at.to_utc()));
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(Moment::Day);
    at.or_else(|_| day()).map_err(|_| {
        let message = "must be a day or an RFC 3339 time, such as 2026-11-22 or 2026-11-22T08:00:00Z";
        ApiError::field(field, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: Option<&str>, to: Option<&str>) -> Result<(String, String), String> {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let span = Span { from: from.map(ToOwned::to_owned), to: to.map(ToOwned::to_owned) };
        match read_span(&span, now) {
            Ok((from, to)) => Ok((from.to_rfc3339(), to.to_rfc3339())),
            Err(error) => Err(error.errors[0].field.clone()),
        }
    }

    #[test]
    fn a_span_is_of_days_or_of_times_and_thirty_days_unless_told() {
        for (from, to, expected) in [
            (None, None, Ok(("2026-10-23T10:00:00+00:00", "2026-11-22T10:00:00+00:00"))),
            (
                Some("2026-11-22"),
                Some("2026-11-22"),
                Ok(("2026-11-22T00:00:00+00:00", "2026-11-23T00:00:00+00:00")),
            ),
            (None, Some("2026-11-30"), Ok(("2026-11-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"))),
            (
                Some("2026-11-01T08:00:00 02:00"),
                Some("2026-11-01T07:00:00Z"),
                Ok(("2026-11-01T06:00:00+00:00", "2026-11-01T07:00:00+00:00")),
            ),
            (Some("2026-11-23"), None, Err("from")),
            (Some("2026-11-02T00:00:00Z"), Some("2026-11-01"), Err("from")),
            (Some("yesterday"), None, Err("from")),
            (None, Some("2026-13-01"), Err("to")),
            (None, Some("+262142-12-31"), Err("to")),
        ] {
            let expected = match expected {
                Ok((from, to)) => Ok((from.to_owned(), to.to_owned())),
                Err(field) => Err(field.to_owned()),
            };
            assert_eq!(span(from, to), expected, "{from:?} {to:?}");
        }
    }
}
