//! One value: where it was given, what it is, and what was expected instead.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::span;
use mintcode_http::Proxy;
use mintcode_store::DatabaseUrl;
use secrecy::SecretString;
use toml::Value;
use tracing_subscriber::EnvFilter;
use url::Url;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In a file, on that line.
    File(PathBuf, usize),
    /// In a variable of the environment.
    Variable(String),
    /// On the command line.
    Flag(&'static str),
    /// Nowhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// A value and where it was given.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Given {
    pub(super) fn text(text: &str, origin: Origin) -> Self {
        Self { value: Value::String(text.to_owned()), origin }
    }

    /// The value's meaning, or what was expected.
    pub(super) fn read<T: Setting>(&self) -> Result<T, String> {
        // Outside a file, everything is text.
        let is_typed = matches!(self.origin, Origin::File(..));
        T::read(&self.value, is_typed)
    }

    /// The value as an error may show it.
    pub(super) fn shown(&self) -> String {
        let text = self.value.to_string();
        if text.chars().count() <= 40 { text } else { text.chars().take(40).chain(['…']).collect() }
    }
}

/// Something that can be set.
pub(super) trait Setting: Sized {
    /// Whether the value is kept out of errors.
    const IS_SECRET: bool = false;

    /// Reads a value; `is_typed` where it may have another type than text. The error says what was expected.
    fn read(value: &Value, is_typed: bool) -> Result<Self, String>;
}

fn text<'a>(value: &'a Value, expected: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| expected.to_owned())
}

impl Setting for String {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "text that is not empty";
        let text = text(value, expected)?;
        if text.trim().is_empty() { Err(expected.to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl Setting for SecretString {
    const IS_SECRET: bool = true;

    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        String::read(value, is_typed).map(Into::into)
    }
}

/// Secrets, newest first.
pub(super) struct SecretList(pub(super) Vec<SecretString>);

impl Setting for SecretList {
    const IS_SECRET: bool = true;

    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let expected = "a list of secrets, in a variable separated by line ends or commas";
        match value {
            Value::Array(secrets) if is_typed => secrets
                .iter()
                .map(|secret| SecretString::read(secret, true))
                .collect::<Result<_, _>>()
                .map(Self),
            Value::String(text) => {
                let parts = text.split(['\n', ',']).map(|part| part.trim_end_matches('\r'));
                Ok(Self(parts.filter(|part| !part.is_empty()).map(Into::into).collect()))
            }
            _ => Err(expected.to_owned()),
        }
    }
}

/// A list of texts: in a variable separated by commas or line ends.
pub(super) struct TextList(pub(super) Vec<String>);

impl Setting for TextList {
    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let parts = listed(value, is_typed, &['\n', ',']);
        parts
            .map(Self)
            .ok_or_else(|| "a list of texts, in a variable separated by line ends or commas".to_owned())
    }
}

/// Proxies whose word on a customer's address is believed.
pub(super) struct ProxyList(pub(super) Vec<Proxy>);

impl Setting for ProxyList {
    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let expected = "a list of addresses such as \"127.0.0.1\" and blocks such as \"10.0.0.0/8\"";
        let parts = listed(value, is_typed, &['\n', ',']).ok_or(expected)?;
        let read = |part: &String| part.parse().map_err(|_| format!("{expected}; {part:?} is neither"));
        parts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// Regular expressions: in a variable one per line, since each may contain commas.
pub(super) struct PatternList(pub(super) Vec<String>);

impl Setting for PatternList {
    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let parts = listed(value, is_typed, &['\n']);
        parts.map(Self).ok_or_else(|| "a list of regular expressions, in a variable one per line".to_owned())
    }
}

/// The parts of a list, without those of a variable that are blank.
fn listed(value: &Value, is_typed: bool, separators: &[char]) -> Option<Vec<String>> {
    match value {
        Value::Array(parts) if is_typed => {
            parts.iter().map(|part| part.as_str().map(str::to_owned)).collect()
        }
        Value::String(text) if !is_typed => {
            let parts = text.split(separators).map(str::trim).filter(|part| !part.is_empty());
            Some(parts.map(str::to_owned).collect())
        }
        _ => None,
    }
}

