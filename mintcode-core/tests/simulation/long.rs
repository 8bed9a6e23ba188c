//! Runs by hand: one seed line by line, or as many as it takes for a number of redemptions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::dice::Dice;
use super::report::Counts;
use super::seeds::told;
use super::setup::Setup;
use super::world::live;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
#[ignore = "replays the seed in MINTCODE_SIM_SEED"]
fn replay() {
    let seed = number("MINTCODE_SIM_SEED").expect("MINTCODE_SIM_SEED is set");
    let setup = |dice: &Dice| match number("MINTCODE_SIM_VOUCHERS") {
        Some(vouchers) => Setup::crowd(dice, vouchers.try_into().unwrap()),
        None => Setup::draw(dice),
    };
    let outcome = live(seed, setup, None, true);
    println!("{}", outcome.counts);
    assert!(outcome.violations.is_empty(), "{}", told(seed, &outcome));
}

#[test]
#[ignore = "takes as long as MINTCODE_SIM_REDEMPTIONS want"]
fn a_long_run() {
    let wanted = number("MINTCODE_SIM_REDEMPTIONS").expect("MINTCODE_SIM_REDEMPTIONS is set");
    let next = AtomicU64::new(number("MINTCODE_SIM_SEED").unwrap_or(1_000_000));
    let first = next.load(Ordering::SeqCst);
    let all = Mutex::new((Counts::default(), Duration::ZERO, Vec::new()));
    let cores = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while all.lock().unwrap().0.of("redemptions") < wanted {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    let outcome = live(seed, Setup::draw, None, false);
                    let mut all = all.lock().unwrap();
                    all.0.merge(&outcome.counts);
                    all.1 += outcome.lived;
                    if !outcome.violations.is_empty() {
                        println!("{}", told(seed, &outcome));
                        all.2.push(seed);
                    }
                }
            });
        }
    });
    let (counts, lived, wrong) = all.into_inner().unwrap();
    let seeds = next.load(Ordering::SeqCst) - first;
    println!("{seeds} seeds, {} simulated hours\n{counts}", lived.as_secs() / 3_600);
    assert!(wrong.is_empty(), "{} seeds went wrong: {wrong:?}", wrong.len());
    assert!(counts.missing().is_empty(), "nothing was {:?}", counts.missing());
}
