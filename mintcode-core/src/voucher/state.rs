//! The voucher's machine: who may redeem it, and what a redemption does to it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{KeyId, Mask, VoidReason, VoucherHash};
use crate::ids::{BatchId, PlanId, RedemptionId, SkuId};

/// The right to one delivery of one SKU, as stored: never the code, only its keyed hash and its mask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Voucher {
    /// The keyed hash of its code.
    pub hash: VoucherHash,
    /// The secret that keys the hash.
    pub key_id: KeyId,
    /// What people are shown instead of the code.
    pub mask: Mask,
    /// The batch it was minted in.
    pub batch: BatchId,
    /// What it is redeemed for.
    pub sku: SkuId,
    /// Where it stands.
    pub state: VoucherState,
    /// Tries used up: redemptions that showed a number and delivered no code.
    pub tries: u32,
    /// Purchases made for it, or that may have been made, whatever became of their numbers.
    pub buys: u32,
    /// When it stops being good.
    pub expires_at: Option<DateTime<Utc>>,
    /// No new redemption begins before this moment.
    pub ready_at: Option<DateTime<Utc>>,
    /// The plan whose number got no SMS: the next redemption starts behind it.
    pub start_behind: Option<PlanId>,
    /// The latest redemption.
    pub redemption: Option<RedemptionId>,
    /// Why the operator took it back; while a redemption runs, why it is to be taken back when that ends.
    pub void: Option<VoidReason>,
    /// The fulfilled voucher that it was issued in place of.
    pub replaces: Option<VoucherHash>,
    /// Whether its tries are to be given back when its redemption ends.
    pub reset_wished: bool,
}

/// Where a voucher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoucherState {
    /// Minted, and never used up a try.
    Issued,
    /// Its redemption owns it; nothing is bought.
    Locked {
        /// Where it goes back to when the redemption ends without a number shown.
        from: Resting,
    },
    /// An order may exist at a supplier, or is being given back.
    Redeeming {
        /// As in [`VoucherState::Locked`].
        from: Resting,
    },
    /// The last redemption failed; still good.
    RetryableFailed,
    /// A code was delivered. Final.
    Fulfilled,
    /// Its time ran out.
    Expired {
        /// What it goes back to when an operator extends it.
        from: Resting,
    },
    /// The operator took it back. Final.
    Cancelled,
}

/// The states in which a voucher waits for a redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resting {
    /// See [`VoucherState::Issued`].
    Issued,
    /// See [`VoucherState::RetryableFailed`].
    RetryableFailed,
}

impl From<Resting> for VoucherState {
    fn from(resting: Resting) -> Self {
        match resting {
            Resting::Issued => Self::Issued,
            Resting::RetryableFailed => Self::RetryableFailed,
        }
    }
}

impl VoucherState {
    /// Every name that [`VoucherState::name`] gives, in the order of a voucher's life.
    pub const NAMES: [&'static str; 7] =
        ["issued", "locked", "redeeming", "retryable_failed", "fulfilled", "expired", "cancelled"];

    /// The state's name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Locked { .. } => "locked",
            Self::Redeeming { .. } => "redeeming",
            Self::RetryableFailed => "retryable_failed",
            Self::Fulfilled => "fulfilled",
            Self::Expired { .. } => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Where it goes back to, in the states that remember it.
    #[must_use]
    pub fn from(self) -> Option<Resting> {
        match self {
            Self::Locked { from } | Self::Redeeming { from } | Self::Expired { from } => Some(from),
            Self::Issued | Self::RetryableFailed | Self::Fulfilled | Self::Cancelled => None,
        }
    }

    /// The state of that name that remembers `from`; `None` where the two make no state.
    #[must_use]
    pub fn read(name: &str, from: Option<Resting>) -> Option<Self> {
        Some(match (name, from) {
            ("issued", None) => Self::Issued,
            ("locked", Some(from)) => Self::Locked { from },
            ("redeeming", Some(from)) => Self::Redeeming { from },
            ("retryable_failed", None) => Self::RetryableFailed,
            ("fulfilled", None) => Self::Fulfilled,
            ("expired", Some(from)) => Self::Expired { from },
            ("cancelled", None) => Self::Cancelled,
            _ => return None,
        })
    }
}

/// What a redemption, or time, does to its voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherEvent {
    /// A redemption takes it.
    Lock {
        /// That redemption.
        redemption: RedemptionId,
        /// The voucher's end, set by its first redemption.
        expires_at: Option<DateTime<Utc>>,
    },
    /// A purchase is intended.
    Buy {
        /// Purchases with it, those left out of which it is certain that nothing was bought.
        buys: u32,
    },
    /// No order is left, and the redemption goes on.
    Settle {
        /// As in [`VoucherEvent::Buy`].
        buys: u32,
        /// Whether a number was shown, so that the try is used up.
        number_shown: bool,
    },
    /// A code is stored.
    Deliver,
    /// The redemption ended without a code, and nothing is left open for it. What was wished or ran out in the
    /// meantime is applied: a voucher that was to be taken back is cancelled, one past its end has expired.
    End {
        /// When.
        at: DateTime<Utc>,
        /// As in [`VoucherEvent::Buy`].
        buys: u32,
        /// Whether a number was shown, so that the try is used up.
        number_shown: bool,
        /// When the next redemption may begin.
        ready_at: DateTime<Utc>,
        /// The plan whose number got no SMS.
        start_behind: Option<PlanId>,
    },
    /// Its time ran out.
    Expire,
    /// The operator lets a message through that was withheld.
    Release,
    /// The operator takes it back; while a redemption runs, when that ends without a code.
    Void {
        /// Why.
        reason: VoidReason,
    },
    /// The operator gives it another end; an expired one is good again.
    Extend {
        /// The end.
        expires_at: DateTime<Utc>,
    },
    /// The operator gives all tries back; while a redemption runs, when that ends without a code.
    Reset,
}

