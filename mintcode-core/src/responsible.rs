//! Responsible operation: what this service does not sell, and which messages it does not pass on.
//!
//! Both are on by default and pure: the [`DenyList`] refuses SKUs and plans of banks, payment services, governments
//! and health services, and [`Screening`] tells the message of a bank or a payment service from an ordinary
//! verification code, so that it can be withheld. What is shipped can be read in full in the sources of this module
//! ([`DenyList::services`] and [`Screening::patterns`] list it); an operator adds to both.

mod deny;
mod fold;
mod names;
mod patterns;
mod screening;
mod services;
mod warnings;

pub use self::deny::{DenyList, Reason};
pub use self::screening::{BadPattern, Screening};
