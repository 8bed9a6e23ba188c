//! What operators ask: how things stand, what they cost, and what was told.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::storage::StorageError;
use crate::alert::Alert;
use crate::health::{Account, Health, Source};
use crate::ids::{PlanId, RedemptionId, SkuId, SupplierName};
use crate::ledger::{Book, Booked, Kind};
use crate::money::Amount;
use crate::redemption::{Redemption, Status};

/// Which redemptions are looked for; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedemptionSearch {
    /// Of this SKU.
    pub sku: Option<SkuId>,
    /// That stand here.
    pub status: Option<Status>,
    /// That are older than this one.
    pub before: Option<RedemptionId>,
}

/// The sum of entries of one kind, of one plan of a SKU on one day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerTotal {
    /// The day in UTC.
    pub day: NaiveDate,
    /// The SKU.
    pub sku: SkuId,
    /// The plan; `None` for what belongs to a redemption as a whole.
    pub plan: Option<PlanId>,
    /// The book.
    pub book: Book,
    /// The kind.
    pub kind: Kind,
    /// How many entries.
    pub entries: u64,
    /// Their value in the selling currency.
    pub value: Amount,
}

/// How a plan of a SKU did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTotal {
    /// The SKU.
    pub sku: SkuId,
    /// The plan.
    pub plan: PlanId,
    /// Attempts.
    pub attempts: u64,
    /// Attempts that got a number.
    pub numbers: u64,
    /// Attempts that found nothing in stock.
    pub out_of_stock: u64,
    /// Numbers that got an SMS.
    pub with_sms: u64,
    /// From the intent to the SMS, on average, in milliseconds; `None` where there was none.
    pub sms_after_ms: Option<u64>,
}

/// An alert as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertRow {
    /// Its id, growing in the order of raising.
    pub id: i64,
    /// What it says.
    #[serde(flatten)]
    pub alert: Alert,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When it was cleared; `None` while it is so.
    pub cleared_at: Option<DateTime<Utc>>,
    /// How often it was tried to be told.
    #[serde(skip)]
    pub tries: u32,
}

/// Answers operators. Changes nothing.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Redemptions that match, newest first, at most `limit`.
    async fn redemptions(
        &self,
        search: RedemptionSearch,
        limit: u32,
    ) -> Result<Vec<Redemption>, StorageError>;

    /// The choices of plans that were made for a redemption, oldest first, each exactly as it was stored: the
    /// [text](crate::redemption::ChoiceRecord::text) of its record.
    async fn choices(&self, redemption: RedemptionId) -> Result<Vec<String>, StorageError>;

    /// What is booked for a redemption, oldest first.
    async fn booked(&self, redemption: RedemptionId) -> Result<Vec<Booked>, StorageError>;

    /// The ledger's totals from `from` until before `to`, by day, SKU, plan, book and kind.
    async fn ledger_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<LedgerTotal>, StorageError>;

    /// How plans did in attempts begun from `from` until before `to`, by SKU and plan.
    async fn plan_totals(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<PlanTotal>, StorageError>;

    /// Every source of which something is known, in order.
    async fn sources(&self) -> Result<Vec<(Source, Health)>, StorageError>;

    /// Every account of which something is known, in order.
    async fn accounts(&self) -> Result<Vec<(SupplierName, Account)>, StorageError>;
}

/// Keeps alerts and who was told of them. They are raised and cleared by [`Storage`](super::Storage).
#[async_trait]
pub trait Alerts: Send + Sync {
    /// Alerts, newest first, at most `limit`; only those that are open if `open`.
    async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>, StorageError>;

    /// Clears an open alert by hand. `false` where there is none of that id.
    async fn acknowledge(&self, id: i64, now: DateTime<Utc>) -> Result<bool, StorageError>;

    /// Alerts that are yet to be told and whose time has come, oldest first, at most `limit`.
    async fn untold(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<AlertRow>, StorageError>;

    /// Notes that an alert was told, or is to be told again at `again_at`.
    async fn told(&self, id: i64, again_at: Option<DateTime<Utc>>) -> Result<(), StorageError>;
}
