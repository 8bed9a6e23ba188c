//! What customers ask for over the API: redeem, look, wait, get the result, try again, replace, give up.

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use mintcode_core::engine::{Proof, RedeemError, Redeemed};
use mintcode_core::ids::RedemptionId;
use mintcode_core::redemption::{Phase, Redemption};
use mintcode_core::voucher::Refusal;
use serde::Deserialize;

use crate::address::ClientAddress;
use crate::app::Shared;
use crate::asking::{Known, etag, patience};
use crate::error::{ApiError, Slug};
use crate::holder::HolderCookie;
use crate::input::{SecretInput, accepts_html, idempotency_key, is_form};
use crate::lang::{Lang, Reader};
use crate::pages;
use crate::serve::Closing;
use crate::view::{RedemptionView, ResultView};

/// Seconds after which a result that is not there yet is worth another look.
const RESULT_RETRY: u64 = 2;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/redeem", post(redeem))
        .route("/redeem/{id}", get(look))
        .route("/redeem/{id}/result", get(result))
        .route("/redeem/{id}/retry", post(retry))
        .route("/redeem/{id}/replace", post(replace))
        .route("/redeem/{id}/cancel", post(cancel))
}

#[derive(Deserialize)]
struct RedeemBody {
    code: String,
}

/// `POST /redeem`: 202 for a new redemption, 200 for the one the same holder has; a form gets a page.
async fn redeem(
    State(shared): State<Shared>,
    reader: Reader,
    address: ClientAddress,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let cookie = HolderCookie::of(&headers, &*shared.entropy);
    let visitor = Visitor { headers: &headers, cookie: &cookie, address: &address };
    let mut response = if is_form(&headers) {
        from_form(&shared, reader, visitor, request).await.into_response()
    } else {
        from_json(&shared, reader.lang, visitor, request).await.into_response()
    };
    // Also with a refusal: a client that never got its first answer is to be known when it comes back.
    cookie.set(response.headers_mut());
    response
}

/// Who posted a voucher.
#[derive(Clone, Copy)]
struct Visitor<'a> {
    headers: &'a HeaderMap,
    cookie: &'a HolderCookie,
    address: &'a ClientAddress,
}

impl<'a> Visitor<'a> {
    fn proof(self) -> Result<Proof<'a>, ApiError> {
        Ok(Proof {
            session: Some(self.cookie.secret()),
            idempotency: idempotency_key(self.headers)?,
            address: self.address.as_deref(),
        })
    }
}

async fn from_json(
    shared: &Shared,
    lang: Lang,
    visitor: Visitor<'_>,
    request: Request,
) -> Result<Response, ApiError> {
    let proof = visitor.proof()?;
    let SecretInput(RedeemBody { code }) = SecretInput::from_request(request, shared).await?;
    let redeemed = shared.redeemer.redeem(&code, proof).await;
    let redeemed = redeemed.map_err(|error| ApiError::redeem(error, shared.clock.now()))?;
    Ok(begun(shared, &redeemed, lang))
}

async fn from_form(
    shared: &Shared,
    reader: Reader,
    visitor: Visitor<'_>,
    request: Request,
) -> Result<Response, ApiError> {
    let proof = visitor.proof()?;
    let form = Form::<RedeemBody>::from_request(request, shared).await;
    let Form(RedeemBody { code }) =
        form.map_err(|_| ApiError::field("code", "is missing or cannot be read as a form's field"))?;
    pages::redeem_form(shared, reader, &code, proof).await
}

