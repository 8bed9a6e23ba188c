//! What the operator was told.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use mintcode_core::ports::AlertRow;
use serde::Deserialize;

use super::{List, page, paged};
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::input::Search;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/admin/alerts", get(alerts)).route("/admin/alerts/{id}", delete(acknowledge))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    open: bool,
    limit: Option<u32>,
}

/// `GET /admin/alerts`: newest first; with `open=true` only what is still so.
async fn alerts(
    State(shared): State<Shared>,
    Search(Wanted { open, limit }): Search<Wanted>,
) -> Result<Json<List<AlertRow>>, ApiError> {
    let limit = page(limit)?;
    let (alerts, has_more) = paged(shared.support.alerts(open, limit + 1).await?, limit);
    Ok(Json(List::new(alerts, has_more)))
}

/// `DELETE /admin/alerts/{id}`: clears an open alert, which can then be raised again; one that each look at an account
/// finds again is refused.
async fn acknowledge(State(shared): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = id.parse().map_err(|_| ApiError::new(Slug::NotFound))?;
    shared.support.acknowledge(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
