//! What the books hold: sales, their states, money moved, and the whole for an auditor.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mintcode_core::money::Amount;
use mintcode_core::order::{Message, Phone};
use serde::{Deserialize, Serialize};

use crate::simulator::faults::Route;

/// Where an order stands, in the supplier's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Just sold.
    Pending,
    /// Listening, with or without messages.
    Received,
    /// Given back, refunded.
    Canceled,
    /// Ran out of time without a message, refunded.
    Timeout,
    /// Completed after a message, by the customer or by itself.
    Finished,
    /// Given back as already used, refunded.
    Banned,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Received => "RECEIVED",
            Self::Canceled => "CANCELED",
            Self::Timeout => "TIMEOUT",
            Self::Finished => "FINISHED",
            Self::Banned => "BANNED",
        }
    }

    /// Whether the number is still alive.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Received)
    }
}

/// One number sold. Its `Debug` shows neither the number nor what its messages say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// The order's id, higher than every one before it.
    pub id: u64,
    /// The number.
    pub phone: Phone,
    /// The product's slug.
    pub product: String,
    /// The country's slug.
    pub country: String,
    /// The operator that sold it, never `any`.
    pub operator: String,
    /// What the order shows as its price.
    pub price: Amount,
    /// What was taken from the balance.
    pub charged: Amount,
    /// What was put back.
    pub refunded: Amount,
    /// Where it stands.
    pub status: Status,
    /// When it was sold.
    pub created_at: DateTime<Utc>,
    /// What the order shows as its end.
    pub expires_at: DateTime<Utc>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// The messages that arrived, oldest first.
    pub sms: Vec<Message>,
}

/// A movement of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Grows with every entry.
    pub(crate) id: u64,
    /// `charge` for a top-up, `buy`, or `refund`; the live service's word for the last is not known.
    pub(crate) kind: &'static str,
    /// The product, or where the money came from.
    pub(crate) provider: String,
    /// What was added; negative where it was taken.
    pub(crate) amount: Amount,
    /// The balance afterwards.
    pub(crate) balance: Amount,
    /// When.
    pub(crate) at: DateTime<Utc>,
}

/// How many orders are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All that were ever sold: the sum of the other three.
    pub sold: u64,
    /// Closed, and paid for.
    pub charged: u64,
    /// Closed, and the money given back.
    pub refunded: u64,
    /// Still alive.
    pub open: u64,
}

/// The whole of the books, to compare with one's own: `GET /sim/books`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every order, oldest first.
    pub orders: Vec<Sale>,
    /// The money on the account.
    pub balance: Amount,
    /// The money that was on it at the start.
    pub opening_balance: Amount,
    /// The account's standing out of 96.
    pub rating: Amount,
    /// How many orders are in which state.
    pub counts: Counts,
    /// How often each route was called, refused and failed calls included.
    pub calls: BTreeMap<Route, u64>,
}
