//! Two thousand seeds, in parts that run beside each other.

use std::ops::Range;

use super::report::Counts;
use super::setup::Setup;
use super::world::{Outcome, live};

/// What was violated, and how to see it again.
pub(crate) fn told(seed: u64, outcome: &Outcome) -> String {
    format!(
        "seed {seed} violates:\n  {}\nreplay: MINTCODE_SIM_SEED={seed} cargo test -p mintcode-core --test simulation \
         replay -- --ignored --nocapture",
        outcome.violations.join("\n  ")
    )
}

/// Lives one world and asserts that it was well.
#[track_caller]
pub(crate) fn well(seed: u64) {
    let outcome = live(seed, Setup::draw, None, false);
    assert!(outcome.violations.is_empty(), "{}", told(seed, &outcome));
}

/// Lives all of `seeds`, and says what went wrong in all of them together.
fn all_well(seeds: Range<u64>) {
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    for seed in seeds.clone() {
        let outcome = live(seed, Setup::draw, None, false);
        counts.merge(&outcome.counts);
        if !outcome.violations.is_empty() {
            wrong.push(told(seed, &outcome));
        }
    }
    println!("seeds {seeds:?}\n{counts}");
    let first: Vec<_> = wrong.iter().take(3).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} seeds went wrong, the first of them:\n{}", wrong.len(), first.join("\n"));
    assert!(counts.missing().is_empty(), "nothing was {:?}", counts.missing());
}

/// One test for each part of the seeds.
macro_rules! parts {
    ($($name:ident: $seeds:expr;)*) => {
        $(
            #[test]
            fn $name() {
                all_well($seeds);
            }
        )*
    };
}

parts! {
    seeds_0_to_499: 0..500;
    seeds_500_to_999: 500..1_000;
    seeds_1000_to_1499: 1_000..1_500;
    seeds_1500_to_1999: 1_500..2_000;
}

#[test]
fn a_world_without_trouble_delivers() {
    let mut counts = Counts::default();
    for seed in 0..20 {
        let outcome = live(seed, Setup::calm, None, false);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:?}", outcome.violations);
        counts.merge(&outcome.counts);
    }
    assert!(counts.of("delivered") > 100, "{counts}");
    assert_eq!(counts.of("crashes") + counts.of("adopted") + counts.of("swept"), 0, "{counts}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in [1, 5, 17, 137] {
        let [one, other] = [0; 2].map(|_| live(seed, Setup::draw, None, false).digest);
        assert_eq!(one, other, "seed {seed} lived two lives");
    }
}

#[test]
fn a_thousand_vouchers() {
    let outcome = live(3, |dice| Setup::crowd(dice, 1_000), None, false);
    assert!(outcome.violations.is_empty(), "{:#?}", &outcome.violations[..outcome.violations.len().min(10)]);
    assert!(outcome.counts.of("delivered") > 500, "{}", outcome.counts);
}
