//! Gives back the orders that nobody knows of: claimed first, then settled.
//!
//! Only on an account that is ours alone and that lists its orders, by one worker for all, and never first thing after a
//! start: what an earlier process was doing has to be settled before anything counts as forgotten.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::driver::Driver;
use super::journal::persist;
use super::pulse::Pulse;
use super::supplier_desk::{Chain, OrderCall, SupplierDesk};
use crate::budget::Class;
use crate::ids::SupplierName;
use crate::order::{ListedOrder, OrderId, OrderStatus};
use crate::orphan::{Orphan, OrphanEffect};
use crate::ports::{Clock, StorageError};
use crate::redemption::{Call, CallFailure};

/// How far back the list is read. The supplier ends every order long before it is that old.
const LOOKS_BACK: Duration = Duration::from_hours(1);
/// Pages of it at most.
const MOST_PAGES: usize = 50;
/// Orphans that are settled in one round.
const AT_ONCE: u32 = 100;

pub(super) struct Sweeper {
    pub(super) name: SupplierName,
    pub(super) desk: Arc<SupplierDesk>,
    pub(super) driver: Arc<Driver>,
    pub(super) pulse: Arc<Pulse>,
}

impl Sweeper {
    /// Sweeps for as long as the worker lives.
    pub(super) async fn run(self: Arc<Self>) {
        if !self.desk.can_find_orders() {
            return std::future::pending().await;
        }
        let timing = &self.driver.timing;
        let installed_at = persist("reading since when an account is worked with", || {
            self.driver.orphans.installed_at(&self.name, self.driver.clock.now())
        });
        let installed_at = match installed_at.await {
            Ok(installed_at) => installed_at,
            Err(error) => {
                tracing::error!(supplier = %self.name, error = %Chain(&error), "forgotten orders cannot be looked for");
                return std::future::pending().await;
            }
        };
        tokio::time::sleep(timing.orphan_age).await;
        let mut every = tokio::time::interval(timing.sweep_interval);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let term = timing.sweep_interval * 2;
            if self.driver.has_chore(&format!("sweep {}", self.name), term, &self.pulse).await
                && let Err(error) = self.sweep(installed_at).await
            {
                tracing::warn!(supplier = %self.name, error = %Chain(&error), "forgotten orders could not be stored");
            }
        }
    }

    async fn sweep(&self, installed_at: DateTime<Utc>) -> Result<(), StorageError> {
        let found = self.forgotten(installed_at).await;
        if !found.is_empty() {
            let claimed = self.driver.orphans.claim_orphans(found, self.driver.clock.now()).await?;
            for orphan in &claimed {
                tracing::error!(supplier = %self.name, order = %orphan.order.id, price = %orphan.order.price,
                    "an order was found that no redemption knows of");
            }
            if !claimed.is_empty() {
                self.driver.journal.alerted().notify_one();
            }
        }
        for orphan in self.driver.orphans.open_orphans(&self.name, AT_ONCE).await? {
            // One that cannot be stored keeps no other back.
            if let Err(error) = self.settle(orphan).await {
                tracing::warn!(supplier = %self.name, error = %Chain(&error), "an orphan could not be stored");
            }
        }
        Ok(())
    }

    /// Orders that are old enough to count as forgotten, if nobody has claimed them.
    async fn forgotten(&self, installed_at: DateTime<Utc>) -> Vec<Orphan> {
        let now = self.driver.clock.now();
        let timing = &self.driver.timing;
        let oldest = installed_at.max(now - LOOKS_BACK);
        let newest = now - timing.orphan_age.max(self.desk.minimum_cancel_age());
        let may_cost =
            |listed: &ListedOrder| matches!(listed.sight.status, OrderStatus::Open | OrderStatus::Finished);
        let mut found = std::collections::BTreeMap::<OrderId, Orphan>::new();
        let mut skip = 0;
        for _ in 0..MOST_PAGES {
            let page = match self.desk.page(skip, Class::List).await {
                Ok(page) => page,
                // What was read is true all the same, and the rest is read the next time.
                Err(failure) => {
                    tracing::debug!(supplier = %self.name, ?failure, "the list of orders could not be read");
                    break;
                }
            };
            let is_last = page.is_empty() || page.iter().any(|listed| listed.order.created_at < oldest);
            skip += u64::try_from(page.len()).unwrap_or(u64::MAX);
            for listed in page {
                if (oldest..=newest).contains(&listed.order.created_at) && may_cost(&listed) {
                    let (currency, rate) = (self.desk.currency(), self.desk.rate());
                    let orphan = Orphan::found(&self.name, listed, currency, rate, now);
                    found.insert(orphan.order.id.clone(), orphan);
                }
            }
            if is_last {
                break;
            }
        }
        found.into_values().collect()
    }

    /// Stores what is decided, and then asks the supplier.
    async fn settle(&self, mut orphan: Orphan) -> Result<(), StorageError> {
        let Some((next, mut effect)) = orphan.due(self.driver.clock.now()) else { return Ok(()) };
        orphan = self.store(&orphan, next).await?;
        loop {
            if !self.pulse.is_alive() {
                return Ok(());
            }
            let (call, which) = match effect {
                OrphanEffect::Check => (Call::Check, OrderCall::Check),
                OrphanEffect::Cancel => (Call::Settle, OrderCall::Cancel),
                OrphanEffect::Finish => (Call::Settle, OrderCall::Finish),
            };
            let answer = self.desk.order(&orphan.order.id, which, &self.pulse).await;
            let now = self.driver.clock.now();
            let (next, further) = match answer {
                Ok(sight) => (orphan.seen(&sight, now), None),
                Err(failure) => self.failed(&orphan, call, failure, now),
            };
            if let Some(next) = next {
                orphan = self.store(&orphan, next).await?;
            }
            match further {
                Some(further) => effect = further,
                None => return Ok(()),
            }
        }
    }

    fn failed(
        &self,
        orphan: &Orphan,
        call: Call,
        failure: CallFailure,
        now: DateTime<Utc>,
    ) -> (Option<Orphan>, Option<OrphanEffect>) {
        orphan.failed(call, failure, self.driver.timing.too_early_wait, now)
    }

    async fn store(&self, before: &Orphan, next: Orphan) -> Result<Orphan, StorageError> {
        let alerts = next.alerts(Some(before));
        let may_alert = !alerts.is_empty();
        self.driver.orphans.update_orphan(next.clone(), alerts, self.driver.clock.now()).await?;
        if may_alert {
            self.driver.journal.alerted().notify_one();
        }
        Ok(next)
    }
}
