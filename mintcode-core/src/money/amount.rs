//! Amounts, read from and shown as decimal text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Micro-units in one unit.
pub(super) const MICROS: i64 = 1_000_000;

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

    /// The largest amount there is.
    pub const MAX: Self = Self(i64::MAX);

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

    /// The difference, or `None` where it does not fit.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The same amount with the other sign, or `None` where it does not fit.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    /// The sum of all `amounts`, or `None` where it does not fit at any point on the way.
    #[must_use]
    pub fn checked_sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
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

/// Reads decimal text as micro-units; `None` where that would lose anything.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // Zeros behind the sixth digit carry nothing; anything else there would be lost.
    let (kept, lost) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    if !all_digits(whole) || !all_digits(kept) || lost.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let micros: i64 = format!("{kept:0<6}").parse().ok()?;
    // Wider than the result, so that the least amount of all is read as well.
    let total = i128::from(whole.parse::<i64>().ok()?) * i128::from(MICROS) + i128::from(micros);
    i64::try_from(sign * total).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros: i64) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }
    }

    #[test]
    fn the_least_and_the_largest_amount_are_read_back() {
        for micros in [i64::MIN, i64::MAX] {
            let amount = Amount::from_micros(micros);
            assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
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

    #[test]
    fn a_result_that_does_not_fit_is_no_amount() {
        let (one, least) = (Amount::from_micros(1), Amount::from_micros(i64::MIN));
        assert_eq!(Amount::MAX.checked_add(one), None);
        assert_eq!(least.checked_sub(one), None);
        assert_eq!(least.checked_neg(), None);
        assert_eq!(Amount::MAX.checked_neg().unwrap().checked_sub(one), Some(least));
        assert_eq!(Amount::checked_sum([Amount::MAX, one, least]), None);
        assert_eq!(Amount::checked_sum([one, one, least]), Some(Amount::from_micros(i64::MIN + 2)));
        assert_eq!(Amount::checked_sum([]), Some(Amount::ZERO));
    }
}
