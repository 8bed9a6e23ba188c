//! Whether the process lives, and whether it can do its work.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::app::Shared;
use crate::error::ApiError;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready when storage answers.
async fn readyz(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    shared.support.skus().await?;
    Ok(Json(json!({ "status": "ok" })))
}
