//! The voucher's machine: every state with every event.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ids::RedemptionId;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{Resting, VoidReason, Voucher, VoucherEvent, VoucherState};

use crate::run::two_plans;

const HOUR: Duration = Duration::from_hours(1);

fn at(hours: u32) -> DateTime<Utc> {
    sample::now() + HOUR * hours
}

/// A voucher with one try and two purchases used up, that is good for ten hours.
fn in_state(state: VoucherState) -> Voucher {
    Voucher {
        state,
        tries: 1,
        buys: 2,
        expires_at: Some(at(10)),
        ready_at: Some(at(1)),
        start_behind: Some(sample::plan_id("A")),
        redemption: Some(RedemptionId::draw(&SeededEntropy::new(1))),
        ..sample::voucher(&two_plans())
    }
}

fn end(at: DateTime<Utc>, number_shown: bool) -> VoucherEvent {
    VoucherEvent::End { at, buys: 5, number_shown, ready_at: at, start_behind: None }
}

fn events() -> Vec<(&'static str, VoucherEvent)> {
    let redemption = RedemptionId::draw(&SeededEntropy::new(2));
    vec![
        ("lock", VoucherEvent::Lock { redemption, expires_at: Some(at(9)) }),
        ("buy", VoucherEvent::Buy { buys: 3 }),
        ("settle", VoucherEvent::Settle { buys: 3, number_shown: false }),
        ("settle after a number", VoucherEvent::Settle { buys: 3, number_shown: true }),
        ("deliver", VoucherEvent::Deliver),
        ("end", end(at(5), false)),
        ("end after a number", end(at(5), true)),
        ("end when its time has run out", end(at(10), false)),
        ("expire", VoucherEvent::Expire),
        ("release", VoucherEvent::Release),
        ("void", VoucherEvent::Void { reason: "refunded".parse().unwrap() }),
        ("extend", VoucherEvent::Extend { expires_at: at(20) }),
        ("reset", VoucherEvent::Reset),
    ]
}

const ISSUED: VoucherState = VoucherState::Issued;
const LOCKED: VoucherState = VoucherState::Locked { from: Resting::Issued };
const LOCKED_AGAIN: VoucherState = VoucherState::Locked { from: Resting::RetryableFailed };
const REDEEMING: VoucherState = VoucherState::Redeeming { from: Resting::Issued };
const REDEEMING_AGAIN: VoucherState = VoucherState::Redeeming { from: Resting::RetryableFailed };
const FAILED: VoucherState = VoucherState::RetryableFailed;
const EXPIRED: VoucherState = VoucherState::Expired { from: Resting::Issued };
const EXPIRED_LATER: VoucherState = VoucherState::Expired { from: Resting::RetryableFailed };

