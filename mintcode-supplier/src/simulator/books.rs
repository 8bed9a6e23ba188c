//! The supplier's own books: a state machine over orders, stock and money that knows no clock.
//!
//! Every operation takes the time and first lets happen what was due until then, in the order it was due: messages
//! arrive, orders time out and finish by themselves. Between calls nothing runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::money::Amount;
use mintcode_core::order::{Message, Phone};

use super::catalogue::find_country;
use super::chance::draw;
use super::faults::Route;
use super::scenario::{FreshStatus, Line, Scenario, UnknownCountry};
use super::sms::{self, Quirk};

mod record;
#[cfg(test)]
mod tests;

pub(crate) use record::Payment;
pub use record::{Counts, Sale, Snapshot, Status};

/// What every order shows as its lifetime.
const SHOWN_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How long a new order is "PENDING".
const PREPARATION: TimeDelta = TimeDelta::seconds(2);
/// How long purchases are refused once the rating is used up.
const RATING_BAN: TimeDelta = TimeDelta::hours(24);
/// The best rating, in thousandths.
const BEST_RATING: i64 = 96_000;

/// Ids grow by one every hundredth of a second from this pair on, so that a simulator started later never reuses
/// those of one before it.
const FIRST_ID: u64 = 1_081_142_764;
const FIRST_ID_AT: i64 = 1_788_048_000;

/// Why the supplier says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing in stock.
    #[error("no free phones")]
    NoFreePhones,
    /// The balance does not cover the price.
    #[error("not enough user balance")]
    NotEnoughBalance,
    /// The rating is used up.
    #[error("not enough rating")]
    NotEnoughRating,
    /// No such country.
    #[error("bad country")]
    BadCountry,
    /// No such operator in this country.
    #[error("bad operator")]
    BadOperator,
    /// No such product.
    #[error("no product")]
    NoProduct,
    /// No such order, or it is closed already.
    #[error("order not found")]
    OrderNotFound,
    /// The order has timed out.
    #[error("order expired")]
    OrderExpired,
    /// The order has a message, so it cannot be given back.
    #[error("order has sms")]
    OrderHasSms,
    /// The order has no message, so it cannot be finished.
    #[error("order no sms")]
    OrderNoSms,
    /// The order is too young to be given back.
    #[error("you need to wait time")]
    TooEarly,
}

/// What is to be bought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purchase<'a> {
    pub(crate) country: &'a str,
    pub(crate) operator: &'a str,
    pub(crate) product: &'a str,
    /// Heeded only where the operator is `any`.
    pub(crate) max_price: Option<Amount>,
    pub(crate) quirk: Quirk,
    /// Charges twice the listed price.
    pub(crate) is_dear: bool,
}

/// A line on sale and what was sold of it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) line: Line,
    pub(crate) sold: u64,
}

impl Shelf {
    /// What is left; a line without end shows a number as large as live ones.
    pub(crate) fn count(&self, seed: u64) -> u64 {
        let endless = || 150_000 + draw(seed, &self.line.operator, self.line.product.len() as u64) % 50_000;
        self.line.stock.unwrap_or_else(endless).saturating_sub(self.sold)
    }

    fn has_stock(&self) -> bool {
        self.line.stock.is_none_or(|stock| stock > self.sold)
    }
}

struct Entry {
    sale: Sale,
    shelf: usize,
    /// Messages that will arrive if the order lives so long.
    coming: VecDeque<Message>,
    /// When a "PENDING" order becomes "RECEIVED".
    listens_at: DateTime<Utc>,
    /// The entry's place in the queue of what is due.
    due: Option<DateTime<Utc>>,
}

/// The books.
pub(crate) struct Books {
    scenario: Scenario,
    shelves: Vec<Shelf>,
    entries: BTreeMap<u64, Entry>,
    due: BTreeSet<(DateTime<Utc>, u64)>,
    payments: Vec<Payment>,
    balance: Amount,
    rating_milli: i64,
    banned_until: Option<DateTime<Utc>>,
    /// The latest time seen: the books never run backwards.
    now: DateTime<Utc>,
}

