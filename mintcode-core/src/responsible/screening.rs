//! Telling the messages of banks and payment services from ordinary codes.

use std::fmt;
use std::sync::{Arc, LazyLock};

use regex::{Regex, RegexBuilder};

use super::fold::fold;
use super::patterns::{self, compile};
use super::warnings::set_aside;
use crate::order::Message;

/// How much of a text is looked at, in bytes: far more than an SMS can hold.
const LONGEST: usize = 8_192;

/// What one pattern of the operator may take in memory when compiled, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Tells the messages of banks and payment services from ordinary verification codes. Cloning shares.
///
/// Built in are the patterns that [`patterns`](Self::patterns) lists, for messages in English, Chinese and Russian:
/// who signs (banks, wallets, exchanges), and what is spoken of (cards by their last digits, amounts beside words of
/// payment, transfers, balances, 3-D Secure, online banking). They look at the sender and at the text as a reader sees
/// it (full-width characters, case and invisible characters do not matter), and pass over clauses that only warn or
/// advertise: "never share this code, not even with your bank" withholds nothing.
///
/// The operator adds regular expressions (syntax of the `regex` crate, case-insensitive); each is looked for in the
/// sender and in the whole text, as received and as a reader sees it. No pattern can make screening slow: the time
/// taken grows linearly with the text, of which the first 8 KiB are looked at, more than any SMS holds.
///
/// ```
/// # use mintcode_core::responsible::Screening;
/// let screening = Screening::new(true, &[r"\bacme credit\b".to_owned()])?;
/// assert!(screening.patterns().any(|name| name == "card-number"));
/// assert_eq!(screening.patterns().last(), Some("operator-1"));
/// # Ok::<(), mintcode_core::responsible::BadPattern>(())
/// ```
#[derive(Clone)]
pub struct Screening {
    /// Whether the built-in patterns are used. They are compiled with the first message, once for all.
    shipped: bool,
    added: Arc<[Added]>,
}

/// A pattern of the operator.
struct Added {
    name: String,
    regex: Regex,
}

/// A built-in pattern, ready for use.
struct Compiled {
    name: &'static str,
    sender: Option<Regex>,
    text: Option<Regex>,
}

/// A pattern of the operator that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {place} {problem}")]
pub struct BadPattern {
    /// Its place in the operator's list, counted from 1.
    pub place: usize,
    /// What is wrong and what to do, on one line.
    pub problem: String,
}

static SHIPPED: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compiled = |sources: &[&str]| (!sources.is_empty()).then(|| compile(&sources.join("|")));
    let ready = |pattern: &patterns::Shipped| Compiled {
        name: pattern.name,
        sender: compiled(pattern.sender),
        text: compiled(pattern.text),
    };
    patterns::SHIPPED.iter().map(ready).collect()
});

impl Screening {
    /// The built-in patterns.
    #[must_use]
    pub fn shipped() -> Self {
        Self { shipped: true, added: Arc::new([]) }
    }

    /// No pattern: nothing is withheld.
    #[must_use]
    pub fn none() -> Self {
        Self { shipped: false, added: Arc::new([]) }
    }

    /// The built-in patterns if `shipped`, and those the operator `added`, which are named `operator-1`, `operator-2`
    /// and so on by their place.
    ///
    /// # Errors
    ///
    /// [`BadPattern`] for the first that is no regular expression, takes more than 1 MiB when compiled, or matches an
    /// empty text and would so withhold every message.
    pub fn new(shipped: bool, added: &[String]) -> Result<Self, BadPattern> {
        let added = added.iter().zip(1..).map(|(source, place)| {
            let regex = RegexBuilder::new(source)
                .case_insensitive(true)
                .size_limit(SIZE_LIMIT)
                .build()
                .map_err(|error| BadPattern { place, problem: explained(&error) })?;
            if regex.is_match("") {
                let problem =
                    "matches an empty text and would withhold every message: make it demand something";
                return Err(BadPattern { place, problem: problem.to_owned() });
            }
            Ok(Added { name: format!("operator-{place}"), regex })
        });
        Ok(Self { shipped, added: added.collect::<Result<_, _>>()? })
    }

    /// The name of the first pattern that `message` matches, such as `card-number` or `operator-3`: never a part of
    /// the message. `None` for an ordinary message, which is passed on.
    #[must_use]
    pub fn withholds(&self, message: &Message) -> Option<&str> {
        let [sender, text] = [&message.sender, &message.text].map(|text| beginning(text.trim()));
        let [read_sender, read_text] = [sender, text].map(fold);
        let found =
            |regex: &Regex| [sender, text, &read_sender, &read_text].iter().any(|text| regex.is_match(text));
        let shipped = || self.shipped.then(|| built_in(&read_sender, &set_aside(&read_text))).flatten();
        let added = || self.added.iter().find(|added| found(&added.regex)).map(|added| added.name.as_str());
        shipped().or_else(added)
    }

    /// The names of the patterns, in the order they are tried: the built-in ones, then the operator's.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let shipped: &[patterns::Shipped] = if self.shipped { patterns::SHIPPED } else { &[] };
        shipped.iter().map(|pattern| pattern.name).chain(self.added.iter().map(|added| added.name.as_str()))
    }
}

/// The first built-in pattern found in a folded sender or in the claims of a folded text.
fn built_in(sender: &str, claims: &str) -> Option<&'static str> {
    let finds = |regex: &Option<Regex>, text| regex.as_ref().is_some_and(|regex| regex.is_match(text));
    SHIPPED
        .iter()
        .find(|pattern| finds(&pattern.sender, sender) || finds(&pattern.text, claims))
        .map(|pattern| pattern.name)
}

/// As much of a text as is looked at.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

impl Default for Screening {
    fn default() -> Self {
        Self::shipped()
    }
}

impl fmt::Debug for Screening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screening")?;
        f.debug_list().entries(self.patterns()).finish()
    }
}

/// What is wrong with a pattern in one line, where the parser's own account takes several.
fn explained(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            "is too large: use smaller repetitions or fewer alternatives".to_owned()
        }
        error => {
            let text = error.to_string();
            let cause =
                text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("syntax error");
            format!("is not a regular expression ({cause}): correct or remove it")
        }
    }
}
