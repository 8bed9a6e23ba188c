//! Answers as the supplier, or a gateway in front of it, writes them.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::simulator::faults::{Arming, Fault};

/// How late a slow answer is, unless a fault says otherwise.
pub(super) const SLOW: Duration = Duration::from_secs(15);
/// How old the newest order of a stale list is, unless a fault says otherwise.
pub(super) const STALE: Duration = Duration::from_mins(1);

const GATEWAY: &str =
    "<html><head><title>Bad gateway</title></head><body><h1>The origin is unwell</h1></body></html>";
const NOT_FOUND: &str = "<html><head><title>404</title></head><body><h1>Page not found</h1></body></html>";

/// A status, a content type and a body.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    kind: &'static str,
    body: String,
    retry_after: Option<Duration>,
    location: Option<&'static str>,
}

impl Answer {
    fn new(status: StatusCode, kind: &'static str, body: &str) -> Self {
        Self { status, kind, body: body.to_owned(), retry_after: None, location: None }
    }

    pub(super) fn json(body: String) -> Self {
        Self { body, ..Self::new(StatusCode::OK, "application/json", "") }
    }

    /// An error: a short sentence without a line end.
    pub(super) fn text(status: StatusCode, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn gateway(status: StatusCode) -> Self {
        Self::new(status, "text/html", GATEWAY)
    }

    /// What a path segment that fits no route gets.
    pub(super) fn moved() -> Self {
        let body = "<a href=\"/404.html\">Found</a>.";
        Self { location: Some("/404.html"), ..Self::new(StatusCode::FOUND, "text/html; charset=utf-8", body) }
    }

    pub(super) fn page_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "text/html; charset=utf-8", NOT_FOUND)
    }

    /// What a fault answers in the place of the real answer, if it does.
    pub(super) fn instead(arming: &Arming) -> Option<Self> {
        let answer = match arming.name {
            Fault::NoFreePhones => Self::text(StatusCode::OK, "no free phones"),
            Fault::NotEnoughBalance => Self::text(StatusCode::BAD_REQUEST, "not enough user balance"),
            Fault::CancelTooEarly => Self::text(StatusCode::BAD_REQUEST, "you need to wait time"),
            Fault::ServerError500 => Self::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
            Fault::BadGateway502Html => Self::gateway(StatusCode::BAD_GATEWAY),
            Fault::Throttle429 => Self::text(StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            Fault::Unavailable503 => Self::text(StatusCode::SERVICE_UNAVAILABLE, ""),
            Fault::BadKey => Self::text(StatusCode::UNAUTHORIZED, ""),
            Fault::BuyRefusedBefore
            | Fault::BuyAnswerLost
            | Fault::CheckAnswerLost
            | Fault::FinishAnswerLost
            | Fault::CancelAnswerLost
            | Fault::BanAnswerLost
            | Fault::SlowAnswer
            | Fault::TruncatedBody
            | Fault::PriceHigherThanListed
            | Fault::UnknownStatus
            | Fault::SmsBetweenCheckAndCancel
            | Fault::SecondMessageWithoutCode
            | Fault::SmsWithoutCode
            | Fault::StaleOrderList => return None,
        };
        Some(Self { retry_after: arming.retry_after, ..answer })
    }

    /// The first half of the answer.
    pub(super) fn truncated(mut self) -> Self {
        let half = self.body.len() / 2;
        let cut = (0..=half).rev().find(|end| self.body.is_char_boundary(*end)).unwrap_or(0);
        self.body.truncate(cut);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, HeaderValue::from_static(location));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}