impl Books {
    /// Opens the books of `scenario`.
    pub(crate) fn new(scenario: Scenario, now: DateTime<Utc>) -> Self {
        let shelves = scenario.lines().into_iter().map(|line| Shelf { line, sold: 0 }).collect();
        let rating_milli = scenario.rating.micros() / 1_000;
        let (entries, due, payments) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut books = Self {
            scenario,
            shelves,
            entries,
            due,
            payments,
            balance: Amount::ZERO,
            rating_milli,
            banned_until: None,
            now,
        };
        books.book("charge", "admin", books.scenario.balance, now);
        books
    }

    /// Sells a number.
    pub(crate) fn buy(&mut self, wanted: &Purchase<'_>, now: DateTime<Utc>) -> Result<&Sale, Refusal> {
        let now = self.settle(now);
        if self.banned_until.is_some() {
            return Err(Refusal::NotEnoughRating);
        }
        let place = self.find(wanted)?;
        let line = self.shelves[place].line.clone();
        let price = line.charged.unwrap_or(line.price);
        let price = if wanted.is_dear { Amount::from_micros(line.price.micros() * 2) } else { price };
        if price > self.balance {
            return Err(Refusal::NotEnoughBalance);
        }
        self.shelves[place].sold += 1;
        self.book("buy", &line.product, Amount::from_micros(-price.micros()), now);
        let id = self.next_id(now);
        let entry = self.open(id, place, price, wanted.quirk, now);
        self.entries.insert(id, entry);
        self.schedule(id);
        Ok(&self.entries[&id].sale)
    }

    /// Looks at an order.
    pub(crate) fn check(&mut self, id: u64, now: DateTime<Utc>) -> Result<&Sale, Refusal> {
        self.settle(now);
        self.entries.get(&id).map(|entry| &entry.sale).ok_or(Refusal::OrderNotFound)
    }

    /// Completes an order that has a message.
    pub(crate) fn finish(&mut self, id: u64, now: DateTime<Utc>) -> Result<&Sale, Refusal> {
        let now = self.settle(now);
        let sale = self.check(id, now)?;
        match (sale.status, sale.sms.is_empty()) {
            (Status::Pending | Status::Received, false) => {}
            (Status::Pending | Status::Received, true) => return Err(Refusal::OrderNoSms),
            (Status::Timeout, _) => return Err(Refusal::OrderExpired),
            (Status::Finished | Status::Canceled | Status::Banned, _) => return Err(Refusal::OrderNotFound),
        }
        self.close(id, Status::Finished, 500, now);
        self.check(id, now)
    }

    /// Gives an order back: `as_status` is [`Status::Canceled`] or [`Status::Banned`].
    pub(crate) fn give_back(
        &mut self,
        id: u64,
        as_status: Status,
        now: DateTime<Utc>,
    ) -> Result<&Sale, Refusal> {
        let now = self.settle(now);
        let min_age = span(self.scenario.cancel_min_age);
        let sale = self.check(id, now)?;
        match (sale.status, sale.sms.is_empty()) {
            (Status::Pending | Status::Received, true) if now - sale.created_at < min_age => {
                return Err(Refusal::TooEarly);
            }
            (Status::Pending | Status::Received, true) => {}
            (Status::Pending | Status::Received, false) | (Status::Finished, _) => {
                return Err(Refusal::OrderHasSms);
            }
            (Status::Timeout, _) => return Err(Refusal::OrderExpired),
            (Status::Canceled | Status::Banned, _) => return Err(Refusal::OrderNotFound),
        }
        self.close(id, as_status, -100, now);
        self.check(id, now)
    }

