//! What the operator notes about a batch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

const LONGEST: usize = 500;

/// The operator's note about a batch: where it is sold, for whom it is, and the like. One line of at most 500 characters.
///
/// ```
/// # use mintcode_core::voucher::Note;
/// let note: Note = " first stock, 微店 ".parse()?;
/// assert_eq!(note.as_str(), "first stock, 微店");
/// assert!("two\nlines".parse::<Note>().is_err());
/// # Ok::<(), mintcode_core::voucher::BadNote>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Note(String);

/// Text that is no [`Note`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note has 1 to {LONGEST} characters, and no line breaks or other control characters")]
pub struct BadNote;

impl Note {
    /// The note's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = BadNote;

    fn from_str(text: &str) -> Result<Self, BadNote> {
        let text = text.trim();
        let fits = (1..=LONGEST).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadNote) }
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_that_can_be_stored_and_shown() {
        assert_eq!("注".repeat(500).parse::<Note>().unwrap().as_str().chars().count(), 500);
        for bad in ["", " ", "a\0b", "a\u{1b}[31m", "two\nlines", &"x".repeat(501)] {
            assert_eq!(bad.parse::<Note>(), Err(BadNote), "{bad:?}");
        }
    }
}
