//! Durations as the contract writes them: `250ms`, `90s`, `5m`, `12h`, `7d`.

use std::time::Duration;

/// The longest duration taken: ten years.
pub const LONGEST: Duration = Duration::from_hours(3650 * 24);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a duration such as \"250ms\", \"90s\", \"5m\", \"12h\" or \"7d\" (at most ten years)"
)]
pub struct BadDuration {
    text: String,
}

/// Reads a whole number and a unit: `ms`, `s`, `m`, `h` or `d`.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(mintcode_core::span::parse("90s").unwrap(), Duration::from_secs(90));
/// assert!(mintcode_core::span::parse("90").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    read(text).ok_or_else(|| BadDuration { text: text.chars().take(40).collect() })
}

fn read(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let duration = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?);
    (duration <= LONGEST).then_some(duration)
}

/// Writes `duration` with the largest unit that divides it; parts of a millisecond are dropped.
#[must_use]
pub fn show(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (name, unit) = UNITS.iter().rev().find(|(_, unit)| millis.is_multiple_of(*unit)).unwrap_or(&UNITS[0]);
    format!("{}{name}", millis / unit)
}

/// For `#[serde(with = "mintcode_core::span::text")]`.
pub mod text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the duration as text.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show(*duration))
    }

    /// Reads the duration from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0_u64..315_360_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration)).unwrap(), duration);
        }
    }

    #[test]
    fn the_largest_fitting_unit_is_shown() {
        let shown = ["0s", "250ms", "90s", "5m", "36h", "7d"];
        for text in shown {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "s", "5", "-5s", "5 s", "1.5h", "5w", "99999999999999999999s", "4000d"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
