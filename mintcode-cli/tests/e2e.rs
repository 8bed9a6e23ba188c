//! The whole product over real HTTP: sandbox, a simulator of its own, and a server that is killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
mod server;
#[path = "support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;

use std::collections::BTreeSet;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use command::{Ran, mintcode, run, run_with};
use server::{Server, books, books_when, http};
use shop::{ADMIN, Shop};

const SKUS: &str = r#"
[[sku]]
id = "tg"
name = { en = "Telegram", zh = "Telegram" }
label = "TG"
product = "telegram"
price = "0.80"
[sku.policy]
further_sms = "0s"
[[sku.plan]]
id = "A"
country = "canada"
operator = "virtual8"
expected_cost = "0.10"
max_cost = "0.20"
[[sku.plan]]
id = "B"
country = "canada"
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"
"#;

const SCENARIO: &str = "sms_after = \"1s\"\n";

fn vouchers(server: &Server) -> Vec<&str> {
    server.announced["vouchers"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect()
}

fn redeemed(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_voucher_of_the_sandbox_does_what_its_sku_promises() {
    let place = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--sandbox", "--json", "--listen", "127.0.0.1:0"];
    let server = Server::start(mintcode(place.path(), arguments).env("MINTCODE_SANDBOX_SMS_AFTER", "0s"));
    let codes = vouchers(&server);
    assert_eq!(codes.len(), 10);
    assert_eq!(server.announced["developer_key"], Value::Null);

    let redeem = ["redeem", "-", "--json", "--server", server.url()];
    let ran = run_with(&mut mintcode(place.path(), redeem), &codes.join("\n"));
    assert_eq!(ran.code, Some(1), "the vouchers of the silent SKU fail");
    let outcomes = redeemed(&ran);
    assert_eq!(outcomes.len(), 10);
    for (code, outcome) in codes.iter().zip(&outcomes) {
        let mask = format!("{}****{}", &code[..4], &code[28..]);
        assert_eq!(outcome["voucher"], mask, "in the order of the codes");
    }
    for outcome in &outcomes[..8] {
        assert_eq!(outcome["status"], "delivered", "{outcome}");
        assert!(outcome["code"].as_str().unwrap().len() >= 4, "{outcome}");
    }
    for outcome in &outcomes[8..] {
        assert_eq!(outcome["failure"]["type"], "no_sms", "{outcome}");
        assert_eq!(outcome["failure"]["retryable"], true, "{outcome}");
    }
    for code in &codes {
        assert!(!ran.stderr.contains(code), "a voucher code is repeated");
    }

    // The same holder is shown the same code again; somebody else learns nothing.
    let again = ["redeem", codes[0], "--server", server.url()];
    let shown = run(&mut mintcode(place.path(), again)).done();
    let first = &outcomes[0];
    assert_eq!(shown, format!("{} {}\n", first["phone"].as_str().unwrap(), first["code"].as_str().unwrap()));
    let stranger = run(mintcode(place.path(), again).env("XDG_STATE_HOME", place.path().join("stranger")));
    assert_eq!((stranger.code, stranger.stdout.as_str()), (Some(1), ""), "{stranger:?}");

    server.signal("INT");
    assert!(server.end().success());
    let left: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| name == "state" || name == "stranger"),
        "the sandbox keeps nothing: {left:?}"
    );
}

#[test]
fn a_kept_sandbox_comes_back_with_its_vouchers_and_refuses_a_real_database() {
    let place = tempfile::tempdir().unwrap();
    let arguments =
        ["serve", "--sandbox", "--json", "--listen", "127.0.0.1:0", "--database-url", "sqlite:kept.db"];
    let mut command = mintcode(place.path(), arguments);
    command.env("MINTCODE_SANDBOX_SMS_AFTER", "0s");
    let first = Server::start(&mut command);
    let code = vouchers(&first)[0].to_owned();
    let second = run(&mut command);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another server uses the database kept.db"), "{second:?}");
    first.signal("TERM");
    assert!(first.end().success());

    let again = Server::start(&mut command);
    let shown = run(&mut mintcode(place.path(), ["redeem", &code, "--server", again.url()])).done();
    assert!(shown.starts_with('+'), "{shown}");
    again.signal("INT");
    assert!(again.end().success());

    let shop = Shop::open(SKUS, SCENARIO);
    let arguments = ["serve", "--sandbox", "--listen", "127.0.0.1:0", "--database-url", "sqlite:mintcode.db"];
    let ran = run(&mut mintcode(shop.path(), arguments));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("not a sandbox's database"), "{ran:?}");
}

