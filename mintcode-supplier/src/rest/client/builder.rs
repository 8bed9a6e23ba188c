//! What a client needs, checked once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::money::Currency;
use mintcode_core::ports::Clock;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::RestSupplier;
use crate::rest::gate::Gate;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL is not one of a web service.
    #[error("the supplier's URL has to start with http:// or https:// and name a host")]
    Url,
    /// The key is empty or cannot be sent in a header.
    #[error("the supplier's API key is empty or has characters that no header can carry")]
    Key,
    /// The time for an exchange is zero.
    #[error("the time for an answer has to be longer than zero")]
    Timeout,
    /// TLS or the system's certificates could not be set up.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Collects what a [`RestSupplier`] needs.
#[must_use]
pub struct RestSupplierBuilder {
    base: Url,
    api_key: SecretString,
    clock: Arc<dyn Clock>,
    currency: Currency,
    timeout: Duration,
    late_answers: Duration,
}

impl fmt::Debug for RestSupplierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestSupplierBuilder").field("currency", &self.currency).finish_non_exhaustive()
    }
}

impl RestSupplier {
    /// Starts with the service at `base` (its version included, such as `https://host/v1`), its key, and the clock
    /// by which its answers are read: when a `Retry-After` with a date is over, and when an order was made that does not
    /// say so. Whether a purchase may still be sent is told by its permit alone.
    pub fn builder(base: Url, api_key: SecretString, clock: Arc<dyn Clock>) -> RestSupplierBuilder {
        let (currency, timeout) = (Currency::USD, Duration::from_secs(10));
        RestSupplierBuilder { base, api_key, clock, currency, timeout, late_answers: Duration::ZERO }
    }
}

impl RestSupplierBuilder {
    /// The currency of the account, which the protocol never names; US dollars unless set.
    pub fn currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// How long one exchange may take from connecting to the last byte; 10 s unless set.
    ///
    /// Connecting alone gets half of it, at most 5 s, so that it always ends first: what runs out afterwards may
    /// have been sent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a purchase's answer is listened for, where that is longer than [`timeout`](Self::timeout): the engine
    /// goes on without it, and an answer that comes late still settles what was bought.
    pub fn late_answers(mut self, patience: Duration) -> Self {
        self.late_answers = patience;
        self
    }

    /// Checks everything and makes the client. Nothing is sent.
    ///
    /// Installs *ring* as the process's TLS provider where none is installed yet: without one, no client can be made.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names what is wrong and never holds the key.
    pub fn build(self) -> Result<RestSupplier, BuildError> {
        if !matches!(self.base.scheme(), "http" | "https") || !self.base.has_host() {
            return Err(BuildError::Url);
        }
        if self.timeout.is_zero() {
            return Err(BuildError::Timeout);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An error says that another thread was first, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let caller = self.client()?.build().map_err(BuildError::Client)?;
        let patience = self.timeout.max(self.late_answers);
        let buyer = self.client()?.timeout(patience).pool_max_idle_per_host(0).connector_layer(Gate);
        let buyer = buyer.build().map_err(BuildError::Client)?;
        Ok(RestSupplier { buyer, caller, base: self.base, currency: self.currency, clock: self.clock })
    }

    /// What both clients share: nothing is sent twice, redirected or passed through a proxy that some environment
    /// variable names.
    fn client(&self) -> Result<reqwest::ClientBuilder, BuildError> {
        let key = self.api_key.expose_secret();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BuildError::Key)?;
        if key.trim().is_empty() {
            return Err(BuildError::Key);
        }
        bearer.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        Ok(reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer), (ACCEPT, json)]))
            .user_agent(concat!("mintcode/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .retry(reqwest::retry::never())
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout((self.timeout / 2).min(Duration::from_secs(5)))
            .timeout(self.timeout))
    }
}
