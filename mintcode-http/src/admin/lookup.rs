//! Support work: everything that happened to a voucher.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use mintcode_core::ids::{BatchId, PlanId, RedemptionId, SkuId, SupplierName};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{OrderId, OrderStatus};
use mintcode_core::ports::{RedemptionTrail, VoucherTrail};
use mintcode_core::redemption::{AttemptRow, Outcome, Status};
use mintcode_core::voucher::Mask;
use serde::{Deserialize, Serialize};

use super::List;
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::input::SecretInput;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/admin/vouchers/lookup", post(lookup))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupBody {
    code: Option<String>,
    mask: Option<String>,
}

#[derive(Serialize)]
struct VoucherView {
    id: String,
    object: &'static str,
    state: &'static str,
    mask: Mask,
    sku: SkuId,
    batch: BatchId,
    expires_at: Option<DateTime<Utc>>,
    redemptions: Vec<RedemptionView>,
}

#[derive(Serialize)]
struct RedemptionView {
    id: RedemptionId,
    status: Status,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    attempts: Vec<AttemptView>,
}

#[derive(Serialize)]
struct AttemptView {
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
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

/// `POST /admin/vouchers/lookup`: by code, or by mask. The few vouchers that share a mask are answered as a list.
async fn lookup(
    State(shared): State<Shared>,
    SecretInput(body): SecretInput<LookupBody>,
) -> Result<Response, ApiError> {
    let trails = match (body.code, body.mask) {
        (Some(code), None) => Vec::from_iter(shared.issuer.trail(&code).await?),
        (None, Some(mask)) => {
            let mask: Mask = mask.parse().map_err(|error| ApiError::field("mask", format!("{error}")))?;
            shared.issuer.trails_by_mask(mask).await?
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::field("code", "give either the code or the mask"));
        }
    };
    let mut found: Vec<_> = trails.into_iter().map(|trail| VoucherView::new(trail, &shared)).collect();
    match found.pop() {
        None => Err(ApiError::new(Slug::NotFound)),
        Some(only) if found.is_empty() => Ok(Json(only).into_response()),
        Some(last) => {
            found.push(last);
            Ok(Json(List::new(found, false)).into_response())
        }
    }
}

impl VoucherView {
    fn new(trail: VoucherTrail, shared: &Shared) -> Self {
        let VoucherTrail { voucher, redemptions } = trail;
        Self {
            id: format!("vch_{}", voucher.hash),
            object: "voucher",
            state: voucher.state.name(),
            mask: voucher.mask,
            sku: voucher.sku,
            batch: voucher.batch,
            expires_at: voucher.expires_at,
            redemptions: redemptions.into_iter().map(|trail| RedemptionView::new(trail, shared)).collect(),
        }
    }
}

impl RedemptionView {
    fn new(trail: RedemptionTrail, shared: &Shared) -> Self {
        let RedemptionTrail { id, status, created_at, updated_at, attempts } = trail;
        let attempts = attempts.into_iter().map(|row| AttemptView::new(row, shared)).collect();
        Self { id, status, created_at, updated_at, attempts }
    }
}

impl AttemptView {
    fn new(row: AttemptRow, shared: &Shared) -> Self {
        Self {
            number: row.number,
            currency: row.price.and_then(|_| shared.currencies.get(&row.supplier).copied()),
            plan: row.plan,
            supplier: row.supplier,
            supplier_order: row.order,
            supplier_order_end: row.order_end,
            price: row.price,
            outcome: row.outcome,
            reason: row.reason,
            started_at: row.started_at,
            ended_at: row.ended_at,
        }
    }
}
