//! The supplier's own books: what it sold, when, and what became of it. They know nothing of the service.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::money::Amount;
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::{Stop, Wanted};

use super::dice::{CERTAIN, Dice};
use super::setup::{SHELVES, Temper};

/// The product that everything is sold for.
pub(crate) const PRODUCT: &str = "telegram";
/// What a number costs on a usual day.
pub(crate) const USUAL_PRICE: Amount = Amount::from_micros(120_000);
/// An order with a message is completed by itself after that.
const AUTO_FINISH: TimeDelta = TimeDelta::minutes(5);
/// The limit: hits within this time are counted, and so long is the ban.
pub(crate) const BAN: TimeDelta = TimeDelta::minutes(10);
const HITS_FOR_A_BAN: usize = 5;
const FIRST_ID: usize = 1_000_001;

pub(crate) struct Books {
    pub(crate) temper: Temper,
    shelves: BTreeMap<(String, String), Shelf>,
    pub(crate) orders: Vec<Sold>,
    /// When requests were sent.
    pub(crate) requests: Vec<DateTime<Utc>>,
    hits: VecDeque<DateTime<Utc>>,
    pub(crate) last_hit: Option<DateTime<Utc>>,
    banned_until: Option<DateTime<Utc>>,
    pub(crate) is_away_until: Option<DateTime<Utc>>,
    pub(crate) refuses_until: Option<(DateTime<Utc>, Stop)>,
}

/// What one plan's shelf holds.
pub(crate) struct Shelf {
    pub(crate) stock: u32,
    pub(crate) price: Amount,
}

/// An order in the books. Times are the true ones.
#[derive(Clone, Debug)]
pub(crate) struct Sold {
    pub(crate) id: OrderId,
    pub(crate) phone: String,
    pub(crate) shelf: (String, String),
    pub(crate) price: Amount,
    /// When its purchase was sent.
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// When each message comes, if the order is still open by then.
    pub(crate) messages: Vec<Message>,
    pub(crate) end: Option<(DateTime<Utc>, OrderStatus)>,
    /// Whether it was unknown once: never twice, which would mean that it is gone.
    was_forgotten: bool,
}

/// Why the supplier refuses to settle an order.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    NotFound,
    TooEarly,
    Conflict,
}

/// What a purchase brings.
pub(crate) enum Sale {
    Sold(Order),
    OutOfStock,
    Stopped(Stop),
}

impl Books {
    pub(crate) fn new(temper: Temper) -> Self {
        let shelves = SHELVES.iter().map(|(country, operator)| {
            ((country.to_string(), operator.to_string()), Shelf { stock: 1_000_000, price: USUAL_PRICE })
        });
        Self {
            temper,
            shelves: shelves.collect(),
            orders: Vec::new(),
            requests: Vec::new(),
            hits: VecDeque::new(),
            last_hit: None,
            banned_until: None,
            is_away_until: None,
            refuses_until: None,
        }
    }

    pub(crate) fn shelf(&mut self, place: usize) -> &mut Shelf {
        let (country, operator) = SHELVES[place];
        self.shelves.get_mut(&(country.to_owned(), operator.to_owned())).unwrap()
    }

    /// Everything is in stock at its usual price, and nobody is refused any more, but for a ban.
    pub(crate) fn calm_down(&mut self) {
        for shelf in self.shelves.values_mut() {
            *shelf = Shelf { stock: 1_000_000, price: USUAL_PRICE };
        }
        (self.is_away_until, self.refuses_until) = (None, None);
    }

    pub(crate) fn is_away(&self, now: DateTime<Utc>) -> bool {
        self.is_away_until.is_some_and(|until| now < until)
    }

    /// A request was sent: how long to wait if it is one too many, or if `is_refused` anyway.
    pub(crate) fn request(
        &mut self,
        is_refused: bool,
        now: DateTime<Utc>,
        dice: &Dice,
    ) -> Result<(), Option<Duration>> {
        self.requests.push(now);
        if let Some(until) = self.banned_until.filter(|until| now < *until) {
            return Err(dice.chance(5_000).then(|| (until - now).to_std().unwrap()));
        }
        let second = now - TimeDelta::seconds(1);
        let lately = self.requests.iter().rev().take_while(|at| **at > second).count();
        if !is_refused && lately <= self.temper.most_in_a_second() {
            return Ok(());
        }
        self.last_hit = Some(now);
        self.hits.push_back(now);
        self.hits.retain(|hit| now - *hit < BAN);
        if self.hits.len() >= HITS_FOR_A_BAN {
            self.hits.clear();
            self.banned_until = Some(now + BAN);
        }
        Err(dice.chance(5_000).then(|| dice.secs(1, 10)))
    }

