//! Which plan is tried next: a pure function of what is asked, which is kept with its answer, so that every choice
//! explains itself and can be made again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Context, FailureKind, Outcome, Redemption};
use crate::alert::{Alert, AlertChange};
use crate::health::{AccountStanding, Source, Standing};
use crate::ids::{PlanId, SkuId, SupplierName};
use crate::money::{Amount, Rate};
use crate::ports::Stop;
use crate::sku::Plan;

/// Everything that a choice depends on, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The SKU's plans, in the order of trying.
    pub plans: Vec<Candidate>,
    /// How the suppliers' accounts stand; a supplier that is missing is not configured.
    pub accounts: BTreeMap<SupplierName, AccountStanding>,
    /// Choices begin behind this plan: its number got no SMS, or was replaced.
    pub behind: Option<PlanId>,
    /// The plan that was under way when a pause began: tried again before any other.
    pub same: Option<PlanId>,
    /// Plans this redemption has tried.
    pub tried: BTreeSet<PlanId>,
    /// Those of them that had nothing in stock, or nothing at its price.
    pub exhausted: BTreeSet<PlanId>,
    /// How many plans it may try.
    pub max_plans: u32,
    /// Purchases the voucher has left.
    pub buys_left: u32,
    /// Whether the product is on the deny list.
    pub is_denied: bool,
}

/// A plan as the choice sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The plan and its switch.
    pub plan: Plan,
    /// The most a number may cost: the plan's own limit, or the SKU's if that is lower.
    pub cap: Amount,
    /// What it is expected to cost in the selling currency: what plans of different suppliers are compared by.
    pub worth: Amount,
    /// How its source does.
    pub standing: Standing,
    /// Whether its country is on the deny list.
    pub is_denied: bool,
}

/// What was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What.
    pub choice: Choice,
    /// Why, in words for the operator.
    pub reason: String,
}

/// What the plan choice decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Try this plan.
    Next {
        /// The plan.
        plan: Box<Plan>,
        /// The most the number may cost.
        cap: Amount,
        /// Whether the try probes a source that was switched off.
        is_probe: bool,
    },
    /// Try this plan later: its account may not buy before.
    Wait {
        /// The plan.
        plan: PlanId,
        /// Then.
        until: DateTime<Utc>,
    },
    /// No plan is left.
    GiveUp {
        /// What the customer is told.
        kind: FailureKind,
        /// What the operator is told, where the operator has to act.
        stop: Option<Stop>,
    },
}

/// A choice with everything it depended on: what `explain` shows, and makes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceRecord {
    /// When it was made.
    pub at: DateTime<Utc>,
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub answer: Answer,
}

impl ChoiceRecord {
    /// What the choice means to the operator, for a redemption of `sku`.
    #[must_use]
    pub fn alert(&self, sku: &SkuId) -> Option<AlertChange> {
        // Contact support has a reason of its own, which is told of as such.
        let is_without_plan = matches!(
            self.answer.choice,
            Choice::GiveUp {
                kind: FailureKind::OutOfStock | FailureKind::TemporarilyUnavailable,
                stop: None
            }
        );
        is_without_plan.then(|| AlertChange::raise(Alert::NoPlanLeft { sku: sku.clone() }))
    }

    /// The record as it is stored.
    ///
    /// # Panics
    ///
    /// Never: a record is made of structs, texts and numbers, and the keys of its maps are texts.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a record has nothing that JSON cannot hold")
    }

    /// The record that `text` holds.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The same question asked today: the very same record, byte for byte, unless the rules of choosing have changed.
    #[must_use]
    pub fn replay(&self) -> Self {
        Self { answer: choose(&self.question), ..self.clone() }
    }
}

impl Question {
    /// What `redemption` has to ask at `now`; `same` is the plan that was under way before a pause.
    #[must_use]
    pub fn of(
        redemption: &Redemption,
        same: Option<&PlanId>,
        context: &Context<'_>,
        now: DateTime<Utc>,
    ) -> Self {
        let policy = &redemption.policy;
        let rules = &context.rules.health;
        let history = History::of(redemption);
        let mut plans: Vec<_> =
            context.plans.iter().map(|plan| candidate(plan, redemption, context, now)).collect();
        plans.sort_by(|a, b| {
            (a.plan.priority, a.worth, &a.plan.id).cmp(&(b.plan.priority, b.worth, &b.plan.id))
        });
        let standing = |name: &SupplierName| {
            context
                .outlook
                .accounts
                .get(name)
                .map_or(AccountStanding::Open, |account| account.standing(rules, now))
        };
        Self {
            plans,
            accounts: context.suppliers.keys().map(|name| (name.clone(), standing(name))).collect(),
            behind: history.last_replaced.or_else(|| redemption.start_behind.clone()),
            same: same.cloned(),
            tried: history.tried,
            exhausted: history.exhausted,
            max_plans: policy.max_plans_per_redemption,
            buys_left: policy.buys_allowed().saturating_sub(redemption.buys()),
            is_denied: context.rules.deny.service(&redemption.product).is_some(),
        }
    }
}

