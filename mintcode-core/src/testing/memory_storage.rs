//! Storage that lives and dies with the process.

mod alerts;
mod begin;
mod catalogue;
mod commit;
mod redemptions;
mod reports;
mod vouchers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use self::alerts::StoredAlert;
use crate::health::{Account, Health, Source};
use crate::ids::{RedemptionId, SkuId, SupplierName};
use crate::ledger::Booked;
use crate::order::OrderId;
use crate::ports::{Inbox, NewBatch, StorageError};
use crate::redemption::{HolderKey, Redemption, Snapshot};
use crate::sku::Sku;
use crate::velocity::Counter;
use crate::voucher::{Voucher, VoucherHash};

/// Storage in memory, as strict as a database: it passes
/// [`storage_conformance!`](crate::storage_conformance) like any other.
#[derive(Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    skus: BTreeMap<SkuId, Sku>,
    /// In the order of minting.
    batches: Vec<NewBatch>,
    vouchers: BTreeMap<VoucherHash, Voucher>,
    redemptions: BTreeMap<RedemptionId, Redemption>,
    history: HashMap<RedemptionId, Vec<Snapshot>>,
    /// By whom each order is claimed: a redemption's attempt. Nothing is ever removed.
    claims: HashMap<SupplierName, BTreeMap<OrderId, (RedemptionId, u32)>>,
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

    /// Runs one transaction. `change` checks everything before it changes anything.
    fn transaction<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn corrupt(table: &'static str, row: &impl ToString) -> StorageError {
    StorageError::Corrupt { table, row: row.to_string() }
}
