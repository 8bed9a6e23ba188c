//! A supplier that notes what it is asked, and whose list and answers can be spoilt.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Sight};
use mintcode_core::ports::{BuyError, BuyPermit, CallError, Capabilities, Profile, Supplier, Wanted};
use mintcode_core::testing::FakeSupplier;
use tokio::time::Instant;

/// What the supplier was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Account,
    Buy,
    Check,
    Settle,
    List,
}

/// The fake supplier with somebody watching in front of it. Clones are one and the same.
#[derive(Clone)]
pub(crate) struct Spy {
    pub(crate) inner: FakeSupplier,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    asked: Vec<(Instant, Asked)>,
    hidden: BTreeSet<OrderId>,
    listed_as_cancelled: BTreeSet<OrderId>,
    throttles: Option<Duration>,
    has_broken_list: bool,
    hanging: BTreeSet<OrderId>,
}

impl Spy {
    pub(crate) fn over(inner: FakeSupplier) -> Self {
        Self { inner, notes: Arc::default() }
    }

    /// Leaves the order out of every list.
    pub(crate) fn hide(&self, order: OrderId) {
        self.notes.lock().unwrap().hidden.insert(order);
    }

    /// Lists the order as cancelled, though it is not.
    pub(crate) fn list_as_cancelled(&self, order: OrderId) {
        self.notes.lock().unwrap().listed_as_cancelled.insert(order);
    }

    /// Gives no clear answer when asked for the list.
    pub(crate) fn break_list(&self) {
        self.notes.lock().unwrap().has_broken_list = true;
    }

    /// Never answers a look at this order.
    pub(crate) fn hang(&self, order: OrderId) {
        self.notes.lock().unwrap().hanging.insert(order);
    }

    /// Refuses everything as one request too many.
    pub(crate) fn throttle(&self, retry_after: Option<Duration>) {
        self.notes.lock().unwrap().throttles = retry_after;
    }

    pub(crate) fn count(&self, what: Asked) -> usize {
        self.notes.lock().unwrap().asked.iter().filter(|(_, asked)| *asked == what).count()
    }

    pub(crate) fn asked_since(&self, since: Instant) -> Vec<(Instant, Asked)> {
        self.notes.lock().unwrap().asked.iter().copied().filter(|(at, _)| *at >= since).collect()
    }

    /// The most requests that any second saw.
    pub(crate) fn most_in_a_second(&self) -> usize {
        let notes = self.notes.lock().unwrap();
        let times: Vec<_> = notes.asked.iter().map(|(at, _)| *at).collect();
        let in_second = |(place, from): (usize, &Instant)| {
            times[place..].iter().take_while(|at| **at < *from + Duration::from_secs(1)).count()
        };
        times.iter().enumerate().map(in_second).max().unwrap_or(0)
    }

    fn note(&self, what: Asked) -> Result<(), CallError> {
        let mut notes = self.notes.lock().unwrap();
        notes.asked.push((Instant::now(), what));
        match notes.throttles {
            Some(pause) => Err(CallError::Throttled { retry_after: Some(pause) }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Supplier for Spy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn currency(&self) -> Currency {
        self.inner.currency()
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        self.note(Asked::Account)?;
        self.inner.profile().await
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        match self.note(Asked::Buy) {
            Err(CallError::Throttled { retry_after }) => Err(BuyError::Throttled { retry_after }),
            _ => self.inner.buy(permit).await,
        }
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.note(Asked::Check)?;
        if self.notes.lock().unwrap().hanging.contains(order) {
            std::future::pending::<()>().await;
        }
        self.inner.check(order).await
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.note(Asked::Settle)?;
        self.inner.finish(order).await
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.note(Asked::Settle)?;
        self.inner.cancel(order).await
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.note(Asked::Settle)?;
        self.inner.ban(order).await
    }

    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        self.inner.listed_price(wanted).await
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        self.note(Asked::List)?;
        if self.notes.lock().unwrap().has_broken_list {
            return Err(CallError::Unclear("a row that cannot be read".into()));
        }
        let mut orders = self.inner.recent_orders(skip).await?;
        let notes = self.notes.lock().unwrap();
        orders.retain(|listed| !notes.hidden.contains(&listed.order.id));
        for listed in &mut orders {
            if notes.listed_as_cancelled.contains(&listed.order.id) {
                listed.sight.status = OrderStatus::Cancelled;
            }
        }
        Ok(orders)
    }
}
