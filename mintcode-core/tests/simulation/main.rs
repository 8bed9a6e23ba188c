//! The real engine in worlds of its own: storage in memory, a supplier with books, several processes, one thread, paused
//! time, and one seed that decides everything — who crashes or stands still at which call, which answers are lost, late or
//! told twice, what the supplier's lists leave out, whose clock jumps, when customers come. After its troubles each world
//! has to come to rest, and is audited: the supplier's books against what storage says.
//!
//! - `cargo nextest run -p mintcode-core --test simulation` lives 2,000 worlds and some larger ones.
//! - `MINTCODE_SIM_SEED=n cargo test -p mintcode-core --test simulation replay -- --ignored --nocapture` replays one and
//!   tells what happens in it, line by line.
//! - `MINTCODE_SIM_REDEMPTIONS=1000000 cargo test -p mintcode-core --test simulation a_long_run -- --ignored --nocapture`
//!   lives worlds on all cores until so many redemptions were begun, and prints what was seen. `MINTCODE_SIM_SEED` is the
//!   first of them then.
//!
//! A failing seed says how to replay it. Once its cause is known it becomes a named test.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod audit;
mod books;
mod customer;
mod cut;
mod dice;
mod found;
mod long;
mod matching;
mod missed;
mod ports;
mod process;
mod record;
mod report;
mod seeds;
mod setup;
mod sim;
mod supplier;
mod world;
