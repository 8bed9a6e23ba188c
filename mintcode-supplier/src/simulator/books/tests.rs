use proptest::prelude::*;

use super::*;
use crate::simulator::Catalogue;

fn start() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-22T10:00:00Z").unwrap().to_utc()
}

fn after(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

fn wanted<'a>(country: &'a str, operator: &'a str, product: &'a str) -> Purchase<'a> {
    Purchase { country, operator, product, max_price: None, quirk: Quirk::None, is_dear: false }
}

const TELEGRAM: Purchase<'static> = Purchase {
    country: "canada",
    operator: "virtual4",
    product: "telegram",
    max_price: None,
    quirk: Quirk::None,
    is_dear: false,
};

fn books(scenario: Scenario) -> Books {
    Books::new(scenario, start())
}

fn bought(books: &mut Books) -> u64 {
    books.buy(&TELEGRAM, start()).unwrap().id
}

#[test]
fn a_sale_is_charged_receives_its_message_and_is_finished() {
    let mut books = books(Scenario { fresh_status: FreshStatus::Pending, ..Scenario::default() });
    let id = bought(&mut books);
    assert_eq!(books.account(start()).0, "999.88".parse().unwrap());
    assert_eq!(books.check(id, after(1)).unwrap().status, Status::Pending);
    assert_eq!(books.check(id, after(3)).unwrap().status, Status::Received);
    assert_eq!(books.finish(id, after(3)).unwrap_err(), Refusal::OrderNoSms);

    let sale = books.check(id, after(4)).unwrap().clone();
    let code = sale.sms[0].code.clone().unwrap();
    assert_eq!((sale.sms.len(), sale.sms[0].received_at, code.len()), (1, after(4), 5));
    assert!(sale.sms[0].text.contains(&code));
    assert!(sale.phone.reveal().starts_with("+1") && sale.phone.reveal().len() == 12);

    assert_eq!(books.finish(id, after(9)).unwrap().status, Status::Finished);
    let snapshot = books.snapshot(BTreeMap::new(), after(10));
    assert_eq!(snapshot.counts, Counts { sold: 1, charged: 1, refunded: 0, open: 0 });
    assert_eq!(snapshot.balance, "999.88".parse().unwrap());
}

#[test]
fn what_is_allowed_depends_on_the_state() {
    use Refusal::{OrderExpired, OrderHasSms, OrderNotFound};
    let silent = Line { messages: 0, ..Line::new("canada", "virtual4", "telegram", Amount::from_micros(1)) };
    let scenario = Scenario { line: vec![silent], ..Scenario::default() };
    for (closing, finish, give_back) in [
        (Status::Canceled, OrderNotFound, OrderNotFound),
        (Status::Banned, OrderNotFound, OrderNotFound),
        (Status::Timeout, OrderExpired, OrderExpired),
        (Status::Finished, OrderNotFound, OrderHasSms),
    ] {
        let mut books = books(scenario.clone());
        let id = bought(&mut books);
        match closing {
            Status::Finished => {
                books.deliver(id, after(1));
                assert_eq!(books.give_back(id, Status::Canceled, after(1)).unwrap_err(), OrderHasSms);
                assert_eq!(books.give_back(id, Status::Banned, after(1)).unwrap_err(), OrderHasSms);
                books.finish(id, after(1)).unwrap();
            }
            Status::Timeout => assert_eq!(books.check(id, after(900)).unwrap().status, Status::Timeout),
            _ => assert_eq!(books.give_back(id, closing, after(1)).unwrap().status, closing),
        }
        assert_eq!(books.finish(id, after(901)).unwrap_err(), finish, "{closing:?}");
        for again in [Status::Canceled, Status::Banned] {
            assert_eq!(books.give_back(id, again, after(901)).unwrap_err(), give_back, "{closing:?}");
        }
        assert_eq!(books.check(id, after(901)).unwrap().status, closing);
    }
    let mut books = books(scenario);
    assert_eq!(books.check(1, start()).unwrap_err(), OrderNotFound);
    assert_eq!(books.finish(1, start()).unwrap_err(), OrderNotFound);
    assert_eq!(books.give_back(1, Status::Canceled, start()).unwrap_err(), OrderNotFound);
}

