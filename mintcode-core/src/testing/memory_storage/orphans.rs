//! Orders that no redemption knows of.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Claimant, MemoryStorage, State};
use crate::alert::AlertChange;
use crate::health::Source;
use crate::ids::SupplierName;
use crate::orphan::{Orphan, OrphanLoss};
use crate::ports::{Orphans, StorageError};
use crate::redemption::Redemption;

#[async_trait]
impl Orphans for MemoryStorage {
    async fn installed_at(
        &self,
        supplier: &SupplierName,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, StorageError> {
        self.transaction(|state| Ok(*state.installed.entry(supplier.clone()).or_insert(now)))
    }

    async fn claim_orphans(
        &self,
        found: Vec<Orphan>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Orphan>, StorageError> {
        self.transaction(|state| {
            let unresolved = state.unresolved();
            let mut claimed = Vec::new();
            for orphan in found {
                let supplier = orphan.source.supplier.clone();
                let claims = state.claims.entry(supplier.clone()).or_default();
                if unresolved.contains(&orphan.source) || claims.contains_key(&orphan.order.id) {
                    continue;
                }
                claims.insert(orphan.order.id.clone(), Claimant::Orphan);
                state.alert(orphan.alerts(None), now);
                state.orphans.insert((supplier, orphan.order.id.clone()), orphan.clone());
                claimed.push(orphan);
            }
            Ok(claimed)
        })
    }

    async fn open_orphans(&self, supplier: &SupplierName, limit: u32) -> Result<Vec<Orphan>, StorageError> {
        self.transaction(|state| {
            let all = state.orphans.values().filter(|orphan| orphan.source.supplier == *supplier);
            let mut open: Vec<_> = all.filter(|orphan| !orphan.is_settled()).collect();
            open.sort_by_key(|orphan| (orphan.found_at, &orphan.order.id));
            Ok(open.into_iter().take(limit as usize).cloned().collect())
        })
    }

    async fn update_orphan(
        &self,
        next: Orphan,
        alerts: Vec<AlertChange>,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        self.transaction(|state| {
            let key = (next.source.supplier.clone(), next.order.id.clone());
            let stored = state.orphans.get_mut(&key).filter(|stored| stored.version + 1 == next.version);
            *stored.ok_or(StorageError::Conflict)? = next;
            state.alert(alerts, now);
            Ok(())
        })
    }

    async fn orphan_losses(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OrphanLoss>, StorageError> {
        self.transaction(|state| {
            let losses = state.orphans.values().filter_map(Orphan::loss);
            let mut losses: Vec<_> = losses.filter(|loss| from <= loss.at && loss.at < to).collect();
            // Stable, so that losses of one moment stay in the order of their orders.
            losses.sort_by(|one, other| {
                (&one.source.supplier, one.at).cmp(&(&other.source.supplier, other.at))
            });
            Ok(losses)
        })
    }
}

impl State {
    /// Where purchases were made whose outcome nobody knows yet.
    fn unresolved(&self) -> BTreeSet<Source> {
        let awake = self.awake.values().flatten().filter_map(|id| self.redemptions.get(id));
        let rows = awake.flat_map(Redemption::attempt_rows);
        rows.filter(|row| row.is_unresolved)
            .map(|row| Source::of_wanted(&row.supplier, &row.wanted))
            .collect()
    }
}
