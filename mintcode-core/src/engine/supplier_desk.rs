//! One configured supplier as the engine sees it: every request takes its place in the account's line first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::line::{Held, Line};
use super::pulse::Pulse;
use super::recent::RecentOrders;
use super::watchlist::Watchlist;
use crate::budget::Class;
use crate::money::{Amount, Currency, Rate};
use crate::order::{ListedOrder, Order, OrderId, Sight};
use crate::ports::{BuyError, BuyPermit, CallError, Profile, Supplier, Wanted};
use crate::redemption::{CallFailure, Intent, NotBought, SupplierFacts};

/// How long a call may take that is no purchase.
const PATIENCE: Duration = Duration::from_secs(30);
pub(super) struct SupplierDesk {
    supplier: Arc<dyn Supplier>,
    is_exclusive: bool,
    rate: Rate,
    newest: Mutex<Option<OrderId>>,
    recent: RecentOrders,
    pub(super) line: Arc<Line>,
    /// Orders of this process that wait for their SMS.
    pub(super) watchlist: Watchlist,
}

/// What a purchase brought.
pub(super) enum Bought {
    Order(Order),
    Nothing(NotBought),
    Unclear,
}

/// A call about an order.
#[derive(Clone, Copy)]
pub(super) enum OrderCall {
    Check,
    Finish,
    Cancel,
    Ban,
}

impl SupplierDesk {
    /// `longest_pause` is the longest one after a refusal for too many requests that names none.
    pub(super) fn new(
        supplier: Arc<dyn Supplier>,
        is_exclusive: bool,
        per_second: u32,
        longest_pause: Duration,
    ) -> Self {
        let (newest, line) = (Mutex::new(None), Arc::new(Line::new(per_second, longest_pause)));
        let watchlist = Watchlist::default();
        Self {
            supplier,
            is_exclusive,
            rate: Rate::ONE,
            newest,
            recent: RecentOrders::default(),
            line,
            watchlist,
        }
    }

    /// The same where one unit of the supplier's currency is worth `rate` in the selling currency.
    pub(super) fn at_rate(self, rate: Rate) -> Self {
        Self { rate, ..self }
    }

    pub(super) fn currency(&self) -> Currency {
        self.supplier.currency()
    }

