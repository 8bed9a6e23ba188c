//! P1: minting a code with tag, storage hash, sort and duplicate check, against the bare SHA-256 compressions.
//!
//! A code takes six compressions: three HMACs (random symbols, tag, storage hash), of an inner and an outer block
//! each. The floor is those six and nothing else. Floor and codes take turns, so that a noisy neighbour slows both
//! and leaves the ratio alone.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput};
use mintcode_core::voucher::{BatchNonce, Label, Shape, VoucherKeys, VoucherSecret};
use sha2::block_api::compress256;

const CODES: u32 = 100_000;
const COMPRESSIONS: u32 = 6;

fn floor() {
    let (mut state, block) = ([0; 8], [0xA5; 64]);
    for _ in 0..CODES * COMPRESSIONS {
        compress256(&mut state, black_box(&[block]));
    }
    black_box(state);
}

fn codes(keys: &VoucherKeys, label: &Label, nonce: &BatchNonce) {
    let codes = keys
        .derive_batch(keys.current_id(), nonce, label, Shape::default(), CODES)
        .expect("the batch is small and its key is known");
    for code in codes {
        black_box((keys.lookup_hash(&code), &code));
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = WallTime.start();
    work();
    WallTime.end(start)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let secret = VoucherSecret::new("a secret for benchmarks, known to everyone").expect("it is long enough");
    let keys = VoucherKeys::new(&secret, &[]);
    let label: Label = "TGCA".parse().expect("it is a label");
    let nonce = BatchNonce::from_bytes([7; 32]);

    let turns = RefCell::new(Vec::new());
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("mint");
    group.throughput(Throughput::Elements(CODES.into()));
    group.sample_size(20).measurement_time(Duration::from_secs(15));
    group.bench_function("codes", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let turn = (timed(floor), timed(|| codes(&keys, &label, &nonce)));
                    turns.borrow_mut().push(turn);
                    turn.1
                })
                .sum()
        });
    });
    group.finish();

    let turns = turns.into_inner();
    if !turns.is_empty() {
        let per_code = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(CODES);
        let floor = median(turns.iter().map(|(floor, _)| per_code(*floor)));
        let codes = median(turns.iter().map(|(_, codes)| per_code(*codes)));
        let ratio = median(turns.iter().map(|(floor, codes)| codes.as_secs_f64() / floor.as_secs_f64()));
        println!("| P1, medians of {} turns | ns per code | ratio | goal |", turns.len());
        println!("| --- | --- | --- | --- |");
        println!("| {COMPRESSIONS} SHA-256 compressions | {floor:.0} | 1.00 | |");
        println!(
            "| {CODES} codes: tag, storage hash, sort, duplicate check | {codes:.0} | {ratio:.2} | ≤ 1.5 |"
        );
    }
}
