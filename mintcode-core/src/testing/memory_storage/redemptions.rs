//! Redemptions, their claims and their inboxes.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStorage, State, corrupt};
use crate::ids::{RedemptionId, SupplierName, WorkerId};
use crate::order::OrderId;
use crate::ports::supplier::Wanted;
use crate::ports::{Begin, BeginBy, Begun, Claims, Commit, Inbox, InboxItem, Storage, StorageError};
use crate::redemption::{Phase, Redemption, Snapshot};
use crate::voucher::{Admission, Refusal, Request, Voucher, VoucherHash, admit};

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

    async fn adopt(&self, worker: WorkerId, limit: u32) -> Result<Vec<Redemption>, StorageError> {
        self.transaction(|state| {
            let is_due =
                |redemption: &&mut Redemption| !redemption.is_at_rest() && redemption.owner != Some(worker);
            let mut due: Vec<_> = state.redemptions.values_mut().filter(is_due).collect();
            due.sort_by_key(|redemption| (redemption.created_at, redemption.id));
            Ok(due.into_iter().take(limit as usize).map(|redemption| take_over(redemption, worker)).collect())
        })
    }

    async fn adopt_one(
        &self,
        worker: WorkerId,
        id: RedemptionId,
    ) -> Result<Option<Redemption>, StorageError> {
        self.transaction(|state| {
            Ok(state.redemptions.get_mut(&id).map(|redemption| {
                if redemption.owner == Some(worker) {
                    redemption.clone()
                } else {
                    take_over(redemption, worker)
                }
            }))
        })
    }

    async fn append_inbox(&self, redemption: RedemptionId, item: Inbox) -> Result<(), StorageError> {
        self.transaction(|state| {
            if !state.redemptions.contains_key(&redemption) {
                return Err(StorageError::Conflict);
            }
            state.last_inbox_id += 1;
            state.inbox.insert(state.last_inbox_id, (redemption, item));
            Ok(())
        })
    }

    async fn inbox(&self, redemption: RedemptionId) -> Result<Vec<InboxItem>, StorageError> {
        self.transaction(|state| {
            let items = state.inbox.iter().filter(|(_, (owner, _))| *owner == redemption);
            Ok(items.map(|(id, (_, item))| InboxItem { id: *id, item: item.clone() }).collect())
        })
    }

    async fn inboxes(&self, limit: u32) -> Result<Vec<RedemptionId>, StorageError> {
        self.transaction(|state| {
            let mut oldest = BTreeMap::new();
            for (id, (redemption, _)) in &state.inbox {
                oldest.entry(*redemption).or_insert(*id);
            }
            let mut redemptions: Vec<_> = oldest.into_iter().collect();
            redemptions.sort_by_key(|(_, oldest)| *oldest);
            Ok(redemptions.into_iter().take(limit as usize).map(|(redemption, _)| redemption).collect())
        })
    }

    async fn discard_inbox(&self, items: &[i64]) -> Result<(), StorageError> {
        self.transaction(|state| {
            state.inbox.retain(|id, _| !items.contains(id));
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

fn take_over(redemption: &mut Redemption, worker: WorkerId) -> Redemption {
    redemption.owner = Some(worker);
    redemption.epoch += 1;
    redemption.clone()
}

impl State {
    fn begin(&mut self, begin: Begin) -> Result<Begun, StorageError> {
        let Begin { by, holder, id, owner, now } = begin;
        let again = match &by {
            BeginBy::Again(id) => Some(*id),
            BeginBy::Code(_) => None,
        };
        let hash = match by {
            BeginBy::Code(hashes) => hashes.into_iter().find(|hash| self.vouchers.contains_key(hash)),
            BeginBy::Again(id) => match self.redemptions.get(&id) {
                Some(redemption) => Some(redemption.voucher),
                None => return Ok(Begun::Refused(Refusal::NoRedemption)),
            },
        };
        let key = holder.idempotency.clone();
        let first_voucher = key.as_ref().and_then(|key| self.idempotency.get(key)).copied();
        if first_voucher.is_some() && first_voucher != hash {
            return Ok(Begun::Refused(Refusal::IdempotencyMismatch));
        }
        let Some(voucher) = hash.and_then(|hash| self.vouchers.get(&hash)).cloned() else {
            return Ok(Begun::Refused(Refusal::Unknown));
        };

        let hash = voucher.hash;
        let sku = self.skus.get(&voucher.sku).ok_or_else(|| corrupt("voucher", &hash))?;
        let last = voucher.redemption.and_then(|last| self.redemptions.get(&last));
        match admit(voucher, sku, last, Request { holder, id, again }, now) {
            Admission::Begin { voucher, redemption, follows } => {
                if self.redemptions.contains_key(&id) {
                    return Err(StorageError::Conflict);
                }
                if last.is_some_and(|last| !last.is_final()) {
                    return Err(corrupt("redemption", &id));
                }
                if let Some(followed) = follows.and_then(|followed| self.redemptions.get_mut(&followed)) {
                    followed.next = Some(id);
                }
                if let Some(key) = key {
                    self.idempotency.entry(key).or_insert(hash);
                }
                let redemption = Redemption { owner, ..*redemption };
                self.history.insert(id, vec![redemption.snapshot()]);
                self.redemptions.insert(id, redemption.clone());
                self.vouchers.insert(hash, *voucher);
                Ok(Begun::New(Box::new(redemption)))
            }
            Admission::Same => {
                let last = last.ok_or_else(|| corrupt("voucher", &hash))?;
                Ok(Begun::Same(Box::new(last.clone())))
            }
            Admission::Expired(voucher) => {
                self.vouchers.insert(hash, *voucher);
                Ok(Begun::Refused(Refusal::Expired))
            }
            Admission::Refused(refusal) => Ok(Begun::Refused(refusal)),
        }
    }

    fn commit(&mut self, commit: Commit) -> Result<(), StorageError> {
        let id = commit.next.id;
        let stored = self.redemptions.get(&id).ok_or(StorageError::Conflict)?;
        if stored.epoch != commit.next.epoch {
            return Err(StorageError::Fenced);
        }
        if commit.next.version != stored.version + 1 {
            return Err(StorageError::Conflict);
        }
        let (owner, next, hash) = (stored.owner, stored.next, stored.voucher);
        let claims = self.new_claims(&commit.next)?;
        let is_other_live = |other: &Redemption| other.voucher == hash && other.id != id && !other.is_final();
        let revives = stored.is_final() && !commit.next.is_final();
        if revives && self.redemptions.values().any(is_other_live) {
            return Err(corrupt("redemption", &id));
        }
        let voucher =
            if commit.needs_voucher() { Some(commit.move_voucher(self.voucher(hash)?)?) } else { None };

        for (supplier, order, attempt) in claims {
            self.claims.entry(supplier).or_default().insert(order, (id, attempt));
        }
        if let Some(voucher) = voucher {
            self.vouchers.insert(hash, voucher);
        }
        for item in commit.consumed {
            if self.inbox.get(&item).is_some_and(|(redemption, _)| *redemption == id) {
                self.inbox.remove(&item);
            }
        }
        let redemption = Redemption { owner, next, ..commit.next };
        self.history.entry(id).or_default().push(redemption.snapshot());
        self.redemptions.insert(id, redemption);
        Ok(())
    }

    fn voucher(&self, hash: VoucherHash) -> Result<Voucher, StorageError> {
        self.vouchers.get(&hash).cloned().ok_or_else(|| corrupt("voucher", &hash))
    }

    /// The claims that the attempts of `next` make and that are not stored yet.
    fn new_claims(&self, next: &Redemption) -> Result<Vec<(SupplierName, OrderId, u32)>, StorageError> {
        let mut new: Vec<(SupplierName, OrderId, u32)> = Vec::new();
        for row in next.attempt_rows() {
            let Some(order) = row.order else { continue };
            let stored = self.claims.get(&row.supplier).and_then(|claimed| claimed.get(&order)).copied();
            let made_now =
                new.iter().find(|(supplier, claimed, _)| (supplier, claimed) == (&row.supplier, &order));
            match stored.or(made_now.map(|(_, _, attempt)| (next.id, *attempt))) {
                None => new.push((row.supplier, order, row.number)),
                Some(claim) if claim == (next.id, row.number) => {}
                Some(_) => return Err(StorageError::Claimed),
            }
        }
        Ok(new)
    }
}
