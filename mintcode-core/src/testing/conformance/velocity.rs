//! How many redemptions one customer, one address and one SKU may begin.

use std::sync::Arc;

use super::Subject;
use super::stage::{at, begun, failed, keyed, minted, picture, post, queued, rdm, refusal, session, voucher};
use crate::ports::{Begin, BeginBy, Begun};
use crate::redemption::{Holder, HolderKey};
use crate::rules::Rules;
use crate::testing::sample;
use crate::velocity::{Cap, Caps};
use crate::voucher::{Refusal, VoucherHash, VoucherState};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const PLENTY: Cap = Cap { per_hour: 1_000, per_day: 1_000 };
const NO_CAPS: Caps = Caps { session: PLENTY, address: PLENTY, sku: PLENTY };
const TWO: Cap = Cap { per_hour: 2, per_day: 1_000 };

fn under(caps: Caps, begin: Begin) -> Begin {
    Begin { rules: Arc::new(Rules { caps, ..Rules::clone(&sample::rules()) }), ..begin }
}

/// At most two in an hour for one session.
fn two_a_session(begin: Begin) -> Begin {
    under(Caps { session: TWO, ..NO_CAPS }, begin)
}

fn from_address(seed: u8, begin: Begin) -> Begin {
    Begin { address: Some(HolderKey::new(&[seed; 32])), ..begin }
}

/// Coming back is no new redemption, nor is a refused request.
pub async fn only_redemptions_that_begin_are_counted(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 4).await;
    let unknown = VoucherHash::from_bytes([9; 16]);
    begun(store, two_a_session(post(vouchers[0], session(1), 1))).await;
    begun(store, two_a_session(post(vouchers[3], session(2), 2))).await;
    for _ in 0..3 {
        let same = store.begin(two_a_session(post(vouchers[0], session(1), 3))).await.unwrap();
        assert!(matches!(same, Begun::Same(_)), "{same:?}");
        assert_eq!(refusal(store, two_a_session(post(vouchers[3], session(1), 3))).await, Refusal::Busy);
        assert_eq!(refusal(store, two_a_session(post(unknown, session(1), 3))).await, Refusal::Unknown);
    }
    begun(store, two_a_session(post(vouchers[1], session(1), 4))).await;
    let refused = refusal(store, two_a_session(post(vouchers[2], session(1), 5))).await;
    assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) });
}

/// A redemption that follows another counts like any other.
pub async fn a_further_try_is_counted(store: &Subject) {
    let first = queued(store).await;
    failed(store, &first).await;
    let again = Begin { by: BeginBy::Again(rdm(1)), ..post(first.voucher, session(1), 200) };
    let second = begun(store, two_a_session(again)).await;
    let other = minted(store, &sample::sku("wa"), 1).await[0];
    let refused = refusal(store, two_a_session(post(other, session(1), 201))).await;
    assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) }, "after {second:?}");
}

/// What one customer begins does not count for another, and whoever shows no session is not counted under one.
pub async fn every_session_counts_alone(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 7).await;
    for (voucher, number) in vouchers[..2].iter().zip([1, 2]) {
        begun(store, two_a_session(post(*voucher, session(1), number))).await;
    }
    let refused = refusal(store, two_a_session(post(vouchers[2], session(1), 3))).await;
    assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) });
    begun(store, two_a_session(post(vouchers[2], session(2), 4))).await;
    for (voucher, number) in vouchers[3..6].iter().zip(5_u8..) {
        begun(store, two_a_session(post(*voucher, keyed(number), number.into()))).await;
    }
    begun(store, two_a_session(post(vouchers[6], Holder::default(), 9))).await;
}

/// Many customers may share an address: it has a cap of its own.
pub async fn an_address_counts_whoever_comes_from_it(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 4).await;
    let two = |address, begin| from_address(address, under(Caps { address: TWO, ..NO_CAPS }, begin));
    begun(store, two(1, post(vouchers[0], session(1), 1))).await;
    begun(store, two(1, post(vouchers[1], session(2), 2))).await;
    let refused = refusal(store, two(1, post(vouchers[2], session(3), 3))).await;
    assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) });
    begun(store, two(2, post(vouchers[2], session(3), 4))).await;
    // A session and an address of the same hash are two keys.
    begun(store, two_a_session(post(vouchers[3], session(1), 5))).await;
}

