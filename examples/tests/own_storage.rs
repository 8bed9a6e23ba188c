//! A storage of one's own: every port of it, and the suite that any storage has to pass.
//!
//! This one keeps nothing by itself: it counts what is asked of it and asks another storage, memory here. Where it hands a
//! call on, a storage over a database has one transaction. What each of them must promise is told at the ports. A storage
//! holds no rules: it calls what decides, such as `admit`, inside its transaction, and stores the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::budget::{Lease, LeaseWish};
use mintcode_core::engine::{Engine, MintRequest, Proof};
use mintcode_core::health::{Account, Health, Outlook, Source};
use mintcode_core::ids::{BatchId, PlanId, RedemptionId, SkuId, SupplierName, WorkerId};
use mintcode_core::ledger::Booked;
use mintcode_core::order::OrderId;
use mintcode_core::orphan::{Orphan, OrphanLoss};
use mintcode_core::ports::{
    Adopt, AlertRow, Alerts, BatchSummary, Begin, Begun, Catalogue, ChangeError, Claims, Commit, Inbox,
    InboxItem, Inserted, LedgerTotal, NewBatch, NewVouchers, Observed, Orphans, PlanChange, PlanTotal, Put,
    RedemptionSearch, Reports, SecretUse, SkuError, Storage, StorageError, VoucherTrail, Vouchers, Wanted,
    WorkerRow, Workers,
};
use mintcode_core::redemption::{Redemption, Snapshot, Status};
use mintcode_core::sku::Sku;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{
    Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash, VoucherKeys, VoucherSecret,
};

/// Counts the calls to another storage.
#[derive(Default)]
struct Counted<S> {
    inner: S,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl<S> Counted<S> {
    /// How often `method` was called.
    fn count(&self, method: &str) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(method).copied().unwrap_or_default()
    }

    async fn counted<T>(&self, method: &'static str, work: impl Future<Output = T>) -> T {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(method).or_default() += 1;
        work.await
    }
}

/// What an answer is where nothing but the storage itself can fail.
type Stored<T> = Result<T, StorageError>;

