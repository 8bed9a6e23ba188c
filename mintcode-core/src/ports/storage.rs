//! Keeps redemptions and the vouchers they change: the engine's storage.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::supplier::{BoxError, Wanted};
use crate::alert::AlertChange;
use crate::health::{AccountChange, HealthChange, HealthRules, Outlook};
use crate::ids::{RedemptionId, SkuId, SupplierName, WorkerId};
use crate::ledger::Entry;
use crate::order::{Order, OrderId};
use crate::redemption::{ChoiceRecord, Holder, HolderKey, NotBought, Phase, Redemption, Snapshot, Wish};
use crate::rules::Rules;
use crate::sku::Sku;
use crate::velocity::Cap;
use crate::voucher::{Refusal, Voucher, VoucherEvent, VoucherHash, VoucherState};

/// Why storage did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Somebody stored another version since. Nothing changed.
    #[error("the stored version is another one")]
    Conflict,
    /// Another worker owns it by now. Nothing changed, and the caller must drop it.
    #[error("another worker owns it")]
    Fenced,
    /// Another attempt claimed the order first, or it is an orphan. Nothing changed.
    #[error("the order is claimed already")]
    Claimed,
    /// Another attempt probes the source by now. Nothing changed, and the plan has to be chosen again.
    #[error("another attempt probes the source")]
    ProbeTaken,
    /// The voucher went on without this redemption. Nothing changed.
    #[error("the voucher has gone on without this redemption")]
    VoucherMoved,
    /// Storage could not be reached, is full or read-only. Nothing changed; the same call may succeed later.
    #[error("storage is unavailable")]
    Unavailable(#[source] BoxError),
    /// The answer to a commit was lost: it may have happened.
    #[error("whether the change was stored is unknown")]
    Unknown(#[source] BoxError),
    /// A row fits no state.
    #[error("row {row} of table {table} fits no state")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key, never a secret.
        row: String,
    },
}

/// A request to begin a redemption.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Which voucher.
    pub by: BeginBy,
    /// Who asks.
    pub holder: Holder,
    /// Where the request comes from: a keyed hash of the network address.
    pub address: Option<HolderKey>,
    /// What the operator has set.
    pub rules: Arc<Rules>,
    /// The id of the redemption that begins, if one does.
    pub id: RedemptionId,
    /// The worker that will drive it; `None` where this process drives none.
    pub owner: Option<WorkerId>,
    /// Now.
    pub now: DateTime<Utc>,
}

impl Begin {
    /// Under which keys a redemption of a voucher of `sku` counts, with the cap of each.
    #[must_use]
    pub fn counted_under(&self, sku: &SkuId) -> Vec<(String, Cap)> {
        let caps = &self.rules.caps;
        let session =
            self.holder.session.as_ref().map(|key| (format!("session {}", key.as_str()), caps.session));
        let address = self.address.as_ref().map(|key| (format!("address {}", key.as_str()), caps.address));
        [Some((format!("sku {sku}"), caps.sku)), session, address].into_iter().flatten().collect()
    }
}

/// How a voucher is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeginBy {
    /// By the hashes of its code under every secret in use, current first.
    Code(Vec<VoucherHash>),
    /// By the id of its latest redemption, which failed or was cancelled: that redemption's holder asks for another.
    Again(RedemptionId),
}

/// What became of a request to begin a redemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// A redemption began.
    New(Box<Redemption>),
    /// The same holder came back to the redemption there is.
    Same(Box<Redemption>),
    /// None may begin.
    Refused(Refusal),
}

/// One change of one redemption, with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The redemption as it is to be stored. Its version is one above the stored one, its epoch the stored one.
    pub next: Redemption,
    /// What happens to its voucher, in order.
    pub voucher: Vec<VoucherEvent>,
    /// Inbox items that the change takes care of.
    pub consumed: Vec<i64>,
    /// What is booked.
    pub ledger: Vec<Entry>,
    /// What it tells of sources, in order: each is applied by [`Health::after`](crate::health::Health::after).
    pub health: Vec<HealthChange>,
    /// What it tells of accounts, in order: each is applied by [`Account::after`](crate::health::Account::after).
    pub accounts: Vec<AccountChange>,
    /// What it tells the operator, beside what sources and accounts have to say.
    pub alerts: Vec<AlertChange>,
    /// The choice of a plan behind it, as it is to be shown and made again.
    pub choice: Option<Box<ChoiceRecord>>,
    /// By which sources and accounts are judged.
    pub rules: HealthRules,
}

impl Commit {
    /// Whether the voucher has to be read: it changes, or has to agree that a code is delivered.
    #[must_use]
    pub fn needs_voucher(&self) -> bool {
        !self.voucher.is_empty() || matches!(self.next.phase, Phase::Delivered(_))
    }

