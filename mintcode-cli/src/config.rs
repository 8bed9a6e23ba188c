//! Configuration: what a file, the environment and the flags say, each over the one before.
//!
//! - [`keys`] is the table of everything that can be set; `mintcode.example.toml` explains each;
//! - [`value`] reads one value and says what was expected;
//! - [`sources`] collects values with where they came from;
//! - [`settings`] gives them their meaning, and [`rules`] those that make up the operator's rules.

mod keys;
mod rules;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use self::settings::{LogSettings, SupplierSettings};
pub(crate) use self::sources::{Flag, Sources};
pub(crate) use self::value::{Address, LogFormat};
