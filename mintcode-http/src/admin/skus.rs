//! SKUs and the switches of their plans.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ports::{PlanChange, Put};
use mintcode_core::sku::{Sku, SkuSpec};
use serde::Serialize;
use serde_json::{Map, Value};

use super::List;
use crate::app::Shared;
use crate::error::{ApiError, Slug};
use crate::input::{Input, from_value};

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/admin/skus", get(list).post(create))
        .route("/admin/skus/{id}", get(one).put(replace).delete(archive))
        .route("/admin/skus/{id}/plans/{plan}", patch(change_plan))
}

/// A SKU as operators see it; sent back as it is, it means the same SKU.
#[derive(Serialize)]
struct SkuView {
    object: &'static str,
    #[serde(flatten)]
    sku: Sku,
}

impl From<Sku> for SkuView {
    fn from(sku: Sku) -> Self {
        Self { object: "sku", sku }
    }
}

/// `GET /admin/skus`
async fn list(State(shared): State<Shared>) -> Result<Json<List<SkuView>>, ApiError> {
    let skus = shared.support.skus().await?;
    Ok(Json(List::new(skus.into_iter().map(SkuView::from).collect(), false)))
}

/// `GET /admin/skus/{id}`
async fn one(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<SkuView>, ApiError> {
    stored(&shared, &parse(id)?).await.map(Json)
}

/// `POST /admin/skus`
async fn create(
    State(shared): State<Shared>,
    Input(body): Input<Map<String, Value>>,
) -> Result<Response, ApiError> {
    put(&shared, checked(body)?, Put::Create).await
}

/// `PUT /admin/skus/{id}`: replaces the SKU, or creates it.
async fn replace(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Input(mut body): Input<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let id = parse(id)?;
    body.entry("id").or_insert_with(|| Value::from(id.as_str()));
    let sku = checked(body)?;
    if sku.id != id {
        return Err(ApiError::field("id", "is not the id in the address"));
    }
    put(&shared, sku, Put::Apply).await
}

/// `DELETE /admin/skus/{id}`: takes it off sale; issued vouchers stay good.
async fn archive(State(shared): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    shared.support.archive_sku(&parse(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PATCH /admin/skus/{id}/plans/{plan}`: effective at the next choice of a plan.
async fn change_plan(
    State(shared): State<Shared>,
    Path((id, plan)): Path<(String, String)>,
    Input(change): Input<PlanChange>,
) -> Result<Json<SkuView>, ApiError> {
    let plan = PlanId::new(plan).map_err(|_| ApiError::new(Slug::NotFound))?;
    let sku = shared.support.change_plan(&parse(id)?, &plan, change).await?;
    Ok(Json(sku.into()))
}

fn parse(id: String) -> Result<SkuId, ApiError> {
    SkuId::new(id).map_err(|_| ApiError::new(Slug::NotFound))
}

/// The SKU that `body` describes. What only answers carry is passed over, so that an answer can be edited and sent back.
fn checked(mut body: Map<String, Value>) -> Result<Sku, ApiError> {
    body.remove("object");
    body.remove("archived");
    let spec: SkuSpec = from_value(Value::Object(body))?;
    Ok(Sku::try_from(spec)?)
}

async fn put(shared: &Shared, sku: Sku, put: Put) -> Result<Response, ApiError> {
    let id = sku.id.clone();
    let is_new = shared.support.put_sku(sku, put).await?;
    let sku = Json(stored(shared, &id).await?);
    if is_new {
        Ok((StatusCode::CREATED, [(header::LOCATION, format!("/admin/skus/{id}"))], sku).into_response())
    } else {
        Ok(sku.into_response())
    }
}

async fn stored(shared: &Shared, id: &SkuId) -> Result<SkuView, ApiError> {
    let sku = shared.support.sku(id).await?;
    sku.map(SkuView::from).ok_or_else(|| ApiError::new(Slug::NotFound))
}