impl VoucherEvent {
    /// The event's name, for errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lock { .. } => "lock",
            Self::Buy { .. } => "buy",
            Self::Settle { .. } => "settle",
            Self::Deliver => "deliver",
            Self::End { .. } => "end",
            Self::Expire => "expire",
            Self::Release => "release",
            Self::Void { .. } => "void",
            Self::Extend { .. } => "extend",
            Self::Reset => "reset",
        }
    }
}

/// A voucher cannot take this event where it stands: the operator's wish does not fit, or a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a voucher that is {state} cannot take {event}")]
pub struct IllegalVoucherMove {
    /// Where it stands: the name of its state.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl Voucher {
    /// Moves to where `event` leads.
    ///
    /// # Errors
    ///
    /// [`IllegalVoucherMove`] where the event cannot follow the state.
    pub fn apply(mut self, event: VoucherEvent) -> Result<Self, IllegalVoucherMove> {
        use VoucherState::{Cancelled, Expired, Fulfilled, Issued, Locked, Redeeming, RetryableFailed};

        self.state = match (self.state, event) {
            (Issued, VoucherEvent::Lock { redemption, expires_at }) => {
                self.redemption = Some(redemption);
                self.expires_at = expires_at;
                Locked { from: Resting::Issued }
            }
            (RetryableFailed, VoucherEvent::Lock { redemption, expires_at }) => {
                self.redemption = Some(redemption);
                self.expires_at = expires_at;
                Locked { from: Resting::RetryableFailed }
            }
            (Locked { from } | Redeeming { from }, VoucherEvent::Buy { buys }) => {
                self.buys = buys;
                Redeeming { from }
            }
            (Redeeming { from }, VoucherEvent::Settle { buys, number_shown }) => {
                self.buys = buys;
                Locked { from: if number_shown { Resting::RetryableFailed } else { from } }
            }
            (Redeeming { .. }, VoucherEvent::Deliver)
            | (Issued | RetryableFailed | Expired { .. }, VoucherEvent::Release) => {
                (self.void, self.reset_wished) = (None, false);
                Fulfilled
            }
            (Locked { from }, VoucherEvent::End { at, buys, number_shown, ready_at, start_behind }) => {
                self.ended(buys, number_shown, ready_at, start_behind);
                self.rested(from, at)
            }
            (Redeeming { .. }, VoucherEvent::End { at, buys, number_shown, ready_at, start_behind }) => {
                self.ended(buys, number_shown, ready_at, start_behind);
                self.rested(Resting::RetryableFailed, at)
            }
            (Issued, VoucherEvent::Expire) => Expired { from: Resting::Issued },
            (RetryableFailed, VoucherEvent::Expire) => Expired { from: Resting::RetryableFailed },

            (Issued | RetryableFailed | Cancelled, VoucherEvent::Void { reason }) => {
                self.void = self.void.or(Some(reason));
                Cancelled
            }
            (state @ (Locked { .. } | Redeeming { .. }), VoucherEvent::Void { reason }) => {
                self.void = Some(reason);
                state
            }
            (
                state @ (Issued | RetryableFailed | Locked { .. } | Redeeming { .. }),
                VoucherEvent::Extend { expires_at },
            ) => {
                self.expires_at = Some(expires_at);
                state
            }
            (Expired { from }, VoucherEvent::Extend { expires_at }) => {
                self.expires_at = Some(expires_at);
                from.into()
            }
            (state @ (Issued | RetryableFailed | Expired { .. }), VoucherEvent::Reset) => {
                self.reset();
                state
            }
            (state @ (Locked { .. } | Redeeming { .. }), VoucherEvent::Reset) => {
                self.reset_wished = true;
                state
            }
            (
                state @ (Issued
                | Locked { .. }
                | Redeeming { .. }
                | RetryableFailed
                | Fulfilled
                | Expired { .. }
                | Cancelled),
                event,
            ) => return Err(IllegalVoucherMove { state: state.name(), event: event.name() }),
        };
        Ok(self)
    }

    fn ended(
        &mut self,
        buys: u32,
        number_shown: bool,
        ready_at: DateTime<Utc>,
        start_behind: Option<PlanId>,
    ) {
        self.buys = buys;
        self.tries += u32::from(number_shown);
        self.ready_at = Some(ready_at);
        self.start_behind = start_behind.or(self.start_behind.take());
        if self.reset_wished {
            self.reset();
        }
    }

    fn reset(&mut self) {
        (self.tries, self.buys, self.ready_at, self.reset_wished) = (0, 0, None, false);
    }

    /// Where a voucher rests whose redemption ended: what was wished in the meantime is granted now.
    fn rested(&self, from: Resting, at: DateTime<Utc>) -> VoucherState {
        if self.void.is_some() {
            VoucherState::Cancelled
        } else if self.expires_at.is_some_and(|end| at >= end) {
            VoucherState::Expired { from }
        } else {
            from.into()
        }
    }
}
