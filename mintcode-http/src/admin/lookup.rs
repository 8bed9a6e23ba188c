//! Support work begins with a code, or with what is left of one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use mintcode_core::voucher::Mask;
use serde::Deserialize;

use super::List;
use super::trail::VoucherView;
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
    let selling = shared.support.rules().rates.selling;
    let found = trails.into_iter().map(|trail| VoucherView::new(trail, selling));
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    match found.pop() {
        None => Err(ApiError::new(Slug::NotFound)),
        Some(only) if found.is_empty() => Ok(Json(only).into_response()),
        Some(last) => {
            found.push(last);
            Ok(Json(List::new(found, false)).into_response())
        }
    }
}
