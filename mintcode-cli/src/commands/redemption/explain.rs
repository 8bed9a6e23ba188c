//! Why each plan was chosen, or was not.

use mintcode_core::engine::{Explained, Support};
use mintcode_core::ids::PlanId;
use mintcode_core::redemption::{Choice, Question, Verdict};

use super::{OneArguments, unknown};
use crate::exit::Failure;
use crate::{output, time};

pub(super) async fn run(arguments: &OneArguments, support: &Support) -> Result<(), Failure> {
    let explained = support.explain(arguments.id).await;
    let explained = explained.map_err(|error| Failure::because("the choices cannot be read", &error))?;
    let explained = explained.ok_or_else(|| unknown(arguments.id))?;
    if arguments.json {
        // As they were stored, rather than read and written anew.
        let stored: Vec<_> = explained.iter().map(|choice| choice.stored.as_str()).collect();
        output::line(&format!("[{}]", stored.join(",")))?;
    } else if explained.is_empty() {
        output::line("no plan was chosen yet")?;
    } else {
        let choices = explained.iter().zip(1..);
        output::lines(choices.flat_map(|(choice, number)| described(choice, number)))?;
    }
    match explained.iter().filter(|choice| !choice.holds()).count() {
        0 => Ok(()),
        count => Err(Failure::work(format!(
            "{count} of {} choices would be others today: the rules of choosing have changed since",
            explained.len()
        ))),
    }
}

fn described(explained: &Explained, number: usize) -> Vec<String> {
    let record = &explained.record;
    let (question, answer) = (&record.question, &record.answer);
    let chosen = match &answer.choice {
        Choice::Next { plan, cap, is_probe } => {
            let probe = if *is_probe { ", as a probe" } else { "" };
            format!("plan {}{probe}, for at most {cap}", plan.id)
        }
        Choice::Wait { plan, until } => format!("wait for plan {plan} until {} UTC", time::shown(*until)),
        Choice::GiveUp { kind, stop: None } => format!("give up: {}", kind.name()),
        Choice::GiveUp { kind, stop: Some(stop) } => format!("give up: {} ({stop:?})", kind.name()),
    };
    let mut lines = vec![
        format!("{number}. {} UTC  {chosen}", time::shown(record.at)),
        format!("   because: {}", answer.reason),
        format!(
            "   purchases left {}, plans tried {} of {}",
            question.buys_left,
            question.tried.len(),
            question.max_plans
        ),
    ];
    let taken = match &answer.choice {
        Choice::Next { plan, .. } => Some(&plan.id),
        Choice::Wait { .. } | Choice::GiveUp { .. } => None,
    };
    lines.extend(question.verdicts().iter().map(|verdict| plan_described(verdict, question, taken)));
    lines.push(if explained.holds() {
        "   made again from the record: the same, byte for byte".to_owned()
    } else {
        format!("   made again from the record: another one, {}", record.replay().answer.reason)
    });
    lines
}

fn plan_described(verdict: &Verdict<'_>, question: &Question, taken: Option<&PlanId>) -> String {
    let Verdict { plan, obstacle } = verdict;
    let said = match obstacle {
        _ if taken == Some(&plan.id) => "taken",
        Some(obstacle) => obstacle,
        None => "not needed: its turn comes later",
    };
    let cap =
        question.plans.iter().find(|candidate| candidate.plan.id == plan.id).map(|candidate| candidate.cap);
    let cap = cap.unwrap_or(plan.max_cost);
    format!(
        "     plan {}  priority {}  expected {}  at most {cap}  {}/{}/{}: {said}",
        plan.id, plan.priority, plan.expected_cost, plan.supplier, plan.country, plan.operator
    )
}
