use super::*;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

const NOW: &str = "2026-09-11T12:13:40Z";

const BOUGHT: &str = r#"{"id":1089955264,"phone":"+556294263000","operator":"virtual61","product":"instagram",
 "price":0.1359,"status":"PENDING","expires":"2026-09-11T12:28:33.707189Z","sms":[],
 "created_at":"2026-09-11T12:13:33.707189Z","country":"brazil"}"#;

const CHECKED: &str = r#"{"id":11631253,"created_at":"2018-10-13T08:13:38.809469028Z","phone":"+79000381454",
 "product":"vkontakte","price":21,"status":"RECEIVED","expires":"2018-10-13T08:28:38.809469028Z",
 "sms":[{"created_at":"2018-10-13T08:21:00Z","date":"2018-10-13T08:20:00Z","sender":"VKcom","text":"Welcome","code":""},
 {"created_at":"2018-10-13T08:20:38.809469028Z","date":"2018-10-13T08:19:38Z","sender":"VKcom",
 "text":"VK: 09363 - use this code to reclaim your suspended profile.","code":"09363"}],
 "forwarding":false,"forwarding_number":null,"country":"russia","something_new":{"a":[1]}}"#;

#[test]
fn a_bought_order_is_read_exactly() {
    let order = order(BOUGHT).unwrap().bought(at(NOW)).unwrap();
    assert_eq!(
        order,
        Order {
            id: OrderId::new("1089955264"),
            phone: Phone::new("+556294263000"),
            price: Amount::from_micros(135_900),
            created_at: at("2026-09-11T12:13:33.707189Z"),
            expires_at: at("2026-09-11T12:28:33.707189Z"),
        }
    );
}

#[test]
fn messages_come_oldest_first_with_codes_as_text() {
    let sight = order(CHECKED).unwrap().sight();
    assert_eq!(sight.status, OrderStatus::Open, "RECEIVED is not a delivery");
    let codes: Vec<_> = sight.messages.iter().map(|message| message.code.as_deref()).collect();
    assert_eq!(codes, [Some("09363"), None]);
    assert_eq!(sight.messages[0].received_at, at("2018-10-13T08:19:38Z"));
    assert_eq!(sight.messages[0].sender, "VKcom");
}

#[test]
fn absent_null_and_empty_messages_are_no_messages() {
    for sms in ["", r#","sms":null"#, r#","sms":[]"#, r#","sms":[{"text":"","code":"","date":"x"}]"#] {
        let body = format!(r#"{{"id":1,"status":"RECEIVED"{sms}}}"#);
        assert_eq!(order(&body).unwrap().sight().messages, [], "{body}");
    }
}

#[test]
fn statuses_are_read_whatever_their_spelling_and_unknown_ones_stay_open() {
    let rows = [
        ("PENDING", OrderStatus::Open),
        ("RECEIVED", OrderStatus::Open),
        ("finished", OrderStatus::Finished),
        ("CANCELED", OrderStatus::Cancelled),
        ("CANCELLED", OrderStatus::Cancelled),
        ("BANNED", OrderStatus::Banned),
        ("TIMEOUT", OrderStatus::TimedOut),
        ("SLEEPING", OrderStatus::Open),
        ("", OrderStatus::Open),
    ];
    for (word, expected) in rows {
        assert_eq!(status(word), expected, "{word}");
    }
}

#[test]
fn loose_types_are_taken() {
    let body = r#"{"id":"1081142764","phone":16045550100,"price":"0.25","status":null,"operator":null}"#;
    let order = order(body).unwrap().bought(at(NOW)).unwrap();
    assert_eq!(order.id, OrderId::new("1081142764"));
    assert_eq!(order.phone.reveal(), "+16045550100");
    assert_eq!(order.price, Amount::from_micros(250_000));
    assert_eq!((order.created_at, order.expires_at), (at(NOW), at("2026-09-11T12:28:40Z")));
}

#[test]
fn an_order_that_lacks_its_identity_or_price_is_unreadable() {
    for (body, part) in [
        ("null", "order"),
        ("[]", "order id"),
        ("{}", "order id"),
        (r#"{"status":"no free phones"}"#, "order id"),
        (r#"{"id":-1,"phone":"+1","price":1}"#, "order id"),
        (r#"{"id":1,"phone":"","price":1}"#, "phone number"),
        (r#"{"id":1,"phone":"+1"}"#, "price"),
        (r#"{"id":1,"phone":"+1","price":"dear"}"#, "price"),
        (&BOUGHT[..BOUGHT.len() / 2], "order"),
    ] {
        let error = order(body).and_then(|order| order.bought(at(NOW))).unwrap_err();
        assert_eq!(error, Unreadable(part), "{body}");
    }
}

#[test]
fn a_list_is_a_list_and_a_row_has_all_that_tells_orders_apart() {
    let rows = orders(&format!(r#"{{"Data":[{BOUGHT}],"ProductNames":[],"Statuses":null,"Total":999999}}"#))
        .unwrap();
    let row = rows[0].listed().unwrap();
    assert_eq!((&*row.product, &*row.country, &*row.operator), ("instagram", "brazil", "virtual61"));
    assert!(orders(r#"{"Data":null}"#).unwrap().is_empty());
    for body in ["{}", "null", "no free phones", r#"{"Data":{}}"#] {
        assert!(orders(body).is_err(), "{body}");
    }
    let rows =
        orders(r#"{"Data":[{"id":1,"phone":"+1","price":1,"created_at":"2026-01-01T00:00:00Z"}]}"#).unwrap();
    assert_eq!(rows[0].listed().unwrap_err(), Unreadable("product"));
    // A row that nobody can store as it is takes no other row with it, and is nobody's plan.
    let strange = BOUGHT.replace("virtual61", r"virtual61\u0000");
    let rows = orders(&format!(r#"{{"Data":[{strange}]}}"#)).unwrap();
    assert_eq!(rows[0].listed().unwrap().operator, "virtual61\u{FFFD}");
}

#[test]
fn a_profile_is_read_without_a_float() {
    let body = r#"{"id":4216408,"email":"a@example.com","balance":21.6408,"rating":95.866,"frozen_balance":0,
        "default_country":{"name":"","iso":"","prefix":""},"last_top_orders":"[]"}"#;
    let profile = profile(body, Currency::USD).unwrap();
    assert_eq!(profile.id, "4216408");
    assert_eq!(profile.balance, Amount::from_micros(21_640_800));
    assert_eq!(profile.rating_milli, Some(95_866));
}

#[test]
fn amounts_are_read_from_their_text() {
    let rows = [
        ("21", Some(21_000_000)),
        ("0.1359", Some(135_900)),
        ("-0.2", Some(-200_000)),
        ("1e2", Some(100_000_000)),
        ("8.1E-3", Some(8_100)),
        ("1e-7", Some(0)),
        ("3.6108999999999996", Some(3_610_900)),
        ("0.0000005", Some(1)),
        ("1e300", None),
        ("99999999999999999999", None),
        ("", None),
        ("-", None),
        (".", None),
        ("1.2.3", None),
        ("0x10", None),
        ("NaN", None),
    ];
    for (text, micros) in rows {
        assert_eq!(amount(text).map(Amount::micros), micros, "{text:?}");
    }
}

#[test]
fn dates_have_any_number_of_fractional_digits() {
    for fraction in ["", ".1", ".307041", ".809469028"] {
        let date = Loose(Some(format!("2018-10-13T08:13:38{fraction}Z"))).date().unwrap();
        assert_eq!(date.timestamp(), 1_539_418_418, "{fraction}");
    }
}
