//! The machines and the plan choice as tables: what happens in every state, at every event, under every rule.
//!
//! `every_pair.txt` has a line for every pair of a state and an event; `MINTCODE_BLESS=1` writes it anew, and its
//! difference is to be read like code.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]
#![allow(clippy::too_many_lines, reason = "tables are long")]
#![allow(clippy::unused_self, reason = "what happens to a run reads best as its method")]

mod admission;
mod breaker;
mod choice;
mod every_pair;
mod rules;
mod run;
mod shown;
mod told;
mod voucher;
