//! The storage as one process reaches it: every call may fail, lose its answer, take its time, or be the process's last.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::alert::AlertChange;
use mintcode_core::budget::{Lease, LeaseWish};
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
use mintcode_core::redemption::{Redemption, Snapshot};
use mintcode_core::sku::Sku;
use mintcode_core::voucher::{Label, Mask, Shape, VoidReason, Voucher, VoucherEvent, VoucherHash};

use super::cut::{Cut, Unstored, real};
use super::process::{Fate, Heat, Mode, Process};

pub(crate) struct Ports {
    process: Arc<Process>,
    unstored: Arc<Mutex<Unstored>>,
}

impl Ports {
    pub(crate) fn new(process: Arc<Process>) -> Self {
        Self { process, unstored: Arc::default() }
    }
}

/// Implements a port by calling the world's storage through the process; what stands behind `+` is written out.
macro_rules! through_the_process {
    ($port:ident {
        $( $heat:ident $mode:ident fn $name:ident ( $($arg:ident : $type:ty),* $(,)? ) -> $answer:ty; )*
        $( + { $($own:tt)* } )?
    }) => {
        #[async_trait]
        impl $port for Ports {
            $(
                async fn $name(&self, $($arg: $type),*) -> Result<$answer, StorageError> {
                    let work = $port::$name(&*self.process.sim.storage, $($arg),*);
                    self.process.around(Heat::$heat, Mode::$mode, stringify!($name), work).await
                }
            )*
            $( $($own)* )?
        }
    };
}

through_the_process!(Storage {
    Hot Write fn begin(begin: Begin) -> Begun;
    Hot Read fn redemption(id: RedemptionId) -> Option<Redemption>;
    Idle Read fn history(id: RedemptionId, after: u64, limit: u32) -> Vec<Snapshot>;
    Hot Write fn outlived(worker: WorkerId, redemptions: &[RedemptionId]) -> ();
    Idle Write fn resume(id: RedemptionId) -> bool;
    Hot Write fn append_inbox(redemption: RedemptionId, item: Inbox) -> ();
    Hot Read fn inbox(redemption: RedemptionId) -> Vec<InboxItem>;
    Idle Read fn inboxes(worker: WorkerId, limit: u32) -> Vec<RedemptionId>;
    Hot Write fn discard_inbox(redemption: RedemptionId, epoch: u64, items: &[i64]) -> ();
    Idle Read fn holders(supplier: &SupplierName, orders: &[OrderId]) -> Vec<(OrderId, RedemptionId)>;
    Hot Read fn outlook(sku: &SkuId) -> Option<(Sku, Outlook)>;
    Idle Write fn observe(observed: Observed) -> ();
    Idle Write fn forget_idle(now: DateTime<Utc>) -> u64;
    Idle Write fn purge(before: DateTime<Utc>, limit: u32, now: DateTime<Utc>) -> u64;
    + {
        async fn commit(&self, commit: Commit) -> Result<(), StorageError> {
            let (sim, process) = (Arc::clone(&self.process.sim), Arc::clone(&self.process));
            let unstored = Arc::clone(&self.unstored);
            let number = process.number;
            if let Fate::SlowThere(pause) = process.fate(Heat::Hot) {
                // What is on its way arrives, whatever becomes of the process.
                process.is_going().await;
                sim.count("slow commits");
                let late = tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    sim.commit(number, &unstored, commit).await
                });
                let answer = late.await.map_err(|panic| StorageError::Unknown(panic.into()))?;
                process.is_going().await;
                return answer;
            }
            let work = Box::pin(sim.commit(number, &unstored, commit));
            process.around(Heat::Hot, Mode::Write, "commit", work).await
        }

        async fn adopt(&self, adopt: Adopt) -> Result<Vec<Redemption>, StorageError> {
            let sim = &self.process.sim;
            let work = async {
                let adopted = sim.storage.adopt(adopt).await?;
                sim.counts().add("takeovers", adopted.len() as u64);
                for redemption in &adopted {
                    sim.trace(|| format!("process {}: takes over {}", self.process.number, redemption.id));
                    sim.record().adopted(self.process.number, redemption, sim);
                }
                Ok(adopted)
            };
            self.process.around(Heat::Idle, Mode::Write, "adopt", work).await
        }

        async fn adopt_one(&self, worker: WorkerId, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
            let sim = &self.process.sim;
            let work = async {
                let adopted = sim.storage.adopt_one(worker, id).await?;
                if let Some(redemption) = &adopted {
                    sim.record().adopted(self.process.number, redemption, sim);
                }
                Ok(adopted)
            };
            self.process.around(Heat::Hot, Mode::Write, "adopt_one", work).await
        }

        async fn claims(
            &self,
            supplier: &SupplierName,
            wanted: &Wanted,
            orders: &[OrderId],
            except: RedemptionId,
        ) -> Result<Claims, StorageError> {
            let sim = &self.process.sim;
            let work = async {
                let claims = sim.storage.claims(supplier, wanted, orders, except).await?;
                Ok(if sim.cut == Some(Cut::Claim) { Claims::default() } else { claims })
            };
            self.process.around(Heat::Hot, Mode::Read, "claims", work).await
        }

        async fn newest_order(&self, supplier: &SupplierName) -> Result<Option<OrderId>, StorageError> {
            let sim = &self.process.sim;
            let work = async { Ok(sim.storage.newest_order(supplier).await?.map(|order| real(&order))) };
            self.process.around(Heat::Hot, Mode::Read, "newest_order", work).await
        }
    }
});

