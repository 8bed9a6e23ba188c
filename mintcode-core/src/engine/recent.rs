//! One reading of the supplier's newest orders for all who look for a lost purchase at that time.
//!
//! After an outage hundreds of purchases may be looked for at once. Each needs the same pages, read after it asked for
//! them; so whoever asks while a reading is under way shares the next one, whatever comes of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::order::{ListedOrder, OrderId};
use crate::redemption::{CallFailure, Intent};

/// Pages of a hundred or so that one reading takes at most.
const MOST_PAGES: u32 = 50;

/// The newest orders of an account, as they were read last.
#[derive(Default)]
pub(super) struct RecentOrders {
    last: tokio::sync::Mutex<Option<Reading>>,
    wanted: Mutex<Wanted>,
}

#[derive(Default)]
struct Wanted {
    /// The number of the last who asked.
    last: u64,
    reaches: BTreeMap<u64, Reach>,
}

/// How far back a list has to be read: to an order known before an intent.
#[derive(Clone)]
struct Reach {
    newest_known: Option<OrderId>,
    since: DateTime<Utc>,
}

struct Reading {
    /// It began after everybody up to this number had asked, and reads as far back as they want.
    asked_by: u64,
    orders: Result<Vec<ListedOrder>, CallFailure>,
    is_at_end: bool,
}

/// Keeps a reach among those that are wanted.
struct Ticket<'a> {
    number: u64,
    wanted: &'a Mutex<Wanted>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        lock(self.wanted).reaches.remove(&self.number);
    }
}

fn lock(wanted: &Mutex<Wanted>) -> MutexGuard<'_, Wanted> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reach {
    fn of(intent: &Intent, skew: Duration) -> Self {
        Self { newest_known: intent.newest_known.clone(), since: intent.intended_at - skew }
    }

    fn is_reached_by(&self, listed: &ListedOrder) -> bool {
        self.newest_known.as_ref().is_some_and(|newest| listed.order.id <= *newest)
            || listed.order.created_at < self.since
    }
}

impl RecentOrders {
    /// The orders that may be the purchase of `intent`, from a reading that began after this call. `page` reads those behind
    /// the newest so many. The flag tells whether the list was read back to an order known before the intent, or to its
    /// end.
    pub(super) async fn since<F: Future<Output = Result<Vec<ListedOrder>, CallFailure>>>(
        &self,
        intent: &Intent,
        skew: Duration,
        page: impl Fn(u64) -> F,
    ) -> Result<(Vec<ListedOrder>, bool), CallFailure> {
        let reach = Reach::of(intent, skew);
        let ticket = self.want(reach.clone());
        let mut last = self.last.lock().await;
        let reading = match last.take() {
            Some(shared) if shared.asked_by >= ticket.number => shared,
            Some(_) | None => self.read(page).await,
        };
        let reading = last.insert(reading);
        let orders = reading.orders.as_ref().map_err(|failure| *failure)?;
        let is_whole = reading.is_at_end || orders.iter().any(|listed| reach.is_reached_by(listed));
        let may_be_it = |listed: &&ListedOrder| {
            let wanted = &intent.wanted;
            let is_alike = (&listed.product, &listed.country, &listed.operator)
                == (&wanted.product, &wanted.country, &wanted.operator);
            is_alike && intent.newest_known.as_ref().is_none_or(|newest| listed.order.id > *newest)
        };
        Ok((orders.iter().filter(may_be_it).cloned().collect(), is_whole))
    }

    fn want(&self, reach: Reach) -> Ticket<'_> {
        let mut wanted = lock(&self.wanted);
        wanted.last += 1;
        let number = wanted.last;
        wanted.reaches.insert(number, reach);
        Ticket { number, wanted: &self.wanted }
    }

    /// Reads as far back as anybody wants who has asked by now.
    async fn read<F: Future<Output = Result<Vec<ListedOrder>, CallFailure>>>(
        &self,
        page: impl Fn(u64) -> F,
    ) -> Reading {
        let (asked_by, mut left) = {
            let wanted = lock(&self.wanted);
            (wanted.last, wanted.reaches.values().cloned().collect::<Vec<_>>())
        };
        let mut orders: Vec<ListedOrder> = Vec::new();
        for _ in 0..MOST_PAGES {
            // Rows are counted rather than pages: how many the supplier tells at once is its own affair.
            let page = match page(u64::try_from(orders.len()).unwrap_or(u64::MAX)).await {
                Ok(page) => page,
                Err(failure) => return Reading { asked_by, orders: Err(failure), is_at_end: false },
            };
            if page.is_empty() {
                return Reading { asked_by, orders: Ok(orders), is_at_end: true };
            }
            left.retain(|reach| !page.iter().any(|listed| reach.is_reached_by(listed)));
            orders.extend(page);
            if left.is_empty() {
                break;
            }
        }
        Reading { asked_by, orders: Ok(orders), is_at_end: false }
    }
}
