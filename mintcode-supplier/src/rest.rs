//! The REST protocol: everything is a GET, purchases and cancels included, and errors are plain text.
//!
//! [`RestSupplier`] sends each call once and reports what came back; what to do about it is the engine's business.
//!
//! - `client` sends the requests and puts the other parts together,
//! - `classify` is the table from an answer's status and text to what it means,
//! - `wire` reads the JSON, leniently where the supplier is loose and strictly where money and ids are at stake,
//! - `gate` takes the last look at a purchase's window before it leaves,
//! - `failure` says what went wrong on the way, in words that give nothing away.

mod classify;
mod client;
mod failure;
mod gate;
mod wire;

pub use client::{BuildError, RestSupplier, RestSupplierBuilder};
pub use failure::Failure;