    /// `voucher`, as stored, after the change; storages call this inside their transaction.
    ///
    /// # Errors
    ///
    /// [`StorageError::VoucherMoved`] where a message is to be released for a voucher that another redemption has by now,
    /// or that is cancelled. [`StorageError::Corrupt`] where the two do not fit: the voucher cannot take an event, or it
    /// would be fulfilled without a delivery, or the other way round.
    pub fn move_voucher(&self, voucher: Voucher) -> Result<Voucher, StorageError> {
        let corrupt = StorageError::Corrupt { table: "voucher", row: voucher.hash.to_string() };
        let is_its_own = voucher.redemption == Some(self.next.id);
        if self.voucher.contains(&VoucherEvent::Release) {
            let is_free = is_its_own && voucher.state != VoucherState::Cancelled;
            let released = is_free.then(|| voucher.apply(VoucherEvent::Release).ok()).flatten();
            return released.ok_or(StorageError::VoucherMoved);
        }
        let is_delivered = matches!(self.next.phase, Phase::Delivered(_));
        match self.voucher.iter().cloned().try_fold(voucher, Voucher::apply) {
            Ok(moved) if is_its_own && is_delivered == (moved.state == VoucherState::Fulfilled) => Ok(moved),
            Ok(_) | Err(_) => Err(corrupt),
        }
    }
}

/// A worker's wish for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// Who takes over.
    pub worker: WorkerId,
    /// How many redemptions at most.
    pub limit: u32,
    /// How often a redemption may be taken over before anybody has driven it through a turn.
    pub most_takeovers: u32,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Something learnt outside of a redemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Of sources, in order.
    pub health: Vec<HealthChange>,
    /// Of accounts, in order.
    pub accounts: Vec<AccountChange>,
    /// For the operator.
    pub alerts: Vec<AlertChange>,
    /// By which sources and accounts are judged.
    pub rules: HealthRules,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Something that whoever does not own a redemption has to tell its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbox {
    /// A wish.
    Wish(Wish),
    /// Somebody saw that there is news about an order: whoever drives the redemption looks at it.
    News {
        /// The order.
        order: OrderId,
    },
    /// A purchase's answer that came late: an order.
    OrderSeen {
        /// The attempt.
        attempt: u32,
        /// The order.
        order: Order,
    },
    /// A purchase's answer that came late: a clear no.
    NotBought {
        /// The attempt.
        attempt: u32,
        /// Why.
        why: NotBought,
    },
}

/// An inbox item as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxItem {
    /// Its id, growing in the order of arrival.
    pub id: i64,
    /// What it says.
    pub item: Inbox,
}

/// What storage knows about a page of the supplier's orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Those that an attempt has claimed, or that are orphans.
    pub claimed: BTreeSet<OrderId>,
    /// When the earliest unresolved attempt of the same plan by another redemption began that is still in `ordering`.
    pub other_send_window: Option<DateTime<Utc>>,
}

/// What another process may have stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A version of a redemption.
    Version {
        /// The redemption.
        redemption: RedemptionId,
        /// The version.
        version: u64,
    },
    /// More than is told one by one, or nobody knows what: whoever waits for anything had better look.
    Anything,
}

/// Keeps redemptions and the vouchers they change.
///
/// Every method is one transaction: it happens whole or not at all, its answer comes after it is durable, and no
/// handle to a transaction leaves it. Implementations pass [`storage_conformance!`](crate::storage_conformance).
#[async_trait]
pub trait Storage: Send + Sync {
    /// Finds the voucher, lets [`admit`](crate::voucher::admit) decide, and stores what it decides: the locked
    /// voucher together with the new redemption (owned by [`Begin::owner`], epoch 1, version 1, its first snapshot in
    /// the history), or the voucher's expiry. The redemption that the new one follows gets it as [`Redemption::next`].
    ///
    /// A redemption that begins counts under [`Begin::counted_under`], is booked with [`ledger::due`](crate::ledger::due),
    /// and a refusal's [`Refusal::alert`] is stored with it.
    ///
    /// An idempotency key belongs to the first voucher it began a redemption of: with another voucher it is refused
    /// as [`Refusal::IdempotencyMismatch`], before anything about that voucher is told. A refused request leaves no key behind.
    async fn begin(&self, begin: Begin) -> Result<Begun, StorageError>;

    /// Stores a change: redemption, snapshot for the history, attempts with their claims of orders, voucher, and the
    /// removal of consumed inbox items, entries of the ledger, the choice, and what it means for sources, accounts and
    /// alerts. Fails with [`StorageError::Fenced`] where the stored epoch differs, else with
    /// [`StorageError::Conflict`] where the stored version is not the one before, else with
    /// [`StorageError::Claimed`] where another attempt has one of its orders, else with [`StorageError::ProbeTaken`] or
    /// [`StorageError::VoucherMoved`].
    async fn commit(&self, commit: Commit) -> Result<(), StorageError>;

    /// The redemption, or `None`.
    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError>;

