use super::*;

const HTML: &str = "<html><body>502 Bad Gateway</body></html>";
const MOVED: &str = "<a href=\"/404.html\">Found</a>.";

/// Status, body, and what it means on a purchase, on a look and on settling.
const ROWS: [(u16, &str, [Meaning; 3]); 47] = [
    (200, r#"{"id":1}"#, [Body, Body, Body]),
    (200, "null", [Body, Body, Body]),
    (200, "no free phones", [OutOfStock, Unclear, Unclear]),
    (200, " No Free Phones \n", [OutOfStock, Unclear, Unclear]),
    (400, "no free phones", [OutOfStock, Unclear, Unclear]),
    (400, "not enough product qty", [OutOfStock, Unclear, Unclear]),
    (200, "no free phones left today", [Body, Body, Body]),
    (400, "no free phones left today", [Unclear, Unclear, Unclear]),
    (400, "not enough user balance", [BALANCE, BALANCE, BALANCE]),
    (400, "not enough rating", [RATING, RATING, RATING]),
    (400, "select country", [PARAMETERS, PARAMETERS, PARAMETERS]),
    (400, "select operator", [PARAMETERS, PARAMETERS, PARAMETERS]),
    (400, "bad country", [PARAMETERS, PARAMETERS, PARAMETERS]),
    (400, "bad operator", [PARAMETERS, PARAMETERS, PARAMETERS]),
    (400, "no product", [PARAMETERS, PARAMETERS, PARAMETERS]),
    (400, "country is incorrect", [PARAMETERS, PARAMETERS, PARAMETERS]),
    (400, "server offline", [Throttled, Unclear, Unclear]),
    (500, "internal error", [Unclear, Unclear, Unclear]),
    (404, "order not found", [Unclear, NotFound, NotFound]),
    (400, "order not found", [Unclear, NotFound, NotFound]),
    (404, "record not found", [Unclear, NotFound, NotFound]),
    (400, "order expired", [Unclear, Conflict, Conflict]),
    (404, "order expired", [Unclear, Conflict, Conflict]),
    (400, "order has sms", [Unclear, Conflict, Conflict]),
    (400, "order no sms", [Unclear, Conflict, Conflict]),
    (400, "hosting order", [Unclear, Conflict, Conflict]),
    (400, "you need to wait time", [Unclear, TooEarly, TooEarly]),
    (429, "too many requests", [Throttled, Throttled, Throttled]),
    (429, "api limit is 100 requests per second", [Throttled, Throttled, Throttled]),
    (429, "no free phones", [Throttled, Throttled, Throttled]),
    (400, "too many requests", [Throttled, Throttled, Throttled]),
    (503, "ip address limit is 100 requests per second", [Unclear, Throttled, Throttled]),
    (503, "", [Unclear, Throttled, Throttled]),
    (401, "", [KEY, KEY, KEY]),
    (401, "unauthorized", [KEY, KEY, KEY]),
    (403, "error code: 1010", [KEY, KEY, KEY]),
    (400, "token expired", [KEY, KEY, KEY]),
    (302, MOVED, [PARAMETERS, PARAMETERS, PARAMETERS]),
    (404, "<html>order not found</html>", [Unclear, Unclear, NotFound]),
    (404, HTML, [Unclear, Unclear, Unclear]),
    (404, "", [Unclear, Unclear, Unclear]),
    (502, HTML, [Unclear, Unclear, Unclear]),
    (504, "", [Unclear, Unclear, Unclear]),
    (500, "", [Unclear, Unclear, Unclear]),
    (400, "any error", [Unclear, Unclear, Unclear]),
    (400, "", [Unclear, Unclear, Unclear]),
    (408, "", [Unclear, Unclear, Unclear]),
];

#[test]
fn every_answer_means_what_the_table_says() {
    for (status, body, meanings) in ROWS {
        for (call, meaning) in [Call::Buy, Call::Look, Call::Settle].into_iter().zip(meanings) {
            assert_eq!(classify(call, status, body), meaning, "{status} {body:?} on {call:?}");
        }
    }
}

#[test]
fn nothing_unknown_is_ever_out_of_stock_or_a_stop() {
    for status in 100..600 {
        for body in ["", "gibberish", "[]", HTML] {
            let meaning = classify(Call::Buy, status, body);
            assert_ne!(meaning, OutOfStock, "{status} {body:?}");
            if (400..600).contains(&status) && !matches!(status, 401 | 403 | 429) {
                assert_eq!(meaning, Unclear, "{status} {body:?}");
            }
        }
    }
}

#[test]
fn a_wait_is_read_as_seconds_or_as_a_date() {
    let now = DateTime::parse_from_rfc3339("2026-11-22T10:00:00Z").unwrap().to_utc();
    let seconds = |header| retry_after(header, now).map(|wait| wait.as_secs());
    assert_eq!(seconds("7"), Some(7));
    assert_eq!(seconds(" 7 "), Some(7));
    assert_eq!(seconds("Sun, 22 Nov 2026 10:01:30 GMT"), Some(90));
    assert_eq!(seconds("Sun, 22 Nov 2026 09:00:00 GMT"), Some(0));
    assert_eq!(seconds("18446744073709551615"), Some(86_400));
    for bad in ["", "soon", "-1", "1.5"] {
        assert_eq!(seconds(bad), None, "{bad:?}");
    }
}
