//! Where something stands in a TOML file, so that an error can name its line.

use toml::de::{DeTable, DeValue};

/// One step into a TOML document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A member of a table.
    Key(&'a str),
    /// An element of an array, from 0.
    Index(usize),
}

/// The line, from 1, of the value that `path` leads to, or of the last value on the way that exists.
pub(crate) fn line_of(text: &str, path: &[Step<'_>]) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut table = Some(document.get_ref());
    let mut array = None;
    let mut at = 0;
    for step in path {
        let found = match step {
            Step::Key(name) => table
                .and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name))
                .map(|(key, value)| {
                    // The key's own place: a value may begin lines below it.
                    at = key.span().start;
                    value.get_ref()
                }),
            Step::Index(index) => {
                array.and_then(|array: &toml::de::DeArray<'_>| array.get(*index)).map(|value| {
                    at = value.span().start;
                    value.get_ref()
                })
            }
        };
        let Some(value) = found else { break };
        table = value.as_table();
        array = match value {
            DeValue::Array(elements) => Some(elements),
            _ => None,
        };
    }
    line_at(text, at)
}

/// The line, from 1, of the byte at `offset`.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// The key that stands on `line`, if one does.
pub(crate) fn key_on(text: &str, line: usize) -> Option<&str> {
    let (key, _) = text.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let key = key.trim();
    (!key.is_empty() && !key.starts_with('#')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[b]\nc = \"x\"\n[[d]]\ne = 1\n[[d]]\ne = 2\n";

    #[test]
    fn a_path_leads_to_its_line() {
        use Step::{Index, Key};
        assert_eq!(line_of(TEXT, &[Key("a")]), 1);
        assert_eq!(line_of(TEXT, &[Key("b"), Key("c")]), 3);
        assert_eq!(line_of(TEXT, &[Key("d"), Index(1), Key("e")]), 7);
        assert_eq!(line_of(TEXT, &[Key("d"), Index(1), Key("missing")]), 6);
        assert_eq!(key_on(TEXT, 3), Some("c"));
        assert_eq!(key_on(TEXT, 4), None);
    }
}
