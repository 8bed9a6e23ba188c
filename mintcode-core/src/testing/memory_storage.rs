//! Storage that lives and dies with the process.

mod alerts;
mod begin;
mod catalogue;
mod commit;
mod orphans;
mod ownership;
mod purge;
mod redemptions;
mod reports;
mod vouchers;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use self::alerts::StoredAlert;
use crate::budget::Budget;
use crate::health::{Account, Health, Source};
use crate::ids::{RedemptionId, SkuId, SupplierName, WorkerId};
use crate::ledger::Booked;
use crate::order::OrderId;
use crate::orphan::Orphan;
use crate::ports::{Clock, Inbox, NewBatch, StorageError};
use crate::redemption::{HolderKey, Redemption, Snapshot};
use crate::sku::Sku;
use crate::velocity::Counter;
use crate::voucher::{Voucher, VoucherHash};

/// Storage in memory, as strict as a database: it passes
/// [`storage_conformance!`](crate::storage_conformance) like any other.
///
/// It goes by the time that its callers tell, as storage on the same machine does, unless it has
/// [a clock of its own](MemoryStorage::with_clock). What is iterated over is ordered, so that the same calls always bring
/// the same answers.
#[derive(Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
    clock: Option<Arc<dyn Clock>>,
}

/// Who has claimed an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claimant {
    /// A redemption's attempt.
    Attempt(RedemptionId, u32),
    /// Nobody knew of it: it is an orphan.
    Orphan,
}

#[derive(Default)]
struct State {
    skus: BTreeMap<SkuId, Sku>,
    /// In the order of minting.
    batches: Vec<NewBatch>,
    vouchers: BTreeMap<VoucherHash, Voucher>,
    redemptions: BTreeMap<RedemptionId, Redemption>,
    /// The redemptions that are not at rest, by their owners.
    awake: BTreeMap<Option<WorkerId>, BTreeSet<RedemptionId>>,
    quarantined: BTreeSet<RedemptionId>,
    history: HashMap<RedemptionId, Vec<Snapshot>>,
    /// By whom each order is claimed. Nothing is ever removed.
    claims: BTreeMap<SupplierName, BTreeMap<OrderId, Claimant>>,
    orphans: BTreeMap<(SupplierName, OrderId), Orphan>,
    installed: BTreeMap<SupplierName, DateTime<Utc>>,
    /// How often each was heard of.
    workers: BTreeMap<WorkerId, u64>,
    /// Who has each chore, and until when.
    chores: BTreeMap<String, (WorkerId, DateTime<Utc>)>,
    budgets: BTreeMap<SupplierName, Budget>,
    idempotency: HashMap<HolderKey, VoucherHash>,
    inbox: BTreeMap<i64, (RedemptionId, Inbox)>,
    last_inbox_id: i64,
    /// What was begun lately, by the key it counts under.
    begun: BTreeMap<String, Counter>,
    sources: BTreeMap<Source, Health>,
    accounts: BTreeMap<SupplierName, Account>,
    /// In the order of booking.
    ledger: BTreeMap<RedemptionId, Vec<Booked>>,
    /// The texts of the records, in the order of choosing.
    choices: HashMap<RedemptionId, Vec<String>>,
    /// In the order of raising: the alert at place `n` has the id `n + 1`.
    alerts: Vec<StoredAlert>,
    /// The places of alerts that are open, by their keys.
    open_alerts: HashMap<String, usize>,
}

impl MemoryStorage {
    /// Storage with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Storage with nothing in it and a clock of its own, as a database server has: workers are told its time, and
    /// chores, budgets and quarantine go by it, whatever time their callers tell.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// The time by the storage's own clock, if it has one.
    fn own_time(&self) -> Option<DateTime<Utc>> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// Runs one transaction. `change` checks everything before it changes anything.
    fn transaction<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn corrupt(table: &'static str, row: &impl ToString) -> StorageError {
    StorageError::Corrupt { table, row: row.to_string() }
}
