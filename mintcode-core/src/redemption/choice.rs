//! Which plan is tried next: a pure function of the plans, the history and the caps.

use std::collections::HashSet;

use super::{Context, FailureKind, Outcome, Redemption};
use crate::ids::PlanId;
use crate::money::Amount;
use crate::sku::{Plan, in_order};

/// What the plan choice decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Try this plan.
    Next {
        /// The plan.
        plan: Plan,
        /// The most the number may cost.
        cap: Amount,
        /// Why this one.
        reason: String,
    },
    /// No plan is left.
    GiveUp {
        /// What the customer is told.
        kind: FailureKind,
    },
}

/// Chooses the plan that `redemption` tries next.
///
/// Plans go in the operator's order, beginning behind the one whose number got no SMS or was replaced. Left out are
/// plans that are switched off, that were out of stock or too dear in this redemption, that cost more than the SKU
/// allows, and any further plan once [`max_plans_per_redemption`](crate::sku::Policy::max_plans_per_redemption) are tried.
#[must_use]
pub fn choose(redemption: &Redemption, context: &Context<'_>) -> Choice {
    let policy = &redemption.policy;
    if redemption.buys() >= policy.buys_allowed() {
        return Choice::GiveUp { kind: FailureKind::ContactSupport };
    }

    let history = History::of(redemption);
    let mut plans = in_order(context.plans);
    let behind = history.last_replaced.as_ref().or(redemption.start_behind.as_ref());
    if let Some(index) = behind.and_then(|behind| plans.iter().position(|plan| plan.id == *behind)) {
        plans.rotate_left(index + 1);
    }
    let more_plans =
        history.tried.len() < usize::try_from(policy.max_plans_per_redemption).unwrap_or(usize::MAX);
    let chosen = plans.iter().find(|plan| {
        is_usable(plan, redemption, context)
            && !history.exhausted.contains(&plan.id)
            && (more_plans || history.tried.contains(&plan.id))
    });

    match chosen {
        Some(plan) => Choice::Next {
            plan: (*plan).clone(),
            cap: cap(plan, redemption),
            reason: reason(plan, &history, behind),
        },
        None if history.exhausted.is_empty() => Choice::GiveUp { kind: FailureKind::TemporarilyUnavailable },
        None => Choice::GiveUp { kind: FailureKind::OutOfStock },
    }
}

/// The plan of that id, if it may be tried once more after a back-off or a purchase that did not happen.
pub(super) fn again(redemption: &Redemption, plan: &PlanId, context: &Context<'_>) -> Choice {
    let buys_left = redemption.buys() < redemption.policy.buys_allowed();
    let same = context.plans.iter().find(|candidate| candidate.id == *plan);
    match same.filter(|plan| buys_left && is_usable(plan, redemption, context)) {
        Some(plan) => Choice::Next {
            plan: plan.clone(),
            cap: cap(plan, redemption),
            reason: "the same plan again after a pause".to_owned(),
        },
        None => choose(redemption, context),
    }
}

fn is_usable(plan: &Plan, redemption: &Redemption, context: &Context<'_>) -> bool {
    plan.enabled
        && context.suppliers.contains_key(&plan.supplier)
        && plan.expected_cost <= cap(plan, redemption)
}

fn cap(plan: &Plan, redemption: &Redemption) -> Amount {
    redemption.policy.max_cost.map_or(plan.max_cost, |cost| cost.min(plan.max_cost))
}

fn reason(plan: &Plan, history: &History, behind: Option<&PlanId>) -> String {
    let mut reason = format!("first by priority {} and expected cost {}", plan.priority, plan.expected_cost);
    if let Some(behind) = behind {
        reason = format!("{reason}, behind plan {behind}");
    }
    if !history.exhausted.is_empty() {
        let mut exhausted: Vec<_> = history.exhausted.iter().map(PlanId::as_str).collect();
        exhausted.sort_unstable();
        reason = format!("{reason}, without {} (out of stock)", exhausted.join(", "));
    }
    reason
}

struct History {
    tried: HashSet<PlanId>,
    exhausted: HashSet<PlanId>,
    last_replaced: Option<PlanId>,
}

impl History {
    fn of(redemption: &Redemption) -> Self {
        let closed = redemption.closed.iter().map(|closed| (&closed.intent, closed.outcome));
        let background = redemption.background.iter().map(|surplus| (&surplus.held.intent, surplus.outcome));
        let mut ended: Vec<_> = closed.chain(background).collect();
        ended.sort_by_key(|(intent, _)| intent.number);
        let with = |wanted: &[Outcome]| {
            let matching = ended.iter().filter(|(_, outcome)| wanted.contains(outcome));
            matching.map(|(intent, _)| intent.plan.clone()).collect::<Vec<_>>()
        };
        Self {
            tried: ended.iter().map(|(intent, _)| intent.plan.clone()).collect(),
            exhausted: with(&[Outcome::OutOfStock, Outcome::TooDear]).into_iter().collect(),
            last_replaced: with(&[Outcome::Replaced]).pop(),
        }
    }
}