impl Setting for Duration {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "a duration such as \"250ms\", \"90s\", \"5m\", \"12h\" or \"7d\"";
        span::parse(text(value, expected)?).map_err(|_| expected.to_owned())
    }
}

fn integer(value: &Value, is_typed: bool) -> Option<i64> {
    match value {
        Value::Integer(number) if is_typed => Some(*number),
        Value::String(text) if !is_typed => text.parse().ok(),
        _ => None,
    }
}

impl Setting for u32 {
    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let number = integer(value, is_typed).and_then(|number| Self::try_from(number).ok());
        let fits = number.filter(|number| (1..=1_000_000).contains(number));
        fits.ok_or_else(|| "a whole number from 1 to 1000000".to_owned())
    }
}

impl Setting for u8 {
    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let number = integer(value, is_typed).and_then(|number| Self::try_from(number).ok());
        number.filter(|number| *number <= 64).ok_or_else(|| "a whole number from 0 to 64".to_owned())
    }
}

impl Setting for bool {
    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        let flag = match value {
            Value::Boolean(flag) if is_typed => Some(*flag),
            Value::String(text) if !is_typed => text.parse().ok(),
            _ => None,
        };
        flag.ok_or_else(|| "true or false".to_owned())
    }
}

impl Setting for Currency {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "a currency of three capital letters such as \"USD\"";
        text(value, expected)?.parse().map_err(|_| expected.to_owned())
    }
}

impl Setting for Amount {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "an amount such as \"5.00\", with at most six digits after the point";
        let amount: Self = text(value, expected)?.parse().map_err(|_| expected.to_owned())?;
        if amount >= Self::ZERO { Ok(amount) } else { Err(expected.to_owned()) }
    }
}

impl Setting for Rate {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "what one unit is worth in the selling currency, such as \"1.08\", with at most six digits after the point";
        text(value, expected)?.parse().map_err(|_| expected.to_owned())
    }
}

/// An account's standing at a supplier, in thousandths.
pub(super) struct Rating(pub(super) i64);

impl Setting for Rating {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "a standing from \"0\" to \"100\", with at most three digits after the point";
        let read: Amount = text(value, expected)?.parse().map_err(|_| expected.to_owned())?;
        let fits = (0..=100_000_000).contains(&read.micros()) && read.micros() % 1_000 == 0;
        if fits { Ok(Self(read.micros() / 1_000)) } else { Err(expected.to_owned()) }
    }
}

/// A URL whose path or query is as good as a key.
pub(super) struct SecretUrl(pub(super) Url);

impl Setting for SecretUrl {
    const IS_SECRET: bool = true;

    fn read(value: &Value, is_typed: bool) -> Result<Self, String> {
        Url::read(value, is_typed).map(Self)
    }
}

impl Setting for Url {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "a URL that begins with http:// or https://";
        let url: Self = text(value, expected)?.parse().map_err(|_| expected.to_owned())?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(url)
        } else {
            Err(expected.to_owned())
        }
    }
}

impl Setting for DatabaseUrl {
    // It may hold a password.
    const IS_SECRET: bool = true;

    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected =
            "a database such as \"sqlite:mintcode.db\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"";
        text(value, expected)?.parse().map_err(|error| format!("{expected} ({error})"))
    }
}

/// Where to listen: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) String);

impl Setting for Address {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "an address and a port such as \"127.0.0.1:8080\"";
        let text = text(value, expected)?;
        let has_both =
            text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if has_both { Ok(Self(text.to_owned())) } else { Err(expected.to_owned()) }
    }
}

impl Setting for EnvFilter {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        let expected = "a log filter such as \"info\" or \"info,mintcode_core=debug\"";
        Self::try_new(text(value, expected)?).map_err(|_| expected.to_owned())
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

impl Setting for LogFormat {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        match value.as_str() {
            Some("pretty") => Ok(Self::Pretty),
            Some("json") => Ok(Self::Json),
            _ => Err("\"pretty\" or \"json\"".to_owned()),
        }
    }
}

/// Which protocol a supplier speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SupplierKind {
    Rest,
}

impl Setting for SupplierKind {
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        match value.as_str() {
            Some("rest") => Ok(Self::Rest),
            Some("handler") => {
                Err("\"rest\"; this version does not speak the handler protocol yet".to_owned())
            }
            _ => Err("\"rest\"".to_owned()),
        }
    }
}
