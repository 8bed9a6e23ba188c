//! Vouchers that become verification codes.
//!
//! An operator mints [vouchers](voucher), sells them anywhere, and whoever holds one redeems it: then, and only then,
//! a phone number is bought from a [supplier](ports::Supplier) by the plans of its [SKU](sku), its SMS is awaited, and
//! the code is delivered. A voucher is spent only when a code was delivered.
//!
//! In reading order:
//! - [`money`], [`span`], [`ids`], [`order`]: the values;
//! - [`voucher`]: codes, their keys, and the voucher's machine;
//! - [`velocity`]: how many redemptions one customer, address or SKU may begin;
//! - [`sku`]: what is sold, by which plans and under which policy;
//! - [`redemption`]: the machine that turns a voucher into a code: [`step`](redemption::step()) decides, and touches nothing;
//! - [`ledger`]: the books that follow from it: costs, sales, and the proof that they balance;
//! - [`responsible`]: services that are not served, and messages that are not passed on;
//! - [`health`] and [`alert`]: how sources and accounts do, and what the operator is told;
//! - [`rules`]: what the operator has set for all SKUs;
//! - [`orphan`]: orders that no redemption knows of;
//! - [`budget`]: how many requests an account may make, and when;
//! - [`ports`]: storage, supplier, clock and entropy, and what each must promise;
//! - [`engine`]: the only code that performs effects: commit first, then act;
//! - `testing` (feature `testing`): in-memory storage, a supplier with books, the storage conformance suite, samples.
//!
//! This crate knows no HTTP, no SQL, no environment, no wall clock and no thread-local randomness.

pub mod alert;
pub mod budget;
pub mod engine;
pub mod guessing;
pub mod health;
pub mod ids;
pub mod ledger;
pub mod money;
pub mod order;
pub mod orphan;
pub mod ports;
pub mod redemption;
pub mod responsible;
pub mod rules;
pub mod sku;
pub mod span;
#[cfg(feature = "testing")]
pub mod testing;
pub mod velocity;
pub mod voucher;
