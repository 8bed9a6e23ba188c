//! What a redemption's move means for its voucher.

use chrono::{DateTime, Utc};

use crate::ids::PlanId;
use crate::redemption::{Outcome, Phase, Redemption};
use crate::voucher::VoucherEvent;

/// What `after`, the redemption that follows `before`, does to the voucher.
#[must_use]
pub fn voucher_event(before: &Redemption, after: &Redemption) -> Option<VoucherEvent> {
    let (buys, number_shown) = (after.buys(), after.number_shown);
    match &after.phase {
        Phase::Delivered(_) if matches!(before.phase, Phase::Withheld(_)) => Some(VoucherEvent::Release),
        _ if before.is_final() => None,
        Phase::Ordering(_) if after.attempts() > before.attempts() => Some(VoucherEvent::Buy { buys }),
        // A pause before any purchase leaves the voucher locked as it is.
        Phase::CoolingDown { .. } if !matches!(before.phase, Phase::Queued | Phase::CoolingDown { .. }) => {
            Some(VoucherEvent::Settle { buys, number_shown })
        }
        Phase::Delivered(_) => Some(VoucherEvent::Deliver),
        Phase::Failed(failure) => Some(end(after, failure.retry_at)),
        // The customer did nothing that would have to cool down.
        Phase::Withheld(_) => Some(end(after, after.updated_at)),
        Phase::Cancelled => Some(end(after, after.updated_at + after.policy.cooldown)),
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::Waiting(_)
        | Phase::Releasing(_)
        | Phase::CoolingDown { .. } => None,
    }
}

fn end(after: &Redemption, ready_at: DateTime<Utc>) -> VoucherEvent {
    VoucherEvent::End {
        buys: after.buys(),
        number_shown: after.uses_a_try(),
        at: after.updated_at,
        ready_at,
        start_behind: without_sms(after),
    }
}

/// The plan of the last number that got no SMS.
fn without_sms(redemption: &Redemption) -> Option<PlanId> {
    let silent = redemption
        .closed
        .iter()
        .filter(|closed| matches!(closed.outcome, Outcome::NoSms | Outcome::Replaced));
    silent.max_by_key(|closed| closed.intent.number).map(|closed| closed.intent.plan.clone())
}
