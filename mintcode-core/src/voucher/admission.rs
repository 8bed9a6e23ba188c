//! Whether a voucher may be redeemed now, by this holder: decided inside the storage's transaction.

use chrono::{DateTime, Utc};

use super::{Voucher, VoucherEvent, VoucherState};
use crate::alert::{Alert, AlertChange};
use crate::health::{AccountStanding, Outlook, Source, Standing};
use crate::ids::{RedemptionId, SkuId};
use crate::redemption::{Holder, Phase, Redemption};
use crate::rules::Rules;
use crate::sku::Sku;
use crate::velocity::{Cap, Counter, Excess};

/// What is to happen to someone who posted a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A new redemption begins; both are to be stored together.
    Begin {
        /// The voucher, locked.
        voucher: Box<Voucher>,
        /// The new redemption, queued, at version 1.
        redemption: Box<Redemption>,
        /// The redemption before it, which gets the new one as its `next`; `None` where another holder began that one,
        /// since whoever has a redemption's id may see it.
        follows: Option<RedemptionId>,
    },
    /// The same holder came back: the redemption as it is.
    Same,
    /// The voucher's time has run out, which is to be stored.
    Expired(Box<Voucher>),
    /// Not now, or not for this holder. Nothing changes.
    Refused(Refusal),
}

/// Why no redemption begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such voucher.
    #[error("no such voucher")]
    Unknown,
    /// There is no such redemption.
    #[error("no such redemption")]
    NoRedemption,
    /// A code was already delivered, to someone else.
    #[error("the voucher is used")]
    Used,
    /// Someone else's redemption is under way.
    #[error("the voucher is being redeemed")]
    Busy,
    /// Its time ran out.
    #[error("the voucher has expired")]
    Expired,
    /// The operator took it back.
    #[error("the voucher is cancelled")]
    Cancelled,
    /// All tries are used up.
    #[error("the voucher's tries are used up")]
    Exhausted,
    /// Too soon after the last redemption.
    #[error("the voucher is cooling down")]
    CoolingDown {
        /// When the next redemption may begin.
        until: DateTime<Utc>,
    },
    /// No plan of the SKU may be tried now.
    #[error("no plan may be tried now")]
    Unavailable {
        /// When one may be; `None` where an operator has to switch one on.
        until: Option<DateTime<Utc>>,
    },
    /// The SKU's product, or every country of its plans, is on the deny list.
    #[error("the SKU is not offered")]
    NotOffered,
    /// The customer, or everybody together, began too many redemptions lately.
    #[error("too many redemptions were begun")]
    TooMany {
        /// When another one may begin.
        until: DateTime<Utc>,
    },
    /// The customer, or everybody together, began too many redemptions today.
    #[error("the daily limit is reached")]
    DailyLimit {
        /// When another one may begin.
        until: DateTime<Utc>,
    },
    /// The idempotency key was used with another voucher.
    #[error("the idempotency key was used with another voucher")]
    IdempotencyMismatch,
    /// The redemption does not allow a further try from where it is.
    #[error("the redemption does not allow this")]
    NotAllowed,
}

/// Who asks, and the id a new redemption gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The holder.
    pub holder: Holder,
    /// The id of the redemption that begins, if one does.
    pub id: RedemptionId,
    /// The redemption whose holder asks for another one by its id, rather than by the voucher's code.
    pub again: Option<RedemptionId>,
}

/// What a new redemption depends on beside its voucher.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// How the sources and accounts of the SKU's plans do.
    pub outlook: &'a Outlook,
    /// What the operator has set.
    pub rules: &'a Rules,
    /// What was begun lately under each of the request's keys, with the cap of each.
    pub begun: &'a [(Cap, Counter)],
}

impl Refusal {
    /// What the refusal of a voucher of `sku` means to the operator.
    #[must_use]
    pub fn alert(&self, sku: &SkuId) -> Option<AlertChange> {
        matches!(self, Self::Unavailable { .. })
            .then(|| AlertChange::raise(Alert::NoPlanLeft { sku: sku.clone() }))
    }
}

