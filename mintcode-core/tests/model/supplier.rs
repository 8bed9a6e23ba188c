//! The supplier of the model: it keeps books of its own, and answers as it likes within the budget.
//!
//! Whether an SMS came, or an order ended by itself, is decided when the supplier is next asked about the order: nobody
//! could have told the difference earlier.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::money::Amount;
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::Wanted;
use mintcode_core::redemption::CallFailure;

use crate::scene::Left;

/// The code that only a delivery shows.
pub(crate) const CODE: &str = "735194";
/// How every number begins.
pub(crate) const PHONE: &str = "+19995550";
/// How every order's id begins.
pub(crate) const ORDER: &str = "88000";

/// Who was allowed to buy: an attempt of a redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Buyer {
    pub(crate) redemption: usize,
    pub(crate) attempt: u32,
}

/// An order in the supplier's books.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sold {
    pub(crate) order: Order,
    pub(crate) wanted: Wanted,
    /// Whose permit sent the purchase. The supplier does not know; the properties ask.
    pub(crate) buyer: Buyer,
    pub(crate) status: OrderStatus,
    pub(crate) messages: Vec<Message>,
    pub(crate) is_forgotten: bool,
}

/// A purchase that was sent and takes effect later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub(crate) wanted: Wanted,
    pub(crate) buyer: Buyer,
    /// It takes effect by then.
    pub(crate) until: DateTime<Utc>,
    /// The worker that still listens for the answer.
    pub(crate) listener: Option<usize>,
}

/// What the supplier makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It does what it is asked, as far as the order allows.
    Plain,
    /// Nothing in stock.
    OutOfStock,
    /// Sold above the cap.
    Dear,
    /// Too many requests.
    Throttled,
    /// Refused for a reason that the operator has to see to.
    Stopped,
    /// The request never arrived, and nobody is told so.
    LostBefore,
    /// The request was obeyed, and its answer is lost.
    LostAfter,
    /// The purchase takes effect later.
    Late,
    /// The purchase leaves after its `send_by`, and is sold.
    SentLate,
    /// An SMS came before the request.
    Message,
    /// An SMS came before the request that reads like one of a bank.
    BankMessage,
    /// The number cannot be given back yet.
    TooEarly,
    /// The order ended by itself before the request.
    Ended,
    /// The supplier forgot the order.
    Forgotten,
    /// The list lacks the newest order.
    OldList,
    /// The list was not read to its end.
    ShortList,
}

impl Reply {
    /// What the reply is taken from; `None` for what may always happen.
    pub(crate) fn budget(self, left: &mut Left) -> Option<&mut u8> {
        match self {
            Self::Plain => None,
            Self::OutOfStock => Some(&mut left.empties),
            Self::LostBefore | Self::LostAfter => Some(&mut left.lost_answers),
            Self::Late => Some(&mut left.late_buys),
            Self::SentLate => Some(&mut left.late_sends),
            Self::Message => Some(&mut left.messages),
            Self::Dear
            | Self::Throttled
            | Self::Stopped
            | Self::BankMessage
            | Self::TooEarly
            | Self::Ended
            | Self::Forgotten
            | Self::OldList
            | Self::ShortList => Some(&mut left.rarities),
        }
    }

    pub(crate) fn is_left(self, left: &Left) -> bool {
        self.budget(&mut left.clone()).is_none_or(|budget| *budget > 0)
    }

    /// Whether it is trouble, which puts off the end of a redemption.
    pub(crate) fn is_trouble(self) -> bool {
        !matches!(self, Self::Plain | Self::OutOfStock | Self::Message | Self::BankMessage)
    }
}

/// A request about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Check,
    Finish,
    Cancel,
    Ban,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Supplier {
    /// Oldest first.
    pub(crate) orders: Vec<Sold>,
    pub(crate) flights: Vec<Flight>,
}

impl Supplier {
    /// Sells a number.
    pub(crate) fn sell(&mut self, buyer: Buyer, wanted: &Wanted, is_dear: bool, now: DateTime<Utc>) -> Order {
        let number = self.orders.len();
        let cap = wanted.max_cost.micros();
        let order = Order {
            id: OrderId::new(format!("{ORDER}{number}")),
            phone: Phone::new(&format!("{PHONE}{number:03}")),
            price: Amount::from_micros(if is_dear { cap + 1 } else { cap - 1 }),
            created_at: now,
            expires_at: now + Duration::from_mins(15),
        };
        self.orders.push(Sold {
            order: order.clone(),
            wanted: wanted.clone(),
            buyer,
            status: OrderStatus::Open,
            messages: Vec::new(),
            is_forgotten: false,
        });
        order
    }

