//! One configured supplier as the engine sees it: paced, with the newest order known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::pacer::{Held, Pacer};
use crate::money::{Amount, Currency, Rate};
use crate::order::{ListedOrder, Order, OrderId, Sight};
use crate::ports::{BuyError, BuyPermit, CallError, Profile, Supplier, Wanted};
use crate::redemption::{CallFailure, Intent, NotBought, SupplierFacts};

/// How long a look at the account or the catalogue may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pages of a hundred or so that a look for a lost purchase reads at most.
const MOST_PAGES: u32 = 10;

pub(super) struct SupplierDesk {
    supplier: Arc<dyn Supplier>,
    is_exclusive: bool,
    rate: Rate,
    newest: Mutex<Option<OrderId>>,
    pacer: Pacer,
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
    pub(super) fn new(supplier: Arc<dyn Supplier>, is_exclusive: bool, per_second: u32) -> Self {
        let (newest, pacer) = (Mutex::new(None), Pacer::new(per_second));
        Self { supplier, is_exclusive, rate: Rate::ONE, newest, pacer }
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

    /// How many requests get their turn within `window`.
    pub(super) fn requests_within(&self, window: Duration) -> usize {
        self.pacer.turns_within(window)
    }

    pub(super) fn know(&self, order: &OrderId) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest < order) {
            *newest = Some(order.clone());
        }
    }

    /// Waits for a purchase's turn; what it says if the account is told to wait.
    pub(super) async fn turn_to_buy(&self) -> Result<(), NotBought> {
        self.pacer.turn().await.map_err(|Held(left)| throttled(Some(left)))
    }

    /// Sends one purchase, once.
    pub(super) async fn buy(&self, permit: BuyPermit) -> Bought {
        match self.supplier.buy(permit).await {
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
                self.hold(retry_after);
                Bought::Nothing(throttled(retry_after))
            }
            Err(error @ BuyError::Unclear(_)) => {
                tracing::warn!(error = %Chain(&error), "a purchase got no clear answer");
                Bought::Unclear
            }
        }
    }

    pub(super) async fn order(&self, order: &OrderId, call: OrderCall) -> Result<Sight, CallFailure> {
        let turn = match call {
            OrderCall::Check => self.pacer.turn_to_look().await,
            OrderCall::Finish | OrderCall::Cancel | OrderCall::Ban => self.pacer.turn().await,
        };
        turn.map_err(waiting)?;
        let answer = match call {
            OrderCall::Check => self.supplier.check(order).await,
            OrderCall::Finish => self.supplier.finish(order).await,
            OrderCall::Cancel => self.supplier.cancel(order).await,
            OrderCall::Ban => self.supplier.ban(order).await,
        };
        answer.map_err(|error| self.failure(&error))
    }

    /// Reads the newest orders, back to one known before `intent` or to the list's end. The flag tells whether it got there.
    pub(super) async fn orders_since(
        &self,
        intent: &Intent,
        skew: Duration,
    ) -> Result<(Vec<ListedOrder>, bool), CallFailure> {
        let mut orders: Vec<ListedOrder> = Vec::new();
        let is_witness = |listed: &ListedOrder| {
            intent.newest_known.as_ref().is_some_and(|newest| listed.order.id <= *newest)
                || listed.order.created_at < intent.intended_at - skew
        };
        for _ in 0..MOST_PAGES {
            self.pacer.turn_to_look().await.map_err(waiting)?;
            // Rows are counted rather than pages: how many the supplier tells at once is its own affair.
            let skip = u64::try_from(orders.len()).unwrap_or(u64::MAX);
            let page = self.supplier.recent_orders(skip).await.map_err(|error| self.failure(&error))?;
            for listed in &page {
                self.know(&listed.order.id);
            }
            let is_whole = page.is_empty() || page.iter().any(is_witness);
            orders.extend(page);
            if is_whole {
                return Ok((orders, true));
            }
        }
        Ok((orders, false))
    }

    /// Learns the newest order the supplier has, so that a purchase whose answer is lost can be told from older ones.
    pub(super) async fn learn_newest(&self) {
        if !self.supplier.capabilities().lists_orders {
            return;
        }
        match self.supplier.recent_orders(0).await {
            Ok(orders) => orders.iter().for_each(|listed| self.know(&listed.order.id)),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the supplier's newest orders could not be read");
            }
        }
    }

    /// Looks at the account.
    pub(super) async fn profile(&self) -> Result<Profile, CallFailure> {
        self.pacer.turn_to_look().await.map_err(waiting)?;
        let looked = tokio::time::timeout(PATIENCE, self.supplier.profile()).await;
        looked.map_err(|_| CallFailure::Unclear)?.map_err(|error| self.failure(&error))
    }

    /// What the catalogue says a number costs, if it says so.
    pub(super) async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        if let Err(Held(left)) = self.pacer.turn_to_look().await {
            return Err(CallError::Throttled { retry_after: Some(left) });
        }
        // The catalogue has limits of its own, so that its refusals hold no purchase back.
        let asked = tokio::time::timeout(PATIENCE, self.supplier.listed_price(wanted)).await;
        asked.unwrap_or_else(|late| Err(CallError::Unclear(late.into())))
    }

    fn failure(&self, error: &CallError) -> CallFailure {
        match error {
            CallError::Throttled { retry_after } => {
                self.hold(*retry_after);
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

    /// The whole account pauses, for a second where the supplier does not say how long.
    fn hold(&self, asked: Option<Duration>) {
        self.pacer.hold(asked.unwrap_or(Duration::from_secs(1)));
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
