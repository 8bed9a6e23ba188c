//! Seeds that found something, each named after it.
//!
//! Seeds are drawn anew when the drawing of worlds changes: these lived through what they are named after when they were put
//! down here, and were red without its mending. What only a crowd finds (searches in the way of deliveries, purchases
//! queueing past their deadlines, the places of a slow lease) is held by `seeds::three_thousand_vouchers`.

use super::seeds::well;

/// The answer to enlisting came after half a minute, and set the worker's clock that far back: it owned redemptions, bought
/// nothing for them, and never ended them either.
#[test]
fn a_clock_set_by_an_old_answer_locks_no_voucher_for_ever() {
    for seed in [84, 1_563, 3_356, 4_714] {
        well(seed);
    }
}

/// A customer came before the process had the storage's time: the redemption went by a wall clock that was minutes off.
#[test]
fn a_redemption_begun_first_thing_goes_by_the_storages_clock() {
    for seed in [477, 535, 1_217, 1_591] {
        well(seed);
    }
}

/// A worker's clock was a second and a half ahead: it took its own lost order for an older one, adopted another
/// redemption's, and left that one to buy again.
#[test]
fn a_worker_a_little_ahead_adopts_its_own_order() {
    well(728);
}
