//! That both sides balance, and that nothing can be done to the entries unseen.

use mintcode_core::ids::SupplierName;
use mintcode_core::ledger::{Account, Discrepancy, Entry, Kind, Sales, check, implied};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::OrderStatus;
use mintcode_core::redemption::{Outcome, Phase, Redemption};

use crate::states::{FAILED, amount, closed, delivery, open, redemption, standing, surplus, without_order};

/// Two suppliers' orders, delivered, lost, vanished, open and given back.
fn a_full_life() -> Redemption {
    let mut second = closed(4, Outcome::TooDear, Some(OrderStatus::Finished));
    second.intent.supplier = SupplierName::new("second").unwrap();
    second.intent.currency = Currency::USD;
    second.intent.rate = Rate::ONE;
    Redemption {
        closed: vec![
            closed(1, Outcome::NoSms, Some(OrderStatus::Cancelled)),
            closed(2, Outcome::Replaced, None),
            without_order(3, Outcome::Unresolved),
            second,
        ],
        background: vec![surplus(5)],
        ..standing(Phase::Delivered(delivery(6, open())))
    }
}

#[test]
fn the_balance_tells_what_became_of_the_money() {
    let (full, failed) = (a_full_life(), standing(Phase::Failed(FAILED)));
    let pending = Redemption { price: amount("1.5"), ..redemption(3) };
    let booked = [implied(&full), implied(&failed), implied(&pending)];
    let balance =
        check([&full, &failed, &pending].into_iter().zip(booked.iter().map(Vec::as_slice))).unwrap();

    assert_eq!(balance.redemptions, 3);
    let [(of_main, main), (of_second, second)] =
        balance.accounts.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((of_main.0.as_str(), of_main.1.code()), ("main", "RUB"));
    assert_eq!((main.charged, main.refunded), (amount("48"), amount("12")));
    assert_eq!((main.delivered, main.open, main.lost), (amount("12"), amount("12"), Amount::ZERO));
    assert_eq!((main.vanished, main.unresolved, main.on_hold), (amount("12"), amount("16"), amount("28")));
    assert_eq!((of_second.0.as_str(), of_second.1.code()), ("second", "USD"));
    assert_eq!((second.charged, second.lost, second.written_off), (amount("12"), amount("12"), amount("12")));
    let sales = balance.sales[&Currency::USD];
    assert_eq!((sales.held, sales.captured, sales.earned), (amount("3.10"), amount("0.80"), amount("0.80")));
    assert_eq!((sales.released, sales.pending), (amount("0.80"), amount("1.50")));
}

#[test]
fn no_entry_can_be_left_out_doubled_altered_or_undone_unseen() {
    let full = a_full_life();
    let booked = implied(&full);
    let fault = |booked: &[Entry]| *check([(&full, booked)]).unwrap_err().why;
    for (index, entry) in booked.iter().enumerate() {
        let without: Vec<_> = booked.iter().filter(|other| *other != entry).cloned().collect();
        assert_eq!(fault(&without), Discrepancy::Missing(entry.clone()));

        let twice = [booked.as_slice(), std::slice::from_ref(entry)].concat();
        assert_eq!(fault(&twice), Discrepancy::Twice(entry.clone()));

        let one = Amount::from_micros(1);
        for altered in [
            Entry { amount: entry.amount.checked_add(one).unwrap(), ..entry.clone() },
            Entry { value: entry.value.checked_sub(one).unwrap(), ..entry.clone() },
            Entry { currency: "EUR".parse().unwrap(), ..entry.clone() },
            Entry { supplier: Some(SupplierName::new("third").unwrap()), ..entry.clone() },
        ] {
            let mut booked = booked.clone();
            booked[index] = altered.clone();
            assert_eq!(fault(&booked), Discrepancy::Unfounded(altered));
        }
        if let Some(undoing) = entry.undone() {
            let undone = [booked.as_slice(), &[undoing]].concat();
            assert_eq!(fault(&undone), Discrepancy::Missing(entry.clone()));
        }
    }
    let stray = Entry { kind: Kind::Release, ..booked[1].clone() };
    assert_eq!(
        fault(&[booked.as_slice(), std::slice::from_ref(&stray)].concat()),
        Discrepancy::Unfounded(stray)
    );
}

#[test]
fn an_account_balances_only_while_both_sides_tell_the_same() {
    let balanced = Account {
        charged: amount("10"),
        refunded: amount("3"),
        written_off: amount("1"),
        on_hold: amount("6"),
        delivered: amount("2"),
        open: amount("2.50"),
        lost: amount("1"),
        vanished: amount("1.50"),
        unresolved: amount("4.50"),
    };
    assert_eq!(balanced.balances(), Some(true));
    let alterations: [fn(&mut Account) -> &mut Amount; 9] = [
        |account| &mut account.charged,
        |account| &mut account.refunded,
        |account| &mut account.written_off,
        |account| &mut account.on_hold,
        |account| &mut account.delivered,
        |account| &mut account.open,
        |account| &mut account.lost,
        |account| &mut account.vanished,
        |account| &mut account.unresolved,
    ];
    for alter in alterations {
        let mut account = balanced;
        *alter(&mut account) = amount("5");
        assert_eq!(account.balances(), Some(false), "{account:?}");
    }
    let too_large = Account { delivered: Amount::MAX, ..balanced };
    assert_eq!(too_large.balances(), None);
}

#[test]
fn sales_balance_only_while_both_sides_tell_the_same() {
    let balanced = Sales {
        held: amount("6"),
        captured: amount("3"),
        released: amount("1"),
        earned: amount("3"),
        pending: amount("2"),
    };
    assert_eq!(balanced.balances(), Some(true));
    for altered in [
        Sales { held: amount("7"), ..balanced },
        Sales { captured: amount("4"), pending: amount("1"), ..balanced },
        Sales { released: amount("2"), ..balanced },
        Sales { earned: amount("2"), ..balanced },
        Sales { pending: amount("1"), ..balanced },
    ] {
        assert_eq!(altered.balances(), Some(false), "{altered:?}");
    }
}

#[test]
fn an_imbalance_names_the_voucher_as_people_are_shown_it() {
    let queued = redemption(1);
    let error = check([(&queued, [].as_slice())]).unwrap_err();
    assert_eq!(error.redemption, queued.id);
    let expected = "the books of voucher ABCD****WXYZ do not balance: missing: sale hold of 0.80 USD";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_sum_that_does_not_fit_is_never_taken_for_a_small_one() {
    let rich = |seed| Redemption { price: Amount::MAX, ..redemption(seed) };
    let (one, other) = (rich(1), rich(2));
    let booked = implied(&one);
    let error = check([(&one, &*booked), (&other, &*booked)]).unwrap_err();
    assert_eq!(*error.why, Discrepancy::TooLarge);
}
