//! Ports that fail once, at a call of your choice, before their work or after it.

mod orphans;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::health::{Account, Health, Outlook, Source};
use crate::ids::{BatchId, PlanId, RedemptionId, SkuId, SupplierName, WorkerId};
use crate::ledger::Booked;
use crate::money::{Amount, Currency};
use crate::order::{ListedOrder, Order, OrderId, Sight};
use crate::ports::{
    Adopt, AlertRow, Alerts, BatchSummary, Begin, Begun, BuyError, BuyPermit, CallError, Capabilities,
    Catalogue, ChangeError, Claims, Commit, Inbox, InboxItem, Inserted, LedgerTotal, NewBatch, NewVouchers,
    Observed, PlanChange, PlanTotal, Profile, Put, RedemptionSearch, Reports, SecretUse, SkuError, Storage,
    StorageError, Supplier, VoucherTrail, Vouchers, Wanted,
};
use crate::redemption::{Redemption, Snapshot};
use crate::sku::Sku;
use crate::voucher::{Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash};

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Before its work: nothing happened.
    BeforeWork,
    /// After its work: it happened, and the answer is lost.
    AfterWork,
    /// It never begins and never ends: a process that dies now has done nothing.
    HangBeforeWork,
    /// It happens and never ends: a process that dies now does not know.
    HangAfterWork,
}

/// Counts calls over all ports that share it, and fails one of them.
#[derive(Debug, Default)]
pub struct Faults {
    calls: AtomicU64,
    nth: u64,
    when: Option<Fault>,
    is_slow: bool,
    is_away: AtomicBool,
}

impl Faults {
    /// No fault; calls are counted.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// The `nth` call fails, counted from 1.
    #[must_use]
    pub fn at(nth: u64, when: Fault) -> Arc<Self> {
        Arc::new(Self { nth, when: Some(when), ..Self::default() })
    }

    /// No fault, but no call is done at once: others get their turn before its work and after it.
    #[must_use]
    pub fn slow() -> Arc<Self> {
        Arc::new(Self { is_slow: true, ..Self::default() })
    }

    /// From now on every call fails before its work, or none does any more.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Whether the call that fails has had its turn.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.when.is_some() && self.calls() >= self.nth
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn around<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        before: impl FnOnce() -> E,
        after: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_away.load(Ordering::Relaxed) {
            return Err(before());
        }
        match self.when.filter(|_| call == self.nth) {
            None if self.is_slow => {
                tokio::task::yield_now().await;
                let answer = work.await;
                tokio::task::yield_now().await;
                answer
            }
            None => work.await,
            Some(Fault::BeforeWork) => Err(before()),
            Some(Fault::AfterWork) => {
                drop(work.await);
                Err(after())
            }
            Some(Fault::HangBeforeWork) => std::future::pending().await,
            Some(Fault::HangAfterWork) => {
                drop(work.await);
                std::future::pending().await
            }
        }
    }
}

/// A storage or a supplier whose calls are counted and fail as [`Faults`] say.
pub struct Faulty<P> {
    port: Arc<P>,
    faults: Arc<Faults>,
}

impl<P> Faulty<P> {
    /// Wraps `port`.
    pub fn new(port: Arc<P>, faults: Arc<Faults>) -> Self {
        Self { port, faults }
    }

    async fn read<T>(&self, work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
        self.faults.around(work, unavailable, unavailable).await
    }

    async fn write<T>(&self, work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
        self.faults.around(work, unavailable, lost).await
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let unclear = || CallError::Unclear("the answer was lost".into());
        self.faults.around(work, unclear, unclear).await
    }
}

fn unavailable() -> StorageError {
    StorageError::Unavailable("the storage is away".into())
}

fn lost() -> StorageError {
    StorageError::Unknown("the answer was lost".into())
}

