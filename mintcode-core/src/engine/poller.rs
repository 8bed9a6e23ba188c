//! Looks at the orders of one account whose SMS is awaited: one by one while they are few, by the page when they are many.
//!
//! A look that tells nothing new changes nothing, here or in storage. News is told to the worker, or, where the order is
//! another worker's, to that one's inbox.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::driver::Driver;
use super::pulse::Pulse;
use super::supplier_desk::{Chain, OrderCall, SupplierDesk};
use super::watchlist::{Due, Sighted};
use super::worker::Command;
use crate::budget::Class;
use crate::ids::{RedemptionId, SupplierName};
use crate::order::{ListedOrder, OrderId, Sight};
use crate::ports::{Clock, Inbox};
use crate::redemption::{Call, CallFailure, Event};

/// Single looks under way at once.
const MOST_CHECKS: usize = 32;
/// Pages under way at once.
const MOST_PAGES: usize = 8;
/// Rows that one page shares with the one before, so that orders coming and going between the two leave no gap.
const OVERLAP: usize = 5;
/// How many orders a page has before one was read.
const USUAL_PAGE: usize = 100;
/// Orders of others that are remembered as told.
const MOST_TOLD: usize = 10_000;
/// The pause while the account is held or the list cannot be read.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

pub(super) struct Poller {
    name: SupplierName,
    desk: Arc<SupplierDesk>,
    driver: Arc<Driver>,
    pulse: Arc<Pulse>,
    checks: JoinSet<(OrderId, Result<Sight, CallFailure>)>,
    /// Orders that a page has, as learned.
    page: usize,
    /// Single looks that come before the list is read again, so that orders missing from it are looked at too.
    singles_owed: usize,
    /// Orders of other workers that they were told of.
    told: BTreeSet<OrderId>,
}

impl Poller {
    pub(super) fn new(
        name: SupplierName,
        desk: Arc<SupplierDesk>,
        driver: Arc<Driver>,
        pulse: Arc<Pulse>,
    ) -> Self {
        let checks = JoinSet::new();
        Self { name, desk, driver, pulse, checks, page: USUAL_PAGE, singles_owed: 0, told: BTreeSet::new() }
    }

    /// Looks for as long as the worker lives.
    pub(super) async fn run(mut self) {
        while self.pulse.is_alive() {
            while let Some(checked) = self.checks.try_join_next() {
                self.checked(checked).await;
            }
            if self.checks.len() >= MOST_CHECKS
                && let Some(checked) = self.checks.join_next().await
            {
                self.checked(checked).await;
                continue;
            }
            if let Some(left) = self.desk.line.held() {
                tokio::time::sleep(left.min(AFTER_TROUBLE)).await;
                continue;
            }
            let now = self.driver.clock.now();
            let wakes = match self.desk.watchlist.due(self.pages_needed(), &self.driver.timing, now) {
                Due::Nothing(wakes) => wakes,
                Due::Many if self.may_read_list().await => {
                    self.read_list().await;
                    continue;
                }
                Due::Many => {
                    // Whoever reads the list tells of news; here they go on one by one.
                    self.singles_owed = self.page;
                    continue;
                }
                Due::One(order) => {
                    self.singles_owed = self.singles_owed.saturating_sub(1);
                    self.check(order);
                    continue;
                }
            };
            let pause = wakes.map(|at| (at - now).to_std().unwrap_or_default());
            let sleep = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            let watchlist = &self.desk.watchlist;
            let checked = tokio::select! {
                biased;
                Some(checked) = self.checks.join_next() => Some(checked),
                () = watchlist.changed.notified() => None,
                () = sleep => None,
            };
            if let Some(checked) = checked {
                self.checked(checked).await;
            }
        }
    }

    /// How many requests reading the list takes; `None` where it cannot be read, or is not to be read yet.
    fn pages_needed(&self) -> Option<usize> {
        let may_read = self.desk.lists_orders() && self.singles_owed == 0;
        may_read.then(|| 1 + self.desk.watchlist.len() / self.page.max(1))
    }

    /// Of several workers one reads the list for all.
    async fn may_read_list(&self) -> bool {
        let term = self.driver.timing.worker_ttl;
        !self.desk.line.is_shared()
            || self.driver.has_chore(&format!("list {}", self.name), term, &self.pulse).await
    }

    fn check(&mut self, order: OrderId) {
        let (desk, pulse) = (Arc::clone(&self.desk), Arc::clone(&self.pulse));
        self.checks.spawn(async move {
            let answer = desk.order(&order, OrderCall::Check, &pulse).await;
            (order, answer)
        });
    }