fn candidate(plan: &Plan, redemption: &Redemption, context: &Context<'_>, now: DateTime<Utc>) -> Candidate {
    let cap = redemption.policy.max_cost.map_or(plan.max_cost, |cost| cost.min(plan.max_cost));
    let health = context.outlook.sources.get(&Source::of_plan(plan, &redemption.product));
    // A plan whose supplier is not configured is not chosen, wherever it stands.
    let rate = context.suppliers.get(&plan.supplier).map_or(Rate::ONE, |facts| facts.rate);
    Candidate {
        cap,
        worth: rate.convert(plan.expected_cost).unwrap_or(Amount::MAX),
        standing: health.map_or(Standing::On, |health| health.standing(cap, now)),
        is_denied: context.rules.deny.country(&plan.country),
        plan: plan.clone(),
    }
}

/// A plan with what stands in its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What stands in its way, in words for the operator; `None` where nothing does.
    pub obstacle: Option<&'static str>,
}

impl Question {
    /// Every plan in the order in which it comes up, with what stands in its way.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict<'_>> {
        in_turn(self).into_iter().map(|candidate| Verdict::of(candidate, self)).collect()
    }
}

impl<'a> Verdict<'a> {
    fn of(candidate: &'a Candidate, question: &Question) -> Self {
        Self { plan: &candidate.plan, obstacle: obstacle(candidate, question).map(Obstacle::words) }
    }
}

/// Why a plan is not tried now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    SwitchedOff,
    Denied,
    NoSupplier,
    TooDear,
    Exhausted,
    TooManyPlans,
    Off,
    BelowFloor,
    Paused(DateTime<Utc>),
}

/// Answers `question`: the first plan in the order of trying that nothing stands in the way of.
///
/// The order is the operator's, then the expected cost; it begins behind the plan whose number got no SMS or was
/// replaced, and a plan that was under way before a pause goes first. Left out are plans that are switched off, by hand
/// or by themselves, that are denied, that were out of stock or too dear in this redemption, that are expected to cost
/// more than their cap, and any further plan once [`Question::max_plans`] are tried. Where only the accounts stand in
/// the way, the answer is to wait.
#[must_use]
pub fn choose(question: &Question) -> Answer {
    let give_up = |kind, stop, reason: &str| Answer {
        choice: Choice::GiveUp { kind, stop },
        reason: reason.to_owned(),
    };
    if question.is_denied || (!question.plans.is_empty() && question.plans.iter().all(|plan| plan.is_denied))
    {
        return give_up(
            FailureKind::ContactSupport,
            None,
            "the product, or every country, is on the deny list",
        );
    }
    if question.buys_left == 0 {
        return give_up(FailureKind::ContactSupport, None, "the voucher has no purchase left");
    }

    let seen: Vec<_> =
        in_turn(question).into_iter().map(|candidate| (candidate, obstacle(candidate, question))).collect();
    if let Some((candidate, _)) = seen.iter().find(|(_, obstacle)| obstacle.is_none()) {
        let choice = Choice::Next {
            plan: Box::new(candidate.plan.clone()),
            cap: candidate.cap,
            is_probe: candidate.standing == Standing::Probe,
        };
        return Answer { choice, reason: reason(candidate, &seen, question) };
    }
    let paused = seen.iter().filter_map(|(candidate, obstacle)| match obstacle {
        Some(Obstacle::Paused(until)) => Some((*until, &candidate.plan.id)),
        _ => None,
    });
    if let Some((until, plan)) = paused.min_by_key(|(until, _)| *until) {
        let reason =
            format!("plan {plan} has to wait: too many numbers were given back lately{}", left_out(&seen));
        return Answer { choice: Choice::Wait { plan: plan.clone(), until }, reason };
    }
    let reason = format!("no plan is left{}", left_out(&seen));
    let stands = |wanted: Obstacle| seen.iter().any(|(_, obstacle)| *obstacle == Some(wanted));
    if stands(Obstacle::BelowFloor) {
        return give_up(FailureKind::ContactSupport, Some(Stop::Rating), &reason);
    }
    if !question.exhausted.is_empty() || stands(Obstacle::Off) {
        return give_up(FailureKind::OutOfStock, None, &reason);
    }
    give_up(FailureKind::TemporarilyUnavailable, None, &reason)
}

