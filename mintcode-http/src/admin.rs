//! What operators ask for, with their key.

mod alerts;
mod batches;
mod lookup;
mod redemptions;
mod skus;
mod stats;
mod suppliers;
mod trail;
mod vouchers;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use serde::Serialize;

use crate::app::Shared;
use crate::error::{ApiError, Slug};

/// Who acts, while there is one operator's key.
const OPERATOR: &str = "admin";
const USUAL_PAGE: u32 = 20;
const LONGEST_PAGE: u32 = 100;

pub(crate) fn routes(shared: &Shared) -> Router<Shared> {
    Router::new()
        .merge(alerts::routes())
        .merge(batches::routes())
        .merge(lookup::routes())
        .merge(redemptions::routes())
        .merge(skus::routes())
        .merge(stats::routes())
        .merge(suppliers::routes())
        .merge(vouchers::routes())
        .route_layer(from_fn_with_state(shared.clone(), with_key))
}

/// Lets only those through who have the operator's key.
async fn with_key(State(shared): State<Shared>, request: Request, next: Next) -> Result<Response, ApiError> {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = sent
        .and_then(|sent| sent.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if key.is_some_and(|(_, key)| shared.is_admin(key.trim())) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::new(Slug::Unauthorized))
    }
}

/// A list as the contract shows it, newest first.
#[derive(Serialize)]
struct List<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
}

impl<T> List<T> {
    fn new(data: Vec<T>, has_more: bool) -> Self {
        Self { object: "list", data, has_more }
    }
}

/// How many rows a page has, from what was asked for.
fn page(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(USUAL_PAGE);
    if (1..=LONGEST_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::field("limit", format!("must be 1 to {LONGEST_PAGE}")))
    }
}

/// A page of at most `limit` rows, of which one more was read if there are more.
fn paged<T>(mut rows: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = limit as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}