    async fn checked(
        &mut self,
        checked: Result<(OrderId, Result<Sight, CallFailure>), tokio::task::JoinError>,
    ) {
        let (order, answer) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                // Its next look is planned already.
                tracing::error!(%error, "a look at an order ended badly");
                return;
            }
        };
        match answer {
            Ok(sight) => self.seen(order, sight, true).await,
            Err(failure @ CallFailure::NotFound) => {
                if let Some(redemption) = self.desk.watchlist.not_found(&order) {
                    let event = Event::CallFailed { order, call: Call::Check, failure };
                    self.tell(redemption, event).await;
                }
            }
            Err(failure) => {
                tracing::debug!(supplier = %self.name, ?failure, "a look at an order brought nothing");
            }
        }
    }

    async fn seen(&self, order: OrderId, sight: Sight, is_by_itself: bool) {
        let (timing, now) = (&self.driver.timing, self.driver.clock.now());
        let sighted = self.desk.watchlist.seen(&order, &sight, is_by_itself, timing, now);
        match sighted {
            Sighted::News(redemption) => self.tell(redemption, Event::Seen { order, sight }).await,
            Sighted::Outlived(redemption) => self.outlived(redemption).await,
            Sighted::Foreign | Sighted::Known | Sighted::Doubtful => {}
        }
    }

    async fn outlived(&self, redemption: RedemptionId) {
        drop(self.driver.commands.send(Command::Outlived(redemption)).await);
    }

    async fn tell(&self, redemption: RedemptionId, event: Event) {
        // A worker that is gone is told nothing any more.
        drop(self.driver.commands.send(Command::News { redemption, event: Box::new(event) }).await);
    }

    /// Reads the list back to the oldest order that is looked at: a hundred or so are answered by one request. An order
    /// that is missing from it is not over: it stays due, and is looked at by itself.
    async fn read_list(&mut self) {
        let Some(oldest) = self.desk.watchlist.oldest() else { return };
        let began = self.driver.clock.now();
        let most = 3 * (1 + self.desk.watchlist.len() / self.page.max(1)) + MOST_PAGES;
        let (mut read, mut skip, mut is_whole, mut has_failed) = (0, 0, false, false);
        let mut pages = JoinSet::new();
        loop {
            // The first page is read alone: it tells how long a page is.
            let at_once = if read == 0 { 1 } else { MOST_PAGES };
            while !is_whole && read + pages.len() < most && pages.len() < at_once {
                let (desk, from) = (Arc::clone(&self.desk), skip);
                let from = u64::try_from(from).unwrap_or(u64::MAX);
                pages.spawn(async move { desk.page(from, Class::Poll).await });
                skip += self.page.saturating_sub(OVERLAP).max(1);
            }
            let page = tokio::select! {
                biased;
                Some(checked) = self.checks.join_next() => {
                    self.checked(checked).await;
                    continue;
                }
                page = pages.join_next() => page,
            };
            let Some(page) = page else { break };
            let rows = match page {
                Ok(Ok(rows)) => rows,
                Ok(Err(failure)) => {
                    tracing::debug!(supplier = %self.name, ?failure, "the list of orders could not be read");
                    has_failed = true;
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "reading the list of orders ended badly");
                    has_failed = true;
                    break;
                }
            };
            is_whole |= rows.is_empty() || rows.iter().any(|row| row.order.id <= oldest);
            if read == 0 && !rows.is_empty() {
                self.page = rows.len();
                skip = self.page.saturating_sub(OVERLAP).max(1);
            }
            read += 1;
            self.rows_seen(rows).await;
        }
        // What was due before and was in none of the pages; without a list, orders are looked at one by one for a while.
        let most = if has_failed { self.page.max(USUAL_PAGE) } else { read };
        self.singles_owed = self.desk.watchlist.overdue(began, most);
    }

    async fn rows_seen(&mut self, rows: Vec<ListedOrder>) {
        let mut foreign = Vec::new();
        for row in rows {
            let (timing, now) = (&self.driver.timing, self.driver.clock.now());
            match self.desk.watchlist.seen(&row.order.id, &row.sight, false, timing, now) {
                Sighted::News(redemption) => {
                    self.tell(redemption, Event::Seen { order: row.order.id, sight: row.sight }).await;
                }
                Sighted::Outlived(redemption) => self.outlived(redemption).await,
                Sighted::Foreign if self.desk.line.is_shared() && is_worth_telling(&row.sight) => {
                    foreign.push(row.order.id);
                }
                Sighted::Foreign | Sighted::Known | Sighted::Doubtful => {}
            }
        }
        foreign.retain(|order| !self.told.contains(order));
        if !foreign.is_empty() {
            self.tell_others(foreign).await;
        }
    }

    /// Tells other workers of news about their orders, each once.
    async fn tell_others(&mut self, orders: Vec<OrderId>) {
        let storage = self.driver.journal.storage();
        let holders = match storage.holders(&self.name, &orders).await {
            Ok(holders) => holders,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "whose orders they are could not be read");
                return;
            }
        };
        for (order, redemption) in holders {
            if let Err(error) = storage.append_inbox(redemption, Inbox::News { order }).await {
                tracing::warn!(error = %Chain(&error), "news of an order could not be told");
                return;
            }
        }
        if self.told.len() > MOST_TOLD {
            self.told.clear();
        }
        self.told.extend(orders);
    }
}

fn is_worth_telling(sight: &Sight) -> bool {
    sight.status.is_closed() || !sight.messages.is_empty()
}