#[test]
fn time_alone_finishes_what_has_a_message_and_refunds_what_has_none() {
    let scenario = Scenario { timeout_after: std::time::Duration::from_mins(6), ..Scenario::default() };
    let mut books = books(scenario);
    let served = bought(&mut books);
    let silent = books.buy(&wanted("georgia", "virtual51", "telegram"), start()).unwrap().id;
    // One look long afterwards sees both at the times they happened.
    let served = books.check(served, after(3_600)).unwrap().clone();
    assert_eq!((served.status, served.closed_at), (Status::Finished, Some(after(4 + 300))));
    let silent = books.check(silent, after(3_600)).unwrap().clone();
    assert_eq!((silent.status, silent.closed_at), (Status::Timeout, Some(after(360))));
    assert_eq!((silent.charged, silent.refunded), (Amount::from_micros(80_000), Amount::from_micros(80_000)));
    // 96 at most, then 0.15 off at 360 s, after 0.4 on at 304 s.
    assert_eq!(books.account(after(3_600)).1, 95_850);
}

#[test]
fn a_purchase_is_refused_for_a_reason() {
    let mut books = books(Scenario { balance: "0.13".parse().unwrap(), ..Scenario::default() });
    let capped = |cap: &str| Purchase { max_price: Some(cap.parse().unwrap()), ..TELEGRAM };
    let rows = [
        (wanted("canada", "virtual8", "telegram"), Refusal::NoFreePhones),
        (wanted("atlantis", "virtual4", "telegram"), Refusal::NoFreePhones),
        (wanted("canada", "virtual4", "openai"), Refusal::NoFreePhones),
        (wanted("canada", "virtual999", "telegram"), Refusal::BadOperator),
        (wanted("canada", "virtual4", "zzprobezz"), Refusal::NoProduct),
        (wanted("canada", "virtual12", "telegram"), Refusal::NotEnoughBalance),
        (Purchase { operator: "any", ..capped("0.11") }, Refusal::NoFreePhones),
        (Purchase { is_dear: true, ..TELEGRAM }, Refusal::NotEnoughBalance),
    ];
    for (wanted, refusal) in rows {
        assert_eq!(books.buy(&wanted, start()).unwrap_err(), refusal, "{wanted:?}");
    }
    let sale = books.buy(&capped("0.01"), start()).unwrap();
    assert_eq!(sale.operator, "virtual4", "a cap is not heeded for a named operator");
    let documented = Scenario { unknown_country: UnknownCountry::BadCountry, ..Scenario::default() };
    let error =
        Books::new(documented, start()).buy(&wanted("atlantis", "any", "telegram"), start()).unwrap_err();
    assert_eq!(error, Refusal::BadCountry);
}

#[test]
fn stock_ends() {
    let line = Line { stock: Some(2), ..Line::new("canada", "virtual4", "telegram", Amount::from_micros(1)) };
    let mut books = books(Scenario { line: vec![line], catalogue: Catalogue::Empty, ..Scenario::default() });
    let results = [0, 1, 2].map(|second| books.buy(&TELEGRAM, after(second)).map(|sale| sale.id).is_ok());
    assert_eq!(results, [true, true, false]);
}

#[test]
fn an_early_cancel_is_refused_where_the_scenario_says_so() {
    let mut books =
        books(Scenario { cancel_min_age: std::time::Duration::from_secs(3), ..Scenario::default() });
    let id = bought(&mut books);
    assert_eq!(books.give_back(id, Status::Canceled, after(2)).unwrap_err(), Refusal::TooEarly);
    assert_eq!(books.give_back(id, Status::Canceled, after(3)).unwrap().status, Status::Canceled);
}

#[test]
fn a_used_up_rating_refuses_purchases_for_a_day() {
    let mut books = books(Scenario { rating: "0.1".parse().unwrap(), ..Scenario::default() });
    let id = bought(&mut books);
    books.give_back(id, Status::Canceled, after(1)).unwrap();
    assert_eq!(books.buy(&TELEGRAM, after(86_400)).unwrap_err(), Refusal::NotEnoughRating);
    books.buy(&TELEGRAM, after(86_401)).unwrap();
    assert_eq!(books.account(after(86_401)).1, BEST_RATING);
}

