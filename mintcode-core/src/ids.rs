//! Opaque ids: a prefix and 26 Crockford symbols, 130 random bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ports::Entropy;

const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// Text that is no id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id that begins with {prefix:?}")]
pub struct BadId {
    prefix: &'static str,
}

fn draw(entropy: &dyn Entropy) -> [u8; LENGTH] {
    let mut symbols = [0; LENGTH];
    entropy.fill(&mut symbols);
    // 32 divides 256, so every symbol is equally likely.
    symbols.map(|byte| SYMBOLS[usize::from(byte % 32)])
}

fn read(text: &str, prefix: &'static str) -> Result<[u8; LENGTH], BadId> {
    text.strip_prefix(prefix)
        .and_then(|symbols| <[u8; LENGTH]>::try_from(symbols.as_bytes()).ok())
        .filter(|symbols| symbols.iter().all(|symbol| SYMBOLS.contains(symbol)))
        .ok_or(BadId { prefix })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; LENGTH]);

        impl $name {
            /// A fresh id.
            #[must_use]
            pub fn draw(entropy: &dyn Entropy) -> Self {
                Self(draw(entropy))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let symbols = std::str::from_utf8(&self.0).expect("ids are made of ASCII symbols");
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(symbols)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                read(text, concat!($prefix, "_")).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// A redemption. Whoever has it may see and steer that redemption, so it never reaches a log above `debug`.
    RedemptionId, "rdm"
}
id! {
    /// A batch of vouchers minted together.
    BatchId, "bat"
}
id! {
    /// One start of one worker process.
    WorkerId, "wrk"
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a name of ASCII letters, digits, `_`, `-` and `.`.
            pub fn new(name: impl Into<String>) -> Result<Self, BadName> {
                let name = name.into();
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
                if (1..=$longest).contains(&name.len()) && name.bytes().all(fits) {
                    Ok(Self(name))
                } else {
                    Err(BadName { what: $what, longest: $longest })
                }
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A name that an operator gave and that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has 1 to {longest} letters, digits, \"_\", \"-\" or \".\"")]
pub struct BadName {
    what: &'static str,
    longest: usize,
}

name! {
    /// The operator's id of a SKU, such as `tg_ca_001`.
    SkuId, "a SKU's id", 64
}
name! {
    /// The operator's id of a plan within its SKU, such as `A`.
    PlanId, "a plan's id", 32
}
name! {
    /// The operator's name for a configured supplier; `main` is the default one.
    SupplierName, "a supplier's name", 32
}

impl Default for SupplierName {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn an_id_is_read_back_and_another_kind_is_refused() {
        let id = RedemptionId::draw(&SeededEntropy::new(1));
        assert_eq!(id.to_string().parse::<RedemptionId>().unwrap(), id);
        assert_eq!(id.to_string().len(), 30);
        for bad in ["", "rdm_", "rdm_123", &id.to_string().replace("rdm", "bat"), &format!("{id}0")] {
            assert!(bad.parse::<RedemptionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert!(SkuId::new("tg_ca_001").is_ok());
        for bad in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(SkuId::new(bad).is_err(), "{bad}");
        }
    }
}
