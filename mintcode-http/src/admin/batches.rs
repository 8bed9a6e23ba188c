//! Minting, and the batches that were minted.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use futures_util::stream;
use mintcode_core::engine::{BatchCodes, MintRequest};
use mintcode_core::ids::{BatchId, SkuId};
use mintcode_core::ports::{BatchSummary, NewBatch};
use mintcode_core::span;
use mintcode_core::voucher::{Codes, Note};
use serde::{Deserialize, Serialize};

use super::vouchers::VoidBody;
use super::{List, OPERATOR, page, paged};
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::input::{Input, OptionalInput, Search, idempotency_key};

/// Codes made between two looks at the connection.
const CODES_AT_A_TIME: usize = 1000;
const MOST_IN_A_GROUP: usize = 64;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/vouchers/generate", post(generate))
        .route("/admin/vouchers/history", get(history))
        .route("/admin/vouchers/batches/{id}", get(batch))
        .route("/admin/vouchers/batches/{id}/codes", get(codes))
        .route("/admin/vouchers/batches/{id}/seal", post(seal))
        .route("/admin/vouchers/batches/{id}/void", post(void))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerateBody {
    sku_id: SkuId,
    count: u32,
    expires_in: Option<String>,
    note: Option<Note>,
}

#[derive(Deserialize)]
struct Shape {
    /// Symbols in a group; ungrouped unless given.
    #[serde(default)]
    group: usize,
}

/// `POST /admin/vouchers/generate`: the batch is stored whole before its first code is sent.
async fn generate(
    State(shared): State<Shared>,
    Search(Shape { group }): Search<Shape>,
    headers: HeaderMap,
    Input(body): Input<GenerateBody>,
) -> Result<Response, ApiError> {
    let expires_in = body.expires_in.as_deref().map(life).transpose()?;
    let request = MintRequest {
        sku: &body.sku_id,
        count: body.count,
        expires_in,
        note: body.note.clone(),
        minted_by: OPERATOR.to_owned(),
        idempotency: idempotency_key(&headers)?,
    };
    let group = checked(group)?;
    let minted = shared.issuer.mint(request).await?;
    let mut response = download(&minted.batch, minted.codes, group);
    if minted.is_replay {
        response
            .headers_mut()
            .insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn life(text: &str) -> Result<Duration, ApiError> {
    let life = span::parse(text).map_err(|error| ApiError::field("expires_in", error.to_string()))?;
    if life.is_zero() { Err(ApiError::field("expires_in", "must be longer than zero")) } else { Ok(life) }
}

fn checked(group: usize) -> Result<usize, ApiError> {
    if group > MOST_IN_A_GROUP {
        return Err(ApiError::field("group", format!("must be 0 to {MOST_IN_A_GROUP}")));
    }
    Ok(group)
}

/// The codes as a file, one per line, made while they are sent.
fn download(batch: &NewBatch, codes: Codes, group: usize) -> Response {
    let lines = stream::unfold(codes, move |mut codes| async move {
        let made = codes.by_ref().take(CODES_AT_A_TIME);
        let chunk: String = made.flat_map(|code| [code.grouped(group), "\n".to_owned()]).collect();
        (!chunk.is_empty()).then_some((Ok::<_, Infallible>(chunk), codes))
    });
    let mut response = Body::from_stream(lines).into_response();
    let file = format!("attachment; filename=\"{}-{}.txt\"", batch.sku, batch.id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.extend(HeaderValue::try_from(file).ok().map(|value| (header::CONTENT_DISPOSITION, value)));
    let id = HeaderValue::try_from(batch.id.to_string());
    headers.extend(id.ok().map(|value| (HeaderName::from_static("x-batch-id"), value)));
    response
}

/// A batch as operators see it.
#[derive(Serialize)]
struct BatchView {
    id: BatchId,
    object: &'static str,
    sku_id: SkuId,
    count: u32,
    note: Option<String>,
    minted_by: String,
    minted_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    sealed: bool,
    /// Vouchers by state.
    counts: BTreeMap<&'static str, u64>,
}

impl BatchView {
    fn new(summary: BatchSummary, shared: &Shared) -> Self {
        let sealed = shared.issuer.is_sealed(&summary.batch);
        let BatchSummary { batch, counts } = summary;
        Self {
            id: batch.id,
            object: "batch",
            sku_id: batch.sku,
            count: batch.count,
            note: batch.note,
            minted_by: batch.minted_by,
            minted_at: batch.minted_at,
            expires_at: batch.expires_at,
            sealed,
            counts,
        }
    }
}

#[derive(Deserialize)]
struct Cursor {
    starting_after: Option<BatchId>,
    limit: Option<u32>,
}

/// `GET /admin/vouchers/history`
async fn history(
    State(shared): State<Shared>,
    Search(Cursor { starting_after, limit }): Search<Cursor>,
) -> Result<Json<List<BatchView>>, ApiError> {
    let limit = page(limit)?;
    let (batches, has_more) = paged(shared.issuer.batches(starting_after, limit + 1).await?, limit);
    let data = batches.into_iter().map(|summary| BatchView::new(summary, &shared)).collect();
    Ok(Json(List::new(data, has_more)))
}

/// `GET /admin/vouchers/batches/{id}`
async fn batch(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<BatchView>, ApiError> {
    Ok(Json(find(&shared, parse(&id)?).await?))
}

async fn find(shared: &Shared, id: BatchId) -> Result<BatchView, ApiError> {
    let summary = shared.issuer.batch(id).await?.ok_or_else(|| ApiError::new(Slug::NotFound))?;
    Ok(BatchView::new(summary, shared))
}

fn parse(id: &str) -> Result<BatchId, ApiError> {
    id.parse().map_err(|_| ApiError::new(Slug::NotFound))
}

/// `GET /admin/vouchers/batches/{id}/codes`: the codes again, until the batch is sealed.
async fn codes(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Search(Shape { group }): Search<Shape>,
) -> Result<Response, ApiError> {
    let group = checked(group)?;
    match shared.issuer.codes(parse(&id)?).await? {
        BatchCodes::NotFound => Err(ApiError::new(Slug::NotFound)),
        BatchCodes::Sealed => Err(ApiError::new(Slug::BatchSealed)),
        BatchCodes::Open(batch, codes) => Ok(download(&batch, codes, group)),
    }
}

/// `POST /admin/vouchers/batches/{id}/seal`
async fn seal(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    if !shared.issuer.seal(id).await? {
        return Err(ApiError::new(Slug::NotFound));
    }
    Ok((StatusCode::OK, Json(find(&shared, id).await?)).into_response())
}

/// A batch some of whose vouchers were taken back.
#[derive(Serialize)]
struct Voided {
    #[serde(flatten)]
    batch: BatchView,
    /// How many were taken back now.
    voided: u64,
}

/// `POST /admin/vouchers/batches/{id}/void`: takes back what was never redeemed.
async fn void(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    OptionalInput(VoidBody { reason }): OptionalInput<VoidBody>,
) -> Result<Json<Voided>, ApiError> {
    let id = parse(&id)?;
    let voided = shared.support.void_batch(id, &reason.unwrap_or_default()).await?;
    let voided = voided.ok_or_else(|| ApiError::new(Slug::NotFound))?;
    Ok(Json(Voided { batch: find(&shared, id).await?, voided }))
}