#[test]
fn an_address_in_use_is_told() {
    let place = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&mut mintcode(place.path(), ["serve", "--sandbox", "--listen", &address]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{address} is in use")), "{ran:?}");
}

impl Shop {
    /// `mintcode redeem` of `codes`, under way.
    fn redeeming(&self, codes: &[String]) -> Child {
        let server = format!("http://{}", self.address);
        let mut command = self.command(&["redeem", "--json", "--server", &server]);
        command.args(codes).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The attempts of all redemptions of a voucher.
    async fn attempts(&self, http: &reqwest::Client, code: &str) -> Vec<Value> {
        let request = http.post(format!("http://{}/admin/vouchers/lookup", self.address)).bearer_auth(ADMIN);
        let trail: Value = request.json(&json!({ "code": code })).send().await.unwrap().json().await.unwrap();
        let redemptions = trail["redemptions"].as_array().unwrap_or_else(|| panic!("{trail}")).clone();
        redemptions.iter().flat_map(|redemption| redemption["attempts"].as_array().unwrap().clone()).collect()
    }
}

/// What both sides say was sold: order and price.
type Sales = BTreeSet<(String, String)>;

fn sold_by_their_books(books: &Value) -> Sales {
    let orders = books["orders"].as_array().unwrap();
    orders
        .iter()
        .map(|order| (order["id"].to_string(), order["charged"].as_str().unwrap().to_owned()))
        .collect()
}

fn bought_by_our_books(attempts: &[Value]) -> Sales {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bought = attempts.iter().filter(|attempt| !attempt["supplier_order"].is_null());
    bought.map(|attempt| (text(&attempt["supplier_order"]), text(&attempt["price"]))).collect()
}

#[tokio::test]
async fn a_plan_out_of_stock_falls_through_and_the_books_of_both_sides_agree() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let server = shop.serve();
    let codes = shop.mint("tg", 3);
    let ran = Ran::from(shop.redeeming(&codes).wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let books = books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 0).await;
    assert_eq!(books["counts"]["charged"], 3, "{books}");
    let mut attempts = Vec::new();
    for code in &codes {
        let of_voucher = shop.attempts(&http, code).await;
        let plans: Vec<_> =
            of_voucher.iter().map(|attempt| (&attempt["plan"], &attempt["outcome"])).collect();
        assert_eq!(plans, [(&json!("A"), &json!("out_of_stock")), (&json!("B"), &json!("delivered"))]);
        attempts.extend(of_voucher);
    }
    assert_eq!(bought_by_our_books(&attempts), sold_by_their_books(&books));
    server.signal("TERM");
    assert!(server.end().success());
}

#[tokio::test]
async fn a_server_killed_in_the_middle_delivers_every_code_and_buys_none_twice() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let server = shop.serve();
    let codes = shop.mint("tg", 10);
    let redeeming = shop.redeeming(&codes);

    books_when(&http, shop.simulator.url(), |books| books["counts"]["sold"].as_u64() >= Some(2)).await;
    server.kill();
    assert!(
        books(&http, shop.simulator.url()).await["counts"]["charged"].as_u64() < Some(10),
        "killed too late"
    );
    let server = shop.serve();
    books_when(&http, shop.simulator.url(), |books| books["counts"]["charged"].as_u64() >= Some(3)).await;
    server.kill();
    let server = shop.serve();

    let ran = Ran::from(redeeming.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let outcomes = redeemed(&ran);
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome["status"] == "delivered").count(),
        10,
        "{outcomes:?}"
    );

    let books = books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 0).await;
    assert_eq!((&books["counts"]["charged"], &books["counts"]["sold"]), (&json!(10), &json!(10)), "{books}");
    let mut attempts = Vec::new();
    for code in &codes {
        attempts.extend(shop.attempts(&http, code).await);
    }
    assert_eq!(bought_by_our_books(&attempts), sold_by_their_books(&books));
    server.signal("INT");
    assert!(server.end().success());
}
