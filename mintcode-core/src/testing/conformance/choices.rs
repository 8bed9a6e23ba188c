//! Why each plan was chosen.

use std::collections::BTreeMap;

use super::Subject;
use super::stage::{at, change, intended, moved, queued, queued_many, rdm};
use crate::health::{AccountStanding, Standing};
use crate::ids::SupplierName;
use crate::ports::Commit;
use crate::redemption::{Candidate, ChoiceRecord, Phase, Question, Redemption, choose};
use crate::testing::sample;

/// A choice that `redemption` may have made, with its answer.
pub(super) fn choice(redemption: &Redemption) -> ChoiceRecord {
    let plan = sample::plan("A", "canada", "virtual4");
    let candidate = |plan: crate::sku::Plan, standing| Candidate {
        cap: plan.max_cost,
        worth: plan.expected_cost,
        plan,
        standing,
        is_denied: false,
    };
    let question = Question {
        plans: vec![
            candidate(sample::plan("B", "usa", "virtual5"), Standing::Off { until: at(600) }),
            candidate(plan, Standing::Probe),
        ],
        accounts: BTreeMap::from([(SupplierName::default(), AccountStanding::Open)]),
        behind: Some(sample::plan_id("Z")),
        same: None,
        tried: [sample::plan_id("Z")].into(),
        exhausted: [].into(),
        max_plans: 3,
        buys_left: 7,
        is_denied: false,
    };
    let answer = choose(&question);
    ChoiceRecord { at: redemption.updated_at, question, answer }
}

/// What was stored comes back as it was, to the byte, so that it can be compared with the same choice made again.
pub async fn choices_come_back_byte_for_byte_in_order(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let mut current = redemptions[0].clone();
    let mut expected = Vec::new();
    for reason in ["first by priority 10", "\u{7b2c}二 \"B\" \\ \t\u{0}\u{1f33f}", "first by priority 10"] {
        let next = moved(&current, Phase::CoolingDown { until: at(60), plan: sample::plan_id("A") });
        let mut record = choice(&next);
        record.answer.reason = reason.to_owned();
        expected.push(record.text());
        let choice = Some(Box::new(record));
        store.commit(Commit { choice, ..change(next.clone(), Vec::new()) }).await.unwrap();
        current = next;
    }
    assert_eq!(store.choices(rdm(1)).await.unwrap(), expected);
    assert_eq!(store.choices(rdm(2)).await.unwrap(), Vec::<String>::new());
}

/// Most changes choose nothing.
pub async fn a_change_without_a_choice_adds_none(store: &Subject) {
    let first = queued(store).await;
    assert_eq!(store.choices(first.id).await.unwrap(), Vec::<String>::new());
    let next = intended(&first);
    let record = choice(&next);
    let chosen = Commit { choice: Some(Box::new(record.clone())), ..change(next.clone(), Vec::new()) };
    store.commit(chosen).await.unwrap();
    let later = moved(&next, Phase::Queued);
    store.commit(change(later, Vec::new())).await.unwrap();
    let stored = store.choices(first.id).await.unwrap();
    assert_eq!(stored, [record.text()]);
    assert_eq!(ChoiceRecord::read(&stored[0]).unwrap().replay().text(), stored[0]);
    assert_eq!(store.choices(rdm(9)).await.unwrap(), Vec::<String>::new());
}