    /// Sells a number for a request that was sent at `sent_at`, if there is one.
    pub(crate) fn buy(
        &mut self,
        wanted: &Wanted,
        sent_at: DateTime<Utc>,
        now: DateTime<Utc>,
        dice: &Dice,
    ) -> Sale {
        if let Some((_, stop)) = self.refuses_until.filter(|(until, _)| now < *until) {
            return Sale::Stopped(stop);
        }
        let key = (wanted.country.clone(), wanted.operator.clone());
        let Some(place) = self.shelves.get_mut(&key).filter(|shelf| shelf.stock > 0) else {
            return Sale::OutOfStock;
        };
        place.stock -= 1;
        let number = FIRST_ID + self.orders.len();
        let sold = Sold {
            id: OrderId::new(number.to_string()),
            phone: format!("+1204{number}"),
            shelf: key,
            price: place.price,
            asked_at: sent_at,
            created_at: now,
            expires_at: now + self.temper.lifetime,
            messages: messages(&self.temper, now, number, dice),
            end: None,
            was_forgotten: false,
        };
        let order = self.told(&sold);
        self.orders.push(sold);
        Sale::Sold(order)
    }

    /// An order as the supplier tells it, by its own clock.
    fn told(&self, sold: &Sold) -> Order {
        let ahead = self.temper.ahead;
        Order {
            id: sold.id.clone(),
            phone: Phone::new(&sold.phone),
            price: sold.price,
            created_at: sold.created_at + ahead,
            expires_at: sold.expires_at + ahead,
        }
    }

    fn place(id: &OrderId) -> Option<usize> {
        id.as_str().parse::<usize>().ok()?.checked_sub(FIRST_ID)
    }

    /// Forgets an order for one look. `false` where it was forgotten before.
    pub(crate) fn forget(&mut self, id: &OrderId) -> bool {
        let sold = Self::place(id).and_then(|place| self.orders.get_mut(place));
        sold.is_some_and(|sold| !std::mem::replace(&mut sold.was_forgotten, true))
    }

    /// How an order stands, as it was at `then`.
    pub(crate) fn look(&mut self, id: &OrderId, then: DateTime<Utc>, now: DateTime<Utc>) -> Option<Sight> {
        let ahead = self.temper.ahead;
        let sold = self.orders.get_mut(Self::place(id)?).filter(|sold| sold.created_at <= then)?;
        sold.bring_up_to(now);
        Some(sold.sight(then, ahead))
    }

