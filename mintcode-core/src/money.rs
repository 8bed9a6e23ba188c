//! Exact money: whole micro-units (10⁻⁶) of a named currency, never a float.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MICROS: i64 = 1_000_000;

/// An amount of money in micro-units (10⁻⁶) of a currency named elsewhere.
///
/// Read from and shown as decimal text with at most six fractional digits.
///
/// ```
/// # use mintcode_core::money::Amount;
/// let price: Amount = "0.1359".parse()?;
/// assert_eq!(price.micros(), 135_900);
/// assert_eq!(price.to_string(), "0.1359");
/// assert_eq!("3".parse::<Amount>()?.to_string(), "3.00");
/// # Ok::<(), mintcode_core::money::BadAmount>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `micros` micro-units.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The amount in micro-units.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum, or `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// Text that is no decimal amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an amount such as \"0.80\" (at most six digits after the point)")]
pub struct BadAmount {
    text: String,
}

impl FromStr for Amount {
    type Err = BadAmount;

    fn from_str(text: &str) -> Result<Self, BadAmount> {
        parse(text).map(Self).ok_or_else(|| BadAmount { text: text.chars().take(40).collect() })
    }
}

fn parse(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // Zeros behind the sixth digit carry nothing; anything else there would be lost.
    let (kept, lost) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    if !all_digits(whole) || !all_digits(kept) || lost.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let micros: i64 = format!("{kept:0<6}").parse().ok()?;
    let total = whole.parse::<i64>().ok()?.checked_mul(MICROS)?.checked_add(micros)?;
    Some(if negative { -total } else { total })
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let (whole, fraction) = (micros / MICROS.unsigned_abs(), micros % MICROS.unsigned_abs());
        let fraction = format!("{fraction:06}");
        let shown = fraction.trim_end_matches('0');
        write!(f, "{sign}{whole}.{shown:0<2}")
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A currency by its three-letter code, such as `USD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollars.
    pub const USD: Self = Self(*b"USD");

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        // Always the letters: nothing else gets into the type.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Text that is no three-letter currency code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters such as \"USD\"")]
pub struct BadCurrency;

impl FromStr for Currency {
    type Err = BadCurrency;

    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(BadCurrency),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros in -1_000_000_000_000_000_i64..1_000_000_000_000_000) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }
    }

    #[test]
    fn nothing_is_rounded_and_nothing_else_is_taken_for_money() {
        assert_eq!("0.1000000".parse::<Amount>().unwrap(), Amount::from_micros(100_000));
        for bad in ["", ".", "1.", ".5", "0.0000001", "1e3", "+1", "--1", "1,5", "9223372036855", "NaN", "１"]
        {
            assert!(bad.parse::<Amount>().is_err(), "{bad:?}");
        }
    }
}