/// The answer to whoever began a redemption, or came back to it.
fn begun(shared: &Shared, redeemed: &Redeemed, lang: Lang) -> Response {
    let status = if redeemed.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, shown(shared, &redeemed.redemption, lang)).into_response();
    let location = format!("/redeem/{}", redeemed.redemption.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The redemption as it is, with its entity tag.
fn shown(shared: &Shared, redemption: &Redemption, lang: Lang) -> Response {
    let view = RedemptionView::now(redemption, lang, &shared.site, shared.clock.now());
    ([(header::ETAG, etag(redemption))], Json(view)).into_response()
}

/// `GET /redeem/{id}`, held for as long as the client asks and nothing changes.
async fn look(
    State(shared): State<Shared>,
    reader: Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
    mut closing: Closing,
) -> Result<Response, ApiError> {
    let mut redemption = find(&shared, &id).await?;
    let known = Known::of(&headers);
    let patience = patience(&headers);
    let is_news = known.is_some() && !known.has(&etag(&redemption));
    if let Some(patience) = patience.filter(|_| !is_news && !redemption.is_final()) {
        let waited = shared.redeemer.wait(redemption.id, redemption.version, patience);
        tokio::select! {
            changed = waited => redemption = changed?.ok_or_else(|| ApiError::new(Slug::NotFound))?,
            () = closing.wait() => {}
        }
    }

    let tag = etag(&redemption);
    let mut response = if known.has(&tag) {
        (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response()
    } else {
        shown(&shared, &redemption, reader.lang)
    };
    if let Some(patience) = patience {
        let applied = HeaderValue::try_from(format!("wait={}", patience.as_secs()));
        response.headers_mut().extend(applied.ok().map(|value| (PREFERENCE_APPLIED, value)));
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-language, prefer"));
    Ok(response)
}

const PREFERENCE_APPLIED: header::HeaderName = header::HeaderName::from_static("preference-applied");

/// The redemption whose id a path gives.
pub(crate) async fn find(shared: &Shared, id: &str) -> Result<Redemption, ApiError> {
    let redemption = shared.redeemer.redemption(parse(id)?).await?;
    redemption.ok_or_else(|| ApiError::new(Slug::NotFound))
}

fn parse(id: &str) -> Result<RedemptionId, ApiError> {
    id.parse().map_err(|_| ApiError::new(Slug::NotFound))
}

/// `GET /redeem/{id}/result`
async fn result(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let redemption = find(&shared, &id).await?;
    match &redemption.phase {
        Phase::Delivered(_) if redemption.is_purged() => Err(ApiError::new(Slug::Purged)),
        Phase::Delivered(_) => Ok(Json(ResultView::of(&redemption)).into_response()),
        Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled => {
            Err(ApiError::failed(redemption.snapshot().failure, shared.clock.now()))
        }
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::Waiting(_)
        | Phase::Releasing(_)
        | Phase::CoolingDown { .. } => Err(ApiError::new(Slug::NotReady).after(RESULT_RETRY)),
    }
}

/// `POST /redeem/{id}/retry`: another redemption of the same voucher.
async fn retry(
    State(shared): State<Shared>,
    reader: Reader,
    Path(id): Path<String>,
    address: ClientAddress,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let proof =
        Proof { session: HolderCookie::sent(&headers), idempotency: None, address: address.as_deref() };
    let redeemed = shared.redeemer.retry(id, proof).await;
    if is_from_page(&headers) {
        // A button that is pressed twice leads to the same place.
        if let Err(RedeemError::Refused(Refusal::NotAllowed)) = &redeemed
            && let Some(next) = shared.redeemer.redemption(id).await?.and_then(|redemption| redemption.next)
        {
            return Ok(to_page(next, reader));
        }
    }
    let redeemed = redeemed.map_err(|error| ApiError::redeem(error, shared.clock.now()))?;
    if is_from_page(&headers) {
        return Ok(to_page(redeemed.redemption.id, reader));
    }
    Ok(begun(&shared, &redeemed, reader.lang))
}

/// `POST /redeem/{id}/replace`: another number.
async fn replace(
    State(shared): State<Shared>,
    reader: Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let redemption = shared.redeemer.replace(parse(&id)?).await?;
    Ok(wished(&shared, &redemption, reader, &headers))
}

/// `POST /redeem/{id}/cancel`: the customer gives up, the voucher stays good.
async fn cancel(
    State(shared): State<Shared>,
    reader: Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let redemption = shared.redeemer.cancel(parse(&id)?).await?;
    Ok(wished(&shared, &redemption, reader, &headers))
}

fn wished(shared: &Shared, redemption: &Redemption, reader: Reader, headers: &HeaderMap) -> Response {
    if is_from_page(headers) {
        return to_page(redemption.id, reader);
    }
    (StatusCode::ACCEPTED, shown(shared, redemption, reader.lang)).into_response()
}

/// Whether a button of the progress page sent the request, rather than a script.
fn is_from_page(headers: &HeaderMap) -> bool {
    is_form(headers) && accepts_html(headers)
}

/// Back to the progress page, by a GET that can be repeated.
pub(crate) fn to_page(id: RedemptionId, reader: Reader) -> Response {
    Redirect::to(&format!("/r/{id}{}", reader.query())).into_response()
}
