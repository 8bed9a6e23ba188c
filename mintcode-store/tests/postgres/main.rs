//! Storage in PostgreSQL: the suite of mintcode-core, and what only a server can do to it.
//!
//! `MINTCODE_TEST_POSTGRES_URL` names the server; `./test` starts one. Every test has a schema of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod batches;
mod crowd;
mod examine;
#[path = "../support/examined.rs"]
mod examined;
mod limits;
mod minting;
mod notices;
mod opening;
mod plans;
#[path = "../support/crowd.rs"]
mod processes;
mod rights;
mod sealed;
mod server;
mod stage;
mod trouble;
mod upgrade;
mod walks;

mod conformance {
    mintcode_core::storage_conformance!(crate::server::fresh_store());
}
