//! What goes to standard output: lines, tables and JSON.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

/// Writes one line.
pub(crate) fn line(text: &str) -> io::Result<()> {
    lines([text])
}

/// Writes lines as they come, without keeping them.
pub(crate) fn lines(lines: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines {
        out.write_all(line.as_ref().as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes `value` as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value).map_err(io::Error::other)?;
    line(&text)
}

/// Whether a person watches standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Writes `rows` below `heads` in aligned columns, as wide as a terminal shows their text.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = heads.map(width);
    for row in rows {
        for (known, cell) in widths.iter_mut().zip(row) {
            *known = width(cell).max(*known);
        }
    }
    let show = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, wide) in cells.iter().zip(widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(wide - width(cell) + 2));
        }
        text.trim_end().to_owned()
    };
    let shown = rows.iter().map(|row| show(std::array::from_fn(|index| row[index].as_str())));
    lines(std::iter::once(show(heads)).chain(shown))
}

/// Columns that `text` takes on a terminal: two for each East Asian character.
fn width(text: &str) -> usize {
    let is_wide = |c: char| matches!(c, '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE6F}' | '\u{FF00}'..='\u{FF60}');
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chinese_character_is_two_columns_wide() {
        assert_eq!(width("薄荷 ok"), 7);
    }
}
