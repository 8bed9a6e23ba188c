//! What a customer is shown of a redemption.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{FailureKind, Phase, Redemption};

/// Where a redemption stands, in the words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing was tried yet.
    Queued,
    /// A number is being bought.
    Ordering,
    /// A number is there, its SMS is awaited.
    WaitingSms,
    /// The same plan is tried again later.
    CoolingDown,
    /// A number is being given back.
    Releasing,
    /// A code was delivered.
    Delivered,
    /// It ended without a code.
    Failed,
    /// The customer gave up.
    Cancelled,
}

impl Status {
    /// The status's name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ordering => "ordering",
            Self::WaitingSms => "waiting_sms",
            Self::CoolingDown => "cooling_down",
            Self::Releasing => "releasing",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the redemption has ended for the customer.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Cancelled)
    }
}

/// What changed with one version of a redemption, without number, code or text: these are added when it is shown,
/// so that purging them covers every place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The redemption's version.
    pub version: u64,
    /// Where it stood.
    pub status: Status,
    /// The attempt whose number is shown.
    pub attempt: Option<u32>,
    /// How it failed.
    pub failure: Option<FailureView>,
    /// Tries the voucher had left.
    pub redemptions_left: u32,
    /// When something goes on by itself.
    pub resumes_at: Option<DateTime<Utc>>,
    /// When it changed.
    pub updated_at: DateTime<Utc>,
}

/// A failure as a customer is shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// What kind.
    pub kind: FailureKind,
    /// Whether the voucher can be redeemed again.
    pub retryable: bool,
    /// From when on; `None` where nothing holds the next redemption back.
    pub retry_at: Option<DateTime<Utc>>,
}

impl Redemption {
    /// Where it stands, in the words of the contract.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Queued => Status::Queued,
            Phase::Ordering(_) | Phase::Uncertain(_) => Status::Ordering,
            Phase::Waiting(_) => Status::WaitingSms,
            // An order that came to light too late was never the customer's.
            Phase::Releasing(_) => Status::Releasing,
            Phase::CoolingDown { .. } => Status::CoolingDown,
            Phase::Delivered(_) => Status::Delivered,
            Phase::Failed(_) | Phase::Withheld(_) => Status::Failed,
            Phase::Cancelled => Status::Cancelled,
        }
    }

    /// What a customer may see of it now, without number, code and text.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shown = self.held().filter(|_| self.number_shown);
        let redemptions_left = self.tries_left();
        let failure = match &self.phase {
            Phase::Failed(failure) => {
                let retryable = failure.kind.is_retryable() && redemptions_left > 0;
                let retry_at = retryable.then_some(failure.retry_at);
                Some(FailureView { kind: failure.kind, retryable, retry_at })
            }
            Phase::Withheld(_) => {
                Some(FailureView { kind: FailureKind::ContactSupport, retryable: false, retry_at: None })
            }
            _ => None,
        };
        let resumes_at = match &self.phase {
            Phase::CoolingDown { until, .. } => Some(*until),
            Phase::Releasing(releasing) => Some(releasing.not_before).filter(|at| *at > self.updated_at),
            _ => None,
        };
        Snapshot {
            version: self.version,
            status: self.status(),
            attempt: shown.map(|held| held.intent.number),
            failure,
            redemptions_left,
            resumes_at,
            updated_at: self.updated_at,
        }
    }
}
