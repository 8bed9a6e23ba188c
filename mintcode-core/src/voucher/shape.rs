//! How long a voucher code is and where its tag sits.

use serde::{Deserialize, Serialize};

/// The longest code, in symbols.
pub const MAX_LENGTH: usize = 64;

/// The fewest random symbols of a code: 80 bits.
const MIN_RANDOM: u8 = 16;

/// The lengths a tag may have, in symbols: below 20 bits it stops few guesses, above 60 it adds nothing.
const LABEL_LENGTHS: std::ops::RangeInclusive<u8> = 4..=12;

/// The layout of a voucher code: random symbols with a keyed tag among them, and a check symbol at the end.
///
/// The default is 32 symbols: 25 random ones (125 bits) with a tag of six behind the eighth, and the check symbol.
///
/// ```
/// # use mintcode_core::voucher::{Shape, ShapeError};
/// assert_eq!(Shape::default().random_symbols(), 25);
/// assert_eq!(Shape::new(22, 6, 8), Err(ShapeError::TooFewRandomBits { bits: 75 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Shape {
    length: u8,
    label_length: u8,
    label_pos: u8,
}

impl Shape {
    /// A code of `length` symbols (at most 64) whose tag has `label_length` symbols (4 to 12) and stands behind
    /// the first `label_pos` random ones.
    pub fn new(length: u8, label_length: u8, label_pos: u8) -> Result<Self, ShapeError> {
        if usize::from(length) > MAX_LENGTH {
            return Err(ShapeError::TooLong { length });
        }
        if !LABEL_LENGTHS.contains(&label_length) {
            return Err(ShapeError::LabelLength { label_length });
        }
        let random = length.saturating_sub(label_length).saturating_sub(1);
        if random < MIN_RANDOM {
            return Err(ShapeError::TooFewRandomBits { bits: u16::from(random) * 5 });
        }
        if label_pos > random {
            return Err(ShapeError::LabelPos { label_pos, random });
        }
        Ok(Self { length, label_length, label_pos })
    }

    /// All symbols of a code, the tag and the check symbol included.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length.into()
    }

    /// Symbols of the tag.
    #[must_use]
    pub fn label_length(&self) -> usize {
        self.label_length.into()
    }

    /// Random symbols in front of the tag.
    #[must_use]
    pub fn label_pos(&self) -> usize {
        self.label_pos.into()
    }

    /// Random symbols, of five bits each.
    #[must_use]
    pub fn random_symbols(&self) -> usize {
        self.length() - self.label_length() - 1
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self { length: 32, label_length: 6, label_pos: 8 }
    }
}

/// Why there is no such [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// More symbols than [`MAX_LENGTH`].
    #[error("a voucher code has at most {MAX_LENGTH} symbols, not {length}: lower length")]
    TooLong {
        /// The length asked for.
        length: u8,
    },
    /// A tag too short to stop guesses, or longer than is of use.
    #[error("label_length is 4 to 12 symbols, not {label_length}")]
    LabelLength {
        /// The tag's length asked for.
        label_length: u8,
    },
    /// A code that could be guessed.
    #[error(
        "a voucher code needs at least 80 random bits, this shape has {bits}: raise length or lower label_length"
    )]
    TooFewRandomBits {
        /// The random bits such a code would have.
        bits: u16,
    },
    /// A tag behind the end of the random symbols.
    #[error("label_pos is at most {random}, the number of random symbols, not {label_pos}")]
    LabelPos {
        /// The position asked for.
        label_pos: u8,
        /// The random symbols of such a code.
        random: u8,
    },
}

/// The shape as configuration and records write it; what is left out has its default.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    length: u8,
    label_length: u8,
    label_pos: u8,
}

impl Default for Fields {
    fn default() -> Self {
        Shape::default().into()
    }
}

impl From<Shape> for Fields {
    fn from(Shape { length, label_length, label_pos }: Shape) -> Self {
        Self { length, label_length, label_pos }
    }
}

impl TryFrom<Fields> for Shape {
    type Error = ShapeError;

    fn try_from(Fields { length, label_length, label_pos }: Fields) -> Result<Self, ShapeError> {
        Self::new(length, label_length, label_pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_where_the_contract_puts_them() {
        assert_eq!(Shape::new(32, 6, 8), Ok(Shape::default()));
        assert_eq!(Shape::new(23, 6, 16).unwrap().random_symbols(), 16);
        assert_eq!(Shape::new(22, 6, 8), Err(ShapeError::TooFewRandomBits { bits: 75 }));
        assert_eq!(Shape::new(3, 6, 0), Err(ShapeError::TooFewRandomBits { bits: 0 }));
        assert_eq!(Shape::new(23, 6, 17), Err(ShapeError::LabelPos { label_pos: 17, random: 16 }));
        assert_eq!(Shape::new(64, 4, 59).unwrap().random_symbols(), 59);
        assert_eq!(Shape::new(65, 4, 0), Err(ShapeError::TooLong { length: 65 }));
        assert_eq!(Shape::new(32, 3, 0), Err(ShapeError::LabelLength { label_length: 3 }));
        assert_eq!(Shape::new(64, 13, 0), Err(ShapeError::LabelLength { label_length: 13 }));
    }

    #[test]
    fn a_written_shape_is_checked_and_completed() {
        let read = serde_json::from_str::<Shape>;
        assert_eq!(read("{}").unwrap(), Shape::default());
        assert_eq!(read(r#"{"length": 40}"#).unwrap(), Shape::new(40, 6, 8).unwrap());
        assert!(read(r#"{"length": 20}"#).unwrap_err().to_string().contains("80 random bits"));
        assert!(read(r#"{"lenght": 40}"#).is_err());
        let shape = Shape::new(50, 7, 3).unwrap();
        assert_eq!(read(&serde_json::to_string(&shape).unwrap()).unwrap(), shape);
    }
}
