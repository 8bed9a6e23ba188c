//! The client: one request for each call, sent once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{ListedOrder, Order, OrderId, Sight};
use mintcode_core::ports::Clock;
use mintcode_core::ports::supplier::{
    BuyError, BuyPermit, CallError, Capabilities, Profile, SendWindow, Stop, Supplier, Wanted,
};
use url::Url;

use super::classify::{Call, Meaning, buy_error, call_error, classify, retry_after};
use super::failure::Failure;
use super::gate;
use super::wire::{self, Unreadable};

mod builder;

pub use builder::{BuildError, RestSupplierBuilder};

/// Rows asked for on a page of orders.
const PAGE: usize = 100;

/// Longer than any page of orders with all their messages.
const LONGEST_BODY: usize = 4 << 20;

/// A supplier that speaks the REST protocol.
///
/// Cheap to share behind an `Arc`. Neither its errors nor its `Debug` show the key, the address or what the
/// supplier wrote.
///
/// # Errors
///
/// Of a purchase, only a refusal in the supplier's known words, a 401/403/429 and a request that certainly never
/// left are definite; a redirect is too, since no route took the request. Everything else is
/// [`BuyError::Unclear`], with a [`Failure`] as its source.
pub struct RestSupplier {
    /// For purchases: no connection is ever used twice, so that "not connected" means "not sent".
    buyer: reqwest::Client,
    /// For everything else.
    caller: reqwest::Client,
    base: Url,
    currency: Currency,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for RestSupplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestSupplier").field("currency", &self.currency).finish_non_exhaustive()
    }
}

/// An answer as it came.
struct Answer {
    status: u16,
    body: String,
    retry_after: Option<Duration>,
}

impl Answer {
    fn unknown(&self) -> Failure {
        Failure::Unknown { status: self.status, bytes: self.body.len() }
    }

    fn unreadable(&self, Unreadable(part): Unreadable) -> Failure {
        Failure::Unreadable { status: self.status, part }
    }
}

#[async_trait]
impl Supplier for RestSupplier {
    fn capabilities(&self) -> Capabilities {
        // An early cancel may be refused, but nobody knows how early; the refusal says "later" by itself.
        Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO }
    }

    fn currency(&self) -> Currency {
        self.currency
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        let read = |body: &str| wire::profile(body, self.currency);
        self.call(Call::Look, self.url(&["user", "profile"]), read).await
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        self.buy_wanted(permit.wanted(), permit.window()).await
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.order_call(Call::Look, "check", order).await
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.order_call(Call::Settle, "finish", order).await
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.order_call(Call::Settle, "cancel", order).await
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.order_call(Call::Settle, "ban", order).await
    }

    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        let Wanted { product, country, operator, max_cost: _ } = wanted;
        let mut url = self.url(&["guest", "prices"]);
        url.query_pairs_mut().append_pair("country", country).append_pair("product", product);
        let read = |body: &str| wire::listed_price(body, country, product, operator);
        match self.call(Call::Look, url, read).await {
            // The catalogue does not know the country or the product, so it says nothing of their price.
            Err(CallError::Stopped(Stop::Parameters)) => Ok(None),
            answer => answer,
        }
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        let mut url = self.url(&["user", "orders"]);
        url.query_pairs_mut()
            .append_pair("category", "activation")
            .append_pair("limit", &PAGE.to_string())
            .append_pair("offset", &skip.to_string())
            .append_pair("order", "id")
            .append_pair("reverse", "true");
        let read = |body: &str| {
            // A row that cannot be read spoils the page: left out, it would look like an order that does not exist.
            wire::orders(body)?.iter().map(wire::WireOrder::listed).collect()
        };
        self.call(Call::Look, url, read).await
    }
}

impl RestSupplier {
    /// Buys `wanted`, unless the request cannot leave while `window` is open.
    async fn buy_wanted(&self, wanted: &Wanted, window: &SendWindow) -> Result<Order, BuyError> {
        let segments = [&*wanted.country, &*wanted.operator, &*wanted.product];
        // `any` would let the supplier choose the operator, and a segment such as `..` would name another route.
        if !segments.into_iter().all(is_slug) || segments.contains(&"any") {
            return Err(BuyError::Stopped(Stop::Parameters));
        }
        if !window.is_open() {
            return Err(BuyError::NotSent(None));
        }
        let [country, operator, product] = segments;
        let url = self.url(&["user", "buy", "activation", country, operator, product]);
        let answer = match gate::within(window.clone(), self.exchange(&self.buyer, url)).await {
            Ok(answer) => answer,
            Err(Failure::TooLate) => return Err(BuyError::NotSent(None)),
            Err(failure) if failure.is_not_sent() => return Err(BuyError::NotSent(Some(failure.into()))),
            Err(failure) => return Err(BuyError::Unclear(failure.into())),
        };
        let meaning = classify(Call::Buy, answer.status, &answer.body);
        if meaning != Meaning::Body {
            return Err(buy_error(meaning, answer.retry_after, answer.unknown()));
        }
        wire::order(&answer.body)
            .and_then(|order| order.bought(self.clock.now()))
            .map_err(|part| BuyError::Unclear(answer.unreadable(part).into()))
    }

    /// Does `verb` to an order and returns what the supplier shows of it afterwards.
    async fn order_call(&self, call: Call, verb: &str, order: &OrderId) -> Result<Sight, CallError> {
        // Every id there is a number; no other id can be one of theirs.
        let Ok(id) = order.as_str().parse::<u64>() else { return Err(CallError::NotFound) };
        let read = |body: &str| {
            let shown = wire::order(body)?;
            if shown.id() == Some(id) { Ok(shown.sight()) } else { Err(Unreadable("order id")) }
        };
        self.call(call, self.url(&["user", verb, order.as_str()]), read).await
    }

    async fn call<T>(
        &self,
        call: Call,
        url: Url,
        read: impl FnOnce(&str) -> Result<T, Unreadable>,
    ) -> Result<T, CallError> {
        let answer =
            self.exchange(&self.caller, url).await.map_err(|failure| CallError::Unclear(failure.into()))?;
        match classify(call, answer.status, &answer.body) {
            Meaning::Body => {
                read(&answer.body).map_err(|part| CallError::Unclear(answer.unreadable(part).into()))
            }
            meaning => Err(call_error(meaning, answer.retry_after, answer.unknown())),
        }
    }

    async fn exchange(&self, client: &reqwest::Client, url: Url) -> Result<Answer, Failure> {
        let lost = |error: reqwest::Error| Failure::from_transport(&error);
        let mut response = client.get(url).send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let header = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after =
            header.and_then(|value| value.to_str().ok()).and_then(|text| retry_after(text, self.clock.now()));
        let length = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = Vec::with_capacity(length.unwrap_or_default().min(LONGEST_BODY));
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(Failure::TooLong { status });
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(Answer { status, body, retry_after })
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the builder takes http and https only")
            .pop_if_empty()
            .extend(segments);
        url
    }
}

/// Whether `text` is what the supplier's routes take as a segment.
fn is_slug(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    !text.is_empty() && text.bytes().all(fits)
}
