//! The simulated supplier's own books.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Error;

/// What the supplier says of everything it sold.
#[derive(Deserialize)]
pub(crate) struct Books {
    pub(crate) orders: Vec<Sold>,
    /// How many faults struck.
    #[serde(skip)]
    pub(crate) faults: u64,
}

/// One order.
#[derive(Deserialize)]
pub(crate) struct Sold {
    pub(crate) id: u64,
    pub(crate) phone: String,
    pub(crate) status: String,
    charged: String,
    refunded: String,
    /// When it was sold and closed, RFC 3339 in UTC with the same number of digits: ordered as text.
    pub(crate) created_at: String,
    pub(crate) closed_at: Option<String>,
    pub(crate) sms: Vec<Sms>,
}

/// One message.
#[derive(Deserialize)]
pub(crate) struct Sms {
    code: Option<String>,
    text: String,
}

impl Sms {
    /// Whether that is the message's code, which some messages have in their text alone.
    pub(crate) fn tells(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code) || self.text.contains(code)
    }
}

impl Sold {
    pub(crate) fn name(&self) -> String {
        self.id.to_string()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// What it cost in the end, in micro-units.
    pub(crate) fn cost(&self) -> i64 {
        micros(&self.charged) - micros(&self.refunded)
    }
}

impl Books {
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        let books: Self = serde_json::from_str(text)?;
        let amounts = books.orders.iter().flat_map(|order| [&order.charged, &order.refunded]);
        for amount in amounts {
            parse(amount).ok_or_else(|| format!("{amount:?} is no amount"))?;
        }
        Ok(books)
    }

    /// The orders by their ids as text.
    pub(crate) fn by_name(&self) -> BTreeMap<String, &Sold> {
        self.orders.iter().map(|order| (order.name(), order)).collect()
    }
}

fn micros(amount: &str) -> i64 {
    parse(amount).unwrap_or_default()
}

/// An amount such as `0.12`, in micro-units.
fn parse(amount: &str) -> Option<i64> {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = format!("{part:0<6}");
    (digits.len() == 6).then_some(())?;
    Some(whole.parse::<i64>().ok()? * 1_000_000 + digits.parse::<i64>().ok()?)
}