    /// Lets the next message of an open order arrive now; one is made up where none was coming.
    pub(crate) fn deliver(&mut self, id: u64, now: DateTime<Utc>) {
        let now = self.settle(now);
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.sale.status.is_open()) else {
            return;
        };
        let number = u32::try_from(entry.sale.sms.len()).unwrap_or(u32::MAX);
        let line = &self.shelves[entry.shelf].line;
        let message = match entry.coming.pop_front() {
            Some(message) => Message { received_at: now, ..message },
            None => sms::message(self.scenario.seed, id, line, number, now),
        };
        entry.sale.sms.push(message);
        self.schedule(id);
    }

    /// Every order, oldest first.
    pub(crate) fn sales(&mut self, now: DateTime<Utc>) -> impl DoubleEndedIterator<Item = &Sale> {
        self.settle(now);
        self.entries.values().map(|entry| &entry.sale)
    }

    /// Every movement of money, oldest first.
    pub(crate) fn payments(&mut self, now: DateTime<Utc>) -> &[Payment] {
        self.settle(now);
        &self.payments
    }

    /// Everything on sale.
    pub(crate) fn shelves(&self) -> &[Shelf] {
        &self.shelves
    }

    /// Decides whatever is left to chance.
    pub(crate) fn seed(&self) -> u64 {
        self.scenario.seed
    }

    /// The balance and the rating (in thousandths), and how many orders are open.
    pub(crate) fn account(&mut self, now: DateTime<Utc>) -> (Amount, i64, usize) {
        self.settle(now);
        // Every open order has something due.
        (self.balance, self.rating_milli, self.due.len())
    }

    /// The whole of the books.
    pub(crate) fn snapshot(&mut self, calls: BTreeMap<Route, u64>, now: DateTime<Utc>) -> Snapshot {
        let orders: Vec<Sale> = self.sales(now).cloned().collect();
        let mut counts = Counts::default();
        for sale in &orders {
            counts.sold += 1;
            match sale.status {
                Status::Pending | Status::Received => counts.open += 1,
                Status::Finished => counts.charged += 1,
                Status::Canceled | Status::Timeout | Status::Banned => counts.refunded += 1,
            }
        }
        let rating = Amount::from_micros(self.rating_milli * 1_000);
        Snapshot {
            orders,
            balance: self.balance,
            opening_balance: self.scenario.balance,
            rating,
            counts,
            calls,
        }
    }

    /// Lets everything happen that is due by `now`, and returns the time it is in these books.
    fn settle(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.now = self.now.max(now);
        while let Some(&(at, id)) = self.due.first().filter(|(at, _)| *at <= self.now) {
            self.happen(id, at);
            self.schedule(id);
        }
        if self.banned_until.is_some_and(|until| until <= self.now) {
            self.banned_until = None;
            self.rating_milli = BEST_RATING;
        }
        self.now
    }

    /// The one thing that happens to order `id` at `at`.
    fn happen(&mut self, id: u64, at: DateTime<Utc>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let is_here = |message: &Message| message.received_at <= at;
        if entry.sale.status == Status::Pending && entry.listens_at <= at {
            entry.sale.status = Status::Received;
        } else if entry.coming.front().is_some_and(is_here) {
            entry.sale.status = Status::Received;
            entry.sale.sms.extend(entry.coming.pop_front());
        } else if entry.sale.sms.is_empty() {
            self.close(id, Status::Timeout, -150, at);
        } else {
            self.close(id, Status::Finished, 400, at);
        }
    }

    /// Puts order `id` where its next event belongs in the queue of what is due, or nowhere if it is closed.
    fn schedule(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(due) = entry.due.take() {
            self.due.remove(&(due, id));
        }
        let sale = &entry.sale;
        if !sale.status.is_open() {
            return;
        }
        let end = match sale.sms.last() {
            Some(last) => last.received_at + span(self.scenario.auto_finish_after),
            None => sale.created_at + span(self.scenario.timeout_after),
        };
        let listens = (sale.status == Status::Pending).then_some(entry.listens_at);
        let message = entry.coming.front().map(|message| message.received_at);
        let due = [listens, message].into_iter().flatten().fold(end, DateTime::min);
        entry.due = Some(due);
        self.due.insert((due, id));
    }

    /// Closes an open order; every state but [`Status::Finished`] gives the money back.
    fn close(&mut self, id: u64, status: Status, rating: i64, at: DateTime<Utc>) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.sale.status.is_open()) else {
            return;
        };
        entry.sale.status = status;
        entry.sale.closed_at = Some(at);
        if status != Status::Finished {
            entry.sale.refunded = entry.sale.charged;
            let (product, amount) = (entry.sale.product.clone(), entry.sale.refunded);
            self.book("refund", &product, amount, at);
        }
        self.schedule(id);
        self.rating_milli = (self.rating_milli + rating).clamp(0, BEST_RATING);
        if self.rating_milli == 0 {
            self.banned_until = Some(at + RATING_BAN);
        }
    }

    fn book(&mut self, kind: &'static str, provider: &str, amount: Amount, at: DateTime<Utc>) {
        self.balance = self.balance.checked_add(amount).expect("a scenario's money is far from the limits");
        let id = self.payments.last().map_or(306_145_889, |last| last.id + 1);
        self.payments.push(Payment {
            id,
            kind,
            provider: provider.to_owned(),
            amount,
            balance: self.balance,
            at,
        });
    }

    /// The cheapest line in stock that fits.
    fn find(&self, wanted: &Purchase<'_>) -> Result<usize, Refusal> {
        let fits = |wanted: &str, slug: &str| wanted == "any" || wanted == slug;
        let sells =
            |predicate: &dyn Fn(&Line) -> bool| self.shelves.iter().any(|shelf| predicate(&shelf.line));
        if !sells(&|line| line.product == wanted.product) {
            return Err(Refusal::NoProduct);
        }
        if !sells(&|line| fits(wanted.country, &line.country)) {
            return Err(match self.scenario.unknown_country {
                UnknownCountry::NoFreePhones => Refusal::NoFreePhones,
                UnknownCountry::BadCountry => Refusal::BadCountry,
            });
        }
        if !sells(&|line| fits(wanted.country, &line.country) && fits(wanted.operator, &line.operator)) {
            return Err(Refusal::BadOperator);
        }
        // A cap is heeded only where the supplier chooses the operator.
        let cap = wanted.max_price.filter(|_| wanted.operator == "any");
        let fitting = self.shelves.iter().enumerate().filter(|(_, shelf)| {
            let line = &shelf.line;
            line.product == wanted.product
                && fits(wanted.country, &line.country)
                && fits(wanted.operator, &line.operator)
                && shelf.has_stock()
                && cap.is_none_or(|cap| line.price <= cap)
        });
        let cheapest = fitting.min_by_key(|(_, shelf)| shelf.line.price);
        cheapest.map(|(place, _)| place).ok_or(Refusal::NoFreePhones)
    }

    fn open(&self, id: u64, place: usize, price: Amount, quirk: Quirk, now: DateTime<Utc>) -> Entry {
        let (line, seed) = (&self.shelves[place].line, self.scenario.seed);
        let is_prepared = match self.scenario.fresh_status {
            FreshStatus::Pending => false,
            FreshStatus::Received => true,
            FreshStatus::Mixed => draw(seed, "prepared", id).is_multiple_of(2),
        };
        let first = now + span(line.sms_after.unwrap_or(self.scenario.sms_after));
        let gap = span(line.sms_every.unwrap_or(self.scenario.sms_every));
        Entry {
            sale: Sale {
                id,
                phone: Phone::new(&find_country(&line.country).number(seed, id)),
                product: line.product.clone(),
                country: line.country.clone(),
                operator: line.operator.clone(),
                price,
                charged: price,
                refunded: Amount::ZERO,
                status: if is_prepared { Status::Received } else { Status::Pending },
                created_at: now,
                expires_at: now + SHOWN_LIFETIME,
                closed_at: None,
                sms: Vec::new(),
            },
            shelf: place,
            coming: sms::write(seed, id, line, quirk, (first, gap)).into(),
            listens_at: now + PREPARATION,
            due: None,
        }
    }

    /// Other customers buy as well, so ids have gaps.
    fn next_id(&self, now: DateTime<Utc>) -> u64 {
        let hundredths = u64::try_from((now.timestamp_millis() - FIRST_ID_AT * 1_000) / 10).unwrap_or(0);
        let last = self.entries.last_key_value().map_or(0, |(id, _)| *id);
        (FIRST_ID + hundredths).max(last + 1 + draw(self.scenario.seed, "gap", last) % 3)
    }
}

/// A scenario's duration as the calendar counts; what is longer than the calendar never ends.
fn span(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(3650))
}
