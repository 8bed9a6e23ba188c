//! What a supplier sells and says: orders, their messages and their end.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::money::Amount;

/// A supplier's own id of an order, opaque but for its age: ids made of digits grow with time.
///
/// Ordered by length first and then by text, which for numbers without leading zeros is the order of the numbers.
///
/// Cheap to clone: hundred thousands of them are kept while their SMS are awaited.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderId(Arc<str>);

impl OrderId {
    /// Wraps the supplier's id.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into().into())
    }

    /// The id as the supplier writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for OrderId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for OrderId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A phone number in E.164 with its `+`; masked in `Debug`, so that it cannot slip into a log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);

impl Phone {
    /// Wraps a number, adding the `+` where the supplier leaves it out.
    #[must_use]
    pub fn new(number: &str) -> Self {
        let number = number.trim();
        Self(if number.starts_with('+') { number.to_owned() } else { format!("+{number}") })
    }

    /// What is left of a number that was purged.
    #[must_use]
    pub fn purged() -> Self {
        Self(String::new())
    }

    /// Whether the number is gone.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole number, for the customer who paid for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(+****)")
    }
}

/// One SMS as the supplier reports it. Its `Debug` shows neither text nor code.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// When it was received, by the supplier's clock.
    pub received_at: DateTime<Utc>,
    /// Who sent it, as shown by the network.
    pub sender: String,
    /// The whole text.
    pub text: String,
    /// The code the supplier found in it, if it found one.
    pub code: Option<String>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("received_at", &self.received_at).finish_non_exhaustive()
    }
}

/// Where an order stands at the supplier.
///
/// An order that is "received" there is merely listening; only a message proves a delivery, so there is no such state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// The number is alive, or the status is one we do not know: looked at again.
    Open,
    /// Completed after a message; charged.
    Finished,
    /// Given back; refunded.
    Cancelled,
    /// Given back as already used; refunded.
    Banned,
    /// Ran out of time without a message; refunded.
    TimedOut,
}

impl OrderStatus {
    /// Whether the supplier is done with the order.
    #[must_use]
    pub fn is_closed(self) -> bool {
        !matches!(self, Self::Open)
    }
}

/// A number just bought.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The supplier's id.
    pub id: OrderId,
    /// The number.
    pub phone: Phone,
    /// What was charged, in the supplier's currency.
    pub price: Amount,
    /// When it was bought, by the supplier's clock.
    pub created_at: DateTime<Utc>,
    /// When the supplier gives up on it; it may do so earlier.
    pub expires_at: DateTime<Utc>,
}

/// What the supplier says of an order when asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// The order's status.
    pub status: OrderStatus,
    /// Every message so far, oldest first.
    pub messages: Vec<Message>,
}

/// A row of the supplier's list of orders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListedOrder {
    /// The order.
    pub order: Order,
    /// The product's slug.
    pub product: String,
    /// The country's slug.
    pub country: String,
    /// The operator that sold the number.
    pub operator: String,
    /// Status and messages.
    pub sight: Sight,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_digits_are_ordered_as_numbers() {
        let mut ids = ["100", "99", "1081142764", "1081142765"].map(OrderId::new);
        ids.sort();
        assert_eq!(ids.map(|id| id.to_string()), ["99", "100", "1081142764", "1081142765"]);
    }

    #[test]
    fn numbers_and_texts_stay_out_of_debug_output() {
        let message = Message {
            received_at: DateTime::UNIX_EPOCH,
            sender: "Telegram".into(),
            text: "Your code is 12345".into(),
            code: Some("12345".into()),
        };
        let shown = format!("{message:?} {:?}", Phone::new("79001234567"));
        for secret in ["12345", "7900", "Telegram"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
