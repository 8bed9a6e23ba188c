//! The only code that performs effects: it drives the machines over the ports.
//!
//! The law of the driver: a transition is committed first, in one fenced transaction; then its effect is performed;
//! the effect's outcome is the next event. A crash needs no path of its own: the redemption is loaded, and the machine
//! is told that its worker is gone.

mod builder;
mod driver;
mod guesses;
mod house;
mod issuer;
pub(crate) mod journal;
mod life;
mod line;
mod notices;
mod poller;
mod post;
mod pulse;
mod recent;
mod redeemer;
mod report;
mod shift;
mod steady;
mod supplier_desk;
mod support;
mod sweeper;
mod teller;
mod watch;
mod watchlist;
mod worker;

pub use self::builder::{Engine, EngineBuilder, Running, SetupError};
pub use self::issuer::{BatchCodes, Issuer, MOST_IN_A_BATCH, MintError, MintRequest, Minted, SEALED_AFTER};
pub use self::notices::Notices;
pub use self::redeemer::{Proof, RedeemError, Redeemed, Redeemer, WishError};
pub use self::report::{DaySums, PlanSums, Report, ReportError, SkuSums, SpanSums};
pub use self::support::{Explained, Reissued, Support, SupportError, acknowledge};
