//! The 32 symbols, how people write them, and the check symbol over them.
//!
//! A symbol is its value 0–31 everywhere inside; it is text only when read and when shown.

use super::shape::MAX_LENGTH;

/// Crockford's Base32. Ascending in ASCII too, so that values sort as their text does.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What one character of pasted text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyph {
    /// The symbol of this value.
    Symbol(u8),
    /// Spacing, a dash or an invisible mark: carries nothing.
    Blank,
    /// Nothing that belongs in a code.
    Stray,
}

/// Reads one character forgivingly: case, full-width forms, `O` for `0`, `I` and `L` for `1`.
pub(super) fn read(character: char) -> Glyph {
    match narrow(character).to_ascii_uppercase() {
        'O' => Glyph::Symbol(0),
        'I' | 'L' => Glyph::Symbol(1),
        c @ ('0'..='9' | 'A'..='Z') => match (0..).zip(SYMBOLS).find(|(_, symbol)| char::from(**symbol) == c)
        {
            Some((value, _)) => Glyph::Symbol(value),
            None => Glyph::Stray,
        },
        c if is_blank(c) => Glyph::Blank,
        _ => Glyph::Stray,
    }
}

/// The half-width form of a full-width character; any other character as it is.
fn narrow(character: char) -> char {
    match character {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(character) - 0xFEE0).unwrap_or(character),
        other => other,
    }
}

fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            // Hyphens and dashes, the minus sign, and the long-vowel marks that East Asian keyboards give for one.
            '-' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' | '\u{30FC}' | '\u{FF70}'
            // Soft hyphen, zero-width and direction marks, variation selectors, byte order mark.
            | '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        )
}

/// The canonical character of a symbol.
pub(super) fn show(value: u8) -> char {
    char::from(SYMBOLS[usize::from(value & 31)])
}

/// Cuts bytes into symbols of five bits, first bit first: each five bytes into eight symbols.
pub(super) fn cut<const BYTES: usize, const SYMBOLS: usize>(bytes: &[u8; BYTES]) -> [u8; SYMBOLS] {
    const { assert!(BYTES.is_multiple_of(5) && SYMBOLS == BYTES / 5 * 8) };
    let mut symbols = [0; SYMBOLS];
    for (&[a, b, c, d, e], symbols) in bytes.as_chunks().0.iter().zip(symbols.as_chunks_mut().0) {
        *symbols = spread(u64::from_be_bytes([0, 0, 0, a, b, c, d, e])).to_be_bytes();
    }
    symbols
}

/// Gives each group of five of the lowest 40 bits a byte of its own, halving the groups three times.
fn spread(bits: u64) -> u64 {
    let halves = (bits & 0xFF_FFF0_0000) << 12 | bits & 0xF_FFFF;
    let quarters = (halves & 0x000F_FC00_000F_FC00) << 6 | halves & 0x0000_03FF_0000_03FF;
    (quarters & 0x03E0_03E0_03E0_03E0) << 3 | quarters & 0x001F_001F_001F_001F
}

/// `POWERS[i]` is αⁱ in GF(32), with α = x and x⁵ + x² + 1 = 0; from α³¹ = 1 on they repeat.
const POWERS: [u8; MAX_LENGTH + 5] = {
    let mut powers = [1; MAX_LENGTH + 5];
    let mut index = 1;
    while index < powers.len() {
        let doubled = powers[index - 1] << 1;
        powers[index] = if doubled & 32 == 0 { doubled } else { doubled ^ 0b10_0101 };
        index += 1;
    }
    powers
};

/// `MASKS[b][i]` has bit `j` set where bit `j` of the symbol at position `i` counts towards bit `b` of the sum.
static MASKS: [[u8; MAX_LENGTH]; 5] = {
    let mut masks = [[0; MAX_LENGTH]; 5];
    let mut bit = 0;
    while bit < 5 {
        let mut position = 0;
        while position < MAX_LENGTH {
            let mut of_symbol = 0;
            while of_symbol < 5 {
                masks[bit][position] |= (POWERS[position + of_symbol] >> bit & 1) << of_symbol;
                of_symbol += 1;
            }
            position += 1;
        }
        bit += 1;
    }
    masks
};

/// Σ αⁱ·sᵢ over all symbols, those behind a code being zero. Zero exactly when the code's check symbol is right.
///
/// A single wrong symbol changes one term, and no nonzero weight hides it. Swapping neighbours changes the sum by
/// (αⁱ + αⁱ⁺¹)·(sᵢ + sᵢ₊₁), which is zero only if both were equal. GF(32) has 31 nonzero elements, so over 31
/// positions all weights differ; in longer codes only positions 31 apart share one, never neighbours.
pub(super) fn check_sum(symbols: &[u8; MAX_LENGTH]) -> u8 {
    let mut sum = 0;
    for mask in MASKS.iter().rev() {
        let folded = symbols.iter().zip(mask).fold(0, |folded, (symbol, mask)| folded ^ symbol & mask);
        sum = sum << 1 | u8::from(folded.count_ones() % 2 == 1);
    }
    sum
}

/// The symbol that, put at `position` where a zero was, makes this `sum` zero.
pub(super) fn check_symbol(sum: u8, position: usize) -> u8 {
    // Dividing by the position's weight is multiplying by the power that completes it to α³¹ = 1.
    let inverse = 31 - position % 31;
    (0..5).fold(0, |product, bit| product ^ ((sum >> bit & 1) * POWERS[inverse + bit]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_symbol_is_read_back_in_every_usual_form() {
        for value in 0..32 {
            let shown = show(value);
            let wide = char::from_u32(u32::from(shown) + 0xFEE0).unwrap();
            for form in [shown, shown.to_ascii_lowercase(), wide] {
                assert_eq!(read(form), Glyph::Symbol(value), "{form}");
            }
        }
    }

    #[test]
    fn look_alikes_are_the_digit_they_look_like() {
        for (forms, value) in [("OoＯｏ", 0), ("IiLlＩｉＬｌ", 1)] {
            assert!(forms.chars().all(|form| read(form) == Glyph::Symbol(value)), "{forms}");
        }
    }

    #[test]
    fn spacing_and_dashes_carry_nothing_and_the_rest_is_stray() {
        let blanks =
            " \t\r\n\u{A0}\u{2003}\u{3000}-‐‑‒–—―−－﹣ー\u{200B}\u{200D}\u{2060}\u{FEFF}\u{AD}\u{202C}";
        assert!(blanks.chars().all(|blank| read(blank) == Glyph::Blank));
        for stray in "uUＵ*_.,/!@éОΙ一\u{301}٣\0".chars() {
            assert_eq!(read(stray), Glyph::Stray, "{stray:?}");
        }
    }

    #[test]
    fn cutting_keeps_every_bit_in_order() {
        let symbols = cut(&[0b0000_1000, 0b1000_0110, 0b0100_0010, 0b1001_1000, 0b1110_1000]);
        assert_eq!(symbols, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn weights_differ_over_31_positions_and_neighbours_always() {
        let weight = |position: usize| {
            let mut symbols = [0; MAX_LENGTH];
            symbols[position] = 1;
            check_sum(&symbols)
        };
        for first in 0..MAX_LENGTH {
            assert_ne!(weight(first), 0);
            assert!((0..first).all(|other| weight(other) != weight(first) || first - other >= 31));
        }
    }
}
