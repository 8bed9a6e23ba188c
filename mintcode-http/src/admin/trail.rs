//! Everything that happened to a voucher, as operators see it.

use chrono::{DateTime, Utc};
use mintcode_core::ids::{BatchId, PlanId, RedemptionId, SkuId, SupplierName};
use mintcode_core::ledger::margin::{Earned, TooLarge};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::ports::{RedemptionTrail, VoucherTrail};
use mintcode_core::redemption::{AttemptRow, Outcome, Status};
use mintcode_core::voucher::{Mask, VoidReason, VoucherHash};
use serde::Serialize;

use crate::error::ApiError;

/// How a voucher's id begins; its keyed hash follows.
const VOUCHER: &str = "vch_";

/// A voucher's id in routes and answers.
pub(super) fn voucher_id(hash: VoucherHash) -> String {
    format!("{VOUCHER}{hash}")
}

/// The voucher of that id, if it is one.
pub(super) fn read_voucher_id(id: &str) -> Option<VoucherHash> {
    id.strip_prefix(VOUCHER)?.parse().ok()
}

#[derive(Serialize)]
pub(super) struct VoucherView {
    id: String,
    object: &'static str,
    state: &'static str,
    mask: Mask,
    sku: SkuId,
    batch: BatchId,
    expires_at: Option<DateTime<Utc>>,
    /// Why it was taken back, or is to be when its redemption ends.
    void_reason: Option<VoidReason>,
    /// The voucher it was issued in place of.
    replaces: Option<String>,
    /// The voucher that was issued in its place.
    replaced_by: Option<String>,
    redemptions: Vec<RedemptionRun>,
}

#[derive(Serialize)]
struct RedemptionRun {
    id: RedemptionId,
    status: Status,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    money: Earned,
    attempts: Vec<AttemptView>,
}

#[derive(Serialize)]
pub(super) struct AttemptView {
    number: u32,
    plan: PlanId,
    supplier: SupplierName,
    supplier_order: Option<OrderId>,
    /// How the order ended at the supplier.
    supplier_order_end: Option<OrderStatus>,
    price: Option<Amount>,
    currency: Option<Currency>,
    outcome: Option<Outcome>,
    reason: String,
    is_probe: bool,
    started_at: DateTime<Utc>,
    sms_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

impl VoucherView {
    /// `selling` is the selling currency.
    pub(super) fn new(trail: VoucherTrail, selling: Currency) -> Result<Self, ApiError> {
        let VoucherTrail { voucher, replaced_by, redemptions } = trail;
        let redemptions = redemptions.into_iter().map(|trail| RedemptionRun::new(trail, selling));
        Ok(Self {
            id: voucher_id(voucher.hash),
            object: "voucher",
            state: voucher.state.name(),
            mask: voucher.mask,
            sku: voucher.sku,
            batch: voucher.batch,
            expires_at: voucher.expires_at,
            void_reason: voucher.void,
            replaces: voucher.replaces.map(voucher_id),
            replaced_by: replaced_by.map(voucher_id),
            redemptions: redemptions.collect::<Result<_, _>>()?,
        })
    }
}

impl RedemptionRun {
    fn new(trail: RedemptionTrail, selling: Currency) -> Result<Self, TooLarge> {
        let RedemptionTrail { id, status, created_at, updated_at, attempts, ledger } = trail;
        let money = Earned::of(&ledger, selling)?;
        let attempts = attempts.into_iter().map(AttemptView::from).collect();
        Ok(Self { id, status, created_at, updated_at, money, attempts })
    }
}

impl From<AttemptRow> for AttemptView {
    fn from(row: AttemptRow) -> Self {
        Self {
            number: row.number,
            currency: row.price.map(|_| row.currency),
            plan: row.plan,
            supplier: row.supplier,
            supplier_order: row.order,
            supplier_order_end: row.order_end,
            price: row.price,
            outcome: row.outcome,
            reason: row.reason,
            is_probe: row.is_probe,
            started_at: row.started_at,
            sms_at: row.sms_at,
            ended_at: row.ended_at,
        }
    }
}