#[async_trait]
impl<P: Storage> Storage for Faulty<P> {
    async fn begin(&self, begin: Begin) -> Result<Begun, StorageError> {
        self.write(self.port.begin(begin)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StorageError> {
        self.write(self.port.commit(commit)).await
    }

    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
        self.read(self.port.redemption(id)).await
    }

    async fn history(&self, id: RedemptionId, after: u64, limit: u32) -> Result<Vec<Snapshot>, StorageError> {
        self.read(self.port.history(id, after, limit)).await
    }

    async fn adopt(&self, adopt: Adopt) -> Result<Vec<Redemption>, StorageError> {
        self.write(self.port.adopt(adopt)).await
    }

    async fn outlived(&self, worker: WorkerId, redemptions: &[RedemptionId]) -> Result<(), StorageError> {
        self.write(self.port.outlived(worker, redemptions)).await
    }

    async fn resume(&self, id: RedemptionId) -> Result<bool, StorageError> {
        self.write(self.port.resume(id)).await
    }

    async fn adopt_one(
        &self,
        worker: WorkerId,
        id: RedemptionId,
    ) -> Result<Option<Redemption>, StorageError> {
        self.write(self.port.adopt_one(worker, id)).await
    }

    async fn append_inbox(&self, redemption: RedemptionId, item: Inbox) -> Result<(), StorageError> {
        self.write(self.port.append_inbox(redemption, item)).await
    }

    async fn inbox(&self, redemption: RedemptionId) -> Result<Vec<InboxItem>, StorageError> {
        self.read(self.port.inbox(redemption)).await
    }

    async fn inboxes(&self, worker: WorkerId, limit: u32) -> Result<Vec<RedemptionId>, StorageError> {
        self.read(self.port.inboxes(worker, limit)).await
    }

    async fn discard_inbox(
        &self,
        redemption: RedemptionId,
        epoch: u64,
        items: &[i64],
    ) -> Result<(), StorageError> {
        self.write(self.port.discard_inbox(redemption, epoch, items)).await
    }

    async fn claims(
        &self,
        supplier: &SupplierName,
        wanted: &Wanted,
        orders: &[OrderId],
        except: RedemptionId,
    ) -> Result<Claims, StorageError> {
        self.read(self.port.claims(supplier, wanted, orders, except)).await
    }

    async fn holders(
        &self,
        supplier: &SupplierName,
        orders: &[OrderId],
    ) -> Result<Vec<(OrderId, RedemptionId)>, StorageError> {
        self.read(self.port.holders(supplier, orders)).await
    }

    async fn outlook(&self, sku: &SkuId) -> Result<Option<(Sku, Outlook)>, StorageError> {
        self.read(self.port.outlook(sku)).await
    }

    async fn observe(&self, observed: Observed) -> Result<(), StorageError> {
        self.write(self.port.observe(observed)).await
    }

    async fn forget_idle(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.write(self.port.forget_idle(now)).await
    }

    async fn purge(
        &self,
        before: DateTime<Utc>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<u64, StorageError> {
        self.write(self.port.purge(before, limit, now)).await
    }

    async fn newest_order(&self, supplier: &SupplierName) -> Result<Option<OrderId>, StorageError> {
        self.read(self.port.newest_order(supplier)).await
    }
}

#[async_trait]
impl<P: Catalogue> Catalogue for Faulty<P> {
    async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        self.faults.around(self.port.put_sku(sku, put), || unavailable().into(), || lost().into()).await
    }

    async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)> {
        let work = self.port.put_skus(skus, put);
        self.faults.around(work, || (0, unavailable().into()), || (0, lost().into())).await
    }

    async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError> {
        self.read(self.port.sku(id)).await
    }

    async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        self.read(self.port.skus()).await
    }

    async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError> {
        self.faults.around(self.port.archive_sku(id), || unavailable().into(), || lost().into()).await
    }

    async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError> {
        let work = self.port.change_plan(sku, plan, change);
        self.faults.around(work, || unavailable().into(), || lost().into()).await
    }
}

#[async_trait]
impl<P: Vouchers> Vouchers for Faulty<P> {
    async fn insert_batch(&self, batch: NewBatch, vouchers: NewVouchers) -> Result<Inserted, StorageError> {
        self.write(self.port.insert_batch(batch, vouchers)).await
    }

    async fn remove_leftovers(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.write(self.port.remove_leftovers(now)).await
    }

    async fn batch(&self, id: BatchId) -> Result<Option<BatchSummary>, StorageError> {
        self.read(self.port.batch(id)).await
    }

