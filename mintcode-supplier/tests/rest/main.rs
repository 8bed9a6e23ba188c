//! The REST client against the simulator, and against servers that behave worse than any simulator.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are tests as well")]

mod faults;
mod routes;
mod shape;
mod support;
mod transport;
