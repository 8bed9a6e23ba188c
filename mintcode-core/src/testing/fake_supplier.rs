//! A supplier in memory, with books of its own: as unhelpful as a real one, and never using an id twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::money::{Amount, Currency};
use crate::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use crate::ports::{BuyError, BuyPermit, CallError, Capabilities, Clock, Profile, Stop, Supplier, Wanted};

/// Orders told at once.
const PAGE: usize = 100;

/// Shared by all fakes of a process, so that not even two of them use the same id.
static NEXT_ID: AtomicU64 = AtomicU64::new(1_081_142_764);

/// What one plan's shelf holds and does.
#[derive(Clone, Debug)]
pub struct Line {
    /// Numbers in stock.
    pub stock: u32,
    /// What each costs.
    pub price: Amount,
    /// How long after the purchase the SMS comes; `None` for never.
    pub sms_after: Option<Duration>,
    /// The SMS: its text.
    pub text: String,
    /// The code the supplier reads from it, if it does.
    pub code: Option<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            stock: u32::MAX,
            price: Amount::from_micros(120_000),
            sms_after: Some(Duration::from_secs(4)),
            text: "Your code is 482915".to_owned(),
            code: Some("482915".to_owned()),
        }
    }
}

/// An order in the books.
#[derive(Clone, Debug)]
pub struct SoldOrder {
    /// As sold.
    pub order: Order,
    /// The plan it was sold for: country and operator.
    pub plan: (String, String),
    /// Where it stands.
    pub status: OrderStatus,
    product: String,
    line: Line,
}

/// A supplier in memory. Cheap to clone; clones share the books.
#[derive(Clone)]
pub struct FakeSupplier {
    clock: Arc<dyn Clock>,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    lines: BTreeMap<(String, String), Line>,
    orders: Vec<SoldOrder>,
    cancel_not_before: Duration,
    answer_after: Duration,
    stop: Option<Stop>,
    has_no_list: bool,
    /// What the catalogue says where it is not what the line costs.
    listed: BTreeMap<(String, String), Option<Amount>>,
    account: AccountShown,
}

struct AccountShown {
    balance: Amount,
    currency: Currency,
    rating_milli: Option<i64>,
}

impl Default for AccountShown {
    fn default() -> Self {
        let balance = Amount::from_micros(100_000_000);
        Self { balance, currency: Currency::USD, rating_milli: Some(96_000) }
    }
}

impl FakeSupplier {
    /// A supplier with empty shelves.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, books: Arc::default() }
    }

    /// Puts `line` on the shelf of `country` and `operator`, instead of what was there.
    pub fn stock(&self, country: &str, operator: &str, line: Line) {
        self.books().lines.insert((country.to_owned(), operator.to_owned()), line);
    }

    /// Refuses to take orders back before they are that old.
    pub fn refuse_cancels_before(&self, age: Duration) {
        self.books().cancel_not_before = age;
    }

    /// Refuses purchases for a reason that needs the operator, or no longer does; with a key that is refused, the
    /// account is not shown either.
    pub fn stop_sales(&self, stop: Option<Stop>) {
        self.books().stop = stop;
    }

    /// Sells at once, and answers that much later.
    pub fn answer_purchases_after(&self, delay: Duration) {
        self.books().answer_after = delay;
    }

    /// Lists numbers of `country` and `operator` at `price`, or without one, whatever they cost.
    pub fn list_price(&self, country: &str, operator: &str, price: Option<Amount>) {
        self.books().listed.insert((country.to_owned(), operator.to_owned()), price);
    }

    /// Shows the account with this balance and standing, the latter in thousandths.
    pub fn show_account(&self, balance: Amount, rating_milli: Option<i64>) {
        let mut books = self.books();
        books.account.balance = balance;
        books.account.rating_milli = rating_milli;
    }

    /// Sells in this currency instead of dollars; wants to be said before an engine is built over it.
    pub fn charge_in(&self, currency: Currency) {
        self.books().account.currency = currency;
    }

    /// Has no list of orders from now on.
    pub fn remove_list(&self) {
        self.books().has_no_list = true;
    }

    /// Every order ever sold, as it stands now.
    #[must_use]
    pub fn orders(&self) -> Vec<SoldOrder> {
        self.books().orders.clone()
    }

    /// Orders whose money the supplier kept.
    #[must_use]
    pub fn charged(&self) -> usize {
        self.orders().iter().filter(|sold| sold.status == OrderStatus::Finished).count()
    }

    /// Orders that are still open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.orders().iter().filter(|sold| sold.status == OrderStatus::Open).count()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sell(&self, wanted: &Wanted) -> Result<Order, BuyError> {
        let now = self.clock.now();
        let plan = (wanted.country.clone(), wanted.operator.clone());
        let mut books = self.books();
        if let Some(stop) = books.stop {
            return Err(BuyError::Stopped(stop));
        }
        let line = books.lines.get_mut(&plan).filter(|line| line.stock > 0).ok_or(BuyError::OutOfStock)?;
        line.stock -= 1;
        let line = line.clone();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let order = Order {
            id: OrderId::new(id.to_string()),
            phone: Phone::new(&format!("+1204{:07}", id % 10_000_000)),
            price: line.price,
            created_at: now,
            expires_at: now + Duration::from_mins(15),
        };
        books.orders.push(SoldOrder {
            order: order.clone(),
            plan,
            status: OrderStatus::Open,
            product: wanted.product.clone(),
            line,
        });
        Ok(order)
    }

    fn settle(&self, id: &OrderId, end: OrderStatus) -> Result<Sight, CallError> {
        let now = self.clock.now();
        let mut books = self.books();
        let not_before = books.cancel_not_before;
        let sold = books.orders.iter_mut().find(|sold| sold.order.id == *id).ok_or(CallError::NotFound)?;
        let sight = sold.sight(now);
        let has_sms = !sight.messages.is_empty();
        if sight.status.is_closed() || has_sms != (end == OrderStatus::Finished) {
            return Err(CallError::Conflict);
        }
        if !has_sms && now < sold.order.created_at + not_before {
            return Err(CallError::TooEarly);
        }
        sold.status = end;
        Ok(sold.sight(now))
    }
}