/// Decides on `voucher`, whose SKU is `sku` and whose latest redemption is `last`.
#[must_use]
pub fn admit(
    voucher: Voucher,
    sku: &Sku,
    last: Option<&Redemption>,
    request: Request,
    around: &Surroundings<'_>,
    now: DateTime<Utc>,
) -> Admission {
    let mut request = request;
    if let Some(again) = request.again {
        // Only the latest redemption can be followed by another, which stays with its holder.
        match last
            .filter(|last| last.id == again && !matches!(last.phase, Phase::Delivered(_)) && last.is_final())
        {
            Some(last) => request.holder = last.holder.clone(),
            None => return Admission::Refused(Refusal::NotAllowed),
        }
    }
    let same_holder = last.is_some_and(|last| last.holder.is(&request.holder));
    match voucher.state {
        VoucherState::Locked { .. } | VoucherState::Redeeming { .. } | VoucherState::Fulfilled
            if same_holder =>
        {
            Admission::Same
        }
        VoucherState::Locked { .. } | VoucherState::Redeeming { .. } => Admission::Refused(Refusal::Busy),
        VoucherState::Fulfilled => Admission::Refused(Refusal::Used),
        VoucherState::Expired { .. } => Admission::Refused(Refusal::Expired),
        VoucherState::Cancelled => Admission::Refused(Refusal::Cancelled),
        VoucherState::Issued | VoucherState::RetryableFailed => {
            let follows = last.filter(|_| same_holder || request.again.is_some()).map(|last| last.id);
            begin(voucher, sku, request, follows, around, now)
        }
    }
}

fn begin(
    voucher: Voucher,
    sku: &Sku,
    request: Request,
    follows: Option<RedemptionId>,
    around: &Surroundings<'_>,
    now: DateTime<Utc>,
) -> Admission {
    if voucher.expires_at.is_some_and(|end| now >= end) {
        return match voucher.apply(VoucherEvent::Expire) {
            Ok(expired) => Admission::Expired(Box::new(expired)),
            Err(_) => Admission::Refused(Refusal::Expired),
        };
    }
    if voucher.tries >= sku.policy.max_redemptions {
        return Admission::Refused(Refusal::Exhausted);
    }
    if let Some(until) = voucher.ready_at.filter(|ready| now < *ready) {
        return Admission::Refused(Refusal::CoolingDown { until });
    }
    if let Some(refusal) = closed(sku, around, now).or_else(|| too_many(around, now)) {
        return Admission::Refused(refusal);
    }

    let lifetime_end = now + sku.policy.voucher_lifetime;
    let is_first = voucher.redemption.is_none();
    let expires_at = match voucher.expires_at {
        Some(end) if is_first => Some(end.min(lifetime_end)),
        None if is_first => Some(lifetime_end),
        end => end,
    };
    let redemption =
        Redemption::queued(request.id, &voucher, sku, request.holder, around.rules.rates.selling, now);
    match voucher.apply(VoucherEvent::Lock { redemption: request.id, expires_at }) {
        Ok(voucher) => {
            Admission::Begin { voucher: Box::new(voucher), redemption: Box::new(redemption), follows }
        }
        // Only `Issued` and `RetryableFailed` come here, and both can be locked.
        Err(_) => Admission::Refused(Refusal::Busy),
    }
}

/// Why no plan of the SKU may be tried now, if none may.
fn closed(sku: &Sku, around: &Surroundings<'_>, now: DateTime<Utc>) -> Option<Refusal> {
    let deny = &around.rules.deny;
    let mut allowed = sku.plans.iter().filter(|plan| !deny.country(&plan.country)).peekable();
    if deny.service(&sku.product).is_some() || (!sku.plans.is_empty() && allowed.peek().is_none()) {
        return Some(Refusal::NotOffered);
    }
    let mut until: Option<DateTime<Utc>> = None;
    for plan in allowed.filter(|plan| plan.enabled) {
        let cap = sku.policy.max_cost.map_or(plan.max_cost, |cost| cost.min(plan.max_cost));
        let health = around.outlook.sources.get(&Source::of_plan(plan, &sku.product));
        let standing = health.map_or(Standing::On, |health| health.standing(cap, now));
        let account = around.outlook.accounts.get(&plan.supplier);
        let account =
            account.map_or(AccountStanding::Open, |account| account.standing(&around.rules.health, now));
        let held_back = match (standing, account) {
            (Standing::Off { until }, _) | (_, AccountStanding::Paused { until }) => until,
            // Below the floor the customer is told to contact support, and the operator why.
            (Standing::On | Standing::Probe, AccountStanding::Open | AccountStanding::BelowFloor) => {
                return None;
            }
        };
        until = Some(until.map_or(held_back, |until| until.min(held_back)));
    }
    Some(Refusal::Unavailable { until })
}

/// Which velocity cap the request would exceed, if it would any: the one that lasts longest.
fn too_many(around: &Surroundings<'_>, now: DateTime<Utc>) -> Option<Refusal> {
    let excesses = around.begun.iter().filter_map(|(cap, counter)| counter.refuses(*cap, now));
    excesses.max_by_key(|excess| excess.until()).map(|excess| match excess {
        Excess::Hour { until } => Refusal::TooMany { until },
        Excess::Day { until } => Refusal::DailyLimit { until },
    })
}
