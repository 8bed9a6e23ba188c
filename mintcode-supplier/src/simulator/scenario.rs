//! How a simulator behaves, from code or from a TOML file. `docs/simulator.md` shows every key.

use std::time::Duration;

use mintcode_core::money::Amount;
use mintcode_core::span;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::catalogue::default_lines;
use super::faults::Arming;

/// Everything that decides how a simulator behaves. Two simulators with the same scenario, asked the same at the
/// same times, answer alike.
///
/// ```
/// # use mintcode_supplier::simulator::Scenario;
/// let scenario = Scenario::from_toml(r#"
///     sms_after = "2s"
///
///     [[line]]
///     country = "canada"
///     operator = "virtual9"
///     product = "telegram"
///     price = "0.11"
///     stock = 3
///
///     [[fault]]
///     name = "buy_answer_lost"
///     chance = 0.1
/// "#)?;
/// assert_eq!(scenario.line[0].stock, Some(3));
/// # Ok::<(), mintcode_supplier::simulator::BadScenario>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Decides numbers, codes and whatever is left to chance.
    pub seed: u64,
    /// The only key taken; any key is taken where there is none.
    #[serde(deserialize_with = "secret")]
    pub api_key: Option<SecretString>,
    /// The money on the account at the start, in a currency nobody names.
    pub balance: Amount,
    /// The account's standing at the start, out of 96.
    pub rating: Amount,
    /// From a purchase to its first message, where the line does not say.
    #[serde(with = "span::text")]
    pub sms_after: Duration,
    /// From one message to the next, where the line does not say.
    #[serde(with = "span::text")]
    pub sms_every: Duration,
    /// The age at which an order without a message times out. Its `expires` says 15 minutes whatever is set here.
    #[serde(with = "span::text")]
    pub timeout_after: Duration,
    /// From the last message to the order's finishing by itself.
    #[serde(with = "span::text")]
    pub auto_finish_after: Duration,
    /// The age below which cancelling and banning are refused.
    #[serde(with = "span::text")]
    pub cancel_min_age: Duration,
    /// What a new order is called.
    pub fresh_status: FreshStatus,
    /// What a purchase in an unknown country is answered with.
    pub unknown_country: UnknownCountry,
    /// What is on sale beside the scenario's own lines.
    pub catalogue: Catalogue,
    /// Lines of the scenario's own; one of the same country, operator and product replaces the catalogue's.
    pub line: Vec<Line>,
    /// Faults armed from the start.
    pub fault: Vec<Arming>,
}

/// What a new order is called. The live service does all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreshStatus {
    /// `PENDING`, and `RECEIVED` two seconds later.
    Pending,
    /// `RECEIVED` at once, without a message.
    Received,
    /// One or the other, by chance.
    Mixed,
}

/// What a purchase in an unknown country is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCountry {
    /// The same as when nothing is in stock, as the live service does.
    NoFreePhones,
    /// `bad country`, as documented.
    BadCountry,
}

/// What is on sale beside a scenario's own lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catalogue {
    /// About twenty lines over eight countries.
    Default,
    /// Nothing.
    Empty,
}

/// What one operator sells for one product in one country, and how its numbers behave.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The country's slug.
    pub country: String,
    /// The operator's slug.
    pub operator: String,
    /// The product's slug.
    pub product: String,
    /// The price listed.
    pub price: Amount,
    /// What is really charged; the price listed unless set.
    #[serde(default)]
    pub charged: Option<Amount>,
    /// How many numbers there are; without end unless set. A line with 0 stays listed.
    #[serde(default)]
    pub stock: Option<u64>,
    /// How many messages each number receives; 0 for none ever.
    #[serde(default = "one")]
    pub messages: u32,
    /// From a purchase to its first message; the scenario's unless set.
    #[serde(default, deserialize_with = "optional_span")]
    pub sms_after: Option<Duration>,
    /// From one message to the next; the scenario's unless set.
    #[serde(default, deserialize_with = "optional_span")]
    pub sms_every: Option<Duration>,
    /// The texts in turn, the last one repeated; `{code}` stands for the code, and a text without it has none. What
    /// the product usually writes unless set.
    #[serde(default)]
    pub texts: Vec<String>,
}

impl Line {
    /// A line with stock without end, whose numbers receive one message.
    #[must_use]
    pub fn new(country: &str, operator: &str, product: &str, price: Amount) -> Self {
        Self {
            country: country.to_owned(),
            operator: operator.to_owned(),
            product: product.to_owned(),
            price,
            charged: None,
            stock: None,
            messages: 1,
            sms_after: None,
            sms_every: None,
            texts: Vec::new(),
        }
    }

