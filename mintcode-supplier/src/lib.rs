//! Suppliers of phone numbers for `mintcode-core`.
//!
//! - [`rest`]: a client of the REST protocol of 5sim.net ("5SIM protocol", `/v1`).
//! - `simulator` (feature `simulator`): the same protocol as a server, with its own books, stock, delays and faults.
//!
//! Invariant: outside this crate nobody knows which supplier it is. No error, log line or `Debug` output of this
//! crate carries its name, its host, its own texts, the API key, a phone number or the text of an SMS.

pub mod rest;
#[cfg(feature = "simulator")]
pub mod simulator;