/// The plans in the order in which this redemption tries them.
fn in_turn(question: &Question) -> Vec<&Candidate> {
    let mut plans: Vec<_> = question.plans.iter().collect();
    let place = |plans: &[&Candidate], wanted: &PlanId| plans.iter().position(|it| it.plan.id == *wanted);
    if let Some(index) = question.behind.as_ref().and_then(|behind| place(&plans, behind)) {
        plans.rotate_left(index + 1);
    }
    if let Some(index) = question.same.as_ref().and_then(|same| place(&plans, same)) {
        let same = plans.remove(index);
        plans.insert(0, same);
    }
    plans
}

fn obstacle(candidate: &Candidate, question: &Question) -> Option<Obstacle> {
    let Candidate { plan, cap, standing, is_denied, worth: _ } = candidate;
    let is_first_try = !question.tried.contains(&plan.id);
    let may_try_more = question.tried.len() < usize::try_from(question.max_plans).unwrap_or(usize::MAX);
    if !plan.enabled {
        return Some(Obstacle::SwitchedOff);
    }
    if *is_denied {
        return Some(Obstacle::Denied);
    }
    if plan.expected_cost > *cap {
        return Some(Obstacle::TooDear);
    }
    if question.exhausted.contains(&plan.id) {
        return Some(Obstacle::Exhausted);
    }
    if is_first_try && !may_try_more {
        return Some(Obstacle::TooManyPlans);
    }
    if matches!(standing, Standing::Off { .. }) {
        return Some(Obstacle::Off);
    }
    match question.accounts.get(&plan.supplier) {
        None => Some(Obstacle::NoSupplier),
        Some(AccountStanding::BelowFloor) => Some(Obstacle::BelowFloor),
        Some(AccountStanding::Paused { until }) => Some(Obstacle::Paused(*until)),
        Some(AccountStanding::Open) => None,
    }
}

fn reason(chosen: &Candidate, seen: &[(&Candidate, Option<Obstacle>)], question: &Question) -> String {
    let plan = &chosen.plan;
    let order = if question.same.as_ref() == Some(&plan.id) {
        "the same plan again after a pause".to_owned()
    } else {
        format!("first by priority {} and expected cost {}", plan.priority, plan.expected_cost)
    };
    let probe = if chosen.standing == Standing::Probe { ", to probe a source that was off" } else { "" };
    let behind = question.behind.as_ref().filter(|_| question.same.is_none());
    let behind = behind.map_or_else(String::new, |behind| format!(", behind plan {behind}"));
    let before: Vec<_> = seen.iter().take_while(|(_, obstacle)| obstacle.is_some()).copied().collect();
    format!("{order}{probe}{behind}{}", left_out(&before))
}

/// What stood in the way of the plans that were left out.
fn left_out(seen: &[(&Candidate, Option<Obstacle>)]) -> String {
    let words: Vec<_> = seen
        .iter()
        .filter_map(|(candidate, obstacle)| {
            obstacle.map(|obstacle| format!("{} ({})", candidate.plan.id, obstacle.words()))
        })
        .collect();
    if words.is_empty() { String::new() } else { format!(", without {}", words.join(", ")) }
}

impl Obstacle {
    fn words(self) -> &'static str {
        match self {
            Self::SwitchedOff => "switched off by hand",
            Self::Denied => "its country is on the deny list",
            Self::NoSupplier => "its supplier is not configured",
            Self::TooDear => "expected above its cap",
            Self::Exhausted => "out of stock",
            Self::TooManyPlans => "enough plans were tried",
            Self::Off => "off by itself",
            Self::BelowFloor => "the account's standing is below the floor",
            Self::Paused(_) => "too many numbers were given back",
        }
    }
}

struct History {
    tried: BTreeSet<PlanId>,
    exhausted: BTreeSet<PlanId>,
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
