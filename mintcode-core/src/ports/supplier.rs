//! Whoever sells numbers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::clock::Clock;
use crate::engine::journal;
use crate::money::{Amount, Currency};
use crate::order::{ListedOrder, Order, OrderId, Sight};

/// Leave to send one purchase, once.
///
/// Made by the engine's journal alone, when the intent behind it is durable, and consumed by
/// [`Supplier::buy`]: a purchase without a recorded intent does not compile.
///
/// ```compile_fail
/// # use mintcode_core::ports::BuyPermit;
/// let permit = BuyPermit { wanted: todo!(), window: todo!(), _journal: todo!() };
/// ```
///
/// ```compile_fail
/// # use mintcode_core::ports::BuyPermit;
/// fn twice(permit: BuyPermit) -> (BuyPermit, BuyPermit) {
///     (permit.clone(), permit)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a durable intent without its purchase has to be settled as uncertain"]
pub struct BuyPermit {
    wanted: Wanted,
    window: SendWindow,
    _journal: journal::Seal,
}

impl BuyPermit {
    pub(crate) fn new(wanted: Wanted, window: SendWindow, seal: journal::Seal) -> Self {
        Self { wanted, window, _journal: seal }
    }

    /// What is to be bought.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// While it is open the request may leave, and never after.
    #[must_use]
    pub fn window(&self) -> &SendWindow {
        &self.window
    }
}

/// The time in which a purchase may be sent, by the engine's own clock: no other clock decides on it.
#[derive(Clone)]
pub struct SendWindow {
    send_by: DateTime<Utc>,
    clock: Arc<dyn Clock>,
}

impl SendWindow {
    pub(crate) fn new(send_by: DateTime<Utc>, clock: Arc<dyn Clock>) -> Self {
        Self { send_by, clock }
    }

    /// Whether the purchase may still be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.clock.now() <= self.send_by
    }
}

impl fmt::Debug for SendWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendWindow").field("send_by", &self.send_by).finish_non_exhaustive()
    }
}

/// What to buy, in the supplier's own slugs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// The product's slug.
    pub product: String,
    /// The country's slug.
    pub country: String,
    /// The operator's slug; never `any`.
    pub operator: String,
    /// The most it may cost, in the supplier's currency. Not every supplier heeds it: the engine checks the order's price.
    pub max_cost: Amount,
}

/// What a supplier can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether [`Supplier::recent_orders`] works, so that a purchase without an answer can be looked for.
    pub lists_orders: bool,
    /// Whether a number can be reported as already used, beside cancelling it.
    pub bans: bool,
    /// How old an order must be before it can be cancelled.
    pub minimum_cancel_age: Duration,
}

/// The account at the supplier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The account's id there.
    pub id: String,
    /// Money left, in [`Profile::currency`].
    pub balance: Amount,
    /// The currency of the account.
    pub currency: Currency,
    /// The account's standing in thousandths, where the supplier has one.
    pub rating_milli: Option<i64>,
}

/// Why a redemption has to stop until an operator has seen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The key is refused, or requests from here are.
    Key,
    /// The balance does not cover the purchase.
    Balance,
    /// The account's standing does not allow purchases.
    Rating,
    /// The request is malformed or names something the supplier does not have.
    Parameters,
}

/// Why no number came back. A clear no is told apart from silence: only a clear no is believed.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    /// A clear no: nothing in stock at this plan.
    #[error("out of stock")]
    OutOfStock,
    /// A clear no that needs the operator.
    #[error("refused: {0:?}")]
    Stopped(Stop),
    /// The request never left: no connection, or its time to be sent had passed.
    #[error("the request was not sent")]
    NotSent(#[source] Option<BoxError>),
    /// A clear no: too many requests. Nothing was bought.
    #[error("too many requests")]
    Throttled {
        /// How long the supplier asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// No clear answer though the request may have arrived: a number may have been bought.
    #[error("no clear answer")]
    Unclear(#[source] BoxError),
}

/// Why a call about an order or the account brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Too many requests.
    #[error("too many requests")]
    Throttled {
        /// How long the supplier asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// The account needs the operator.
    #[error("refused: {0:?}")]
    Stopped(Stop),
    /// The supplier knows no such order.
    #[error("no such order")]
    NotFound,
    /// The order cannot be given back yet.
    #[error("too early")]
    TooEarly,
    /// The order's state does not allow the call. Why is not believed: a check of the order tells.
    #[error("the order's state does not allow it")]
    Conflict,
    /// No answer, or none that could be read.
    #[error("no clear answer")]
    Unclear(#[source] BoxError),
}

/// The cause behind an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sells numbers.
///
/// Implementations send what they are told once and report what came back. They never repeat a purchase, never
/// take an unknown answer for "out of stock", and keep their name out of every error text.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Supplier: Send + Sync {
    /// What this supplier can do.
    fn capabilities(&self) -> Capabilities;

    /// The currency of its prices.
    fn currency(&self) -> Currency;

    /// Looks at the account.
    async fn profile(&self) -> Result<Profile, CallError>;

    /// Buys one number: one request, sent while [`BuyPermit::window`] is open or not at all.
    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError>;

    /// Looks at an order and its messages. Changes nothing.
    async fn check(&self, order: &OrderId) -> Result<Sight, CallError>;

    /// Completes an order that has a message.
    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError>;

    /// Gives back an order that has no message.
    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError>;

    /// Gives back an order whose number is already used. Where [`Capabilities::bans`] is false, the same as `cancel`.
    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError>;

    /// What the supplier's catalogue says a number costs now; `None` where it does not say. Changes nothing.
    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError>;

    /// The next orders of the account behind the newest `skip` ones, newest first, as many as the supplier likes to
    /// tell at once. Only an empty answer means that there are no more. Changes nothing.
    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError>;
}