#[test]
fn the_books_never_run_backwards() {
    let mut books = books(Scenario::default());
    let first = bought(&mut books);
    books.check(first, after(100)).unwrap();
    assert_eq!(books.buy(&TELEGRAM, after(10)).unwrap().created_at, after(100));
}

#[test]
fn ids_go_on_where_a_simulator_before_may_have_stopped() {
    let mut before = books(Scenario::default());
    let last = (0..50).map(|_| bought(&mut before)).max().unwrap();
    assert!((FIRST_ID..1_900_000_000).contains(&last), "{last}");
    let mut restarted = Books::new(Scenario::default(), after(2));
    assert!(restarted.buy(&TELEGRAM, after(2)).unwrap().id > last);
}

/// One thing somebody does.
#[derive(Clone, Debug)]
enum Move {
    Buy { line: usize, is_dear: bool },
    Check(usize),
    Finish(usize),
    Cancel(usize),
    Ban(usize),
    Deliver(usize),
    Wait(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let order = 0..12_usize;
    let one = prop_oneof![
        3 => (0..4_usize, any::<bool>()).prop_map(|(line, is_dear)| Move::Buy { line, is_dear }),
        1 => order.clone().prop_map(Move::Check),
        1 => order.clone().prop_map(Move::Finish),
        1 => order.clone().prop_map(Move::Cancel),
        1 => order.clone().prop_map(Move::Ban),
        1 => order.prop_map(Move::Deliver),
        // The clock of the caller may also stand still or jump back.
        2 => (-100..500_i64).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 1..80)
}

proptest! {
    #[test]
    fn money_always_balances(moves in moves(), cents in 0..400_i64) {
        let opening = Amount::from_micros(cents * 10_000);
        let mut books = books(Scenario { balance: opening, ..Scenario::default() });
        let lines = [
            TELEGRAM,
            wanted("georgia", "virtual51", "telegram"),
            wanted("poland", "virtual53", "telegram"),
            wanted("canada", "any", "google"),
        ];
        let (mut ids, mut now, mut closed) = (Vec::new(), start(), BTreeMap::new());
        for step in moves {
            let id = |place: usize| ids.get(place).copied().unwrap_or(0);
            match step {
                Move::Buy { line, is_dear } => {
                    if let Ok(sale) = books.buy(&Purchase { is_dear, ..lines[line] }, now) {
                        prop_assert!(ids.last().is_none_or(|last| *last < sale.id));
                        ids.push(sale.id);
                    }
                }
                Move::Check(place) => drop(books.check(id(place), now).is_ok()),
                Move::Finish(place) => drop(books.finish(id(place), now).is_ok()),
                Move::Cancel(place) => drop(books.give_back(id(place), Status::Canceled, now).is_ok()),
                Move::Ban(place) => drop(books.give_back(id(place), Status::Banned, now).is_ok()),
                Move::Deliver(place) => books.deliver(id(place), now),
                Move::Wait(seconds) => now += TimeDelta::seconds(seconds),
            }
            let book = books.snapshot(BTreeMap::new(), now);
            let mut balance = opening.micros();
            for sale in &book.orders {
                balance += sale.refunded.micros() - sale.charged.micros();
                let gives_back = matches!(sale.status, Status::Canceled | Status::Timeout | Status::Banned);
                prop_assert_eq!(sale.refunded, if gives_back { sale.charged } else { Amount::ZERO });
                prop_assert!(!gives_back || sale.sms.is_empty());
                prop_assert!(sale.status != Status::Finished || !sale.sms.is_empty());
                prop_assert_eq!(sale.closed_at.is_some(), !sale.status.is_open());
                if !sale.status.is_open() {
                    prop_assert_eq!(closed.entry(sale.id).or_insert_with(|| sale.clone()), sale);
                }
            }
            prop_assert_eq!(book.balance.micros(), balance);
            prop_assert!(balance >= 0);
            prop_assert_eq!(books.payments(now).last().unwrap().balance, book.balance);
            let Counts { sold, charged, refunded, open } = book.counts;
            prop_assert_eq!((sold, sold), (ids.len() as u64, charged + refunded + open));
            prop_assert_eq!(books.account(now).2 as u64, open);
        }
    }
}
