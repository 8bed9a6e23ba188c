//! The customer's side of the HTTP API.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::redemption::Status;
use reqwest::header::{ACCEPT_LANGUAGE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::exit::{Failure, chain};

/// How long the server is asked to hold an answer, in seconds.
const HELD: u64 = 20;
/// How long an exchange may take; longer than an answer is held.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Speaks with one server.
pub(super) struct Client {
    http: reqwest::Client,
    server: Url,
}

/// A redemption as the server shows it: what this command makes use of.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) phone: Option<String>,
    pub(super) code: Option<String>,
    pub(super) text: Option<String>,
    pub(super) failure: Option<Value>,
    pub(super) resumes_at: Option<DateTime<Utc>>,
    pub(super) deadline: DateTime<Utc>,
}

/// A redemption and the tag of this sight of it.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) shown: Shown,
    pub(super) etag: Option<HeaderValue>,
    /// What the server's clock showed, so that this machine's need not be right.
    pub(super) server_time: Option<DateTime<Utc>>,
}

/// Why a request brought no redemption.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server says no.
    Refused(Problem),
    /// The server asks to come again later, or did not answer. The same request is as good again.
    Later { wait: Option<Duration>, why: String },
}

/// An RFC 9457 problem.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Problem {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) detail: String,
    #[serde(default)]
    pub(super) retryable: Option<bool>,
    #[serde(default)]
    pub(super) retry_after: Option<u64>,
}

impl Problem {
    /// The last part of its type.
    pub(super) fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}

impl Client {
    pub(super) fn new(server: &Url) -> Result<Self, Failure> {
        let mut server = server.clone();
        if !matches!(server.scheme(), "http" | "https") || !server.has_host() {
            return Err(Failure::usage("--server is a URL that begins with http:// or https://"));
        }
        if !server.path().ends_with('/') {
            server.set_path(&format!("{}/", server.path()));
        }
        let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static("en"))]);
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("mintcode/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT);
        let is_local = matches!(server.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let http = if is_local { http.no_proxy() } else { http };
        let http = http.build().map_err(|error| Failure::because("HTTP cannot be set up", &error))?;
        Ok(Self { http, server })
    }

    /// The server, without anything secret that its URL may hold.
    pub(super) fn name(&self) -> String {
        self.server.origin().ascii_serialization()
    }

    /// Redeems a voucher, or comes back to its redemption.
    pub(super) async fn begin(&self, code: &str, key: &str) -> Result<Sight, Trouble> {
        let request =
            self.http.post(self.at("redeem")).header("idempotency-key", key).json(&json!({ "code": code }));
        let response = request.send().await.map_err(|error| lost(&error))?;
        sight(response).await
    }

    /// Waits a while for a redemption to change from what `known` shows; `None` where it did not.
    pub(super) async fn wait(&self, known: &Sight) -> Result<Option<Sight>, Trouble> {
        let mut request = self.http.get(self.at(&format!("redeem/{}", known.shown.id)));
        request = request.header("prefer", format!("wait={HELD}"));
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(|error| lost(&error))?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        sight(response).await.map(Some)
    }

    fn at(&self, path: &str) -> Url {
        self.server.join(path).expect("a path below a URL with a host is a URL")
    }
}

async fn sight(response: Response) -> Result<Sight, Trouble> {
    let status = response.status();
    let header = |name| response.headers().get(name).cloned();
    let etag = header(ETAG);
    let date = header(reqwest::header::DATE);
    let wait =
        header(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let body = response.bytes().await.map_err(|error| lost(&error))?;
    if status.is_success() {
        let shown = serde_json::from_slice(&body).map_err(|_| Trouble::Refused(foreign(status)))?;
        let server_time = date.and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        return Ok(Sight { shown, etag, server_time: server_time.map(|time| time.to_utc()) });
    }
    let problem = serde_json::from_slice::<Problem>(&body).ok().filter(|problem| !problem.kind.is_empty());
    match problem {
        // The voucher's own troubles are the customer's to know; a server's are waited out.
        Some(problem) if !matches!(problem.slug(), "in-flight" | "too-many-requests" | "internal") => {
            Err(Trouble::Refused(problem))
        }
        None if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            Err(Trouble::Refused(foreign(status)))
        }
        Some(_) | None => Err(Trouble::Later { wait, why: format!("the server answers {status}") }),
    }
}

/// What is said of an answer that no MintCode server gives.
fn foreign(status: StatusCode) -> Problem {
    Problem {
        kind: "/problems/not-found".to_owned(),
        title: "This is no MintCode server".to_owned(),
        detail: format!("it answers {status}; check --server"),
        retryable: Some(false),
        retry_after: None,
    }
}

fn lost(error: &reqwest::Error) -> Trouble {
    Trouble::Later { wait: None, why: chain(error) }
}
