//! Seeds that found something, each named after it.
//!
//! Seeds are drawn anew when the drawing of worlds changes: these lived through what they are named after when they were put
//! down here, and were red without its mending. What only a crowd finds (searches in the way of deliveries, purchases
//! queueing past their deadlines, the places of a slow lease) is held by `seeds::a_thousand_vouchers`.

use super::seeds::well;

/// The answer to a worker that asked for the time came after half a minute, and set its clock that far back: it owned
/// redemptions, bought nothing for them, and never ended them either.
#[test]
fn a_clock_set_by_an_old_answer_locks_no_voucher_for_ever() {
    well(21);
}

/// A customer came before the process had the storage's time: the redemption went by a wall clock that was minutes off.
#[test]
fn a_redemption_begun_first_thing_goes_by_the_storages_clock() {
    for seed in [912, 1_517, 1_609, 2_074, 2_107] {
        well(seed);
    }
}

/// Two looked for lost purchases at once, and the older one shared a list that reached only as far back as the younger one
/// needed it: it took the younger one's order, and nobody its own.
#[test]
fn who_shares_a_list_has_it_read_as_far_back_as_needed() {
    well(1_005_424);
}

/// A number was bought before it was noted since when the account is worked with, and forgotten: it counted as somebody
/// else's, and was paid for.
#[test]
fn what_is_bought_first_thing_is_swept_too() {
    well(1_007_882);
}

/// A number that was refused ten times as given back too early was asked to be taken back every two minutes only.
#[test]
fn a_number_is_given_back_a_minute_after_it_can_be() {
    for seed in [1_009_633, 1_010_120] {
        well(seed);
    }
}
