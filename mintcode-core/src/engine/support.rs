//! What operators ask for beside minting: support work on vouchers and redemptions, what is sold, and how things stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::issuer::{Issuer, MintError};
use super::report::{Report, ReportError};
use crate::alert::{Alert, AlertChange};
use crate::health::{Account, Health, Outlook, Source};
use crate::ids::{BatchId, PlanId, RedemptionId, SkuId, SupplierName};
use crate::ports::{
    AlertRow, Alerts, Catalogue, ChangeError, Inbox, NewBatch, Observed, Orphans, PlanChange, Put,
    RedemptionSearch, Reports, SkuError, Storage, StorageError, VoucherTrail, Vouchers,
};
use crate::redemption::{ChoiceRecord, Context, Redemption, Timing, Wish, WishAnswer, weigh_wish};
use crate::rules::Rules;
use crate::sku::Sku;
use crate::voucher::{VoidReason, Voucher, VoucherCode, VoucherEvent, VoucherHash, VoucherState};

/// Answers operators. Cheap to clone; needs no engine at work.
#[derive(Clone)]
pub struct Support {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) reports: Arc<dyn Reports>,
    pub(super) alerts: Arc<dyn Alerts>,
    pub(super) orphans: Arc<dyn Orphans>,
    pub(super) issuer: Issuer,
    pub(super) rules: Arc<Rules>,
}

/// Why an operator's wish was not granted.
#[derive(Debug, thiserror::Error)]
pub enum SupportError {
    /// There is no such voucher or redemption.
    #[error("there is none of that id")]
    NotFound,
    /// Not where it stands.
    #[error("what is {state} cannot take {event}")]
    NotAllowed {
        /// Where it stands.
        state: &'static str,
        /// What was asked.
        event: &'static str,
    },
    /// A voucher cannot be extended into the past.
    #[error("the new end has to lie ahead")]
    InThePast,
    /// The code of a replacement can no longer be had, or was not made.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// Storage failed; the same call may succeed later.
    #[error("storage failed")]
    Storage(#[from] StorageError),
}

impl From<ChangeError> for SupportError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NoVoucher => Self::NotFound,
            ChangeError::NotAllowed(refused) => {
                Self::NotAllowed { state: refused.state, event: refused.event }
            }
            ChangeError::Storage(error) => Self::Storage(error),
        }
    }
}

/// A voucher issued in place of a fulfilled one.
pub struct Reissued {
    /// The batch of one that it makes up.
    pub batch: NewBatch,
    /// Its code.
    pub code: VoucherCode,
    /// Whether it was issued before.
    pub is_replay: bool,
}

/// A choice of a plan as it was stored, and made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The choice.
    pub record: ChoiceRecord,
    /// The record as it was stored.
    pub stored: String,
    /// The record with the same question answered today.
    pub replayed: String,
}

impl Explained {
    /// Whether today's answer is the same, byte for byte.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.stored == self.replayed
    }
}

/// Clears the open alert of that id by hand: see [`Support::acknowledge`], which needs more than `alerts`.
pub async fn acknowledge(alerts: &dyn Alerts, id: i64, now: DateTime<Utc>) -> Result<(), SupportError> {
    let open = alerts.alerts(true, u32::MAX).await?;
    let row = open.iter().find(|row| row.id == id).ok_or(SupportError::NotFound)?;
    if !row.alert.ends_by_hand() {
        return Err(SupportError::NotAllowed { state: row.alert.kind(), event: "acknowledge" });
    }
    if alerts.acknowledge(id, now).await? { Ok(()) } else { Err(SupportError::NotFound) }
}

impl Support {
    /// Support work over `storage`.
    pub fn new<S>(storage: Arc<S>, issuer: Issuer, rules: Arc<Rules>) -> Self
    where
        S: Storage + Reports + Alerts + Orphans + 'static,
    {
        Self {
            reports: Arc::<S>::clone(&storage),
            alerts: Arc::<S>::clone(&storage),
            orphans: Arc::<S>::clone(&storage),
            storage,
            issuer,
            rules,
        }
    }

    fn vouchers(&self) -> &dyn Vouchers {
        &*self.issuer.vouchers
    }

