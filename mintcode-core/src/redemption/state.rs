//! Where a redemption stands: every phase carries exactly what is true in it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::attempt::{AttemptRow, ClosedAttempt, Held, Intent, Outcome, Surplus};
use super::delivery::{Delivery, Settlement};
use crate::ids::{PlanId, RedemptionId, SkuId, WorkerId};
use crate::money::{Amount, Currency};
use crate::order::{OrderId, Phone};
use crate::ports::Stop;
use crate::sku::{LocalizedName, Policy, Sku};
use crate::voucher::{Mask, Voucher, VoucherHash, hex_text};

/// One run that tries to turn a voucher into a delivered code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Redemption {
    /// Its id: 130 random bits, so whoever has it may see and steer it.
    pub id: RedemptionId,
    /// The voucher it owns.
    pub voucher: VoucherHash,
    /// What people are shown instead of the voucher's code.
    pub mask: Mask,
    /// What is redeemed for.
    pub sku: SkuId,
    /// The SKU's name when it began.
    pub sku_name: LocalizedName,
    /// The product's slug at the suppliers.
    pub product: String,
    /// What the voucher earns if a code is delivered: the SKU's price when it began.
    #[serde(default)]
    pub price: Amount,
    /// The selling currency.
    #[serde(default = "dollars")]
    pub currency: Currency,
    /// The SKU's policy when it began.
    pub policy: Policy,
    /// Who began it.
    pub holder: Holder,
    /// Tries that earlier redemptions of the voucher used up.
    pub tries_before: u32,
    /// Purchases that earlier redemptions of the voucher began.
    pub buys_before: u32,
    /// The plan whose number got no SMS: choices start behind it.
    pub start_behind: Option<PlanId>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// No number is waited for after this moment.
    pub deadline: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// Whether a number was ever shown, so that the try is used up.
    pub number_shown: bool,
    /// The customer gave up while a purchase was under way: applied when its outcome is known.
    pub cancel_wished: bool,
    /// Where it stands.
    pub phase: Phase,
    /// Attempts that are over.
    pub closed: Vec<ClosedAttempt>,
    /// Orders that are given back while the redemption goes on.
    pub background: Vec<Surplus>,
    /// Grows by one with every stored change. Kept by the storage beside the state.
    #[serde(skip)]
    pub version: u64,
    /// Grows with every change of owner. Kept by the storage beside the state.
    #[serde(skip)]
    pub epoch: u64,
    /// The worker that drives it. Kept by the storage beside the state.
    #[serde(skip)]
    pub owner: Option<WorkerId>,
    /// How often it was taken over since anybody last drove it through a turn. Kept by the storage beside the state.
    #[serde(skip)]
    pub takeovers: u32,
    /// The redemption of the same voucher that followed. Kept by the storage beside the state.
    #[serde(skip)]
    pub next: Option<RedemptionId>,
}

fn dollars() -> Currency {
    Currency::USD
}

/// Where a redemption stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was tried yet.
    Queued,
    /// A purchase is intended, and perhaps sent.
    Ordering(Intent),
    /// A purchase may have been made; nobody knows yet.
    Uncertain(Search),
    /// A number is the customer's, and its SMS is awaited.
    Waiting(Held),
    /// The number is being given back.
    Releasing(Releasing),
    /// The same plan is tried again later.
    CoolingDown {
        /// Then.
        until: DateTime<Utc>,
        /// The plan.
        plan: PlanId,
    },
    /// A code is stored. Final but for the order's settlement.
    Delivered(Delivery),
    /// A message came that reads like one of a bank or a payment service: kept, not shown, and told to the operator, who
    /// may release it. Final for the customer, as if it had failed.
    Withheld(Delivery),
    /// It ended without a code. Final.
    Failed(Failure),
    /// The customer gave up. Final.
    Cancelled,
}

/// A purchase that is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Search {
    /// The purchase.
    pub intent: Intent,
    /// When the supplier's list, read back to an order known before the intent, first lacked it.
    pub absent_since: Option<DateTime<Utc>>,
}

/// A number on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Releasing {
    /// The number.
    pub held: Held,
    /// How it is given back.
    pub by: GiveBack,
    /// What comes after.
    pub then: AfterRelease,
    /// The supplier is not asked again before this moment.
    pub not_before: DateTime<Utc>,
    /// How often it was asked.
    pub asked: u32,
}

