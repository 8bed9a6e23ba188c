//! Chores: what one worker does for all.

use std::time::Duration;

use super::Subject;
use super::stage::{at, dies, enlisted, has_own_clock, worker};

const HOUR: Duration = Duration::from_hours(1);

/// Worker `number` asks for the chore `seconds` in, for `term`.
async fn takes(store: &Subject, chore: &str, number: u32, term: Duration, seconds: i64) -> bool {
    store.take_chore(chore, worker(number), term, at(seconds)).await.unwrap()
}

async fn two_workers(store: &Subject) {
    for number in [1, 2] {
        enlisted(store, number).await;
    }
}

/// Whoever comes first has it; another chore is another's to do.
pub async fn a_chore_is_done_by_one_worker(store: &Subject) {
    two_workers(store).await;
    assert!(takes(store, "sweep main", 1, HOUR, 0).await);
    assert!(!takes(store, "sweep main", 2, HOUR, 0).await);
    assert!(takes(store, "sweep second", 2, HOUR, 0).await);
    assert!(!takes(store, "sweep second", 1, HOUR, 0).await);
    assert!(takes(store, "sweep main", 1, HOUR, 0).await, "it goes on having it");
}

/// From the moment on that the term is over, and not before.
pub async fn a_chore_is_free_after_its_term(store: &Subject) {
    two_workers(store).await;
    assert!(takes(store, "sweep", 1, Duration::ZERO, 0).await);
    assert!(takes(store, "sweep", 2, Duration::ZERO, 0).await, "a term of nothing is over");
    assert!(takes(store, "sweep", 1, HOUR, 0).await);
    // Whether the caller's time counts is the storage's to say.
    let ignores_callers = has_own_clock(store).await;
    assert!(!takes(store, "sweep", 2, HOUR, 3_599).await);
    assert_eq!(takes(store, "sweep", 2, HOUR, 3_600).await, !ignores_callers);
    assert_eq!(takes(store, "sweep", 1, HOUR, 3_600).await, ignores_callers);
}

/// Whoever has it has it for another term from now on.
pub async fn a_chore_is_kept_by_taking_it_again(store: &Subject) {
    two_workers(store).await;
    assert!(takes(store, "sweep", 1, HOUR, 0).await);
    assert!(takes(store, "sweep", 1, HOUR, 1_800).await);
    assert!(!takes(store, "sweep", 2, HOUR, 5_399).await);
    let ignores_callers = has_own_clock(store).await;
    assert_eq!(takes(store, "sweep", 2, HOUR, 5_400).await, !ignores_callers);
}

/// A shorter term takes nothing away from a longer one.
pub async fn a_chore_is_never_cut_short(store: &Subject) {
    two_workers(store).await;
    assert!(takes(store, "sweep", 1, HOUR, 0).await);
    assert!(takes(store, "sweep", 1, Duration::ZERO, 1).await);
    assert!(!takes(store, "sweep", 2, HOUR, 2).await);
}

/// Struck off, retired, or gone because another one is alone.
pub async fn a_chore_is_free_when_its_worker_is_gone(store: &Subject) {
    two_workers(store).await;
    assert!(takes(store, "sweep", 1, HOUR, 0).await);
    assert!(takes(store, "purge", 2, HOUR, 0).await);
    dies(store, 1).await;
    assert!(takes(store, "sweep", 2, HOUR, 0).await);

    enlisted(store, 3).await;
    store.retire(worker(2)).await.unwrap();
    for chore in ["sweep", "purge"] {
        assert!(takes(store, chore, 3, HOUR, 0).await);
    }
    store.enlist(worker(4), true, at(0)).await.unwrap();
    for chore in ["sweep", "purge"] {
        assert!(takes(store, chore, 4, HOUR, 0).await);
    }
    store.enlist(worker(4), true, at(0)).await.unwrap();
    enlisted(store, 5).await;
    assert!(!takes(store, "sweep", 5, HOUR, 0).await, "whoever is alone keeps its own");
}

/// Whoever was struck off leaves chores alone.
pub async fn only_workers_get_chores(store: &Subject) {
    assert!(!takes(store, "sweep", 1, HOUR, 0).await);
    enlisted(store, 1).await;
    assert!(takes(store, "sweep", 1, HOUR, 0).await);
    dies(store, 1).await;
    assert!(!takes(store, "sweep", 1, HOUR, 0).await);
}

/// However many ask at the same moment.
pub async fn of_many_at_once_one_gets_a_chore(store: &Subject) {
    let numbers = 1..=32;
    for number in numbers.clone() {
        enlisted(store, number).await;
    }
    let taking = numbers.map(|number| {
        let store = store.clone();
        tokio::spawn(async move { u32::from(takes(&store, "sweep", number, HOUR, 0).await) })
    });
    let mut taken = 0;
    for one in taking.collect::<Vec<_>>() {
        taken += one.await.unwrap();
    }
    assert_eq!(taken, 1);
}
