//! The tests are tested: whichever safeguard is cut out, the supplier's books tell within 500 seeds.

use super::cut::Cut;
use super::setup::Setup;
use super::world::live;

const SEEDS: u64 = 500;

/// Whether any seed goes wrong without what is `cut` out.
fn is_missed(cut: Cut) {
    for seed in 0..SEEDS {
        let outcome = live(seed, Setup::draw, Some(cut), false);
        if let Some(first) = outcome.violations.first() {
            println!("{cut:?}: seed {seed}: {first}");
            return;
        }
    }
    panic!("nobody missed the {cut:?} in {SEEDS} seeds");
}

#[test]
fn an_intent_that_is_not_durable_is_missed() {
    is_missed(Cut::Intent);
}

#[test]
fn the_fence_is_missed() {
    is_missed(Cut::Fence);
}

#[test]
fn settling_is_missed() {
    is_missed(Cut::Settling);
}

#[test]
fn the_unique_claim_is_missed() {
    is_missed(Cut::Claim);
}

#[test]
fn the_sweeper_is_missed() {
    is_missed(Cut::Sweeper);
}