    /// The replies that a request about `order` may get.
    pub(crate) fn replies(&self, order: &OrderId, request: Request) -> Vec<Reply> {
        let mut replies = vec![Reply::Plain];
        let Some(sold) = self.find(order) else { return replies };
        if sold.is_forgotten {
            return replies;
        }
        replies.extend([Reply::Throttled, Reply::LostBefore, Reply::Forgotten]);
        let is_open = sold.status == OrderStatus::Open;
        if is_open {
            replies.extend([Reply::Message, Reply::BankMessage]);
        }
        if is_open && sold.messages.is_empty() {
            replies.push(Reply::Ended);
        }
        // An answer that only tells is lost all the same whether the request arrived or not.
        if is_open && sold.obeys(request) {
            replies.push(Reply::LostAfter);
            if request != Request::Finish {
                replies.push(Reply::TooEarly);
            }
        }
        replies
    }

    /// Does what is asked, and answers.
    pub(crate) fn answer(
        &mut self,
        order: &OrderId,
        request: Request,
        reply: Reply,
        now: DateTime<Utc>,
    ) -> Result<Sight, CallFailure> {
        let sold =
            self.orders.iter_mut().find(|sold| sold.order.id == *order).ok_or(CallFailure::NotFound)?;
        match reply {
            Reply::LostBefore => return Err(CallFailure::Unclear),
            Reply::Throttled => return Err(CallFailure::Throttled { retry_after: None }),
            Reply::TooEarly => return Err(CallFailure::TooEarly),
            Reply::Message => sold.messages.push(message(&format!("code {CODE}"), now)),
            Reply::BankMessage => sold.messages.push(message(&format!("bank code {CODE}"), now)),
            Reply::Ended => sold.status = OrderStatus::TimedOut,
            Reply::Forgotten => sold.is_forgotten = true,
            _ => {}
        }
        if sold.is_forgotten {
            return Err(CallFailure::NotFound);
        }
        if sold.status == OrderStatus::Open && now >= sold.order.expires_at {
            sold.status =
                if sold.messages.is_empty() { OrderStatus::TimedOut } else { OrderStatus::Finished };
        }
        match request {
            Request::Check => {}
            _ if sold.status.is_closed() || !sold.obeys(request) => return Err(CallFailure::Conflict),
            Request::Finish => sold.status = OrderStatus::Finished,
            Request::Cancel => sold.status = OrderStatus::Cancelled,
            Request::Ban => sold.status = OrderStatus::Banned,
        }
        if reply == Reply::LostAfter { Err(CallFailure::Unclear) } else { Ok(sold.sight()) }
    }

    /// The list of orders, newest first, and whether it was read to its end.
    pub(crate) fn list(&self, reply: Reply) -> (Vec<ListedOrder>, bool) {
        let unseen = usize::from(reply == Reply::OldList);
        let known = self.orders.iter().rev().skip(unseen).filter(|sold| !sold.is_forgotten);
        let mut orders: Vec<_> = known.map(Sold::listed).collect();
        if reply == Reply::ShortList {
            orders.truncate(1);
        }
        (orders, reply != Reply::ShortList)
    }

    /// Whether `worker` still listens for the answer of a late purchase.
    pub(crate) fn is_heard_by(&self, worker: usize) -> bool {
        self.flights.iter().any(|flight| flight.listener == Some(worker))
    }

    pub(crate) fn find(&self, order: &OrderId) -> Option<&Sold> {
        self.orders.iter().find(|sold| sold.order.id == *order)
    }
}

impl Sold {
    /// A message can only be completed; a number without one can only be given back.
    fn obeys(&self, request: Request) -> bool {
        match request {
            Request::Check => false,
            Request::Finish => !self.messages.is_empty(),
            Request::Cancel | Request::Ban => self.messages.is_empty(),
        }
    }

    fn sight(&self) -> Sight {
        Sight { status: self.status, messages: self.messages.clone() }
    }

    fn listed(&self) -> ListedOrder {
        let Wanted { product, country, operator, .. } = self.wanted.clone();
        ListedOrder { order: self.order.clone(), product, country, operator, sight: self.sight() }
    }

    /// What the supplier keeps of the price.
    pub(crate) fn kept(&self) -> Amount {
        match self.status {
            OrderStatus::Open | OrderStatus::Finished => self.order.price,
            OrderStatus::Cancelled | OrderStatus::Banned | OrderStatus::TimedOut => Amount::ZERO,
        }
    }

    /// Whether somebody still has to end it.
    pub(crate) fn is_open(&self) -> bool {
        self.status == OrderStatus::Open && !self.is_forgotten
    }
}

fn message(text: &str, received_at: DateTime<Utc>) -> Message {
    Message { received_at, sender: String::new(), text: text.to_owned(), code: None }
}
