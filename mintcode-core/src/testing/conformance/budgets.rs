//! The budget of requests to an account, which all workers share.
//!
//! Where storage goes by a clock of its own, time passes while a case runs: what is waited for may be less by then.

use std::time::Duration;

use super::Subject;
use super::stage::{at, has_own_clock};
use crate::budget::{Budget, Lease, LeaseWish};
use crate::ids::SupplierName;

/// No case takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Slow enough for a minute more or less to make no difference.
const WISH: LeaseWish = LeaseWish { places: 100, per_second: 1 };

fn second_supplier() -> SupplierName {
    SupplierName::new("second").unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A hundred places, the first of them after `wait`.
fn hundred(wait: u64) -> Lease {
    Lease::Places { wait: secs(wait), places: 100, interval: secs(1), settling_only: None, is_trial: false }
}

fn blocked(wait: u64) -> Lease {
    Lease::Blocked { wait: secs(wait) }
}

async fn lease(store: &Subject, supplier: &SupplierName, seconds: i64) -> Lease {
    store.lease_requests(supplier, WISH, at(seconds)).await.unwrap()
}

fn wait(lease: Lease) -> Duration {
    match lease {
        Lease::Places { wait, .. } | Lease::Blocked { wait } => wait,
    }
}

/// Looks that `lease` is `expected`, but for what has passed in the meantime of a clock that no case can stop.
fn assert_like(lease: Lease, expected: Lease, has_own_clock: bool) {
    let may_pass = if has_own_clock { PATIENCE } else { Duration::ZERO };
    let earliest = wait(expected).saturating_sub(may_pass);
    assert!((earliest..=wait(expected)).contains(&wait(lease)), "{lease:?} instead of {expected:?}");
    let but_for_the_wait = match lease {
        Lease::Places { places, interval, settling_only, is_trial, .. } => {
            Lease::Places { wait: wait(expected), places, interval, settling_only, is_trial }
        }
        Lease::Blocked { .. } => Lease::Blocked { wait: wait(expected) },
    };
    assert_eq!(but_for_the_wait, expected);
}

/// Whoever asks next gets the places behind those that are leased.
pub async fn leases_stand_in_one_line(store: &Subject) {
    let (main, own) = (SupplierName::default(), has_own_clock(store).await);
    assert_like(lease(store, &main, 0).await, hundred(0), own);
    assert_like(lease(store, &main, 0).await, hundred(100), own);
    // Two hundred places are leased; fifty seconds of them are over, by the caller's time.
    assert_like(lease(store, &main, 50).await, hundred(if own { 200 } else { 150 }), own);
}

/// One account's places are no other's.
pub async fn every_account_has_a_budget_of_its_own(store: &Subject) {
    let (main, own) = (SupplierName::default(), has_own_clock(store).await);
    assert_like(lease(store, &main, 0).await, hundred(0), own);
    store.note_hit(&main, Some(secs(3_600)), at(0)).await.unwrap();
    assert_like(lease(store, &second_supplier(), 0).await, hundred(0), own);
    assert_like(lease(store, &second_supplier(), 0).await, hundred(100), own);
}

/// However many ask at the same moment, no place is given twice.
pub async fn leases_at_once_get_places_of_their_own(store: &Subject) {
    let own = has_own_clock(store).await;
    let wish = LeaseWish { places: 4, per_second: 1 };
    let leasing = (0..32).map(|_| {
        let store = store.clone();
        tokio::spawn(
            async move { store.lease_requests(&SupplierName::default(), wish, at(0)).await.unwrap() },
        )
    });
    let mut leases = Vec::new();
    for one in leasing.collect::<Vec<_>>() {
        leases.push(one.await.unwrap());
    }
    leases.sort_by_key(|lease| wait(*lease));
    for (got, ahead) in leases.into_iter().zip(0..) {
        let (wait, interval) = (secs(4 * ahead), secs(1));
        let expected = Lease::Places { wait, places: 4, interval, settling_only: None, is_trial: false };
        assert_like(got, expected, own);
    }
}

/// For as long as the supplier asks, by the storage's own clock if it has one.
pub async fn a_hit_blocks_the_account(store: &Subject) {
    let (main, own) = (SupplierName::default(), has_own_clock(store).await);
    store.note_hit(&main, Some(secs(3_600)), at(0)).await.unwrap();
    assert_like(lease(store, &main, 0).await, blocked(3_600), own);
    let later = lease(store, &main, 3_599).await;
    assert_like(later, blocked(if own { 3_600 } else { 1 }), own);
    let after = lease(store, &main, 3_600).await;
    assert_like(after, if own { blocked(3_600) } else { hundred(0) }, own);
}

/// From the first hit to a ban, and through the trial after it: storage keeps the budget as it is, and adds nothing.
pub async fn a_budget_is_kept_whole(store: &Subject) {
    enum Does {
        Lease,
        Hit(Option<u64>),
        Proof,
    }
    use Does::{Hit, Lease, Proof};
    let events = [
        (0, Proof),
        (0, Hit(None)),
        (0, Lease),
        (5, Lease),
        (6, Hit(None)),
        (6, Proof),
        (21, Lease),
        (30, Hit(Some(2))),
        (40, Hit(Some(2))),
        (42, Lease),
        (50, Hit(Some(1))),
        (51, Lease),
        (649, Lease),
        (650, Lease),
        (651, Lease),
        (652, Proof),
        (653, Lease),
        (654, Lease),
    ];
    let main = SupplierName::default();
    let own = has_own_clock(store).await;
    let mut budget = Budget::default();
    for (seconds, does) in events {
        let now = at(seconds);
        match does {
            Lease => {
                let (got, expected) = (lease(store, &main, seconds).await, budget.lease(WISH, now));
                // What a clock of its own makes of these times, nobody can foretell.
                assert!(own || got == expected, "{got:?} instead of {expected:?} {seconds} s in");
            }
            Hit(pause) => {
                let pause = pause.map(secs);
                store.note_hit(&main, pause, now).await.unwrap();
                budget.hit(pause, now);
            }
            Proof => {
                store.note_proof(&main).await.unwrap();
                budget.proved();
            }
        }
    }
    store.note_hit(&main, Some(secs(3_600)), at(655)).await.unwrap();
    assert_like(lease(store, &main, 655).await, blocked(3_600), own);
}

/// Nothing was tried, so nothing is proved.
pub async fn a_proof_without_a_trial_ends_no_pause(store: &Subject) {
    let (main, own) = (SupplierName::default(), has_own_clock(store).await);
    store.note_hit(&main, Some(secs(3_600)), at(0)).await.unwrap();
    store.note_proof(&main).await.unwrap();
    assert_like(lease(store, &main, 0).await, blocked(3_600), own);
}

/// However many lease at the same moment.
pub async fn a_hit_among_leases_is_not_lost(store: &Subject) {
    let own = has_own_clock(store).await;
    let main = SupplierName::default;
    let doing = (0..24).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            if number == 12 {
                store.note_hit(&main(), Some(secs(3_600)), at(0)).await.unwrap();
            } else {
                store.lease_requests(&main(), WISH, at(0)).await.unwrap();
            }
        })
    });
    for one in doing.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_like(lease(store, &main(), 0).await, blocked(3_600), own);
}
