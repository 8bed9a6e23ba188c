//! The REST client against the simulator, and against servers that behave worse than any simulator.

mod faults;
mod routes;
mod shape;
mod support;
mod transport;
