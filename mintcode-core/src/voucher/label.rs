//! The hidden word that a code's tag is made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SKU's label: 1 to 32 characters, kept exactly as given, never seen in a code.
///
/// ```
/// # use mintcode_core::voucher::Label;
/// let label: Label = "TGCA".parse()?;
/// assert_eq!(label.as_str(), "TGCA");
/// assert!(" ".parse::<Label>().is_err());
/// # Ok::<(), mintcode_core::voucher::BadLabel>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no [`Label`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a label is 1 to 32 characters, not blank and without control characters")]
pub struct BadLabel;

impl TryFrom<String> for Label {
    type Error = BadLabel;

    fn try_from(text: String) -> Result<Self, BadLabel> {
        let fits = (1..=32).contains(&text.chars().count());
        let readable = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if fits && readable { Ok(Self(text)) } else { Err(BadLabel) }
    }
}

impl FromStr for Label {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        text.to_owned().try_into()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_short_visible_text() {
        for good in ["A", "TGCA", "电报 · 加拿大", &"é".repeat(32)] {
            assert_eq!(good.parse::<Label>().unwrap().to_string(), good);
        }
        for bad in ["", "  ", "\u{3000}", "a\nb", "a\0", &"A".repeat(33)] {
            assert_eq!(bad.parse::<Label>(), Err(BadLabel), "{bad:?}");
        }
    }
}