/// How a number is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiveBack {
    /// Cancelled.
    Cancel,
    /// Reported as already used.
    Ban,
}

/// What comes after a number is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterRelease {
    /// Another number.
    NextPlan,
    /// The redemption fails.
    Fail(FailureKind),
    /// The redemption is cancelled.
    Cancel,
}

impl AfterRelease {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::NextPlan => Outcome::Replaced,
            Self::Cancel => Outcome::GivenUp,
            Self::Fail(FailureKind::Deadline) => Outcome::Late,
            Self::Fail(_) => Outcome::NoSms,
        }
    }
}

/// How a redemption failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// What the customer is told.
    pub kind: FailureKind,
    /// What the operator is told, where the operator has to act.
    pub stop: Option<Stop>,
    /// When the next redemption may begin.
    pub retry_at: DateTime<Utc>,
}

/// What a customer is told of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No plan had a number.
    OutOfStock,
    /// The number got no SMS.
    NoSms,
    /// The supplier did not answer, or asked to slow down, until time ran out.
    TemporarilyUnavailable,
    /// Time ran out before a number was found.
    Deadline,
    /// The operator has to act.
    ContactSupport,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::OutOfStock, Self::NoSms, Self::TemporarilyUnavailable, Self::Deadline, Self::ContactSupport];

    /// The kind's name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::NoSms => "no_sms",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::Deadline => "deadline",
            Self::ContactSupport => "contact_support",
        }
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self != Self::ContactSupport
    }
}

/// A keyed hash of what proves a holder: a cookie's value or an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HolderKey(String);

impl HolderKey {
    /// Takes a keyed hash.
    #[must_use]
    pub fn new(hash: &[u8; 32]) -> Self {
        Self(hex_text(&hash[..16]))
    }

    /// The hash in hexadecimal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who began a redemption; the same holder coming back gets the same redemption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The browser session.
    pub session: Option<HolderKey>,
    /// The idempotency key.
    pub idempotency: Option<HolderKey>,
}

impl Holder {
    /// Whether `other` proves to be the same holder.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same = |a: &Option<HolderKey>, b: &Option<HolderKey>| a.is_some() && a == b;
        same(&self.session, &other.session) || same(&self.idempotency, &other.idempotency)
    }
}

