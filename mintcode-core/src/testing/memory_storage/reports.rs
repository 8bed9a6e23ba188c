//! What operators ask.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStorage, State, corrupt};
use crate::health::{Account, Health, Source};
use crate::ids::{PlanId, RedemptionId, SkuId, SupplierName};
use crate::ledger::Booked;
use crate::money::Amount;
use crate::ports::{LedgerTotal, PlanTotal, RedemptionSearch, Reports, StorageError};
use crate::redemption::{AttemptRow, Outcome, Redemption};

#[async_trait]
impl Reports for MemoryStorage {
    async fn redemptions(
        &self,
        search: RedemptionSearch,
        limit: u32,
    ) -> Result<Vec<Redemption>, StorageError> {
        self.transaction(|state| Ok(state.search(&search, limit)))
    }

    async fn choices(&self, redemption: RedemptionId) -> Result<Vec<String>, StorageError> {
        self.transaction(|state| Ok(state.choices.get(&redemption).cloned().unwrap_or_default()))
    }

    async fn booked(&self, redemption: RedemptionId) -> Result<Vec<Booked>, StorageError> {
        self.transaction(|state| Ok(state.ledger.get(&redemption).cloned().unwrap_or_default()))
    }

    async fn ledger_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LedgerTotal>, StorageError> {
        self.transaction(|state| state.ledger_totals(from, to))
    }

    async fn plan_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<PlanTotal>, StorageError> {
        self.transaction(|state| Ok(state.plan_totals(from, to)))
    }

    async fn sources(&self) -> Result<Vec<(Source, Health)>, StorageError> {
        self.transaction(|state| {
            Ok(state.sources.iter().map(|(source, health)| (source.clone(), health.clone())).collect())
        })
    }

    async fn accounts(&self) -> Result<Vec<(SupplierName, Account)>, StorageError> {
        self.transaction(|state| {
            Ok(state.accounts.iter().map(|(name, account)| (name.clone(), account.clone())).collect())
        })
    }
}

impl State {
    fn search(&self, search: &RedemptionSearch, limit: u32) -> Vec<Redemption> {
        let age = |redemption: &Redemption| (redemption.created_at, redemption.id);
        let before = search.before.map(|id| self.redemptions.get(&id).map(age));
        let mut found: Vec<_> = self
            .redemptions
            .values()
            .filter(|redemption| search.sku.as_ref().is_none_or(|sku| redemption.sku == *sku))
            .filter(|redemption| search.status.is_none_or(|status| redemption.status() == status))
            .filter(|redemption| before.is_none_or(|before| before.is_some_and(|it| age(redemption) < it)))
            .collect();
        let newest_first = |redemption: &&Redemption| std::cmp::Reverse(age(redemption));
        let limit = limit as usize;
        if found.len() > limit {
            // A page of many is not worth putting all of them in order.
            found.select_nth_unstable_by_key(limit, newest_first);
            found.truncate(limit);
        }
        found.sort_by_key(newest_first);
        found.into_iter().cloned().collect()
    }

    fn ledger_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LedgerTotal>, StorageError> {
        let mut totals = BTreeMap::<_, (u64, Amount)>::new();
        for Booked { sku, at, entry, .. } in
            self.ledger.values().flatten().filter(|it| from <= it.at && it.at < to)
        {
            let key = (at.date_naive(), sku.clone(), entry.plan.clone(), entry.book, entry.kind);
            let (entries, value) = totals.entry(key).or_default();
            *entries += 1;
            *value = value.checked_add(entry.value).ok_or_else(|| corrupt("ledger", sku))?;
        }
        let total = |((day, sku, plan, book, kind), (entries, value))| LedgerTotal {
            day,
            sku,
            plan,
            book,
            kind,
            entries,
            value,
        };
        Ok(totals.into_iter().map(total).collect())
    }

    fn plan_totals(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<PlanTotal> {
        let mut attempts = BTreeMap::<(SkuId, PlanId), Vec<AttemptRow>>::new();
        for redemption in self.redemptions.values() {
            let rows = redemption.attempt_rows().into_iter();
            for row in rows.filter(|row| from <= row.started_at && row.started_at < to) {
                attempts.entry((redemption.sku.clone(), row.plan.clone())).or_default().push(row);
            }
        }
        attempts.into_iter().map(|((sku, plan), rows)| total(sku, plan, &rows)).collect()
    }
}

fn total(sku: SkuId, plan: PlanId, rows: &[AttemptRow]) -> PlanTotal {
    let count = |holds: fn(&AttemptRow) -> bool| rows.iter().filter(|row| holds(row)).count() as u64;
    let with_sms = count(|row| row.sms_at.is_some());
    let waits = rows.iter().filter_map(|row| Some((row.sms_at? - row.started_at).num_milliseconds()));
    let waited = waits.filter_map(|wait| u64::try_from(wait).ok()).sum::<u64>();
    PlanTotal {
        sku,
        plan,
        attempts: rows.len() as u64,
        numbers: count(|row| row.order.is_some()),
        out_of_stock: count(|row| row.outcome == Some(Outcome::OutOfStock)),
        with_sms,
        sms_after_ms: waited.checked_div(with_sms),
    }
}
