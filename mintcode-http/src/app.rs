//! The parts of the adapter, and its routes.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::IntoResponse;
use mintcode_core::engine::{Issuer, Redeemer, Support};
use mintcode_core::ports::{Clock, Entropy};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tower_http::catch_panic::CatchPanicLayer;

use crate::address::Proxy;
use crate::answer::answer;
use crate::error::{ApiError, Slug};
use crate::{admin, events, health, pages, redeem};

/// The longest body taken, in bytes.
const LONGEST_BODY: usize = 256 * 1024;

/// What the adapter calls and shows.
#[derive(Clone)]
pub struct App {
    /// Redeems for customers.
    pub redeemer: Redeemer,
    /// Mints for operators.
    pub issuer: Issuer,
    /// Does everything else that operators ask for.
    pub support: Support,
    /// Tells the time: [`Engine::clock`](mintcode_core::engine::Engine::clock), so that what is shown fits what is done.
    pub clock: Arc<dyn Clock>,
    /// Gives holders' secrets and request ids.
    pub entropy: Arc<dyn Entropy>,
    /// The operator's key, as sent in `Authorization: Bearer`.
    pub admin_key: SecretString,
    /// What pages say about the operator.
    pub site: Site,
    /// Whose word is believed about where a request comes from; without any, `X-Forwarded-For` is ignored.
    pub trusted_proxies: Vec<Proxy>,
}

/// What pages say about the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The name in the head of every page; `MintCode` is shown as 薄荷码工坊 to Chinese readers.
    pub name: String,
    /// Where customers find support: an address, a URL or plain text.
    pub support_contact: Option<String>,
    /// The terms: a URL or plain text.
    pub terms: Option<String>,
}

impl Default for Site {
    fn default() -> Self {
        Self { name: "MintCode".to_owned(), support_contact: None, terms: None }
    }
}

/// All routes over `app`.
///
/// They answer every path they are asked for, unknown ones too, and set their own headers; nest nothing under them. Merge
/// them with the routes of a service that leaves unknown paths to them:
///
/// ```
/// # use axum::{Router, routing::get};
/// # fn mounted(app: mintcode_http::App) -> Router {
/// Router::new().route("/hello", get(async || "hello")).merge(mintcode_http::router(app))
/// # }
/// ```
pub fn router(app: App) -> Router {
    let shared = Shared(Arc::new(app));
    let routes = Router::new()
        .merge(pages::routes())
        .merge(redeem::routes())
        .merge(events::routes())
        .merge(health::routes())
        .merge(admin::routes(&shared));
    dressed(routes, shared)
}

/// The routes of a process that only drives redemptions: whether it lives, and whether it can do its work.
pub fn worker_router(app: App) -> Router {
    dressed(health::routes(), Shared(Arc::new(app)))
}

fn dressed(routes: Router<Shared>, shared: Shared) -> Router {
    routes
        .fallback(async || ApiError::new(Slug::NotFound))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(CatchPanicLayer::custom(|_| ApiError::new(Slug::Internal).into_response()))
        .layer(middleware::from_fn_with_state(shared.clone(), answer))
        .with_state(shared)
}

/// The state of every handler.
#[derive(Clone)]
pub(crate) struct Shared(Arc<App>);

impl Deref for Shared {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

impl Shared {
    /// Whether `key` is the operator's. Takes the same time whatever the key.
    pub(crate) fn is_admin(&self, key: &str) -> bool {
        let (own, given) = (self.admin_key.expose_secret(), key);
        Sha256::digest(own).ct_eq(&Sha256::digest(given)).into()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("site", &self.site).finish_non_exhaustive()
    }
}