/// Where each event leads from a state; what is missing is refused.
fn table() -> Vec<(VoucherState, Vec<(&'static str, VoucherState)>)> {
    vec![
        (
            ISSUED,
            vec![
                ("lock", LOCKED),
                ("expire", EXPIRED),
                ("release", VoucherState::Fulfilled),
                ("void", VoucherState::Cancelled),
                ("extend", ISSUED),
                ("reset", ISSUED),
            ],
        ),
        (
            LOCKED,
            vec![
                ("buy", REDEEMING),
                ("end", ISSUED),
                ("end after a number", ISSUED),
                ("end when its time has run out", EXPIRED),
                ("void", LOCKED),
                ("extend", LOCKED),
                ("reset", LOCKED),
            ],
        ),
        (
            LOCKED_AGAIN,
            vec![
                ("buy", REDEEMING_AGAIN),
                ("end", FAILED),
                ("end after a number", FAILED),
                ("end when its time has run out", EXPIRED_LATER),
                ("void", LOCKED_AGAIN),
                ("extend", LOCKED_AGAIN),
                ("reset", LOCKED_AGAIN),
            ],
        ),
        (
            REDEEMING,
            vec![
                ("buy", REDEEMING),
                ("settle", LOCKED),
                ("settle after a number", LOCKED_AGAIN),
                ("deliver", VoucherState::Fulfilled),
                ("end", FAILED),
                ("end after a number", FAILED),
                ("end when its time has run out", EXPIRED_LATER),
                ("void", REDEEMING),
                ("extend", REDEEMING),
                ("reset", REDEEMING),
            ],
        ),
        (
            REDEEMING_AGAIN,
            vec![
                ("buy", REDEEMING_AGAIN),
                ("settle", LOCKED_AGAIN),
                ("settle after a number", LOCKED_AGAIN),
                ("deliver", VoucherState::Fulfilled),
                ("end", FAILED),
                ("end after a number", FAILED),
                ("end when its time has run out", EXPIRED_LATER),
                ("void", REDEEMING_AGAIN),
                ("extend", REDEEMING_AGAIN),
                ("reset", REDEEMING_AGAIN),
            ],
        ),
        (
            FAILED,
            vec![
                ("lock", LOCKED_AGAIN),
                ("expire", EXPIRED_LATER),
                ("release", VoucherState::Fulfilled),
                ("void", VoucherState::Cancelled),
                ("extend", FAILED),
                ("reset", FAILED),
            ],
        ),
        (EXPIRED, vec![("release", VoucherState::Fulfilled), ("extend", ISSUED), ("reset", EXPIRED)]),
        (
            EXPIRED_LATER,
            vec![("release", VoucherState::Fulfilled), ("extend", FAILED), ("reset", EXPIRED_LATER)],
        ),
        (VoucherState::Fulfilled, vec![]),
        (VoucherState::Cancelled, vec![("void", VoucherState::Cancelled)]),
    ]
}

#[test]
fn every_event_leads_where_the_table_says_or_is_refused_by_name() {
    for (from, leads) in table() {
        for (name, event) in events() {
            let to = leads.iter().find(|(led, _)| *led == name).map(|(_, to)| *to);
            match (in_state(from).apply(event.clone()), to) {
                (Ok(moved), Some(to)) => assert_eq!(moved.state, to, "{from:?}, {name}"),
                (Err(refused), None) => {
                    assert_eq!((refused.state, refused.event), (from.name(), event.name()));
                }
                (moved, to) => panic!("{from:?}, {name}: {moved:?} instead of {to:?}"),
            }
        }
    }
}

#[test]
fn a_try_is_used_up_once_a_number_was_shown_and_every_purchase_counts() {
    let ended = |number_shown| in_state(REDEEMING).apply(end(at(5), number_shown)).unwrap();
    assert_eq!((ended(false).tries, ended(false).buys), (1, 5));
    assert_eq!((ended(true).tries, ended(true).buys), (2, 5));
    assert_eq!(in_state(LOCKED).apply(VoucherEvent::Buy { buys: 3 }).unwrap().buys, 3);
    let settled = in_state(REDEEMING).apply(VoucherEvent::Settle { buys: 4, number_shown: true }).unwrap();
    assert_eq!((settled.tries, settled.buys), (1, 4));
}

#[test]
fn the_next_redemption_starts_behind_the_last_plan_that_got_no_sms() {
    let ended = |start_behind| {
        let event =
            VoucherEvent::End { at: at(5), buys: 5, number_shown: true, ready_at: at(6), start_behind };
        in_state(REDEEMING).apply(event).unwrap()
    };
    let voucher = ended(Some(sample::plan_id("B")));
    assert_eq!((voucher.start_behind, voucher.ready_at), (Some(sample::plan_id("B")), Some(at(6))));
    // A redemption that showed no number says nothing about plans.
    assert_eq!(ended(None).start_behind, Some(sample::plan_id("A")));
}

#[test]
fn locking_names_the_redemption_and_sets_the_end() {
    let id = RedemptionId::draw(&SeededEntropy::new(2));
    for state in [ISSUED, FAILED] {
        let event = VoucherEvent::Lock { redemption: id, expires_at: Some(at(9)) };
        let locked = in_state(state).apply(event).unwrap();
        assert_eq!((locked.redemption, locked.expires_at), (Some(id), Some(at(9))));
    }
}

#[test]
fn a_wish_to_take_back_is_granted_when_the_redemption_has_ended_without_a_code() {
    let reason: VoidReason = "refunded".parse().unwrap();
    let wished = |state| in_state(state).apply(VoucherEvent::Void { reason: reason.clone() }).unwrap();
    for state in [LOCKED, REDEEMING_AGAIN] {
        let ended = wished(state).apply(end(at(5), true)).unwrap();
        assert_eq!((ended.state, ended.void.clone()), (VoucherState::Cancelled, Some(reason.clone())));
    }
    // A voucher that is to be taken back is cancelled even if its time has run out as well.
    assert_eq!(wished(LOCKED).apply(end(at(10), false)).unwrap().state, VoucherState::Cancelled);
    let delivered = wished(REDEEMING).apply(VoucherEvent::Deliver).unwrap();
    assert_eq!((delivered.state, delivered.void), (VoucherState::Fulfilled, None));
    // The first reason stays.
    let twice = wished(ISSUED).apply(VoucherEvent::Void { reason: "lost".parse().unwrap() }).unwrap();
    assert_eq!(twice.void.as_ref(), Some(&reason));
    // While it is a wish, the last one holds.
    let again = wished(LOCKED).apply(VoucherEvent::Void { reason: "lost".parse().unwrap() }).unwrap();
    assert_eq!(again.void, Some("lost".parse().unwrap()));
}

#[test]
fn an_end_given_in_mid_run_holds_when_the_run_has_ended() {
    let extended = in_state(REDEEMING).apply(VoucherEvent::Extend { expires_at: at(20) }).unwrap();
    assert_eq!(extended.expires_at, Some(at(20)));
    assert_eq!(extended.clone().apply(end(at(19), false)).unwrap().state, FAILED);
    assert_eq!(extended.apply(end(at(20), false)).unwrap().state, EXPIRED_LATER);
    let endless = Voucher { expires_at: None, ..in_state(REDEEMING) };
    assert_eq!(endless.apply(end(at(1000), false)).unwrap().state, FAILED);
}

#[test]
fn a_reset_gives_tries_and_purchases_back_and_ends_the_pause() {
    let reset = in_state(FAILED).apply(VoucherEvent::Reset).unwrap();
    assert_eq!((reset.tries, reset.buys, reset.ready_at), (0, 0, None));
    assert_eq!(reset.start_behind, Some(sample::plan_id("A")));
}

#[test]
fn a_reset_in_mid_run_is_granted_when_the_run_has_ended() {
    for state in [LOCKED, REDEEMING_AGAIN] {
        let wished = in_state(state).apply(VoucherEvent::Reset).unwrap();
        assert_eq!((wished.tries, wished.buys, wished.reset_wished), (1, 2, true));
        let ended = wished.apply(end(at(5), true)).unwrap();
        assert_eq!((ended.tries, ended.buys, ended.ready_at, ended.reset_wished), (0, 0, None, false));
    }
    let delivered =
        in_state(REDEEMING).apply(VoucherEvent::Reset).unwrap().apply(VoucherEvent::Deliver).unwrap();
    assert!(!delivered.reset_wished);
}

#[test]
fn every_name_and_origin_is_read_back() {
    for (state, _) in table() {
        assert_eq!(VoucherState::read(state.name(), state.from()), Some(state));
        assert!(VoucherState::NAMES.contains(&state.name()));
    }
    for (name, from) in [("issued", Some(Resting::Issued)), ("locked", None), ("lost", None)] {
        assert_eq!(VoucherState::read(name, from), None);
    }
}
