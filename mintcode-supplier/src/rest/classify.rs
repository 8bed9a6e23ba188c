//! What an answer means: one table over its text and its status.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ports::supplier::{BuyError, CallError, Stop};

use super::failure::Failure;

/// Which kind of call is being answered: the same words weigh differently on a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Buying.
    Buy,
    /// Looking at the account, an order or the list of orders.
    Look,
    /// Finishing, cancelling or banning.
    Settle,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A success whose body is to be read.
    Body,
    OutOfStock,
    Stop(Stop),
    Throttled,
    NotFound,
    TooEarly,
    Conflict,
    /// Nothing that can be relied on.
    Unclear,
}

use Meaning::{Body, Conflict, NotFound, OutOfStock, Throttled, TooEarly, Unclear};

const KEY: Meaning = Meaning::Stop(Stop::Key);
const BALANCE: Meaning = Meaning::Stop(Stop::Balance);
const RATING: Meaning = Meaning::Stop(Stop::Rating);
const PARAMETERS: Meaning = Meaning::Stop(Stop::Parameters);

/// Text (trimmed, lower case), what it means on a purchase, what it means on any other call.
///
/// A text that makes no sense where it turns up is `Unclear` there.
const TEXTS: [(&str, Meaning, Meaning); 29] = [
    ("no free phones", OutOfStock, Unclear),
    ("no free numbers", OutOfStock, Unclear),
    ("not enough product qty", OutOfStock, Unclear),
    ("not enough user balance", BALANCE, BALANCE),
    ("not enough balance", BALANCE, BALANCE),
    ("not enough rating", RATING, RATING),
    ("select country", PARAMETERS, PARAMETERS),
    ("select operator", PARAMETERS, PARAMETERS),
    ("bad country", PARAMETERS, PARAMETERS),
    ("bad operator", PARAMETERS, PARAMETERS),
    ("bad product", PARAMETERS, PARAMETERS),
    ("no product", PARAMETERS, PARAMETERS),
    ("country is incorrect", PARAMETERS, PARAMETERS),
    ("product is incorrect", PARAMETERS, PARAMETERS),
    // Listed among the refusals of a purchase, so nothing was bought; but it passes by itself, and it says nothing
    // of the stock. "Throttled" is the clear no after which the same plan is tried again later.
    ("server offline", Throttled, Unclear),
    // Comes with a 500 out of the middle of the supplier's work.
    ("internal error", Unclear, Unclear),
    ("order not found", Unclear, NotFound),
    ("record not found", Unclear, NotFound),
    ("order expired", Unclear, Conflict),
    ("order has sms", Unclear, Conflict),
    ("order no sms", Unclear, Conflict),
    ("hosting order", Unclear, Conflict),
    ("you need to wait time", Unclear, TooEarly),
    ("too many requests", Throttled, Throttled),
    ("api limit is 100 requests per second", Throttled, Throttled),
    ("ip address limit is 100 requests per second", Throttled, Throttled),
    ("unauthorized", KEY, KEY),
    ("token expired", KEY, KEY),
    ("token invalid", KEY, KEY),
];

/// What `status` and `body` mean as the answer to `call`.
pub(crate) fn classify(call: Call, status: u16, body: &str) -> Meaning {
    match (call, status) {
        (_, 401 | 403) => return KEY,
        // A 503 comes from the supplier's limits or from a gateway in front of it: on a purchase nobody can tell which.
        (Call::Buy, 503) => return Unclear,
        (_, 429 | 503) => return Throttled,
        _ => {}
    }
    // Before the status: "no free phones" is a 200 on the live service, and other texts have moved between codes.
    if let Some(meaning) = known_text(call, body) {
        return meaning;
    }
    match status {
        200..=299 => Body,
        // The route does not exist for these segments; the answer points at a page for people.
        300..=399 => PARAMETERS,
        404 if call == Call::Settle && is_html_not_found(body) => NotFound,
        _ => Unclear,
    }
}

fn known_text(call: Call, body: &str) -> Option<Meaning> {
    let text = body.trim();
    let (_, on_buy, otherwise) = TEXTS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(text))?;
    Some(if call == Call::Buy { *on_buy } else { *otherwise })
}

/// Older versions of the service answered an unknown order with a page.
fn is_html_not_found(body: &str) -> bool {
    body.trim_start().starts_with('<') && body.to_ascii_lowercase().contains("not found")
}

/// The error of a purchase that was answered with `meaning`.
pub(crate) fn buy_error(meaning: Meaning, retry_after: Option<Duration>, failure: Failure) -> BuyError {
    match meaning {
        OutOfStock => BuyError::OutOfStock,
        Meaning::Stop(stop) => BuyError::Stopped(stop),
        Throttled => BuyError::Throttled { retry_after },
        Body | NotFound | TooEarly | Conflict | Unclear => BuyError::Unclear(failure.into()),
    }
}

/// The error of any other call that was answered with `meaning`.
pub(crate) fn call_error(meaning: Meaning, retry_after: Option<Duration>, failure: Failure) -> CallError {
    match meaning {
        Meaning::Stop(stop) => CallError::Stopped(stop),
        Throttled => CallError::Throttled { retry_after },
        NotFound => CallError::NotFound,
        TooEarly => CallError::TooEarly,
        Conflict => CallError::Conflict,
        Body | OutOfStock | Unclear => CallError::Unclear(failure.into()),
    }
}

/// The longest wait believed; a day is beyond anything the engine waits for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Reads a `Retry-After` header: whole seconds, or a date.
pub(crate) fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    let wait = if let Ok(seconds) = header.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = DateTime::parse_from_rfc2822(header).ok()?;
        (date.to_utc() - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests;
