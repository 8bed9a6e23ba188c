//! Every rule of the operator as a scenario over HTTP: what the customer sees, what the simulator's own books say, and
//! that ours agree with them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../support/command.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod command;
#[path = "../support/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
#[path = "../support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;

mod breaker;
mod choice;
mod delivery;
mod giving_back;
mod responsible;
mod scene;
mod stops;
mod support;
mod tries;
mod trouble;