    /// What the operator has set for all SKUs.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn catalogue(&self) -> &dyn Catalogue {
        &*self.issuer.catalogue
    }

    /// All SKUs by id, archived ones too.
    pub async fn skus(&self) -> Result<Vec<Sku>, StorageError> {
        self.catalogue().skus().await
    }

    /// A SKU, archived or not.
    pub async fn sku(&self, id: &SkuId) -> Result<Option<Sku>, StorageError> {
        self.catalogue().sku(id).await
    }

    /// Takes a SKU off sale. Its vouchers stay good.
    pub async fn archive_sku(&self, id: &SkuId) -> Result<(), SkuError> {
        self.catalogue().archive_sku(id).await
    }

    /// Changes one plan, effective at the next choice, and returns the SKU.
    pub async fn change_plan(&self, sku: &SkuId, plan: &PlanId, change: PlanChange) -> Result<Sku, SkuError> {
        self.catalogue().change_plan(sku, plan, change).await
    }

    /// Stores a SKU unless it is on the deny list. Returns whether it is new.
    pub async fn put_sku(&self, sku: Sku, put: Put) -> Result<bool, SkuError> {
        self.rules.deny.check(&sku).map_err(SkuError::Denied)?;
        self.catalogue().put_sku(sku, put).await
    }

    /// The same for several SKUs: all of them or none. The error tells which one was refused, counted from 0.
    pub async fn put_skus(&self, skus: Vec<Sku>, put: Put) -> Result<Vec<bool>, (usize, SkuError)> {
        for (index, sku) in skus.iter().enumerate() {
            self.rules.deny.check(sku).map_err(|errors| (index, SkuError::Denied(errors)))?;
        }
        self.catalogue().put_skus(skus, put).await
    }

    /// A voucher and everything that happened to it.
    pub async fn trail(&self, voucher: VoucherHash) -> Result<Option<VoucherTrail>, StorageError> {
        self.vouchers().trail(&[voucher]).await
    }

    /// Takes a voucher back; while a redemption runs, that is asked to stop, and the voucher is cancelled when it has
    /// ended without a code. Taking back what is taken back changes nothing.
    pub async fn void(&self, voucher: VoucherHash, reason: VoidReason) -> Result<Voucher, SupportError> {
        self.change(voucher, VoucherEvent::Void { reason }).await
    }

    /// Takes back every voucher of a batch that was never redeemed, and returns how many; `None` where there is no such
    /// batch.
    pub async fn void_batch(&self, id: BatchId, reason: &VoidReason) -> Result<Option<u64>, StorageError> {
        self.vouchers().void_batch(id, reason).await
    }

    /// Gives a voucher another end; an expired one is good again.
    pub async fn extend(
        &self,
        voucher: VoucherHash,
        expires_at: DateTime<Utc>,
    ) -> Result<Voucher, SupportError> {
        if expires_at <= self.issuer.clock.now() {
            return Err(SupportError::InThePast);
        }
        self.change(voucher, VoucherEvent::Extend { expires_at }).await
    }

    /// Gives a voucher all its tries back.
    pub async fn reset(&self, voucher: VoucherHash) -> Result<Voucher, SupportError> {
        self.change(voucher, VoucherEvent::Reset).await
    }

    async fn change(&self, voucher: VoucherHash, event: VoucherEvent) -> Result<Voucher, SupportError> {
        let name = event.name();
        let changed = self.vouchers().change_voucher(voucher, event).await?;
        tracing::info!(voucher = %changed.mask, change = name, "an operator changed a voucher");
        Ok(changed)
    }

    /// Issues another voucher in place of a fulfilled one, once: asked again, the same one, for as long as its code can
    /// still be had.
    pub async fn reissue(&self, voucher: VoucherHash, by: String) -> Result<Reissued, SupportError> {
        let trail = self.vouchers().trail(&[voucher]).await?.ok_or(SupportError::NotFound)?;
        let state = trail.voucher.state.name();
        match self.issuer.replace(&trail.voucher, by).await? {
            Some(mut minted) => {
                let code = minted.codes.next().ok_or(MintError::Count)?;
                Ok(Reissued { batch: minted.batch, code, is_replay: minted.is_replay })
            }
            None => Err(SupportError::NotAllowed { state, event: "reissue" }),
        }
    }

    /// Redemptions that match, newest first.
    pub async fn redemptions(
        &self,
        search: RedemptionSearch,
        limit: u32,
    ) -> Result<Vec<Redemption>, StorageError> {
        self.reports.redemptions(search, limit).await
    }

    /// One redemption.
    pub async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, StorageError> {
        self.storage.redemption(id).await
    }

    /// Stops a redemption; its voucher stays good.
    pub async fn cancel(&self, id: RedemptionId) -> Result<Redemption, SupportError> {
        self.wish(id, Wish::Cancel).await
    }

    /// Delivers a message that is withheld: the owner's leave. Refused once the voucher has gone on without it.
    pub async fn release(&self, id: RedemptionId) -> Result<Redemption, SupportError> {
        let redemption = self.storage.redemption(id).await?.ok_or(SupportError::NotFound)?;
        let trail = self.trail(redemption.voucher).await?.ok_or(SupportError::NotFound)?;
        let has_gone_on =
            trail.voucher.redemption != Some(id) || trail.voucher.state == VoucherState::Cancelled;
        if has_gone_on {
            return Err(SupportError::NotAllowed { state: trail.voucher.state.name(), event: "release" });
        }
        self.wish(id, Wish::Release).await
    }

    /// Ends a redemption's quarantine, and with it the alert that told of it: a worker takes the redemption over within a
    /// second or so. [`SupportError::NotAllowed`] where it is in none.
    pub async fn resume(&self, id: RedemptionId) -> Result<Redemption, SupportError> {
        let redemption = self.storage.redemption(id).await?.ok_or(SupportError::NotFound)?;
        if !self.storage.resume(id).await? {
            return Err(SupportError::NotAllowed { state: redemption.phase.name(), event: "resume" });
        }
        tracing::info!(voucher = %redemption.mask, "an operator resumed a redemption");
        let alert = Alert::Quarantined { voucher: redemption.mask, sku: redemption.sku.clone() };
        let cleared = Observed {
            health: Vec::new(),
            accounts: Vec::new(),
            alerts: vec![AlertChange::clear(&alert)],
            rules: self.rules.health,
            now: self.issuer.clock.now(),
        };
        self.storage.observe(cleared).await?;
        Ok(redemption)
    }

    /// The wish is stored, and granted by whoever drives the redemption, within a second or so.
    async fn wish(&self, id: RedemptionId, wish: Wish) -> Result<Redemption, SupportError> {
        let redemption = self.storage.redemption(id).await?.ok_or(SupportError::NotFound)?;
        // Neither wish depends on plans and suppliers.
        let (outlook, suppliers, timing) = (Outlook::default(), BTreeMap::new(), Timing::default());
        let context = Context {
            plans: &[],
            outlook: &outlook,
            rules: &self.rules,
            suppliers: &suppliers,
            timing: &timing,
            jitter: 0,
        };
        match weigh_wish(&redemption, wish, &context, self.issuer.clock.now()) {
            WishAnswer::Refused => {
                Err(SupportError::NotAllowed { state: redemption.phase.name(), event: wish.name() })
            }
            WishAnswer::AlreadyGranted => Ok(redemption),
            WishAnswer::Grantable => {
                self.storage.append_inbox(id, Inbox::Wish(wish)).await?;
                Ok(redemption)
            }
        }
    }

    /// Why each plan of a redemption was chosen, oldest first, and whether the same choice would be made again; `None`
    /// where there is no such redemption.
    pub async fn explain(&self, id: RedemptionId) -> Result<Option<Vec<Explained>>, StorageError> {
        if self.storage.redemption(id).await?.is_none() {
            return Ok(None);
        }
        let stored = self.reports.choices(id).await?;
        let corrupt = |_| StorageError::Corrupt { table: "choice", row: id.to_string() };
        let explained = stored.into_iter().map(|stored| {
            let record = ChoiceRecord::read(&stored).map_err(corrupt)?;
            Ok(Explained { replayed: record.replay().text(), record, stored })
        });
        explained.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// How every source does of which something is known.
    pub async fn sources(&self) -> Result<Vec<(Source, Health)>, StorageError> {
        self.reports.sources().await
    }

    /// How every account stands of which something is known.
    pub async fn accounts(&self) -> Result<Vec<(SupplierName, Account)>, StorageError> {
        self.reports.accounts().await
    }

    /// What was delivered, what it cost, and how plans did from `from` until before `to`.
    pub async fn report(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Report, ReportError> {
        Report::read(&*self.reports, &*self.orphans, self.rules.rates.selling, from, to).await
    }

    /// Alerts, newest first; only those that are open if `open`.
    pub async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        self.alerts.alerts(open, limit).await
    }

    /// Clears an open alert by hand, so that it can be raised again. One that each look at an account finds again ends
    /// with what it tells of: [`SupportError::NotAllowed`].
    pub async fn acknowledge(&self, id: i64) -> Result<(), SupportError> {
        acknowledge(&*self.alerts, id, self.issuer.clock.now()).await
    }
}
