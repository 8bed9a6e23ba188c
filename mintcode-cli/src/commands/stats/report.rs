//! The books and the attempts of a span of time, summed up by day, SKU and plan.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ledger::margin::{TooLarge, Totals};
use mintcode_core::money::Currency;
use mintcode_core::ports::{LedgerTotal, PlanTotal};
use serde_json::{Map, Value, json};

use crate::exit::Failure;
use crate::money;

/// Everything that `mintcode stats` shows.
pub(super) struct Report {
    pub(super) totals: Totals,
    pub(super) days: BTreeMap<NaiveDate, Totals>,
    pub(super) skus: BTreeMap<SkuId, Totals>,
    /// In the order of SKUs and plans.
    pub(super) plans: Vec<PlanLine>,
}

/// How a plan did, and what it cost and earned.
pub(super) struct PlanLine {
    pub(super) sku: SkuId,
    pub(super) plan: PlanId,
    pub(super) attempts: u64,
    pub(super) numbers: u64,
    pub(super) out_of_stock: u64,
    pub(super) with_sms: u64,
    pub(super) sms_after_ms: Option<u64>,
    pub(super) totals: Totals,
}

impl PlanLine {
    /// A plan of which nothing is known yet.
    fn new(sku: SkuId, plan: PlanId) -> Self {
        let (attempts, numbers, out_of_stock, with_sms) = (0, 0, 0, 0);
        let totals = Totals::default();
        Self { sku, plan, attempts, numbers, out_of_stock, with_sms, sms_after_ms: None, totals }
    }

    /// The share of its numbers that got an SMS, in hundredths, rounded down; `None` where it had no number.
    pub(super) fn success_hundredths(&self) -> Option<u64> {
        (self.with_sms * 100).checked_div(self.numbers)
    }
}

impl Report {
    pub(super) fn new(booked: &[LedgerTotal], plans: Vec<PlanTotal>) -> Result<Self, TooLarge> {
        let mut totals = Totals::default();
        let mut days = BTreeMap::<_, Totals>::new();
        let mut skus = BTreeMap::<_, Totals>::new();
        let mut lines = BTreeMap::new();
        for PlanTotal { sku, plan, attempts, numbers, out_of_stock, with_sms, sms_after_ms } in plans {
            let line = PlanLine {
                attempts,
                numbers,
                out_of_stock,
                with_sms,
                sms_after_ms,
                ..PlanLine::new(sku.clone(), plan.clone())
            };
            lines.insert((sku, plan), line);
        }
        for LedgerTotal { day, sku, plan, book, kind, entries, value } in booked {
            let mut sums =
                vec![&mut totals, days.entry(*day).or_default(), skus.entry(sku.clone()).or_default()];
            if let Some(plan) = plan {
                let fresh = || PlanLine::new(sku.clone(), plan.clone());
                sums.push(&mut lines.entry((sku.clone(), plan.clone())).or_insert_with(fresh).totals);
            }
            for sum in sums {
                sum.add(*book, *kind, *entries, *value)?;
            }
        }
        Ok(Self { totals, days, skus, plans: lines.into_values().collect() })
    }

    /// The report as JSON.
    pub(super) fn shown(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        currency: Currency,
    ) -> Result<Value, Failure> {
        let days = self.days.iter().map(|(day, totals)| with("day", json!(day), totals));
        let skus = self.skus.iter().map(|(sku, totals)| with("sku", json!(sku), totals));
        let plans = self.plans.iter().map(|line| {
            let mut shown = with("sku", json!(line.sku), &line.totals)?;
            let rest = json!({
                "plan": line.plan,
                "attempts": line.attempts,
                "numbers": line.numbers,
                "out_of_stock": line.out_of_stock,
                "with_sms": line.with_sms,
                "success_rate": (line.numbers > 0).then(|| quotient(line.with_sms, line.numbers)),
                "sms_after_seconds": line.sms_after_ms.map(|millis| quotient(millis, 1_000)),
            });
            if let Value::Object(rest) = rest {
                shown.extend(rest);
            }
            Ok(shown)
        });
        Ok(json!({
            "from": from,
            "to": to,
            "currency": currency,
            "totals": members(&self.totals)?,
            "days": days.collect::<Result<Vec<_>, Failure>>()?,
            "skus": skus.collect::<Result<Vec<_>, Failure>>()?,
            "plans": plans.collect::<Result<Vec<_>, Failure>>()?,
        }))
    }
}

fn members(totals: &Totals) -> Result<Map<String, Value>, Failure> {
    let mut members = money::members(totals)?;
    members.insert("delivered".to_owned(), json!(totals.delivered));
    Ok(members)
}

fn with(name: &str, value: Value, totals: &Totals) -> Result<Map<String, Value>, Failure> {
    let mut members = members(totals)?;
    members.insert(name.to_owned(), value);
    Ok(members)
}

/// `one` by `other`, to four digits after the point.
#[expect(clippy::cast_precision_loss, reason = "a report shows four digits")]
fn quotient(one: u64, other: u64) -> f64 {
    (one as f64 / other as f64 * 10_000.0).round() / 10_000.0
}