impl SoldOrder {
    fn sight(&self, now: DateTime<Utc>) -> Sight {
        let gave_up = matches!(self.status, OrderStatus::Cancelled | OrderStatus::Banned);
        let arrives_at = self.line.sms_after.map(|after| self.order.created_at + after);
        let arrived = arrives_at.filter(|at| *at <= now && !gave_up);
        let messages = arrived.map(|received_at| Message {
            received_at,
            sender: "Service".to_owned(),
            text: self.line.text.clone(),
            code: self.line.code.clone(),
        });
        let ran_out = self.status == OrderStatus::Open && messages.is_none() && now >= self.order.expires_at;
        let status = if ran_out { OrderStatus::TimedOut } else { self.status };
        Sight { status, messages: messages.into_iter().collect() }
    }
}

#[async_trait]
impl Supplier for FakeSupplier {
    fn capabilities(&self) -> Capabilities {
        let lists_orders = !self.books().has_no_list;
        Capabilities { lists_orders, bans: true, minimum_cancel_age: Duration::ZERO }
    }

    fn currency(&self) -> Currency {
        self.books().account.currency
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        let books = self.books();
        if books.stop == Some(Stop::Key) {
            return Err(CallError::Stopped(Stop::Key));
        }
        let AccountShown { balance, currency, rating_milli } = books.account;
        Ok(Profile { id: "1".to_owned(), balance, currency, rating_milli })
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        if !permit.window().is_open() {
            return Err(BuyError::NotSent(None));
        }
        let answer = self.sell(permit.wanted());
        let delay = self.books().answer_after;
        tokio::time::sleep(delay).await;
        answer
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        let books = self.books();
        let sold = books.orders.iter().find(|sold| sold.order.id == *order).ok_or(CallError::NotFound)?;
        Ok(sold.sight(self.clock.now()))
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.settle(order, OrderStatus::Finished)
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.settle(order, OrderStatus::Cancelled)
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.settle(order, OrderStatus::Banned)
    }

    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        let books = self.books();
        let plan = (wanted.country.clone(), wanted.operator.clone());
        let sold_at = books.lines.get(&plan).map(|line| line.price);
        Ok(books.listed.get(&plan).copied().unwrap_or(sold_at))
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        let now = self.clock.now();
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let books = self.books();
        let page = books.orders.iter().rev().skip(skip).take(PAGE).map(|sold| ListedOrder {
            order: sold.order.clone(),
            product: sold.product.clone(),
            country: sold.plan.0.clone(),
            operator: sold.plan.1.clone(),
            sight: sold.sight(now),
        });
        Ok(page.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn the_catalogue_tells_what_a_number_costs_unless_it_lies() {
        let supplier = FakeSupplier::new(Arc::new(TokioClock::default()));
        let wanted = Wanted {
            product: "telegram".to_owned(),
            country: "canada".to_owned(),
            operator: "virtual4".to_owned(),
            max_cost: Amount::MAX,
        };
        assert_eq!(supplier.listed_price(&wanted).await.unwrap(), None);
        supplier.stock("canada", "virtual4", Line::default());
        assert_eq!(supplier.listed_price(&wanted).await.unwrap(), Some(Line::default().price));
        supplier.list_price("canada", "virtual4", Some(Amount::from_micros(1)));
        assert_eq!(supplier.listed_price(&wanted).await.unwrap(), Some(Amount::from_micros(1)));
        supplier.list_price("canada", "virtual4", None);
        assert_eq!(supplier.listed_price(&wanted).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_account_is_shown_as_it_was_set_unless_the_key_is_refused() {
        let supplier = FakeSupplier::new(Arc::new(TokioClock::default()));
        supplier.show_account(Amount::from_micros(7), Some(79_999));
        let profile = supplier.profile().await.unwrap();
        assert_eq!((profile.balance, profile.rating_milli), (Amount::from_micros(7), Some(79_999)));
        supplier.stop_sales(Some(Stop::Key));
        assert!(matches!(supplier.profile().await, Err(CallError::Stopped(Stop::Key))));
        supplier.stop_sales(Some(Stop::Balance));
        assert!(supplier.profile().await.is_ok());
    }
}