    fn is_named(&self, other: &Self) -> bool {
        (&self.country, &self.operator, &self.product) == (&other.country, &other.operator, &other.product)
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            api_key: None,
            balance: Amount::from_micros(1_000_000_000),
            rating: Amount::from_micros(96_000_000),
            sms_after: Duration::from_secs(4),
            sms_every: Duration::from_secs(5),
            timeout_after: Duration::from_mins(15),
            auto_finish_after: Duration::from_mins(5),
            cancel_min_age: Duration::ZERO,
            fresh_status: FreshStatus::Mixed,
            unknown_country: UnknownCountry::NoFreePhones,
            catalogue: Catalogue::Default,
            line: Vec::new(),
            fault: Vec::new(),
        }
    }
}

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadScenario {
    line: usize,
    problem: String,
}

impl Scenario {
    /// Reads a scenario file. Every key is optional; one that is unknown or malformed is an error.
    ///
    /// # Errors
    ///
    /// [`BadScenario`] says where and what.
    pub fn from_toml(text: &str) -> Result<Self, BadScenario> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
            BadScenario {
                line: before.matches('\n').count() + 1,
                problem: error.message().replace('\n', " "),
            }
        })?;
        match scenario.problem() {
            // Of what only makes sense as a whole, the place is not known.
            Some(problem) => Err(BadScenario { line: 1, problem }),
            None => Ok(scenario),
        }
    }

    fn problem(&self) -> Option<String> {
        for line in &self.line {
            for slug in [&line.country, &line.operator, &line.product] {
                if !is_slug(slug) || slug == "any" {
                    return Some(format!(
                        "{slug:?} is no slug: lower-case letters and digits, and not \"any\""
                    ));
                }
            }
            if line.price < Amount::ZERO || line.charged.is_some_and(|charged| charged < Amount::ZERO) {
                return Some(format!("the price of {} at {} is below zero", line.product, line.operator));
            }
        }
        self.fault.iter().find_map(Arming::problem)
    }

    /// Everything on sale.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = match self.catalogue {
            Catalogue::Default => default_lines(),
            Catalogue::Empty => Vec::new(),
        };
        for line in &self.line {
            lines.retain(|known| !known.is_named(line));
            lines.push(line.clone());
        }
        lines
    }
}

/// Whether the routes take `text` as a segment.
pub(crate) fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn one() -> u32 {
    1
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    String::deserialize(deserializer).map(|key| Some(key.into()))
}

pub(crate) fn optional_span<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    span::text::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_or_makes_no_sense_is_named_with_its_line() {
        let rows = [
            ("seed = 1\nsms_afer = \"2s\"", "line 2: unknown field `sms_afer`"),
            ("sms_after = \"2\"", "line 1: \"2\" is not a duration"),
            ("balance = 3.5", "line 1: invalid type: floating point"),
            ("[[fault]]\nname = \"gremlins\"", "line 2: unknown variant `gremlins`"),
            ("[[fault]]\nname = \"slow_answer\"\nchance = 1.5", "line 1: the chance of slow_answer"),
            ("[[fault]]\nname = \"slow_answer\"\nnth = 1\ntimes = 2", "line 1: slow_answer"),
            ("[[fault]]\nname = \"stale_order_list\"\nroute = \"buy\"", "line 1: stale_order_list"),
            (
                "[[line]]\ncountry=\"x\"\noperator=\"any\"\nproduct=\"y\"\nprice=\"1\"",
                "line 1: \"any\" is no slug",
            ),
        ];
        for (text, expected) in rows {
            let error = Scenario::from_toml(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_line_of_the_scenario_replaces_the_one_of_the_catalogue() {
        let price = Amount::from_micros(1);
        let line = Line::new("canada", "virtual4", "telegram", price);
        let lines = Scenario { line: vec![line.clone()], ..Scenario::default() }.lines();
        let same: Vec<_> = lines.iter().filter(|known| known.is_named(&line)).collect();
        assert_eq!(same, [&line]);
        assert!(lines.len() > 10);
        let alone = Scenario { line: vec![line], catalogue: Catalogue::Empty, ..Scenario::default() };
        assert_eq!(alone.lines().len(), 1);
    }

    #[test]
    fn the_manual_shows_scenarios_that_work_and_every_fault() {
        let manual = include_str!("../../../docs/simulator.md");
        let examples: Vec<_> =
            manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty());
        for example in examples {
            Scenario::from_toml(example).unwrap();
        }
        for fault in crate::simulator::Fault::ALL {
            assert!(manual.contains(&format!("`{}`", fault.name())), "{fault:?} is not in the manual");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let scenario = Scenario::from_toml("api_key = \"hush-hush\"").unwrap();
        assert!(!format!("{scenario:?}").contains("hush"));
    }
}
