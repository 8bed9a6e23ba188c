//! The adapter over the real engine, in memory and in paused time, through its router.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod admin;
mod caps;
mod forms;
mod held;
mod operations;
mod problems;
mod purged;
mod redeeming;
mod refusals;
mod secrecy;
mod serving;
mod shop;
mod support_work;
mod webhook;
mod withheld;
