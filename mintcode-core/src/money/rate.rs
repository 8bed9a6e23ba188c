//! What other currencies are worth.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::amount::{MICROS, parse};
use super::{Amount, Currency};

/// How much one unit of a currency is worth in the selling currency: exact, above zero, in micro-units.
///
/// Read from and shown as decimal text, as an [`Amount`] is.
///
/// ```
/// # use mintcode_core::money::{Amount, Rate};
/// let rouble: Rate = "0.0125".parse()?;
/// let price: Amount = "12.50".parse()?;
/// assert_eq!(rouble.convert(price), Some("0.15625".parse()?));
/// assert!("0".parse::<Rate>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i64);

impl Rate {
    /// The rate of the selling currency itself.
    pub const ONE: Self = Self(MICROS);

    /// A rate of `micros` micro-units for one unit; `None` unless it is above zero.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros > 0 { Some(Self(micros)) } else { None }
    }

    /// What one unit is worth, in micro-units of the selling currency.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// What `amount` is worth in the selling currency, rounded half to even to whole micro-units; `None` where that
    /// does not fit.
    #[must_use]
    pub fn convert(self, amount: Amount) -> Option<Amount> {
        let unit = i128::from(MICROS);
        let exact = i128::from(amount.micros()) * i128::from(self.0);
        let (below, rest) = (exact.div_euclid(unit), exact.rem_euclid(unit));
        let rounds_up = rest * 2 > unit || (rest * 2 == unit && below % 2 != 0);
        i64::try_from(below + i128::from(rounds_up)).ok().map(Amount::from_micros)
    }
}

/// Text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a rate above zero such as \"0.0125\" (at most six digits after the point)")]
pub struct BadRate {
    text: String,
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let rate = parse(text).and_then(Self::from_micros);
        rate.ok_or_else(|| BadRate { text: text.chars().take(40).collect() })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount::from_micros(self.0).fmt(f)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The selling currency, and what others are worth in it: no two currencies are ever mixed without a rate from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// What customers pay in.
    pub selling: Currency,
    /// What one unit of each other currency is worth; an entry for the selling currency counts for nothing.
    pub rates: BTreeMap<Currency, Rate>,
}

impl Rates {
    /// Knows the selling currency and no other.
    #[must_use]
    pub fn only(selling: Currency) -> Self {
        Self { selling, rates: BTreeMap::new() }
    }

    /// What one unit of `currency` is worth in the selling currency, or `None` where nobody said.
    #[must_use]
    pub fn of(&self, currency: Currency) -> Option<Rate> {
        if currency == self.selling { Some(Rate::ONE) } else { self.rates.get(&currency).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn a_half_is_rounded_to_the_even_neighbour() {
        for (price, worth) in [
            ("0.000001", "0"),
            ("0.000002", "0.000001"),
            ("0.000003", "0.000002"),
            ("0.000005", "0.000002"),
            ("-0.000001", "0"),
            ("-0.000003", "-0.000002"),
            ("-0.000005", "-0.000002"),
        ] {
            assert_eq!(rate("0.5").convert(amount(price)), Some(amount(worth)), "{price}");
        }
        assert_eq!(rate("0.500001").convert(amount("0.000001")), Some(amount("0.000001")));
        assert_eq!(rate("0.499999").convert(amount("0.000001")), Some(Amount::ZERO));
    }

    #[test]
    fn what_does_not_fit_is_no_amount() {
        assert_eq!(rate("1.000001").convert(Amount::MAX), None);
        assert_eq!(Rate::from_micros(i64::MAX).unwrap().convert(Amount::from_micros(i64::MIN)), None);
        assert_eq!(rate("0.000001").convert(Amount::MAX), Some(Amount::from_micros(9_223_372_036_855)));
    }

    #[test]
    fn only_a_decimal_above_zero_is_a_rate() {
        for bad in ["0", "0.0000001", "-1", "", "1/80", "1e-2"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
        assert_eq!(serde_json::to_string(&rate("0.0125")).unwrap(), r#""0.0125""#);
        assert_eq!(serde_json::from_str::<Rate>(r#""0.0125""#).unwrap(), rate("0.0125"));
        assert!(serde_json::from_str::<Rate>("0.0125").is_err(), "a float is no exact rate");
    }

    #[test]
    fn a_currency_without_a_rate_is_worth_nothing_known() {
        let [eur, rub] = ["EUR", "RUB"].map(|code| code.parse::<Currency>().unwrap());
        let mut rates = Rates::only(Currency::USD);
        assert_eq!(rates.of(Currency::USD), Some(Rate::ONE));
        assert_eq!(rates.of(rub), None);
        rates.rates.insert(rub, rate("0.0125"));
        rates.rates.insert(Currency::USD, rate("2"));
        assert_eq!(rates.of(rub), Some(rate("0.0125")));
        assert_eq!(rates.of(eur), None);
        assert_eq!(rates.of(Currency::USD), Some(Rate::ONE), "the selling currency is its own measure");
        let shown = serde_json::to_string(&rates).unwrap();
        assert_eq!(serde_json::from_str::<Rates>(&shown).unwrap(), rates);
    }

    proptest! {
        #[test]
        fn one_changes_nothing(micros: i64) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(Rate::ONE.convert(amount), Some(amount));
        }

        /// What was charged and given back is worth nothing, whatever was rounded.
        #[test]
        fn the_sign_makes_no_difference(rate in 1_i64.., micros in -i64::MAX..) {
            let (rate, amount) = (Rate::from_micros(rate).unwrap(), Amount::from_micros(micros));
            let negated = rate.convert(amount.checked_neg().unwrap());
            prop_assert_eq!(rate.convert(amount).and_then(Amount::checked_neg), negated);
        }

        #[test]
        fn what_is_worth_most_is_off_by_half_a_micro_unit(rate in 1_i64..1_000_000_000, micros in 0_i64..1_000_000_000) {
            let worth = Rate::from_micros(rate).unwrap().convert(Amount::from_micros(micros)).unwrap();
            let exact = i128::from(rate) * i128::from(micros);
            let off = i128::from(worth.micros()) * i128::from(MICROS) - exact;
            prop_assert!(off.abs() * 2 <= i128::from(MICROS));
        }
    }
}
