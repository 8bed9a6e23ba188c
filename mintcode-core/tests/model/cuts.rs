//! The checker is checked: with a part of the world cut out, it finds what goes wrong, in what is stored, sold and shown.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::properties as p;
use crate::scene::{Cut, Left, Scene};

/// Finds a way to break each of `broken` in a world without `cuts`.
fn finds(cuts: &'static [Cut], left: Left, broken: &[&'static str]) {
    let mut scene = Scene::new(left);
    scene.cuts = cuts;
    let wanted: BTreeSet<_> = broken.iter().copied().collect();
    let checker = scene.checker().finish_when(HasDiscoveries::AllOf(wanted)).spawn_dfs().join();
    println!("without {cuts:?}: {} states", checker.unique_state_count());
    for name in broken {
        let path = checker.discovery(name);
        assert!(path.is_some(), "without {cuts:?} nothing breaks {name:?}");
    }
}

#[test]
fn without_the_fence_a_zombie_writes_and_the_owner_is_lost() {
    let left = Left { begins: 1, crashes: 1, freezes: 1, messages: 1, ..Left::default() };
    finds(&[Cut::Fence], left, &[p::OWNED, p::ENDS]);
}

#[test]
fn without_compare_and_set_a_repeated_commit_takes_back_a_code() {
    let left = Left { begins: 1, odd_commits: 1, messages: 1, ..Left::default() };
    finds(&[Cut::Compare], left, &[p::FULFILLED, p::BOOKS, p::FITS, p::ENDS]);
}

#[test]
fn where_the_last_write_wins_two_numbers_are_live() {
    let left = Left { begins: 2, freezes: 1, messages: 1, ..Left::default() };
    let broken = [p::ONE_LIVE, p::FULFILLED, p::INTENT, p::BOOKS, p::IN_TIME];
    finds(&[Cut::Fence, Cut::Compare], left, &broken);
}

#[test]
fn without_unique_claims_two_have_one_order() {
    let left = Left { begins: 1, freezes: 2, late_sends: 1, ..Left::default() };
    finds(&[Cut::UniqueClaim], left, &[p::CLAIMS]);
}

#[test]
fn without_the_intent_numbers_are_bought_in_a_circle() {
    let left = Left { begins: 1, crashes: 1, messages: 1, ..Left::default() };
    finds(&[Cut::Intent], left, &[p::INTENT, p::LIMITS, p::NO_CIRCLE]);
}

#[test]
fn without_a_fenced_inbox_an_answer_is_thrown_away() {
    let left = Left { begins: 1, freezes: 1, late_buys: 1, wishes: 1, ..Left::default() };
    finds(&[Cut::FencedInbox], left, &[p::HEARD]);
}

#[test]
fn without_the_sweeper_an_order_stays_open() {
    let left = Left { begins: 1, freezes: 1, late_sends: 1, ..Left::default() };
    finds(&[Cut::Sweeper], left, &[p::ENDS, p::SETTLES]);
}

#[test]
fn without_takeovers_nothing_ends_that_a_dead_worker_began() {
    let left = Left { begins: 1, crashes: 1, ..Left::default() };
    finds(&[Cut::TakeOver], left, &[p::ENDS, p::SETTLES]);
}
