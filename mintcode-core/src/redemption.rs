//! One run that tries to turn a voucher into a delivered code.
//!
//! [`step`] is the whole machine: it decides, and touches nothing. The engine commits what it decides and then
//! performs the effect; each outcome is the next event.

mod attempt;
mod choice;
mod code;
mod consequence;
mod context;
mod delivery;
mod purge;
mod search;
mod state;
mod step;
mod view;
mod watch;

pub use self::attempt::{AttemptRow, ClosedAttempt, Held, Intent, Outcome, Surplus};
pub use self::choice::{Answer, Candidate, Choice, ChoiceRecord, Question, Verdict, choose};
pub use self::code::find_code;
pub use self::consequence::Consequences;
pub use self::context::{
    Call, CallFailure, Context, Decision, Effect, Event, Illegal, Listing, NotBought, SupplierFacts, Timing,
    Wish,
};
pub use self::delivery::{Delivery, Settlement};
pub use self::state::{
    AfterRelease, Failure, FailureKind, GiveBack, Holder, HolderKey, Phase, Redemption, Releasing, Search,
};
pub(crate) use self::step::settle_pause;
pub use self::step::{WishAnswer, step, voucher_event, weigh_wish};
pub use self::view::{FailureView, Snapshot, Status};
pub use self::watch::{KnownSight, Watch};