/// All customers together stay below the SKU's cap, and other SKUs are not held back by it.
pub async fn a_sku_counts_all_customers_together(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 3).await;
    let other = minted(store, &sample::sku("wa"), 1).await[0];
    let two = |begin| under(Caps { sku: TWO, ..NO_CAPS }, begin);
    begun(store, two(post(vouchers[0], session(1), 1))).await;
    begun(store, two(post(vouchers[1], keyed(2), 2))).await;
    let refused = refusal(store, two(post(vouchers[2], session(3), 3))).await;
    assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) });
    begun(store, two(post(other, session(3), 4))).await;
    let later = Begin { now: at(1 + HOUR), ..two(post(vouchers[2], session(3), 5)) };
    begun(store, later).await;
}

/// The day has a ceiling beside the hour's, and ends where it says.
pub async fn the_daily_ceiling_holds_beside_the_hours(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 5).await;
    let session_cap = Cap { per_hour: 2, per_day: 3 };
    let post = |place: usize, number, seconds| {
        let begin = post(vouchers[place], session(1), number);
        Begin { now: at(seconds), ..under(Caps { session: session_cap, ..NO_CAPS }, begin) }
    };
    begun(store, post(0, 1, 1)).await;
    begun(store, post(1, 2, 2)).await;
    assert_eq!(refusal(store, post(2, 3, HOUR)).await, Refusal::TooMany { until: at(1 + HOUR) });
    begun(store, post(2, 3, 1 + HOUR)).await;
    let tomorrow = Refusal::DailyLimit { until: at(1 + DAY) };
    assert_eq!(refusal(store, post(3, 4, 2 + HOUR)).await, tomorrow);
    assert_eq!(refusal(store, post(3, 4, DAY)).await, tomorrow);
    begun(store, post(3, 4, 1 + DAY)).await;
}

/// The voucher is as good as before, the key is free, and asking again puts nothing off.
pub async fn a_used_up_cap_changes_nothing(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 4).await;
    let both = Holder { session: session(1).session, ..keyed(7) };
    for (voucher, number) in vouchers[..2].iter().zip([1, 2]) {
        begun(store, two_a_session(post(*voucher, session(1), number))).await;
    }
    let before = picture(store, rdm(3), vouchers[2]).await;
    for number in [3, 4, 5] {
        let refused = refusal(store, two_a_session(post(vouchers[2], both.clone(), number))).await;
        assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) });
    }
    assert_eq!(picture(store, rdm(3), vouchers[2]).await, before);
    assert_eq!(voucher(store, vouchers[2]).await.state, VoucherState::Issued);
    // The key that was refused may begin another voucher's redemption.
    begun(store, two_a_session(post(vouchers[3], keyed(7), 6))).await;
}

/// However many begin at the same moment, the cap holds.
pub async fn of_many_at_once_no_more_begin_than_the_cap(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 40).await;
    let ten = Caps { session: Cap { per_hour: 10, per_day: 1_000 }, ..NO_CAPS };
    let posts = vouchers.into_iter().zip(1..).map(|(voucher, number)| {
        let (store, begin) = (store.clone(), under(ten, post(voucher, session(1), number)));
        tokio::spawn(async move { store.begin(begin).await.unwrap() })
    });
    let (mut new, mut refused) = (0, 0);
    for answer in posts.collect::<Vec<_>>() {
        match answer.await.unwrap() {
            Begun::New(_) => new += 1,
            Begun::Refused(Refusal::TooMany { .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, refused), (10, 30));
}

/// Counts are forgotten once no cap looks at them, and no earlier.
pub async fn counts_that_no_cap_looks_at_are_forgotten(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 3).await;
    let post =
        |place: usize, number| from_address(1, two_a_session(post(vouchers[place], session(1), number)));
    begun(store, post(0, 1)).await;
    begun(store, post(1, 2)).await;
    assert_eq!(store.forget_idle(at(3)).await.unwrap(), 0);
    let refused = refusal(store, post(2, 4)).await;
    assert_eq!(refused, Refusal::TooMany { until: at(1 + HOUR) }, "it was forgotten too early");
    assert_eq!(store.forget_idle(at(DAY)).await.unwrap(), 0);
    assert_eq!(store.forget_idle(at(1 + DAY)).await.unwrap(), 3, "session, address and SKU");
    assert_eq!(store.forget_idle(at(1 + DAY)).await.unwrap(), 0);
}
