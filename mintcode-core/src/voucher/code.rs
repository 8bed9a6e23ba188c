//! A voucher code, read or minted.

use std::fmt;

use super::alphabet::{self, Glyph};
use super::mask::Mask;
use super::shape::{MAX_LENGTH, Shape};

/// A voucher code without a typo; whether anyone minted it is another question.
///
/// It has no `Display` and its `Debug` shows the [`Mask`], so that a log cannot spend it:
/// the text takes a call that says so, [`reveal`](Self::reveal).
///
/// ```
/// # use mintcode_core::voucher::{CodeError, Shape, VoucherCode};
/// let code = VoucherCode::parse("0000-0000-0000-0000-0000-0000-0000-oooo", &Shape::default())?;
/// assert_eq!(code.reveal(), "0".repeat(32));
/// # Ok::<(), CodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoucherCode {
    /// Values 0–31, zero behind the shape's length; they sort as the text does.
    symbols: [u8; MAX_LENGTH],
    shape: Shape,
}

impl VoucherCode {
    /// Reads a code as people paste it: any case, with spaces, dashes, full-width or invisible characters,
    /// `O` for `0`, `I` and `L` for `1`. Needs no secret.
    pub fn parse(text: &str, shape: &Shape) -> Result<Self, CodeError> {
        let mut symbols = [0; MAX_LENGTH];
        let mut found = 0;
        for character in text.chars() {
            match alphabet::read(character) {
                Glyph::Symbol(value) => {
                    if let Some(symbol) = symbols.get_mut(found) {
                        *symbol = value;
                    }
                    found += 1;
                }
                Glyph::Blank => {}
                Glyph::Stray => return Err(CodeError::BadSymbol { position: found + 1, symbol: character }),
            }
        }
        let expected = shape.length();
        if found == 0 {
            Err(CodeError::Empty)
        } else if found != expected {
            Err(CodeError::WrongLength { expected, found })
        } else if alphabet::check_sum(&symbols) != 0 {
            Err(CodeError::Typo)
        } else {
            Ok(Self { symbols, shape: *shape })
        }
    }

    /// A code in the making: `random` begins with the random symbols and is zero behind them.
    ///
    /// It becomes one by [`put_tag`](Self::put_tag) and [`put_check`](Self::put_check).
    pub(super) fn begin(shape: Shape, random: [u8; MAX_LENGTH]) -> Self {
        Self { symbols: random, shape }
    }

    /// Puts the tag among the random symbols.
    pub(super) fn put_tag(&mut self, tag: &[u8]) {
        let at = self.shape.label_pos();
        self.symbols.copy_within(at..self.shape.random_symbols(), at + tag.len());
        self.symbols[at..at + tag.len()].copy_from_slice(tag);
    }

    /// Puts the check symbol behind all others.
    pub(super) fn put_check(&mut self) {
        let last = self.shape.length() - 1;
        self.symbols[last] = alphabet::check_symbol(alphabet::check_sum(&self.symbols), last);
    }

    /// The layout it was read or minted with.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The first and last four symbols, which may be kept and shown.
    #[must_use]
    pub fn mask(&self) -> Mask {
        Mask::of(self.symbols())
    }

    /// The whole code, ungrouped: only for the answer that mints or downloads it.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.grouped(0)
    }

    /// The whole code in groups of `size` joined by `-`, as in `ABCD-EFGH-…`; ungrouped if `size` is 0.
    #[must_use]
    pub fn grouped(&self, size: usize) -> String {
        let mut text = String::with_capacity(2 * self.shape.length());
        for (index, symbol) in self.symbols().iter().enumerate() {
            if size > 0 && index > 0 && index.is_multiple_of(size) {
                text.push('-');
            }
            text.push(alphabet::show(*symbol));
        }
        text
    }

    /// All symbols as values, and zeros behind them.
    pub(super) fn padded(&self) -> &[u8; MAX_LENGTH] {
        &self.symbols
    }

    /// The tag's symbols.
    pub(super) fn tag(&self) -> &[u8] {
        &self.symbols[self.shape.label_pos()..][..self.shape.label_length()]
    }

    /// The random symbols, those in front of the tag and those behind it, and zeros behind them.
    pub(super) fn random(&self) -> [u8; MAX_LENGTH] {
        let (tag_at, after_tag) =
            (self.shape.label_pos(), self.shape.label_pos() + self.shape.label_length());
        let check_at = self.shape.length() - 1;
        let mut random = [0; MAX_LENGTH];
        random[..tag_at].copy_from_slice(&self.symbols[..tag_at]);
        random[tag_at..self.shape.random_symbols()].copy_from_slice(&self.symbols[after_tag..check_at]);
        random
    }

    fn symbols(&self) -> &[u8] {
        &self.symbols[..self.shape.length()]
    }
}

impl fmt::Debug for VoucherCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoucherCode({})", self.mask())
    }
}

/// Why text is no voucher code. Never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Nothing but spaces and dashes.
    #[error("no voucher code was given")]
    Empty,
    /// Symbols are missing or too many.
    #[error("a voucher code has {expected} symbols, this one has {found}")]
    WrongLength {
        /// Symbols a code has.
        expected: usize,
        /// Symbols found.
        found: usize,
    },
    /// A character that no code contains, such as `U` or a comma.
    #[error("symbol {position} is {symbol:?}, which no voucher code contains")]
    BadSymbol {
        /// Which symbol it is, from 1, spaces and dashes not counted.
        position: usize,
        /// The character found there.
        symbol: char,
    },
    /// The check symbol does not fit.
    #[error("the voucher code has a typo: a symbol is wrong, or two are swapped")]
    Typo,
}
