//! What operators ask for, with their key.

mod batches;
mod lookup;
mod skus;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use serde::Serialize;

use crate::app::Shared;
use crate::error::{ApiError, Slug};

pub(crate) fn routes(shared: &Shared) -> Router<Shared> {
    Router::new()
        .merge(batches::routes())
        .merge(lookup::routes())
        .merge(skus::routes())
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
