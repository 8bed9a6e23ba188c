//! The JSON of the protocol, read leniently: unknown fields and statuses, absent or null parts, and numbers as
//! integers, floats or strings are all taken, and decimals are read from their text, never through a float.

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::supplier::Profile;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

mod prices;

pub(crate) use prices::listed_price;

/// How long an activation lives, where the order itself does not say.
const LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// The part of an answer that is missing or malformed. Its value is not kept: it may be a number or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) &'static str);

/// The text of a string or number; `None` for anything else and for blank text.
#[derive(Default)]
struct Loose(Option<String>);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let text = match raw.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?,
            Some(b'-' | b'0'..=b'9') => raw.get().to_owned(),
            _ => return Ok(Self(None)),
        };
        Ok(Self((!text.trim().is_empty()).then_some(text)))
    }
}

impl Loose {
    fn text(&self) -> Option<&str> {
        self.0.as_deref().map(str::trim)
    }

    fn date(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(self.text()?).ok().map(|date| date.to_utc())
    }

    fn amount(&self) -> Option<Amount> {
        amount(self.text()?)
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WireSms {
    created_at: Loose,
    date: Loose,
    sender: Loose,
    text: Loose,
    code: Loose,
}

/// An order as every route shows it; which fields are there depends on the route.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct WireOrder {
    id: Loose,
    phone: Loose,
    operator: Loose,
    product: Loose,
    country: Loose,
    price: Loose,
    status: Loose,
    expires: Loose,
    created_at: Loose,
    sms: Option<Vec<WireSms>>,
}

/// Reads one order.
pub(crate) fn order(body: &str) -> Result<WireOrder, Unreadable> {
    serde_json::from_str(body).map_err(|_| Unreadable("order"))
}

/// Reads a page of orders.
pub(crate) fn orders(body: &str) -> Result<Vec<WireOrder>, Unreadable> {
    #[derive(Deserialize)]
    struct Page {
        // Without a default: an answer that is no list must not be taken for an empty one.
        #[serde(rename = "Data", deserialize_with = "Option::deserialize")]
        data: Option<Vec<WireOrder>>,
    }
    let page: Page = serde_json::from_str(body).map_err(|_| Unreadable("list of orders"))?;
    Ok(page.data.unwrap_or_default())
}

/// Reads the account, whose `currency` the protocol never names.
pub(crate) fn profile(body: &str, currency: Currency) -> Result<Profile, Unreadable> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct WireProfile {
        id: Loose,
        balance: Loose,
        rating: Loose,
    }
    let profile: WireProfile = serde_json::from_str(body).map_err(|_| Unreadable("profile"))?;
    Ok(Profile {
        id: profile.id.text().ok_or(Unreadable("account id"))?.to_owned(),
        balance: profile.balance.amount().ok_or(Unreadable("balance"))?,
        currency,
        rating_milli: profile.rating.amount().map(|rating| rating.micros() / 1_000),
    })
}

impl WireOrder {
    /// The order's id: a whole number beyond 32 bits.
    pub(crate) fn id(&self) -> Option<u64> {
        self.id.text()?.parse().ok()
    }

    /// The order as just bought; `now` stands in where the answer does not say when.
    pub(crate) fn bought(&self, now: DateTime<Utc>) -> Result<Order, Unreadable> {
        let id = self.id().ok_or(Unreadable("order id"))?;
        let phone = self.phone.text().ok_or(Unreadable("phone number"))?;
        let created_at = self.created_at.date().unwrap_or(now);
        let expires_at = self.expires.date().filter(|expires| *expires > created_at);
        Ok(Order {
            id: OrderId::new(id.to_string()),
            phone: Phone::new(phone),
            price: self.price.amount().ok_or(Unreadable("price"))?,
            created_at,
            expires_at: expires_at.unwrap_or(created_at + LIFETIME),
        })
    }

    /// Where the order stands. Messages count whatever the status says.
    pub(crate) fn sight(&self) -> Sight {
        let fallback = self.created_at.date().unwrap_or_default();
        let sms = self.sms.as_deref().unwrap_or_default();
        let mut messages: Vec<Message> = sms.iter().filter_map(|sms| sms.message(fallback)).collect();
        messages.sort_by_key(|message| message.received_at);
        Sight { status: status(self.status.text().unwrap_or_default()), messages }
    }

    /// The order as a row of the list, where everything that tells orders apart has to be there.
    pub(crate) fn listed(&self) -> Result<ListedOrder, Unreadable> {
        // No slug of ours has a control character, and not every database can hold one.
        let held = |text: &str| text.replace(char::is_control, "\u{FFFD}");
        let slug = |field: &Loose, part| field.text().map(held).ok_or(Unreadable(part));
        let created_at = self.created_at.date().ok_or(Unreadable("creation time"))?;
        Ok(ListedOrder {
            order: self.bought(created_at)?,
            product: slug(&self.product, "product")?,
            country: slug(&self.country, "country")?,
            operator: slug(&self.operator, "operator")?,
            sight: self.sight(),
        })
    }
}

impl WireSms {
    fn message(&self, fallback: DateTime<Utc>) -> Option<Message> {
        let owned = |field: &Loose| field.0.clone();
        let code = self.code.text().map(str::to_owned);
        // A row with neither text nor code proves nothing.
        let text = owned(&self.text).or_else(|| code.clone())?;
        Some(Message {
            received_at: self.date.date().or_else(|| self.created_at.date()).unwrap_or(fallback),
            sender: owned(&self.sender).unwrap_or_default(),
            text,
            code,
        })
    }
}

/// "RECEIVED" means that the number is listening, not that anything arrived, so it is as open as "PENDING" and as
/// every word not known here.
fn status(word: &str) -> OrderStatus {
    match word.to_ascii_uppercase().as_str() {
        "FINISHED" => OrderStatus::Finished,
        "CANCELED" | "CANCELLED" => OrderStatus::Cancelled,
        "BANNED" => OrderStatus::Banned,
        "TIMEOUT" => OrderStatus::TimedOut,
        "PENDING" | "RECEIVED" => OrderStatus::Open,
        _ => {
            tracing::warn!("An order has a status that is not known; it is taken for open");
            OrderStatus::Open
        }
    }
}

/// Reads decimal text, with or without an exponent, to the nearest micro-unit.
///
/// Prices have four decimals; what goes beyond six is the noise of a float the supplier computed with.
fn amount(text: &str) -> Option<Amount> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|e| e.abs() <= 18)?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i128 = digits.parse().ok()?;
    let shift = exponent + 6 - i32::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let micros = if shift >= 0 { number.checked_mul(power)? } else { number.checked_add(power / 2)? / power };
    let micros = i64::try_from(micros).ok()?;
    Some(Amount::from_micros(if negative { -micros } else { micros }))
}

#[cfg(test)]
mod tests;