through_the_process!(Workers {
    Hot Read fn time() -> Option<DateTime<Utc>>;
    Hot Write fn enlist(worker: WorkerId, alone: bool, now: DateTime<Utc>) -> Option<DateTime<Utc>>;
    Idle Write fn beat(worker: WorkerId, now: DateTime<Utc>) -> Option<DateTime<Utc>>;
    Idle Read fn workers() -> Vec<WorkerRow>;
    Hot Write fn strike_off(silent: WorkerRow) -> bool;
    Hot Write fn retire(worker: WorkerId) -> ();
    Hot Write fn lease_requests(supplier: &SupplierName, wish: LeaseWish, now: DateTime<Utc>) -> Lease;
    Hot Write fn note_hit(supplier: &SupplierName, retry_after: Option<Duration>, now: DateTime<Utc>) -> ();
    Hot Write fn note_proof(supplier: &SupplierName) -> ();
    + {
        async fn take_chore(
            &self,
            chore: &str,
            worker: WorkerId,
            term: Duration,
            now: DateTime<Utc>,
        ) -> Result<bool, StorageError> {
            let sim = &self.process.sim;
            if sim.cut == Some(Cut::Sweeper) && chore.starts_with("sweep ") {
                return Ok(false);
            }
            let work = sim.storage.take_chore(chore, worker, term, now);
            self.process.around(Heat::Idle, Mode::Write, "take_chore", work).await
        }
    }
});

through_the_process!(Orphans {
    Hot Write fn installed_at(supplier: &SupplierName, now: DateTime<Utc>) -> DateTime<Utc>;
    Idle Read fn open_orphans(supplier: &SupplierName, limit: u32) -> Vec<Orphan>;
    Hot Write fn update_orphan(next: Orphan, alerts: Vec<AlertChange>, now: DateTime<Utc>) -> ();
    Idle Read fn orphan_losses(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<OrphanLoss>;
    + {
        async fn claim_orphans(&self, found: Vec<Orphan>, now: DateTime<Utc>) -> Result<Vec<Orphan>, StorageError> {
            let sim = &self.process.sim;
            let work = async {
                let claimed = sim.storage.claim_orphans(found, now).await?;
                sim.counts().add("swept", claimed.len() as u64);
                for orphan in &claimed {
                    sim.trace(|| format!("process {}: sweeps order {}", self.process.number, orphan.order.id));
                    let phone = orphan.order.phone.reveal().to_owned();
                    sim.record().swept.insert(phone, orphan.clone());
                }
                Ok(claimed)
            };
            self.process.around(Heat::Hot, Mode::Write, "claim_orphans", work).await
        }
    }
});

through_the_process!(Reports {
    Idle Read fn redemptions(search: RedemptionSearch, limit: u32) -> Vec<Redemption>;
    Idle Read fn choices(redemption: RedemptionId) -> Vec<String>;
    Idle Read fn booked(redemption: RedemptionId) -> Vec<Booked>;
    Idle Read fn ledger_totals(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<LedgerTotal>;
    Idle Read fn plan_totals(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<PlanTotal>;
    Idle Read fn sources() -> Vec<(Source, Health)>;
    Idle Read fn accounts() -> Vec<(SupplierName, Account)>;
});

through_the_process!(Alerts {
    Idle Read fn alerts(open: bool, limit: u32) -> Vec<AlertRow>;
    Idle Write fn acknowledge(id: i64, now: DateTime<Utc>) -> bool;
    Idle Read fn untold(now: DateTime<Utc>, limit: u32) -> Vec<AlertRow>;
    Idle Write fn told(id: i64, again_at: Option<DateTime<Utc>>) -> ();
});

through_the_process!(Vouchers {
    Idle Write fn insert_batch(batch: NewBatch, vouchers: NewVouchers) -> Inserted;
    Idle Read fn batch(id: BatchId) -> Option<BatchSummary>;
    Idle Read fn batches(before: Option<BatchId>, limit: u32) -> Vec<BatchSummary>;
    Idle Write fn void_batch(id: BatchId, reason: &VoidReason) -> Option<u64>;
    Idle Write fn expire_vouchers(now: DateTime<Utc>, limit: u32) -> u64;
    Idle Write fn seal_batch(id: BatchId) -> bool;
    Idle Write fn seal_batches(minted_before: DateTime<Utc>) -> u64;
    Idle Read fn secrets_in_use() -> Vec<SecretUse>;
    Hot Read fn labels() -> Vec<(Label, Shape)>;
    Idle Read fn trail(hashes: &[VoucherHash]) -> Option<VoucherTrail>;
    Idle Read fn trails_by_mask(mask: Mask, limit: u32) -> Vec<VoucherTrail>;
    + {
        async fn change_voucher(&self, hash: VoucherHash, event: VoucherEvent) -> Result<Voucher, ChangeError> {
            self.process.sim.storage.change_voucher(hash, event).await
        }

        async fn remove_leftovers(&self, now: DateTime<Utc>) -> Result<u64, StorageError> {
            self.process.sim.storage.remove_leftovers(now).await
        }
    }
});

/// Nothing of the catalogue is asked for while the engine runs.
#[async_trait]
impl Catalogue for Ports {
    async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        self.process.sim.storage.put_sku(sku, put).await
    }

    async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)> {
        self.process.sim.storage.put_skus(skus, put).await
    }

    async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError> {
        self.process.sim.storage.sku(id).await
    }

    async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        self.process.sim.storage.skus().await
    }

    async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError> {
        self.process.sim.storage.archive_sku(id).await
    }

    async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError> {
        self.process.sim.storage.change_plan(sku, plan, change).await
    }
}
