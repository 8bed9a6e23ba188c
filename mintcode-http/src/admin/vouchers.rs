//! Support work on one voucher: take it back, give it time, give its tries back, make up for it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use mintcode_core::engine::Reissued;
use mintcode_core::ids::BatchId;
use mintcode_core::voucher::{VoidReason, VoucherHash};
use serde::{Deserialize, Serialize};

use super::OPERATOR;
use super::trail::{VoucherView, read_voucher_id, voucher_id};
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::input::{Input, OptionalInput};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/vouchers/{id}/void", post(void))
        .route("/admin/vouchers/{id}/extend", post(extend))
        .route("/admin/vouchers/{id}/reset", post(reset))
        .route("/admin/vouchers/{id}/reissue", post(reissue))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VoidBody {
    pub(super) reason: Option<VoidReason>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtendBody {
    expires_at: DateTime<Utc>,
}

/// A body that says nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A voucher with its code, shown once more to whoever reissues it.
#[derive(Serialize)]
struct ReissuedView {
    id: String,
    object: &'static str,
    code: String,
    batch: BatchId,
    replaces: String,
}

/// `POST /admin/vouchers/{id}/void`: at once, or when the redemption that runs has ended without a code.
async fn void(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    OptionalInput(VoidBody { reason }): OptionalInput<VoidBody>,
) -> Result<Json<VoucherView>, ApiError> {
    let voucher = parse(&id)?;
    shared.support.void(voucher, reason.unwrap_or_default()).await?;
    shown(&shared, voucher).await
}

/// `POST /admin/vouchers/{id}/extend`
async fn extend(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Input(ExtendBody { expires_at }): Input<ExtendBody>,
) -> Result<Json<VoucherView>, ApiError> {
    let voucher = parse(&id)?;
    shared.support.extend(voucher, expires_at).await?;
    shown(&shared, voucher).await
}

/// `POST /admin/vouchers/{id}/reset`: all tries are given back.
async fn reset(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    OptionalInput(Nothing {}): OptionalInput<Nothing>,
) -> Result<Json<VoucherView>, ApiError> {
    let voucher = parse(&id)?;
    shared.support.reset(voucher).await?;
    shown(&shared, voucher).await
}

/// `POST /admin/vouchers/{id}/reissue`: one voucher in place of a fulfilled one; asked again, the same one.
async fn reissue(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    OptionalInput(Nothing {}): OptionalInput<Nothing>,
) -> Result<Response, ApiError> {
    let replaced = parse(&id)?;
    let Reissued { batch, code, is_replay } = shared.support.reissue(replaced, OPERATOR.to_owned()).await?;
    let code = code.reveal();
    let trail = shared.issuer.trail(&code).await?.ok_or_else(|| ApiError::new(Slug::Internal))?;
    let view = ReissuedView {
        id: voucher_id(trail.voucher.hash),
        object: "voucher",
        code,
        batch: batch.id,
        replaces: voucher_id(replaced),
    };
    if is_replay {
        return Ok((StatusCode::OK, [("idempotent-replayed", "true")], Json(view)).into_response());
    }
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

fn parse(id: &str) -> Result<VoucherHash, ApiError> {
    read_voucher_id(id).ok_or_else(|| ApiError::new(Slug::NotFound))
}

/// The voucher as a lookup shows it.
async fn shown(shared: &Shared, voucher: VoucherHash) -> Result<Json<VoucherView>, ApiError> {
    let trail = shared.support.trail(voucher).await?.ok_or_else(|| ApiError::new(Slug::NotFound))?;
    VoucherView::new(trail, shared.support.rules().rates.selling).map(Json)
}
