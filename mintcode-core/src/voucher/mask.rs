//! What of a code may be seen after it was shown once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::alphabet::{self, Glyph};

/// Symbols shown at either end.
const SHOWN: usize = 4;

/// The first and last four symbols of a code: `ABCD****WXYZ`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mask([u8; 2 * SHOWN]);

impl Mask {
    /// The mask of a code with these symbols, of which there are at least eight.
    pub(super) fn of(symbols: &[u8]) -> Self {
        let mut shown = [0; 2 * SHOWN];
        shown[..SHOWN].copy_from_slice(&symbols[..SHOWN]);
        shown[SHOWN..].copy_from_slice(&symbols[symbols.len() - SHOWN..]);
        Self(shown)
    }
}

/// Text that is no [`Mask`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a masked code is its first and last four symbols with stars between, such as ABCD****WXYZ")]
pub struct BadMask;

impl FromStr for Mask {
    type Err = BadMask;

    fn from_str(text: &str) -> Result<Self, BadMask> {
        let star = |c| c == '*' || c == '\u{FF0A}';
        let (first, rest) = text.split_once(star).ok_or(BadMask)?;
        let symbols = |part: &str| {
            part.chars()
                .map(alphabet::read)
                .filter(|glyph| *glyph != Glyph::Blank)
                .map(|glyph| match glyph {
                    Glyph::Symbol(value) => Ok(value),
                    Glyph::Blank | Glyph::Stray => Err(BadMask),
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let (first, last) = (symbols(first)?, symbols(rest.trim_start_matches(star))?);
        if first.len() != SHOWN || last.len() != SHOWN {
            return Err(BadMask);
        }
        Ok(Self::of(&[first, last].concat()))
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.iter().map(|symbol| alphabet::show(*symbol)).collect();
        let (first, last) = text.split_at(SHOWN);
        write!(f, "{first}****{last}")
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read_back_forgivingly() {
        let mask: Mask = "ABCD****WXYZ".parse().unwrap();
        assert_eq!(mask.to_string(), "ABCD****WXYZ");
        for form in ["abcd****wxyz", " AB-CD * WX-YZ ", "ＡＢＣＤ＊＊＊＊ＷＸＹＺ"] {
            assert_eq!(form.parse(), Ok(mask), "{form}");
        }
        for bad in ["", "ABCDWXYZ", "ABC****WXYZ", "ABCD****WXYZ0", "ABCU****WXYZ", "AB**CD**WXYZ", "****"] {
            assert_eq!(bad.parse::<Mask>(), Err(BadMask), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Mask>(&serde_json::to_string(&mask).unwrap()).unwrap(), mask);
    }
}
