//! Several processes of the real binary on one PostgreSQL database.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod postgres;
#[path = "support/server.rs"]
mod server;
#[path = "support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use command::{Ran, run};
use postgres::schema;
use server::{Server, books_when, http};
use shop::{ADMIN, SKU, Shop};

/// A shop whose commands and servers all use one database.
async fn shop_on_postgres(scenario: &str) -> Shop {
    Shop::open_on(&schema().await, SKU, scenario)
}

fn api(shop: &Shop) -> Server {
    Server::start(&mut shop.command(&["serve", "--json", "--role", "api", "--listen", &shop.address]))
}

fn worker(shop: &Shop) -> Server {
    Server::start(&mut shop.command(&["serve", "--json", "--role", "worker", "--listen", "127.0.0.1:0"]))
}

#[test]
fn a_file_is_served_whole() {
    let shop = Shop::open(SKU, "");
    for role in ["api", "worker"] {
        let ran = run(&mut shop.command(&["serve", "--role", role]));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("need PostgreSQL"), "{ran:?}");
    }
}

async fn redeem(shop: &Shop, http: &reqwest::Client, code: &str) -> Value {
    let request = http.post(format!("http://{}/redeem", shop.address)).json(&json!({ "code": code }));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn what_begins_at_an_api_is_driven_by_a_worker_and_followed_live() {
    let (shop, http) = (shop_on_postgres("sms_after = \"500ms\"\n").await, http());
    let (api, worker) = (api(&shop), worker(&shop));
    let ready = http.get(format!("{}/readyz", worker.url())).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let page = http.get(worker.url()).send().await.unwrap();
    assert_eq!(page.status(), 404, "a worker has no customers");
    let code = shop.mint("tg", 1).remove(0);
    let begun = redeem(&shop, &http, &code).await;
    assert_eq!(begun["status"], "queued", "{begun}");

    let id = begun["id"].as_str().unwrap();
    let url = format!("http://{}/redeem/{id}/events", shop.address);
    // Ends by itself once nothing more can follow.
    let events = http.get(url).send().await.unwrap().text().await.unwrap();
    let seen: Vec<Value> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let statuses: BTreeSet<_> = seen.iter().map(|event| event["status"].as_str().unwrap()).collect();
    assert!(statuses.is_superset(&BTreeSet::from(["ordering", "waiting_sms", "delivered"])), "{events}");
    assert!(!seen.last().unwrap()["code"].is_null(), "{events}");

    let books = books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 0).await;
    assert_eq!((&books["counts"]["sold"], &books["counts"]["charged"]), (&json!(1), &json!(1)), "{books}");
    for server in [api, worker] {
        server.signal("TERM");
        assert!(server.end().success());
    }
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_and_doubles_nothing() {
    let (shop, http) = (shop_on_postgres("sms_after = \"1s\"\n").await, http());
    let everything = shop.serve();
    let codes = shop.mint("tg", 6);
    let server = shop.url();
    let mut command = shop.command(&["redeem", "--json", "--server", &server]);
    let redeeming = command.args(&codes).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    books_when(&http, shop.simulator.url(), |books| books["counts"]["sold"].as_u64() >= Some(2)).await;
    let first = worker(&shop);
    everything.kill();
    let api = api(&shop);
    let second = worker(&shop);
    first.signal("TERM");
    assert!(first.end().success());

    let ran = Ran::from(redeeming.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout.matches("\"delivered\"").count(), 6, "{ran:?}");
    let books = books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 0).await;
    assert_eq!((&books["counts"]["sold"], &books["counts"]["charged"]), (&json!(6), &json!(6)), "{books}");
    for code in &codes {
        let request = http.post(format!("{server}/admin/vouchers/lookup")).bearer_auth(ADMIN);
        let trail: Value = request.json(&json!({ "code": code })).send().await.unwrap().json().await.unwrap();
        assert_eq!(trail["state"], "fulfilled", "{trail}");
    }
    drop((api, second));
}
