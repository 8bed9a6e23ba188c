//! The orders that are waited for, as storage and the stub both know them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::money::Amount;
use mintcode_core::order::{Order, OrderId, Phone};
use mintcode_core::ports::Wanted;
use mintcode_core::testing::TokioClock;

/// Live ids have ten digits.
const BEFORE_FIRST: u64 = 1_081_000_000;
/// Old enough that an order is looked at as rarely as any.
const AGE: Duration = Duration::from_mins(10);
/// Long enough that none ends meanwhile.
const LIFETIME: Duration = Duration::from_hours(12);

/// The id of order `number`, from 1: it grows with the number.
pub(crate) fn id(number: u32) -> u64 {
    BEFORE_FIRST + u64::from(number)
}

/// The number of the order of that id.
pub(crate) fn number(id: u64) -> Option<u32> {
    id.checked_sub(BEFORE_FIRST).and_then(|number| u32::try_from(number).ok())
}

/// When order `number` was made.
pub(crate) fn created_at(number: u32) -> DateTime<Utc> {
    TokioClock::epoch() - AGE + Duration::from_micros(u64::from(number))
}

/// When the supplier gives up on order `number`.
pub(crate) fn expires_at(number: u32) -> DateTime<Utc> {
    created_at(number) + LIFETIME
}

/// The phone number of order `number`.
pub(crate) fn phone(number: u32) -> String {
    format!("+1555{number:07}")
}

/// What is bought, each time.
pub(crate) fn wanted() -> Wanted {
    Wanted {
        product: "telegram".to_owned(),
        country: "canada".to_owned(),
        operator: "virtual4".to_owned(),
        max_cost: Amount::from_micros(200_000),
    }
}

/// Order `number` as bought.
pub(crate) fn order(number: u32) -> Order {
    Order {
        id: OrderId::new(id(number).to_string()),
        phone: Phone::new(&phone(number)),
        price: Amount::from_micros(135_900),
        created_at: created_at(number),
        expires_at: expires_at(number),
    }
}