/// Implements ports by methods that all do the same. Yours have bodies of their own.
macro_rules! hand_on {
    ($(impl $port:ident { $(fn $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+ })+) => {
        $(#[async_trait]
        impl<S: $port> $port for Counted<S> {
            $(async fn $method(&self, $($argument: $type),*) -> $answer {
                self.counted(stringify!($method), self.inner.$method($($argument),*)).await
            })+
        })+
    };
}

hand_on! {
    impl Storage {
        fn begin(begin: Begin) -> Stored<Begun>;
        fn commit(commit: Commit) -> Stored<()>;
        fn redemption(id: RedemptionId) -> Stored<Option<Redemption>>;
        fn history(id: RedemptionId, after: u64, limit: u32) -> Stored<Vec<Snapshot>>;
        fn adopt(adopt: Adopt) -> Stored<Vec<Redemption>>;
        fn outlived(worker: WorkerId, redemptions: &[RedemptionId]) -> Stored<()>;
        fn resume(id: RedemptionId) -> Stored<bool>;
        fn adopt_one(worker: WorkerId, id: RedemptionId) -> Stored<Option<Redemption>>;
        fn append_inbox(redemption: RedemptionId, item: Inbox) -> Stored<()>;
        fn inbox(redemption: RedemptionId) -> Stored<Vec<InboxItem>>;
        fn inboxes(worker: WorkerId, limit: u32) -> Stored<Vec<RedemptionId>>;
        fn discard_inbox(redemption: RedemptionId, epoch: u64, items: &[i64]) -> Stored<()>;
        fn claims(
            supplier: &SupplierName, wanted: &Wanted, orders: &[OrderId], except: RedemptionId
        ) -> Stored<Claims>;
        fn holders(supplier: &SupplierName, orders: &[OrderId]) -> Stored<Vec<(OrderId, RedemptionId)>>;
        fn outlook(sku: &SkuId) -> Stored<Option<(Sku, Outlook)>>;
        fn observe(observed: Observed) -> Stored<()>;
        fn forget_idle(now: DateTime<Utc>) -> Stored<u64>;
        fn purge(before: DateTime<Utc>, limit: u32, now: DateTime<Utc>) -> Stored<u64>;
        fn newest_order(supplier: &SupplierName) -> Stored<Option<OrderId>>;
    }

    impl Workers {
        fn time() -> Stored<Option<DateTime<Utc>>>;
        fn enlist(worker: WorkerId, alone: bool, now: DateTime<Utc>) -> Stored<Option<DateTime<Utc>>>;
        fn beat(worker: WorkerId, now: DateTime<Utc>) -> Stored<Option<DateTime<Utc>>>;
        fn workers() -> Stored<Vec<WorkerRow>>;
        fn strike_off(silent: WorkerRow) -> Stored<bool>;
        fn retire(worker: WorkerId) -> Stored<()>;
        fn take_chore(
            chore: &str, worker: WorkerId, term: Duration, now: DateTime<Utc>
        ) -> Stored<bool>;
        fn lease_requests(supplier: &SupplierName, wish: LeaseWish, now: DateTime<Utc>) -> Stored<Lease>;
        fn note_hit(
            supplier: &SupplierName, retry_after: Option<Duration>, now: DateTime<Utc>
        ) -> Stored<()>;
        fn note_proof(supplier: &SupplierName) -> Stored<()>;
    }

    impl Orphans {
        fn installed_at(supplier: &SupplierName, now: DateTime<Utc>) -> Stored<DateTime<Utc>>;
        fn claim_orphans(found: Vec<Orphan>, now: DateTime<Utc>) -> Stored<Vec<Orphan>>;
        fn open_orphans(supplier: &SupplierName, limit: u32) -> Stored<Vec<Orphan>>;
        fn update_orphan(next: Orphan, alerts: Vec<AlertChange>, now: DateTime<Utc>) -> Stored<()>;
        fn orphan_losses(from: DateTime<Utc>, to: DateTime<Utc>) -> Stored<Vec<OrphanLoss>>;
    }

    impl Catalogue {
        fn put_sku(sku: Sku, put: Put) -> Result<bool, SkuError>;
        fn put_skus(skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)>;
        fn sku(id: &SkuId) -> Stored<Option<Sku>>;
        fn skus() -> Stored<Vec<Sku>>;
        fn archive_sku(id: &SkuId) -> Result<(), SkuError>;
        fn change_plan(sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError>;
    }

    impl Vouchers {
        fn insert_batch(batch: NewBatch, vouchers: NewVouchers) -> Stored<Inserted>;
        fn remove_leftovers(now: DateTime<Utc>) -> Stored<u64>;
        fn batch(id: BatchId) -> Stored<Option<BatchSummary>>;
        fn batches(before: Option<BatchId>, limit: u32) -> Stored<Vec<BatchSummary>>;
        fn change_voucher(hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError>;
        fn void_batch(id: BatchId, reason: &VoidReason) -> Stored<Option<u64>>;
        fn expire_vouchers(now: DateTime<Utc>, limit: u32) -> Stored<u64>;
        fn seal_batch(id: BatchId) -> Stored<bool>;
        fn seal_batches(minted_before: DateTime<Utc>) -> Stored<u64>;
        fn secrets_in_use() -> Stored<Vec<SecretUse>>;
        fn labels() -> Stored<Vec<(Label, Shape)>>;
        fn trail(hashes: &[VoucherHash]) -> Stored<Option<VoucherTrail>>;
        fn trails_by_mask(mask: Mask, limit: u32) -> Stored<Vec<VoucherTrail>>;
    }

    impl Reports {
        fn redemptions(search: RedemptionSearch, limit: u32) -> Stored<Vec<Redemption>>;
        fn choices(redemption: RedemptionId) -> Stored<Vec<String>>;
        fn booked(redemption: RedemptionId) -> Stored<Vec<Booked>>;
        fn ledger_totals(from: DateTime<Utc>, to: DateTime<Utc>) -> Stored<Vec<LedgerTotal>>;
        fn plan_totals(from: DateTime<Utc>, to: DateTime<Utc>) -> Stored<Vec<PlanTotal>>;
        fn sources() -> Stored<Vec<(Source, Health)>>;
        fn accounts() -> Stored<Vec<(SupplierName, Account)>>;
    }

    impl Alerts {
        fn alerts(open: bool, limit: u32) -> Stored<Vec<AlertRow>>;
        fn acknowledge(id: i64, now: DateTime<Utc>) -> Stored<bool>;
        fn untold(now: DateTime<Utc>, limit: u32) -> Stored<Vec<AlertRow>>;
        fn told(id: i64, again_at: Option<DateTime<Utc>>) -> Stored<()>;
    }
}

// A test a case, each for one sentence of the ports' contract.
mod passes {
    use super::{Counted, MemoryStorage};

    mintcode_core::storage_conformance!(async { Counted::<MemoryStorage>::default() });
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_sms_stores_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let storage = Arc::new(Counted::<MemoryStorage>::default());
    let clock = Arc::new(TokioClock::default());
    let supplier = FakeSupplier::new(clock.clone());
    let line = Line { sms_after: Some(Duration::from_secs(90)), ..Line::default() };
    supplier.stock("canada", "virtual4", line);
    let sku = sample::sku("tg");
    storage.put_sku(sku.clone(), Put::Create).await?;
    let secret = VoucherSecret::new("only for this test, 32 bytes and more")?;
    let (entropy, keys) = (Arc::new(SeededEntropy::new(1)), VoucherKeys::new(&secret, &[]));
    let engine = Engine::builder(Arc::clone(&storage), clock, entropy, keys)
        .supplier(SupplierName::default(), Arc::new(supplier), true, 50)
        .build()?;
    let request = MintRequest {
        sku: &sku.id,
        count: 1,
        expires_in: None,
        note: None,
        minted_by: "test".to_owned(),
        idempotency: None,
    };
    let code = engine.issuer().mint(request).await?.codes.next().ok_or("a batch of one has a code")?;

    let redeemer = engine.redeemer();
    let running = engine.start();
    let id = redeemer.redeem(&code.reveal(), Proof::default()).await?.redemption.id;
    let mut changes = redeemer.subscribe(id);
    let mut commits = BTreeMap::new();
    loop {
        let status = redeemer.redemption(id).await?.ok_or("a redemption is never forgotten")?.status();
        commits.insert(status.name(), storage.count("commit"));
        if status == Status::Delivered {
            break;
        }
        changes.changed().await?;
    }
    running.stop().await;

    assert_eq!(storage.count("begin"), 1);
    // The number, ninety seconds of looking, and the code: one commit.
    assert_eq!(commits["delivered"], commits["waiting_sms"] + 1, "{commits:?}");
    Ok(())
}
