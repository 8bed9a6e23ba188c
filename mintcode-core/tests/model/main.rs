//! Model checking: everything that can happen to one voucher between two workers, two plans and a supplier, tried in
//! every order, with the real machine in the middle.
//!
//! [`step`](mintcode_core::redemption::step()) and the plan choice within it, `Consequences::of`, `Commit::move_voucher`,
//! `admit`, `Health::after` and the proof of the books are the real ones; no rule is written a second time. The model is
//! the world around them: storage ([`storage`]), workers that die, stand still and go on as zombies ([`worker`]), a
//! supplier with books of its own ([`supplier`]), and the clock ([`world`]). What must hold is in [`properties`], what
//! may happen in [`actions`].
//!
//! Each scene bounds how often each kind of trouble happens, and within these bounds all of it is tried. The clock moves
//! from one moment at which something happens by itself to the next, and never back; between two moments happenings are
//! counted. So a path never comes back to where it was, and every path ends. That matters, because `stateright` takes
//! `eventually` for broken only where a path ends, and forgets to where two paths meet: that every end is a good end
//! is therefore asked once more, as what must `always` hold.
//!
//! The tests print how many states there are. `MINTCODE_MODEL=long` widens the bounds to millions of states, which
//! takes many minutes:
//!
//! ```text
//! MINTCODE_MODEL=long cargo test -p mintcode-core --test model -- --nocapture --test-threads=1
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod actions;
mod cuts;
mod properties;
mod scene;
mod shared;
mod storage;
mod supplier;
mod worker;
mod world;

use std::time::Duration;

use stateright::{Checker, Expectation, Model};

use crate::scene::{Left, Scene};

/// States that the largest scene has to have: fewer would mean that it hardly tries anything.
const MANY: usize = 100_000;

fn is_long() -> bool {
    std::env::var("MINTCODE_MODEL").is_ok_and(|wanted| wanted == "long")
}

/// `short` as it is, or with the bounds that a long run has.
fn left(short: Left, long: Left) -> Left {
    if is_long() { long } else { short }
}

/// Tries everything that may happen in `scene`, and returns how many states there are.
fn check(name: &str, scene: Scene) -> usize {
    let checker = scene.checker().threads(2).spawn_dfs().join();
    let (unique, all, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{name}: {unique} states, {all} transitions, paths of up to {depth} steps");
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                panic!("{name}: broken: {}: {path}", property.name);
            }
            (Expectation::Sometimes, None) => panic!("{name}: never met: {}", property.name),
            (Expectation::Always | Expectation::Eventually, None) | (Expectation::Sometimes, Some(_)) => {}
        }
    }
    unique
}

#[test]
fn two_crashes_a_zombie_and_a_late_purchase_lose_and_double_nothing() {
    let short =
        Left { begins: 1, crashes: 2, freezes: 1, late_buys: 1, messages: 1, empties: 1, ..Left::default() };
    let mut scene = Scene::new(left(short.clone(), Left { lost_answers: 1, ..short }));
    let policy = &mut scene.sku.policy;
    (policy.max_duration, policy.further_sms) = (Duration::from_mins(1), Duration::ZERO);
    scene.meets = &[
        "queued",
        "ordering",
        "uncertain",
        "waiting",
        "releasing",
        "delivered",
        "failed",
        "adopted",
        "late buy adopted",
        "zombie acted",
        "zombie write refused",
        "code while giving back",
    ];
    assert!(check("ownership", scene) >= MANY);
}

#[test]
fn a_process_that_sends_too_late_leaves_no_order_behind() {
    let short = Left { begins: 1, freezes: 2, late_sends: 1, ..Left::default() };
    let long = Left { lost_answers: 1, messages: 1, ..short.clone() };
    let mut scene = Scene::new(left(short, long));
    scene.meets = &[
        "cooling down",
        "adopted",
        "late buy adopted",
        "surplus",
        "sent late",
        "swept",
        "claim lost",
        "zombie write refused",
    ];
    check("sent late", scene);
}

#[test]
fn a_second_redemption_beside_a_late_purchase_of_the_first_stays_apart() {
    let short = Left { begins: 2, freezes: 1, late_buys: 1, late_sends: 1, ..Left::default() };
    let mut scene = Scene::new(left(short.clone(), Left { crashes: 1, messages: 1, ..short }));
    scene.meets = &["uncertain", "surplus", "sent late", "swept", "zombie acted"];
    check("two redemptions", scene);
}

#[test]
fn whatever_the_supplier_replies_and_the_customer_wishes_the_rules_hold() {
    let short = Left { begins: 2, messages: 1, empties: 1, rarities: 1, wishes: 1, ..Left::default() };
    let mut scene = Scene::new(left(short.clone(), Left { rarities: 2, ..short }));
    scene.meets = &[
        "queued",
        "ordering",
        "waiting",
        "releasing",
        "cooling down",
        "delivered",
        "withheld",
        "failed",
        "cancelled",
        "surplus",
        "code while giving back",
        "second redemption delivers",
    ];
    check("replies and wishes", scene);
}

#[test]
fn a_withheld_message_is_released_once_or_never() {
    let short = Left { begins: 2, messages: 1, rarities: 1, wishes: 1, ..Left::default() };
    let mut scene = Scene::new(left(short.clone(), Left { crashes: 1, wishes: 2, ..short }));
    scene.meets = &["withheld", "delivered", "released", "release refused"];
    check("withheld", scene);
}

#[test]
fn a_purchase_that_is_looked_for_in_bad_lists_is_found_once_or_given_up() {
    let short = Left { begins: 1, lost_answers: 1, messages: 1, rarities: 2, ..Left::default() };
    let mut scene = Scene::new(left(short.clone(), Left { crashes: 1, ..short }));
    scene.meets = &["uncertain", "adopted", "swept", "delivered"];
    check("bad lists", scene);
}

#[test]
fn a_commit_whose_answer_is_lost_happens_once() {
    let short = Left {
        begins: 1,
        crashes: 1,
        lost_answers: 1,
        odd_commits: 1,
        messages: 1,
        empties: 1,
        ..Left::default()
    };
    let mut scene = Scene::new(left(short.clone(), Left { freezes: 1, ..short }));
    scene.meets = &["cooling down", "adopted", "delivered", "late commit refused"];
    check("odd commits", scene);
}

#[test]
fn breakers_open_and_are_probed_under_crashes() {
    let short = Left { begins: 3, crashes: 1, messages: 1, empties: 4, ..Left::default() };
    let mut scene = Scene::new(left(short.clone(), Left { freezes: 1, ..short }));
    scene.learns = true;
    scene.meets = &["probed", "delivered", "failed"];
    check("breakers", scene);
}

#[test]
fn on_a_shared_account_a_lost_purchase_is_never_guessed() {
    let short = Left {
        begins: 1,
        crashes: 1,
        lost_answers: 1,
        late_buys: 1,
        messages: 1,
        empties: 1,
        ..Left::default()
    };
    let mut scene = Scene::new(left(short.clone(), Left { freezes: 1, ..short }));
    scene.is_exclusive = false;
    scene.meets = &["uncertain", "unresolved", "late buy adopted", "delivered"];
    check("shared account", scene);
}