    /// The snapshots of a redemption with a version above `after`, oldest first, at most `limit`.
    async fn history(&self, id: RedemptionId, after: u64, limit: u32) -> Result<Vec<Snapshot>, StorageError>;

    /// Takes over redemptions that are not at rest and whose owner is not among the [`Workers`](super::Workers), or that
    /// have none, oldest first: each gets the next epoch, the worker as its owner, and one more takeover if it had an
    /// owner before. One that was taken over [`Adopt::most_takeovers`] times is put into quarantine instead, beside the
    /// limit: it loses its owner, [`Alert::Quarantined`](crate::alert::Alert::Quarantined) is raised, and nobody takes it
    /// over until it is [resumed](Storage::resume). An empty answer means that nothing is left to take over.
    async fn adopt(&self, adopt: Adopt) -> Result<Vec<Redemption>, StorageError>;

    /// Notes that the worker has driven these redemptions through a turn and lives: as far as it owns them, their count of
    /// takeovers begins anew.
    async fn outlived(&self, worker: WorkerId, redemptions: &[RedemptionId]) -> Result<(), StorageError>;

    /// Ends a redemption's quarantine. `false` where it is in none.
    async fn resume(&self, id: RedemptionId) -> Result<bool, StorageError>;

    /// Takes over one redemption, at rest or not, whose owner is not among the [`Workers`](super::Workers), or that has
    /// none: the next epoch, `worker` as its owner, and one more takeover if it had one before. One that `worker` owns
    /// already comes back as it is; `None` where another worker owns it, where it is in quarantine, or where there is no
    /// such redemption.
    async fn adopt_one(&self, worker: WorkerId, id: RedemptionId)
    -> Result<Option<Redemption>, StorageError>;

    /// Tells the redemption's owner something.
    async fn append_inbox(&self, redemption: RedemptionId, item: Inbox) -> Result<(), StorageError>;

    /// What is in the redemption's inbox, in the order of arrival.
    async fn inbox(&self, redemption: RedemptionId) -> Result<Vec<InboxItem>, StorageError>;

    /// Redemptions with something in their inbox that `worker` owns or may take over, at most `limit`; none in quarantine.
    async fn inboxes(&self, worker: WorkerId, limit: u32) -> Result<Vec<RedemptionId>, StorageError>;

    /// Removes items of the redemption's inbox that no longer apply. Fails with [`StorageError::Fenced`] where the stored epoch
    /// differs: what an earlier owner takes for settled may be news to the next one.
    async fn discard_inbox(
        &self,
        redemption: RedemptionId,
        epoch: u64,
        items: &[i64],
    ) -> Result<(), StorageError>;

    /// Which of `orders` are claimed, and whether other purchases of the same plan (supplier, product, country and
    /// operator) may still get their answer; `except` is left out of the latter.
    async fn claims(
        &self,
        supplier: &SupplierName,
        wanted: &Wanted,
        orders: &[OrderId],
        except: RedemptionId,
    ) -> Result<Claims, StorageError>;

    /// Which redemptions that are not at rest have claimed one of `orders`, in no promised order.
    async fn holders(
        &self,
        supplier: &SupplierName,
        orders: &[OrderId],
    ) -> Result<Vec<(OrderId, RedemptionId)>, StorageError>;

    /// A SKU with how the sources and accounts of its plans do, all as of one moment; `None` where there is no such SKU.
    async fn outlook(&self, sku: &SkuId) -> Result<Option<(Sku, Outlook)>, StorageError>;

    /// Stores what was learnt about sources and accounts outside of redemptions, and what the operator is told: the same
    /// as in [`Commit`]. Changes that a source cannot take are left out.
    async fn observe(&self, observed: Observed) -> Result<(), StorageError>;

    /// Removes counts of redemptions that no cap looks at any more, and returns how many.
    async fn forget_idle(&self, now: DateTime<Utc>) -> Result<u64, StorageError>;

    /// Removes numbers and messages of at most `limit` redemptions that are at rest and last changed before `before`, and of
    /// at most as many orphans settled before then. Returns how many were looked through; nothing is left where that is 0.
    /// A redemption becomes what [`Redemption::purged`] says, with a snapshot in its history; an orphan
    /// [what it says](crate::orphan::Orphan::purged). Whatever had no number stays as it is and is not looked through again
    /// until it changes. What was removed is overwritten, as far as the database can do that.
    async fn purge(&self, before: DateTime<Utc>, limit: u32, now: DateTime<Utc>)
    -> Result<u64, StorageError>;

    /// The newest claimed order at a supplier, orphans included.
    async fn newest_order(&self, supplier: &SupplierName) -> Result<Option<OrderId>, StorageError>;

    /// What other processes store from now on, where storage is shared and tells. What is lost on the way, or told twice, only
    /// costs time: readers look at storage, now and then without being told.
    fn news(&self) -> Option<broadcast::Receiver<News>> {
        None
    }
}