impl Redemption {
    /// A redemption of `voucher` that begins `now`, at version 1. `currency` is the selling one.
    #[must_use]
    pub fn queued(
        id: RedemptionId,
        voucher: &Voucher,
        sku: &Sku,
        holder: Holder,
        currency: Currency,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            voucher: voucher.hash,
            mask: voucher.mask,
            sku: sku.id.clone(),
            sku_name: sku.name.clone(),
            product: sku.product.clone(),
            // What replaces another voucher was paid for with that one.
            price: if voucher.replaces.is_some() { Amount::ZERO } else { sku.price },
            currency,
            policy: sku.policy.clone(),
            holder,
            tries_before: voucher.tries,
            buys_before: voucher.buys,
            start_behind: voucher.start_behind.clone(),
            created_at: now,
            deadline: now + sku.policy.max_duration,
            updated_at: now,
            number_shown: false,
            cancel_wished: false,
            phase: Phase::Queued,
            closed: Vec::new(),
            background: Vec::new(),
            version: 1,
            epoch: 1,
            owner: None,
            takeovers: 0,
            next: None,
        }
    }

    /// Whether it has ended for the customer.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.phase, Phase::Delivered(_) | Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled)
    }

    /// Whether nothing is left to do, at the supplier either.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let settled = match &self.phase {
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => {
                matches!(delivery.settlement, Settlement::Settled { .. })
            }
            Phase::Failed(_) | Phase::Cancelled => true,
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Waiting(_)
            | Phase::Releasing(_)
            | Phase::CoolingDown { .. } => false,
        };
        settled && self.background.is_empty()
    }

    /// Tries the voucher has left while this redemption stands as it does.
    #[must_use]
    pub fn tries_left(&self) -> u32 {
        let used = self.tries_before + u32::from(self.uses_a_try());
        self.policy.max_redemptions.saturating_sub(used)
    }

    /// Whether a try of the voucher is used up: a number was shown, and neither was a code delivered nor did something
    /// that the operator has to see to stop the redemption.
    #[must_use]
    pub fn uses_a_try(&self) -> bool {
        let is_excused = match &self.phase {
            Phase::Delivered(_) => true,
            Phase::Failed(failure) => failure.stop.is_some(),
            _ => false,
        };
        self.number_shown && !is_excused
    }

    /// The number the customer has or had, by attempt; `None` once it is purged.
    #[must_use]
    pub fn phone(&self, attempt: u32) -> Option<&Phone> {
        let live = self.held().filter(|held| held.intent.number == attempt).map(|held| &held.order);
        let closed = || {
            let closed = self.closed.iter().find(|closed| closed.intent.number == attempt);
            closed.and_then(|closed| closed.order.as_ref())
        };
        live.or_else(closed).map(|order| &order.phone).filter(|phone| !phone.is_purged())
    }

    /// The order in the customer's hands, or whose message is withheld, if there is one.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        match &self.phase {
            Phase::Waiting(held) => Some(held),
            Phase::Releasing(releasing) => Some(&releasing.held),
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => Some(&delivery.held),
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::CoolingDown { .. }
            | Phase::Failed(_)
            | Phase::Cancelled => None,
        }
    }

    /// Attempts begun so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        let current = match &self.phase {
            Phase::Ordering(intent) => intent.number,
            Phase::Uncertain(search) => search.intent.number,
            _ => self.held().map_or(0, |held| held.intent.number),
        };
        let closed = self.closed.iter().map(|closed| closed.intent.number);
        let background = self.background.iter().map(|surplus| surplus.held.intent.number);
        closed.chain(background).max().unwrap_or(0).max(current)
    }

    /// Purchases made for the voucher so far, or that may have been made: what [`Policy::max_buys`] counts.
    #[must_use]
    pub fn buys(&self) -> u32 {
        let nothing_bought = self.closed.iter().filter(|closed| !closed.outcome.may_have_bought()).count();
        let nothing_bought = u32::try_from(nothing_bought).unwrap_or(u32::MAX);
        self.buys_before + self.attempts().saturating_sub(nothing_bought)
    }

    /// Whether an order of that id belongs to this redemption.
    #[must_use]
    pub fn knows_order(&self, id: &OrderId) -> bool {
        self.attempt_rows().iter().any(|row| row.order.as_ref() == Some(id))
    }

    /// What the attempt of that number was to buy.
    #[must_use]
    pub fn intent(&self, attempt: u32) -> Option<&Intent> {
        let current = match &self.phase {
            Phase::Ordering(intent) => Some(intent),
            Phase::Uncertain(search) => Some(&search.intent),
            _ => self.held().map(|held| &held.intent),
        };
        let closed = self.closed.iter().map(|closed| &closed.intent);
        let background = self.background.iter().map(|surplus| &surplus.held.intent);
        closed.chain(background).chain(current).find(|intent| intent.number == attempt)
    }

    /// All attempts as rows, by number.
    #[must_use]
    pub fn attempt_rows(&self) -> Vec<AttemptRow> {
        let mut rows: Vec<_> = self.closed.iter().map(AttemptRow::closed).collect();
        rows.extend(
            self.background.iter().map(|surplus| AttemptRow {
                outcome: Some(surplus.outcome),
                ..AttemptRow::held(&surplus.held)
            }),
        );
        match &self.phase {
            Phase::Ordering(intent) => rows.push(AttemptRow::intended(intent)),
            Phase::Uncertain(search) => rows.push(AttemptRow::intended(&search.intent)),
            Phase::Waiting(held) => rows.push(AttemptRow::held(held)),
            Phase::Releasing(releasing) => rows.push(AttemptRow::held(&releasing.held)),
            Phase::Delivered(delivery) => rows.push(settled_row(delivery, Outcome::Delivered)),
            Phase::Withheld(delivery) => rows.push(settled_row(delivery, Outcome::Withheld)),
            Phase::Queued | Phase::CoolingDown { .. } | Phase::Failed(_) | Phase::Cancelled => {}
        }
        rows.sort_by_key(|row| row.number);
        rows
    }
}

fn settled_row(delivery: &Delivery, outcome: Outcome) -> AttemptRow {
    let (order_end, ended_at) = match delivery.settlement {
        Settlement::Settled { order_end, at } => (order_end, Some(at)),
        Settlement::Open { .. } | Settlement::Finishing { .. } => (None, None),
    };
    let sms_at = Some(delivery.delivered_at);
    AttemptRow { outcome: Some(outcome), order_end, ended_at, sms_at, ..AttemptRow::held(&delivery.held) }
}
