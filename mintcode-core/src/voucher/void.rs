//! Why a voucher is taken back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

const LONGEST: usize = 200;

/// Why the operator takes a voucher back, in the operator's words: `refunded`, `lost` and the like.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct VoidReason(String);

/// Text that is no [`VoidReason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {LONGEST} characters and no line breaks, such as \"refunded\"")]
pub struct BadReason;

impl VoidReason {
    /// The reason.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for VoidReason {
    /// No reason was given.
    fn default() -> Self {
        Self("voided".to_owned())
    }
}

impl FromStr for VoidReason {
    type Err = BadReason;

    fn from_str(text: &str) -> Result<Self, BadReason> {
        let text = text.trim();
        let fits = (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadReason) }
    }
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for VoidReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(" refunded ".parse::<VoidReason>().unwrap().as_str(), "refunded");
        assert_eq!("退款".repeat(100).parse::<VoidReason>().unwrap().as_str().chars().count(), 200);
        for bad in ["", "  ", "two\nlines", &"x".repeat(201)] {
            assert_eq!(bad.parse::<VoidReason>(), Err(BadReason), "{bad}");
        }
    }
}
