//! What every answer has: a request id, a problem's words in the reader's language, and headers that keep it safe.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;

use crate::app::{Shared, Site};
use crate::error::{ApiError, Slug};
use crate::hex::random_hex;
use crate::input::accepts_html;
use crate::lang::{Lang, Reader};
use crate::pages;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;
/// Pages load only what comes from here, and run no script that stands in them.
const PAGE_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Dresses every answer.
pub(crate) async fn answer(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let asked = Asked {
        id: request_id(request.headers(), &shared),
        reader: Reader::of(request.uri(), request.headers()),
        wants_page: accepts_html(request.headers()),
        method: request.method().clone(),
        uri: request.uri().clone(),
        // The pattern, not the path: ids in it are capabilities.
        route: request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()),
    };
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<ApiError>().or_else(|| {
        (response.status() == StatusCode::METHOD_NOT_ALLOWED).then(|| ApiError::new(Slug::MethodNotAllowed))
    });
    asked.log(response.status(), problem.as_ref(), begun.elapsed());
    if let Some(problem) = problem {
        response = asked.worded(&problem, &response, &shared.site);
    }
    asked.head(response.headers_mut());
    response
}

/// What is kept of a request until it is answered.
struct Asked {
    id: String,
    reader: Reader,
    wants_page: bool,
    method: Method,
    uri: Uri,
    route: Option<String>,
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    request_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WrongField<'a>>,
}

#[derive(Serialize)]
struct WrongField<'a> {
    field: &'a str,
    message: &'a str,
}

impl Asked {
    fn log(&self, status: StatusCode, problem: Option<&ApiError>, took: Duration) {
        let (method, route) = (&self.method, self.route.as_deref().unwrap_or("(none)"));
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (request_id, status) = (&self.id, status.as_u16());
        if status < 500 {
            tracing::debug!(%method, route, status, duration_ms, request_id, "answered");
        } else {
            let cause = problem.and_then(|problem| problem.cause.as_deref()).map(chain);
            tracing::error!(%method, route, status, duration_ms, request_id, cause, "answered with a failure");
        }
    }

    /// The problem in words, under the status and headers that `response` has.
    fn worded(&self, problem: &ApiError, response: &Response, site: &Site) -> Response {
        let lang = self.reader.lang;
        let page = if self.wants_page {
            pages::problem_page(problem, self.reader, &self.uri, site).ok()
        } else {
            None
        };
        let mut worded = page.unwrap_or_else(|| self.json(problem, response.status(), lang, site));
        *worded.status_mut() = response.status();
        for (name, value) in response.headers() {
            if *name != header::CONTENT_LENGTH && *name != header::CONTENT_TYPE {
                worded.headers_mut().append(name.clone(), value.clone());
            }
        }
        worded.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(lang.tag()));
        worded
    }

    fn json(&self, problem: &ApiError, status: StatusCode, lang: Lang, site: &Site) -> Response {
        let body = Problem {
            kind: format!("/problems/{}", problem.slug.name()),
            title: lang.problem(problem.slug).title,
            status: status.as_u16(),
            detail: lang.detail(problem, site),
            request_id: &self.id,
            retryable: problem.retryable,
            retry_after: problem.retry_after,
            errors: problem
                .errors
                .iter()
                .map(|error| WrongField { field: &error.field, message: &error.message })
                .collect(),
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/problem+json")], Body::from(json)).into_response()
    }

    fn head(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(REQUEST_ID, id);
        }
        let mut unless_set = |name: HeaderName, value: &'static str| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        unless_set(header::CACHE_CONTROL, "no-store");
        unless_set(header::VARY, "accept, accept-language");
        unless_set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        // The addresses of pages are capabilities.
        unless_set(header::REFERRER_POLICY, "no-referrer");
        unless_set(HeaderName::from_static("x-robots-tag"), "noindex");
        unless_set(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    }
}

/// The id the client gave, where it is one, else a fresh one.
fn request_id(headers: &HeaderMap, shared: &Shared) -> String {
    let is_sane = |id: &&str| {
        (1..=LONGEST_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_sane);
    given.map_or_else(|| format!("req_{}", random_hex::<16>(&*shared.entropy)), ToOwned::to_owned)
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
