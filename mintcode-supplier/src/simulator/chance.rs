//! Chance that repeats itself: every draw is a function of the seed and of what is drawn.

/// The `number`-th draw of the kind `what`.
pub(crate) fn draw(seed: u64, what: &str, number: u64) -> u64 {
    let named = what.bytes().fold(seed, |mixed, byte| mix(mixed ^ u64::from(byte)));
    mix(named ^ mix(number))
}

/// The same draw as a fraction from 0 to just below 1.
pub(crate) fn fraction(seed: u64, what: &str, number: u64) -> f64 {
    let upper = u32::try_from(draw(seed, what, number) >> 32).expect("half of 64 bits are 32 bits");
    f64::from(upper) / 2_f64.powi(32)
}

/// The finaliser of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
