//! Exact money: whole micro-units (10⁻⁶) of a named currency, never a float.

mod amount;
mod currency;
mod rate;

pub use self::amount::{Amount, BadAmount};
pub use self::currency::{BadCurrency, Currency};
pub use self::rate::{BadRate, Rate, Rates};