    pub(super) fn facts(&self) -> SupplierFacts {
        SupplierFacts {
            capabilities: self.supplier.capabilities(),
            is_exclusive: self.is_exclusive,
            currency: self.supplier.currency(),
            rate: self.rate,
            newest_known: self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// How many purchases surely get their turn within `window`.
    pub(super) fn purchases_within(&self, window: Duration) -> usize {
        self.line.places_within(Class::Buy, window)
    }

    /// Whether the account is ours alone and has a list of its orders, so that lost ones can be found.
    pub(super) fn can_find_orders(&self) -> bool {
        self.is_exclusive && self.supplier.capabilities().lists_orders
    }

    pub(super) fn lists_orders(&self) -> bool {
        self.supplier.capabilities().lists_orders
    }

    pub(super) fn minimum_cancel_age(&self) -> Duration {
        self.supplier.capabilities().minimum_cancel_age
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    pub(super) fn know(&self, order: &OrderId) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest < order) {
            *newest = Some(order.clone());
        }
    }

    /// Waits for a purchase's turn; what it says if the account is told to wait.
    pub(super) async fn turn_to_buy(&self) -> Result<(), NotBought> {
        self.line.turn(Class::Buy).await.map_err(|Held(left)| throttled(Some(left)))
    }

    /// Sends one purchase, once.
    pub(super) async fn buy(&self, permit: BuyPermit) -> Bought {
        let answer = self.supplier.buy(permit).await;
        if !matches!(answer, Err(BuyError::Throttled { .. } | BuyError::NotSent(_) | BuyError::Unclear(_))) {
            self.line.went_through();
        }
        match answer {
            Ok(order) => {
                self.know(&order.id);
                Bought::Order(order)
            }
            Err(BuyError::OutOfStock) => Bought::Nothing(NotBought::OutOfStock),
            Err(BuyError::Stopped(stop)) => Bought::Nothing(NotBought::Stopped(stop)),
            Err(error @ BuyError::NotSent(_)) => {
                tracing::warn!(error = %Chain(&error), "a purchase was not sent");
                Bought::Nothing(NotBought::NotSent)
            }
            Err(BuyError::Throttled { retry_after }) => {
                self.line.hit(retry_after);
                Bought::Nothing(throttled(retry_after))
            }
            Err(error @ BuyError::Unclear(_)) => {
                tracing::warn!(error = %Chain(&error), "a purchase got no clear answer");
                Bought::Unclear
            }
        }
    }

    /// Calls about an order. A worker whose `pulse` stops while it stands in line sends nothing any more.
    pub(super) async fn order(
        &self,
        order: &OrderId,
        call: OrderCall,
        pulse: &Pulse,
    ) -> Result<Sight, CallFailure> {
        let class = match call {
            OrderCall::Check => Class::Poll,
            OrderCall::Finish | OrderCall::Cancel | OrderCall::Ban => Class::Settle,
        };
        self.line.turn(class).await.map_err(waiting)?;
        if !pulse.is_alive() {
            return Err(CallFailure::Unclear);
        }
        let answer = tokio::time::timeout(PATIENCE, async {
            match call {
                OrderCall::Check => self.supplier.check(order).await,
                OrderCall::Finish => self.supplier.finish(order).await,
                OrderCall::Cancel => self.supplier.cancel(order).await,
                OrderCall::Ban => self.supplier.ban(order).await,
            }
        });
        self.told(answer.await.map_err(|_| CallFailure::Unclear)?)
    }

    /// The next orders behind the newest `skip`.
    pub(super) async fn page(&self, skip: u64, class: Class) -> Result<Vec<ListedOrder>, CallFailure> {
        self.line.turn(class).await.map_err(waiting)?;
        let page = tokio::time::timeout(PATIENCE, self.supplier.recent_orders(skip)).await;
        let page = self.told(page.map_err(|_| CallFailure::Unclear)?)?;
        if let Some(newest) = page.iter().map(|listed| &listed.order.id).max() {
            self.know(newest);
        }
        Ok(page)
    }

    /// The newest orders that may be the purchase of `intent`. The flag tells whether the list was read back to one known
    /// before it, or to its end.
    pub(super) async fn orders_since(
        &self,
        intent: &Intent,
        skew: Duration,
    ) -> Result<(Vec<ListedOrder>, bool), CallFailure> {
        self.recent.since(intent, skew, |skip| self.page(skip, Class::List)).await
    }

    /// Learns the newest order the supplier has, so that a purchase whose answer is lost can be told from older ones.
    pub(super) async fn learn_newest(&self) {
        if self.lists_orders()
            && let Err(failure) = self.page(0, Class::List).await
        {
            tracing::warn!(?failure, "the supplier's newest orders could not be read");
        }
    }

    /// Looks at the account.
    pub(super) async fn profile(&self) -> Result<Profile, CallFailure> {
        self.line.turn(Class::List).await.map_err(waiting)?;
        let looked = tokio::time::timeout(PATIENCE, self.supplier.profile()).await;
        self.told(looked.map_err(|_| CallFailure::Unclear)?)
    }

    /// What the catalogue says a number costs, if it says so.
    pub(super) async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        if let Err(Held(left)) = self.line.turn(Class::List).await {
            return Err(CallError::Throttled { retry_after: Some(left) });
        }
        // The catalogue has limits of its own, so that its refusals hold no purchase back.
        let asked = tokio::time::timeout(PATIENCE, self.supplier.listed_price(wanted)).await;
        asked.unwrap_or_else(|late| Err(CallError::Unclear(late.into())))
    }

    fn told<T>(&self, answer: Result<T, CallError>) -> Result<T, CallFailure> {
        // Whatever else it says, an answer is proof that requests get through again.
        if !matches!(answer, Err(CallError::Throttled { .. } | CallError::Unclear(_))) {
            self.line.went_through();
        }
        answer.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &CallError) -> CallFailure {
        match error {
            CallError::Throttled { retry_after } => {
                self.line.hit(*retry_after);
                CallFailure::Throttled { retry_after: *retry_after }
            }
            CallError::Stopped(stop) => {
                tracing::error!(?stop, "the supplier refuses calls about orders");
                CallFailure::Stopped(*stop)
            }
            CallError::NotFound => CallFailure::NotFound,
            CallError::TooEarly => CallFailure::TooEarly,
            CallError::Conflict => CallFailure::Conflict,
            CallError::Unclear(_) => {
                tracing::debug!(error = %Chain(error), "a call about an order got no clear answer");
                CallFailure::Unclear
            }
        }
    }
}

fn throttled(retry_after: Option<Duration>) -> NotBought {
    let millis = retry_after.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
    NotBought::Throttled { retry_after_ms: millis }
}

fn waiting(Held(left): Held) -> CallFailure {
    CallFailure::Throttled { retry_after: Some(left) }
}

/// An error with its causes, on one line.
pub(super) struct Chain<'a>(pub(super) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
