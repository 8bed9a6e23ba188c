//! Reading a text as its reader does: without regard to width and invisible characters.

/// `text` with full-width letters and digits narrowed, every kind of space as a space, invisible characters dropped
/// and `ё` written `е`. Case stays: the patterns do not regard it.
pub(super) fn fold(text: &str) -> String {
    text.chars().filter(|letter| !is_invisible(*letter)).map(narrow).collect()
}

fn narrow(letter: char) -> char {
    match letter {
        // The full-width forms stand in the order of ASCII, so the difference is one number.
        '！'..='～' => char::from_u32(u32::from(letter) - 0xFEE0).unwrap_or(letter),
        '￥' => '¥',
        '￡' => '£',
        '’' | '‘' => '\'',
        '‐'..='―' | '−' => '-',
        'ё' => 'е',
        'Ё' => 'Е',
        '\n' => '\n',
        letter if letter.is_whitespace() => ' ',
        letter => letter,
    }
}

/// Soft hyphen, joiners, marks of direction, byte order mark and variation selectors: they split words unseen.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}'
            | '\u{FE00}'..='\u{FE0F}'
    )
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn width_and_invisible_characters_do_not_matter() {
        assert_eq!(fold("ＰａｙＰａｌ：１２３４５６"), "PayPal:123456");
        assert_eq!(fold("Pay\u{200B}Pal\u{A0}счёт\u{3000}￥５"), "PayPal счет ¥5");
    }
}
