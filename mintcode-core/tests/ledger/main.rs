//! The books: what every state stands for, what every move books, and that both sides always balance.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod balance;
mod entries;
mod margin;
mod states;
mod walk;