    /// The orders there were at `then`, behind the newest `skip`, newest first; `None` where the list ends before.
    pub(crate) fn list(
        &mut self,
        skip: u64,
        then: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<Vec<ListedOrder>> {
        let skip = usize::try_from(skip).unwrap();
        if skip >= self.temper.rows {
            return None;
        }
        let ahead = self.temper.ahead;
        let places: Vec<_> = (0..self.orders.len())
            .rev()
            .filter(|place| self.orders[*place].created_at <= then)
            .skip(skip)
            .take(self.temper.page)
            .collect();
        let row = |place: usize| {
            self.orders[place].bring_up_to(now);
            let sold = &self.orders[place];
            ListedOrder {
                order: self.told(sold),
                product: PRODUCT.to_owned(),
                country: sold.shelf.0.clone(),
                operator: sold.shelf.1.clone(),
                sight: sold.sight(then, ahead),
            }
        };
        Some(places.into_iter().map(row).collect())
    }

    /// Completes an order that has a message.
    pub(crate) fn finish(&mut self, id: &OrderId, now: DateTime<Utc>) -> Result<Sight, Refused> {
        self.settle(id, now, |sold, _| {
            if sold.has_message(now) { Ok(OrderStatus::Finished) } else { Err(Refused::Conflict) }
        })
    }

    /// Takes back an order that has none.
    pub(crate) fn give_back(
        &mut self,
        id: &OrderId,
        end: OrderStatus,
        now: DateTime<Utc>,
    ) -> Result<Sight, Refused> {
        self.settle(id, now, |sold, minimum_age| {
            if sold.has_message(now) {
                Err(Refused::Conflict)
            } else if now < sold.created_at + minimum_age {
                Err(Refused::TooEarly)
            } else {
                Ok(end)
            }
        })
    }

    fn settle(
        &mut self,
        id: &OrderId,
        now: DateTime<Utc>,
        end: impl FnOnce(&Sold, Duration) -> Result<OrderStatus, Refused>,
    ) -> Result<Sight, Refused> {
        let temper = self.temper;
        let place = Self::place(id).ok_or(Refused::NotFound)?;
        let sold = self.orders.get_mut(place).ok_or(Refused::NotFound)?;
        sold.bring_up_to(now);
        if sold.end.is_some() {
            return Err(Refused::Conflict);
        }
        sold.end = Some((now, end(sold, temper.minimum_cancel_age)?));
        Ok(sold.sight(now, temper.ahead))
    }

    /// Brings all orders up to `now`, and tells whether none is open.
    pub(crate) fn are_closed(&mut self, now: DateTime<Utc>) -> bool {
        self.orders.iter_mut().for_each(|sold| sold.bring_up_to(now));
        self.orders.iter().all(|sold| sold.end.is_some())
    }
}

impl Sold {
    fn has_message(&self, now: DateTime<Utc>) -> bool {
        self.messages.first().is_some_and(|first| first.received_at <= now)
    }

    /// Ends the order if it has ended by itself by `now`.
    fn bring_up_to(&mut self, now: DateTime<Utc>) {
        if self.end.is_some() {
            return;
        }
        let first = self.messages.first().map(|first| first.received_at).filter(|at| *at < self.expires_at);
        let end = match first {
            Some(first) => (first + AUTO_FINISH, OrderStatus::Finished),
            None => (self.expires_at, OrderStatus::TimedOut),
        };
        if end.0 <= now {
            self.end = Some(end);
        }
    }

    fn sight(&self, then: DateTime<Utc>, ahead: TimeDelta) -> Sight {
        let closed = self.end.filter(|(at, _)| *at <= then);
        let until = closed.map_or(then, |(at, _)| at);
        let come = self.messages.iter().filter(|message| message.received_at <= until);
        let told =
            |message: &Message| Message { received_at: message.received_at + ahead, ..message.clone() };
        Sight {
            status: closed.map_or(OrderStatus::Open, |(_, status)| status),
            messages: come.map(told).collect(),
        }
    }

    /// Whether the money is gone.
    pub(crate) fn is_charged(&self) -> bool {
        matches!(self.end, Some((_, OrderStatus::Finished)) | None)
    }
}

/// What comes for a number that is sold now.
fn messages(temper: &Temper, now: DateTime<Utc>, number: usize, dice: &Dice) -> Vec<Message> {
    if !dice.chance(temper.delivers) {
        return Vec::new();
    }
    let mut at = now + if dice.chance(temper.dawdles) { dice.secs(40, 110) } else { dice.secs(1, 30) };
    let message = |at, text: String, code: Option<String>| Message {
        received_at: at,
        sender: "Telegram".to_owned(),
        text,
        code,
    };
    let mut messages = Vec::new();
    if dice.chance(150) {
        let text = format!("Your bank: payment of $500.00 with card *1234, code {number}");
        messages.push(message(at, text, None));
        return messages;
    }
    if dice.chance(1_000) {
        messages.push(message(at, "Welcome to the service".to_owned(), None));
        if dice.chance(CERTAIN / 5) {
            return messages;
        }
        at += dice.secs(1, 15);
    }
    let code = format!("{:06}", number % 1_000_000);
    let read = dice.chance(7_000).then(|| code.clone());
    messages.push(message(at, format!("Your code is {code}"), read));
    if dice.chance(2_000) {
        at += dice.secs(1, 12);
        messages.push(message(at, format!("Your code is 9{code}"), Some(format!("9{code}"))));
    }
    messages
}
