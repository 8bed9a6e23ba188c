//! Redemptions, their claims and their inboxes.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Claimant, MemoryStorage, State};
use crate::health::{Outlook, Source};
use crate::ids::{RedemptionId, SkuId, SupplierName, WorkerId};
use crate::order::OrderId;
use crate::ports::supplier::Wanted;
use crate::ports::{Adopt, Begin, Begun, Claims, Commit, Inbox, InboxItem, Observed, Storage, StorageError};
use crate::redemption::{Phase, Redemption, Snapshot};
use crate::sku::Sku;

#[async_trait]
impl Storage for MemoryStorage {
    async fn begin(&self, begin: Begin) -> Result<Begun, StorageError> {
        self.transaction(|state| state.begin(begin))
    }

    async fn commit(&self, commit: Commit) -> Result<(), StorageError> {
        self.transaction(|state| state.commit(commit))
    }

    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
        self.transaction(|state| Ok(state.redemptions.get(&id).cloned()))
    }

    async fn history(&self, id: RedemptionId, after: u64, limit: u32) -> Result<Vec<Snapshot>, StorageError> {
        self.transaction(|state| {
            let snapshots = state.history.get(&id).into_iter().flatten();
            Ok(snapshots.filter(|snapshot| snapshot.version > after).take(limit as usize).cloned().collect())
        })
    }

    async fn adopt(&self, adopt: Adopt) -> Result<Vec<Redemption>, StorageError> {
        self.transaction(|state| {
            let now = self.own_time().unwrap_or(adopt.now);
            Ok(state.adopt(Adopt { now, ..adopt }))
        })
    }

    async fn outlived(&self, worker: WorkerId, redemptions: &[RedemptionId]) -> Result<(), StorageError> {
        self.transaction(|state| {
            state.outlived(worker, redemptions);
            Ok(())
        })
    }

    async fn resume(&self, id: RedemptionId) -> Result<bool, StorageError> {
        self.transaction(|state| Ok(state.resume(id)))
    }

    async fn adopt_one(
        &self,
        worker: WorkerId,
        id: RedemptionId,
    ) -> Result<Option<Redemption>, StorageError> {
        self.transaction(|state| Ok(state.adopt_one(worker, id)))
    }

    async fn append_inbox(&self, redemption: RedemptionId, item: Inbox) -> Result<(), StorageError> {
        self.transaction(|state| {
            if !state.redemptions.contains_key(&redemption) {
                return Err(StorageError::Conflict);
            }
            state.tell(redemption, item);
            Ok(())
        })
    }

    async fn inbox(&self, redemption: RedemptionId) -> Result<Vec<InboxItem>, StorageError> {
        self.transaction(|state| {
            let items = state.inbox.iter().filter(|(_, (owner, _))| *owner == redemption);
            Ok(items.map(|(id, (_, item))| InboxItem { id: *id, item: item.clone() }).collect())
        })
    }

    async fn inboxes(&self, worker: WorkerId, limit: u32) -> Result<Vec<RedemptionId>, StorageError> {
        self.transaction(|state| {
            let mut oldest = BTreeMap::new();
            for (id, (redemption, _)) in &state.inbox {
                oldest.entry(*redemption).or_insert(*id);
            }
            let is_for =
                |id: &RedemptionId| state.redemptions.get(id).is_some_and(|it| state.may_drive(it, worker));
            let mut redemptions: Vec<_> = oldest.into_iter().filter(|(id, _)| is_for(id)).collect();
            redemptions.sort_by_key(|(_, oldest)| *oldest);
            Ok(redemptions.into_iter().take(limit as usize).map(|(redemption, _)| redemption).collect())
        })
    }

    async fn discard_inbox(
        &self,
        redemption: RedemptionId,
        epoch: u64,
        items: &[i64],
    ) -> Result<(), StorageError> {
        self.transaction(|state| {
            let stored = state.redemptions.get(&redemption);
            if stored.is_none_or(|stored| stored.epoch != epoch) {
                return Err(StorageError::Fenced);
            }
            state.inbox.retain(|id, (of, _)| *of != redemption || !items.contains(id));
            Ok(())
        })
    }

    async fn claims(
        &self,
        supplier: &SupplierName,
        wanted: &Wanted,
        orders: &[OrderId],
        except: RedemptionId,
    ) -> Result<Claims, StorageError> {
        self.transaction(|state| {
            let claimed = state.claims.get(supplier);
            let is_claimed = |order: &&OrderId| claimed.is_some_and(|claimed| claimed.contains_key(*order));
            let others = state.redemptions.values().filter(|redemption| redemption.id != except);
            let windows = others.filter_map(|redemption| match &redemption.phase {
                Phase::Ordering(intent)
                    if intent.supplier == *supplier && same_plan(&intent.wanted, wanted) =>
                {
                    Some(intent.intended_at)
                }
                _ => None,
            });
            Ok(Claims {
                claimed: orders.iter().filter(is_claimed).cloned().collect(),
                other_send_window: windows.min(),
            })
        })
    }

    async fn holders(
        &self,
        supplier: &SupplierName,
        orders: &[OrderId],
    ) -> Result<Vec<(OrderId, RedemptionId)>, StorageError> {
        self.transaction(|state| {
            let Some(claimed) = state.claims.get(supplier) else { return Ok(Vec::new()) };
            let orders: BTreeSet<_> = orders.iter().collect();
            let holder = |order: &OrderId| match claimed.get(order)? {
                Claimant::Attempt(id, _) => state.redemptions.get(id).filter(|it| !it.is_at_rest()),
                Claimant::Orphan => None,
            };
            Ok(orders.into_iter().filter_map(|order| Some((order.clone(), holder(order)?.id))).collect())
        })
    }

    async fn outlook(&self, sku: &SkuId) -> Result<Option<(Sku, Outlook)>, StorageError> {
        self.transaction(|state| {
            let sku = state.skus.get(sku);
            Ok(sku.map(|sku| (sku.clone(), state.outlook(sku))))
        })
    }

    async fn observe(&self, observed: Observed) -> Result<(), StorageError> {
        self.transaction(|state| {
            state.observe(observed);
            Ok(())
        })
    }

    async fn forget_idle(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.transaction(|state| {
            let before = state.begun.len();
            state.begun.retain(|_, counter| !counter.is_idle(now));
            Ok((before - state.begun.len()) as u64)
        })
    }

    async fn purge(
        &self,
        before: DateTime<Utc>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        self.transaction(|state| Ok(state.purge(before, limit, now)))
    }

    async fn newest_order(&self, supplier: &SupplierName) -> Result<Option<OrderId>, StorageError> {
        self.transaction(|state| {
            Ok(state
                .claims
                .get(supplier)
                .and_then(|claimed| claimed.last_key_value())
                .map(|(order, _)| order.clone()))
        })
    }
}

fn same_plan(one: &Wanted, other: &Wanted) -> bool {
    (&one.product, &one.country, &one.operator) == (&other.product, &other.country, &other.operator)
}

impl State {
    /// Puts `item` into the redemption's inbox.
    pub(super) fn tell(&mut self, redemption: RedemptionId, item: Inbox) {
        self.last_inbox_id += 1;
        self.inbox.insert(self.last_inbox_id, (redemption, item));
    }

    /// How the sources and accounts of the SKU's plans do, as far as anything is known of them.
    pub(super) fn outlook(&self, sku: &Sku) -> Outlook {
        let sources = sku.plans.iter().map(|plan| Source::of_plan(plan, &sku.product));
        let known = sources.filter_map(|source| Some((source.clone(), self.sources.get(&source)?.clone())));
        let suppliers = sku.plans.iter().map(|plan| &plan.supplier);
        let seen = suppliers.filter_map(|name| Some((name.clone(), self.accounts.get(name)?.clone())));
        Outlook { sources: known.collect(), accounts: seen.collect() }
    }
}
