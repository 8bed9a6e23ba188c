//! Several workers on one storage: who drives what, who is dead, what time it is, and how many requests there are.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod forgotten;
mod looking;
mod owning;
mod site;
mod spy;
mod time;