    async fn batches(&self, before: Option<BatchId>, limit: u32) -> Result<Vec<BatchSummary>, StorageError> {
        self.read(self.port.batches(before, limit)).await
    }

    async fn change_voucher(&self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError> {
        let work = self.port.change_voucher(hash, event);
        self.faults.around(work, || unavailable().into(), || lost().into()).await
    }

    async fn void_batch(&self, id: BatchId, reason: &VoidReason) -> Result<Option<u64>, StorageError> {
        self.write(self.port.void_batch(id, reason)).await
    }

    async fn expire_vouchers(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, StorageError> {
        self.write(self.port.expire_vouchers(now, limit)).await
    }

    async fn seal_batch(&self, id: BatchId) -> Result<bool, StorageError> {
        self.write(self.port.seal_batch(id)).await
    }

    async fn seal_batches(&self, minted_before: DateTime<Utc>) -> Result<u64, StorageError> {
        self.write(self.port.seal_batches(minted_before)).await
    }

    async fn secrets_in_use(&self) -> Result<Vec<SecretUse>, StorageError> {
        self.read(self.port.secrets_in_use()).await
    }

    async fn labels(&self) -> Result<Vec<(Label, Shape)>, StorageError> {
        self.read(self.port.labels()).await
    }

    async fn trail(&self, hashes: &[VoucherHash]) -> Result<Option<VoucherTrail>, StorageError> {
        self.read(self.port.trail(hashes)).await
    }

    async fn trails_by_mask(&self, mask: Mask, limit: u32) -> Result<Vec<VoucherTrail>, StorageError> {
        self.read(self.port.trails_by_mask(mask, limit)).await
    }
}

#[async_trait]
impl<P: Reports> Reports for Faulty<P> {
    async fn redemptions(
        &self,
        search: RedemptionSearch,
        limit: u32,
    ) -> Result<Vec<Redemption>, StorageError> {
        self.read(self.port.redemptions(search, limit)).await
    }

    async fn choices(&self, redemption: RedemptionId) -> Result<Vec<String>, StorageError> {
        self.read(self.port.choices(redemption)).await
    }

    async fn booked(&self, redemption: RedemptionId) -> Result<Vec<Booked>, StorageError> {
        self.read(self.port.booked(redemption)).await
    }

    async fn ledger_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LedgerTotal>, StorageError> {
        self.read(self.port.ledger_totals(from, to)).await
    }

    async fn plan_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<PlanTotal>, StorageError> {
        self.read(self.port.plan_totals(from, to)).await
    }

    async fn sources(&self) -> Result<Vec<(Source, Health)>, StorageError> {
        self.read(self.port.sources()).await
    }

    async fn accounts(&self) -> Result<Vec<(SupplierName, Account)>, StorageError> {
        self.read(self.port.accounts()).await
    }
}

#[async_trait]
impl<P: Alerts> Alerts for Faulty<P> {
    async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        self.read(self.port.alerts(open, limit)).await
    }

    async fn acknowledge(&self, id: i64, now: DateTime<Utc>) -> Result<bool, StorageError> {
        self.write(self.port.acknowledge(id, now)).await
    }

    async fn untold(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        self.read(self.port.untold(now, limit)).await
    }

    async fn told(&self, id: i64, again_at: Option<DateTime<Utc>>) -> Result<(), StorageError> {
        self.write(self.port.told(id, again_at)).await
    }
}

#[async_trait]
impl<P: Supplier> Supplier for Faulty<P> {
    fn capabilities(&self) -> Capabilities {
        self.port.capabilities()
    }

    fn currency(&self) -> Currency {
        self.port.currency()
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        self.call(self.port.profile()).await
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        let unclear = || BuyError::Unclear("the answer was lost".into());
        self.faults.around(self.port.buy(permit), unclear, unclear).await
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.call(self.port.check(order)).await
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.call(self.port.finish(order)).await
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.call(self.port.cancel(order)).await
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.call(self.port.ban(order)).await
    }

    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        self.call(self.port.listed_price(wanted)).await
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        self.call(self.port.recent_orders(skip)).await
    }
}
