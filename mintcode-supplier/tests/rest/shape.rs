//! The simulator as a stranger with a browser sees it: shapes, content types, and the control surface.

use mintcode_core::ports::Supplier;
use mintcode_supplier::simulator::{Fault, Line, Scenario};
use serde_json::{Value, json};

use crate::support::{Desk, KEY, telegram};

struct Got {
    status: u16,
    kind: String,
    body: String,
    location: Option<String>,
}

impl Got {
    fn json(&self) -> Value {
        assert_eq!((self.status, &*self.kind), (200, "application/json"), "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn get(desk: &Desk, path: &str) -> Got {
    got(client().get(format!("{}{path}", desk.address)).bearer_auth(KEY)).await
}

async fn got(request: reqwest::RequestBuilder) -> Got {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (kind, location) = (header("content-type").unwrap_or_default(), header("location"));
    Got { status: response.status().as_u16(), kind, location, body: response.text().await.unwrap() }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

#[tokio::test]
async fn what_is_sold_is_listed_with_stock_and_price() {
    let desk = Desk::open(Scenario::default()).await;
    let countries = get(&desk, "/v1/guest/countries").await.json();
    assert_eq!(countries["canada"]["prefix"], json!({"+1": 1}));
    assert_eq!(countries["canada"]["virtual4"], json!({"activation": 1}));

    let prices = get(&desk, "/v1/guest/prices?country=canada&product=telegram").await.json();
    let operators = &prices["canada"]["telegram"];
    assert_eq!(operators["virtual8"]["count"], 0);
    assert!(operators["virtual4"]["count"].as_u64().unwrap() > 0);
    let swapped = get(&desk, "/v1/guest/prices?product=telegram").await.json();
    assert_eq!(swapped["telegram"]["england"]["virtual67"]["count"], 0);
    assert!(get(&desk, "/v1/guest/prices").await.json()["usa"]["google"]["virtual8"].is_object());
    assert_eq!(get(&desk, "/v1/guest/prices?country=canada&product=openai").await.body, "null");
    assert_eq!(get(&desk, "/v1/guest/prices?country=atlantis").await.body, "country is incorrect");

    let products = get(&desk, "/v1/guest/products/any/virtual66").await.body;
    assert!(products.contains(r#""whatsapp":{"Category":"activation","Qty":"#), "{products}");
    assert!(products.contains(r#","Price":0.84}"#), "{products}");
    assert_eq!(get(&desk, "/v1/guest/products/canada/tele2").await.body, "bad operator");
}

#[tokio::test]
async fn answers_have_the_forms_of_the_live_service() {
    let desk = Desk::open(Scenario::default()).await;
    let refused = get(&desk, "/v1/user/buy/activation/canada/virtual8/telegram").await;
    assert_eq!((refused.status, &*refused.body), (200, "no free phones"));
    assert!(refused.kind.starts_with("text/plain"));

    let stranger = got(client().get(format!("{}/v1/user/profile", desk.address))).await;
    assert_eq!((stranger.status, &*stranger.body), (401, ""));
    for path in ["/v1/user/buy/activation/canada/any/__probe__", "/v1/user/check/abc", "/v1/guest/flags/x"] {
        let moved = get(&desk, path).await;
        assert_eq!((moved.status, moved.location.as_deref()), (302, Some("/404.html")), "{path}");
        assert_eq!(moved.body, "<a href=\"/404.html\">Found</a>.");
    }
    assert_eq!(get(&desk, "/404.html").await.status, 404);
    let unknown = |verb| format!("/v1/user/{verb}/999999999");
    for (verb, status) in [("check", 404), ("finish", 400), ("cancel", 400), ("ban", 400)] {
        let answer = get(&desk, &unknown(verb)).await;
        assert_eq!((answer.status, &*answer.body), (status, "order not found"), "{verb}");
    }
}

#[tokio::test]
async fn orders_are_shown_with_their_irregularities() {
    let desk = Desk::open(Scenario::default()).await;
    let mut nulls = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let body = get(&desk, "/v1/user/buy/activation/canada/virtual4/telegram").await;
        let order = body.json();
        assert!(body.body.contains(r#""price":0.12,"#) && order["operator"] == "virtual4");
        assert!(order["expires"].as_str().unwrap().ends_with(":15:00.000000000Z"));
        nulls.insert(order["sms"].is_null());
        let checked = get(&desk, &format!("/v1/user/check/{}", order["id"])).await.json();
        assert!(checked.get("operator").is_none() && checked["country"] == "canada");
    }
    assert_eq!(nulls.len(), 2, "both forms of \"no messages\" are shown");

    let list =
        get(&desk, "/v1/user/orders?category=activation&limit=2&offset=1&order=id&reverse=true").await.json();
    assert_eq!((list["Data"].as_array().unwrap().len(), &list["Total"]), (2, &json!(999_999)));
    assert!(list["Data"][0]["id"].as_u64() > list["Data"][1]["id"].as_u64());
    assert!(list["Data"][0].get("forwarding").is_none());
    let hosting = get(&desk, "/v1/user/orders?category=hosting").await.json();
    assert_eq!(hosting["Data"], json!([]));

    let payments = get(&desk, "/v1/user/payments?limit=1&offset=0&order=id&reverse=true").await;
    assert_eq!(payments.json()["Total"], 9);
    assert!(payments.body.contains(r#""Amount":-0.12,"Balance":999.04,"#), "{}", payments.body);
}

#[tokio::test]
async fn a_cap_is_heeded_only_where_the_supplier_chooses() {
    let desk = Desk::open(Scenario::default()).await;
    let capped = async |operator: &str, cap: &str| {
        get(&desk, &format!("/v1/user/buy/activation/canada/{operator}/telegram?maxPrice={cap}")).await
    };
    assert_eq!(capped("any", "0.11").await.body, "no free phones");
    assert_eq!(capped("any", "0.12").await.json()["operator"], "virtual4");
    assert_eq!(capped("virtual12", "0.01").await.json()["operator"], "virtual12");
}

#[tokio::test]
async fn the_books_and_the_faults_are_within_reach_of_an_auditor() {
    let texts = vec!["{code} it is".to_owned()];
    let price = "0.5".parse().unwrap();
    let line = Line { texts, messages: 1, ..Line::new("canada", "virtual4", "telegram", price) };
    let desk = Desk::open(Scenario { line: vec![line], ..Scenario::default() }).await;
    let faults = format!("{}/sim/faults", desk.address);
    let arm = async |body: Value| {
        got(client().post(&faults).header("content-type", "application/json").body(body.to_string())).await
    };
    assert_eq!(arm(json!({"name": "buy_answer_lost", "nth": 2})).await.status, 204);
    assert_eq!(arm(json!({"name": "gremlins"})).await.status, 422);
    let bad = arm(json!({"name": "stale_order_list", "route": "buy"})).await;
    assert_eq!((bad.status, &*bad.body), (400, "stale_order_list makes no sense on that route"));

    let first = desk.buy(telegram()).await.unwrap();
    desk.buy(telegram()).await.unwrap_err();
    desk.clock.advance(4);
    desk.supplier.finish(&first.id).await.unwrap();

    let books = get(&desk, "/sim/books").await.json();
    assert_eq!(books["counts"], json!({"sold": 2, "charged": 1, "refunded": 0, "open": 1}));
    assert_eq!((&books["opening_balance"], &books["balance"]), (&json!("1000.00"), &json!("999.00")));
    assert_eq!(books["calls"], json!({"buy": 2, "finish": 1}));
    let order = &books["orders"][0];
    assert_eq!(order["id"].to_string(), first.id.as_str());
    assert_eq!(
        (&order["status"], &order["charged"], &order["refunded"]),
        (&json!("FINISHED"), &json!("0.50"), &json!("0.00"))
    );
    let code = order["sms"][0]["code"].as_str().unwrap();
    assert_eq!(order["sms"][0]["text"], format!("{code} it is"));

    let armed = get(&desk, "/sim/faults").await.json();
    assert_eq!(armed, json!([{"name": "buy_answer_lost", "seen": 2, "struck": 1}]));
    assert_eq!(got(client().delete(&faults)).await.status, 204);
    assert!(desk.simulator.armed().is_empty());
    assert_eq!(Fault::ALL.len(), 22);
}
