//! The operator's work beside a running server: support on vouchers and redemptions, the books, alerts, the deny list.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
mod server;
#[path = "support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::ports::{Adopt, Storage, Workers};
use mintcode_core::testing::SeededEntropy;
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};
use mintcode_store::{Secrets, SqliteStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use command::{Ran, SECRET, run, run_with};
use server::{Server, books, books_when, http, write};
use shop::{ADMIN, Shop};

/// One SKU that falls through to its second plan, and one whose numbers get no SMS.
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
[[sku.plan]]
id = "C"
country = "georgia"
operator = "virtual51"
expected_cost = "0.15"
max_cost = "0.20"

[[sku]]
id = "silent"
name = { en = "Silent", zh = "Silent" }
label = "SIL"
product = "telegram"
price = "0.50"
[sku.policy]
max_redemptions = 1
max_duration = "60s"
cooldown = "100ms"
[[sku.plan]]
id = "S"
country = "georgia"
operator = "virtual51"
expected_cost = "0.08"
max_cost = "0.20"
"#;

const SCENARIO: &str = r#"
catalogue = "empty"
sms_after = "200ms"
[[line]]
country = "canada"
operator = "virtual8"
product = "telegram"
price = "0.10"
stock = 0
[[line]]
country = "canada"
operator = "virtual4"
product = "telegram"
price = "0.12"
[[line]]
country = "georgia"
operator = "virtual51"
product = "telegram"
price = "0.08"
messages = 0
"#;

fn open() -> (Shop, Server) {
    let shop = Shop::open(SKUS, SCENARIO);
    let server = shop.serve();
    (shop, server)
}

impl Shop {
    fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat()).done();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?} is not JSON"))
    }

    /// The voucher of `code` with its trail.
    #[track_caller]
    fn lookup(&self, code: &str) -> Value {
        self.json(&["voucher", "lookup", code])[0].clone()
    }

    fn redeem(&self, code: &str) -> Ran {
        let server = format!("http://{}", self.address);
        self.run(&["redeem", code, "--server", &server])
    }

    /// The redemption as soon as it is as `wanted`: whatever drives it is a process of its own.
    #[track_caller]
    fn redemption_when(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut looks = std::iter::repeat_with(|| self.json(&["redemption", "show", id])).take(500);
        looks.find(wanted).expect("the redemption comes to what is waited for")
    }

    /// Posts a code as a customer does; the status, and the redemption or problem.
    async fn post(&self, http: &reqwest::Client, code: &str) -> (u16, Value) {
        let url = format!("http://{}/redeem", self.address);
        let answer = http.post(url).json(&json!({ "code": code })).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

fn mask(code: &str) -> String {
    format!("{}****{}", &code[..4], &code[28..])
}

#[tokio::test]
async fn a_voucher_voided_in_mid_run_is_cancelled_when_its_number_is_given_back() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let _server = shop.serve();
    let code = shop.mint("silent", 1).remove(0);
    let server = format!("http://{}", shop.address);
    let mut redeeming = shop.command(&["redeem", &code, "--json", "--server", &server]);
    let redeeming = redeeming.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 1).await;

    let told = shop.run(&["voucher", "void", &code, "--reason", "refunded"]).done();
    assert!(told.starts_with(&format!("{} is being redeemed: that is asked to stop", mask(&code))), "{told}");
    let ran = Ran::from(redeeming.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");

    let books = books(&http, shop.simulator.url()).await;
    assert_eq!((&books["counts"]["open"], &books["counts"]["charged"]), (&json!(0), &json!(0)), "{books}");
    let voucher = shop.lookup(&code);
    assert_eq!(
        (&voucher["state"], &voucher["void_reason"]),
        (&json!("cancelled"), &json!("refunded")),
        "{voucher}"
    );
    assert_eq!(voucher["redemptions"][0]["money"]["cost"], "0.00", "{voucher}");
    let (status, problem) = shop.post(&http, &code).await;
    assert_eq!((status, &problem["type"]), (410, &json!("/problems/voucher-cancelled")), "{problem}");

    let id = voucher["id"].as_str().unwrap();
    let again = shop.json(&["voucher", "void", id, "--reason", "lost"]);
    assert_eq!(again[0]["void_reason"], "refunded", "what was given as the reason stays");
    let ran = shop.run(&["voucher", "reset", &mask(&code)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("is cancelled and cannot be reset"), "{ran:?}");
}

#[test]
fn an_expired_voucher_is_good_again_once_it_is_extended() {
    let (shop, _server) = open();
    let mint = ["mint", "--sku", "tg", "--count", "1", "--expires-in", "1ms"];
    let code = shop.run(&mint).done().trim().to_owned();
    let ran = shop.redeem(&code);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(shop.lookup(&code)["state"], "expired");

    let ran = shop.run(&["voucher", "extend", &code, "--expires-at", "2020-01-01T00:00:00Z"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("the new end has to lie ahead"), "{ran:?}");
    let mut extend = shop.command(&["voucher", "extend", "-", "--expires-in", "30d"]);
    let told = run_with(&mut extend, &format!("{code}\n\n")).done();
    assert!(told.starts_with(&format!("{} is issued and good until ", mask(&code))), "{told}");
    assert!(shop.redeem(&code).done().starts_with('+'));
}

#[tokio::test]
async fn a_voucher_whose_tries_are_used_up_is_good_again_once_it_is_reset() {
    let (shop, http) = (Shop::open(&SKUS.replace("\"60s\"", "\"1s\""), SCENARIO), http());
    let _server = shop.serve();
    let code = shop.mint("silent", 1).remove(0);
    let ran = shop.redeem(&code);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (status, problem) = shop.post(&http, &code).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/redemptions-exhausted")), "{problem}");
    let failed = shop.json(&["redemption", "list", "--status", "failed", "--sku", "silent"]);
    assert_eq!(
        (failed.as_array().unwrap().len(), &failed[0]["failure"]["type"]),
        (1, &json!("no_sms")),
        "{failed}"
    );

    let told = shop.run(&["voucher", "reset", &code]).done();
    assert_eq!(told, format!("{} is retryable_failed and has all its tries back\n", mask(&code)));
    let (status, redemption) = shop.post(&http, &code).await;
    assert_eq!(status, 202, "{redemption}");
}

#[tokio::test]
async fn a_redemption_is_stopped_and_its_voucher_stays_good() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let _server = shop.serve();
    let code = shop.mint("silent", 1).remove(0);
    let (_, redemption) = shop.post(&http, &code).await;
    let id = redemption["id"].as_str().unwrap();
    books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 1).await;
    assert!(shop.run(&["redemption", "cancel", id]).done().contains("is asked to stop"));
    books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 0).await;

    let shown = shop.redemption_when(id, |shown| shown["status"] == "cancelled");
    let entry =
        |entry: &Value| format!("{} {}", entry["book"].as_str().unwrap(), entry["kind"].as_str().unwrap());
    let entries: BTreeSet<_> = shown["ledger"].as_array().unwrap().iter().map(entry).collect();
    let expected = ["cost charge", "cost refund", "sale hold", "sale release"].map(str::to_owned);
    assert_eq!(entries, BTreeSet::from(expected), "{shown}");
    assert_eq!(shop.lookup(&code)["state"], "retryable_failed");
    let ran = shop.run(&["redemption", "release", id]);
    assert!(ran.stderr.contains("is cancelled and cannot be released"), "{ran:?}");
    let ran = shop.run(&["redemption", "show", "rdm_00000000000000000000000000"]);
    assert!(ran.stderr.contains("there is no redemption"), "{ran:?}");
}

#[test]
fn a_fulfilled_voucher_is_reissued_once_and_the_replacement_earns_nothing() {
    let (shop, _server) = open();
    let code = shop.mint("tg", 1).remove(0);
    let ran = shop.run(&["voucher", "reissue", &code]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("is issued; only a fulfilled voucher is reissued"), "{ran:?}");
    shop.redeem(&code).done();

    let ran = shop.run(&["voucher", "reissue", &code]);
    assert!(ran.stderr.contains(&format!("issued in place of {}", mask(&code))), "{ran:?}");
    assert!(!ran.stderr.contains(&code), "{ran:?}");
    let new = ran.done().trim().to_owned();
    assert_eq!((new.len(), new == code), (32, false));
    let again = shop.json(&["voucher", "reissue", &code]);
    assert_eq!((&again["code"], &again["replayed"]), (&json!(new), &json!(true)), "{again}");

    shop.redeem(&new).done();
    let (old, new) = (shop.lookup(&code), shop.lookup(&new));
    assert_eq!((&old["replaced_by"], &new["replaces"]), (&new["id"], &old["id"]), "{old} {new}");
    let money = |voucher: &Value| voucher["redemptions"][0]["money"].clone();
    assert_eq!(
        money(&old),
        json!({ "revenue": "0.80", "cost": "0.12", "loss": "0.00", "margin": "0.68", "currency": "USD" })
    );
    assert_eq!(
        money(&new),
        json!({ "revenue": "0.00", "cost": "0.12", "loss": "0.00", "margin": "-0.12", "currency": "USD" })
    );
}

#[test]
fn a_voided_batch_keeps_what_was_redeemed() {
    let (shop, _server) = open();
    let minted = shop.json(&["mint", "--sku", "tg", "--count", "3"]);
    let batch = minted["batch"].as_str().unwrap();
    shop.redeem(minted["codes"][0].as_str().unwrap()).done();
    let told = shop.run(&["batch", "void", batch, "--reason", "refunded"]).done();
    assert_eq!(told, format!("2 vouchers of {batch} are cancelled (refunded)\n"));
    let counts = &shop.json(&["batch", "show", batch])["counts"];
    assert_eq!((&counts["cancelled"], &counts["fulfilled"]), (&json!(2), &json!(1)), "{counts}");
    assert_eq!(shop.json(&["batch", "void", batch])["voided"], 0);
    let ran = shop.run(&["batch", "void", "bat_00000000000000000000000000"]);
    assert!(ran.stderr.contains("there is no batch"), "{ran:?}");
}

#[tokio::test]
async fn every_choice_of_a_plan_explains_itself_and_would_be_made_again() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let _server = shop.serve();
    let code = shop.mint("tg", 1).remove(0);
    shop.redeem(&code).done();
    let voucher = shop.lookup(&code);
    let id = voucher["redemptions"][0]["id"].as_str().unwrap();

    let text = shop.run(&["redemption", "explain", id]).done();
    for part in [
        "plan A, for at most 0.20",
        "plan B, for at most 0.20",
        "because: first by priority",
        "main/canada/virtual8: out of stock",
        "main/canada/virtual4: taken",
        "main/georgia/virtual51: not needed: its turn comes later",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("the same, byte for byte").count(), 2, "{text}");

    let stored = shop.run(&["redemption", "explain", id, "--json"]).done();
    let url = format!("http://{}/admin/redemptions/{id}/explain", shop.address);
    let answer: Value = http.get(url).bearer_auth(ADMIN).send().await.unwrap().json().await.unwrap();
    let records: Vec<_> =
        answer["data"].as_array().unwrap().iter().map(|choice| choice["stored"].as_str().unwrap()).collect();
    assert_eq!(stored, format!("[{}]\n", records.join(",")), "byte for byte");
    assert_eq!(records.len(), 2);
}

#[test]
fn stats_tell_what_was_earned_and_how_plans_did() {
    let (shop, server) = open();
    for code in shop.mint("tg", 2) {
        shop.redeem(&code).done();
    }
    let stats = shop.json(&["stats"]);
    let sums = json!({
        "delivered": 2, "revenue": "1.60", "cost": "0.24", "loss": "0.00", "orphan_loss": "0.00", "margin": "1.36",
    });
    assert_eq!((&stats["totals"], &stats["currency"]), (&sums, &json!("USD")), "{stats}");
    assert_eq!((stats["days"].as_array().unwrap().len(), &stats["skus"][0]["margin"]), (1, &json!("1.36")));
    let plans = stats["plans"].as_array().unwrap();
    assert_eq!(plans.len(), 2, "{stats}");
    let told = |plan: &Value| {
        [&plan["plan"], &plan["attempts"], &plan["numbers"], &plan["out_of_stock"]].map(Clone::clone)
    };
    assert_eq!(told(&plans[0]), [json!("A"), json!(2), json!(0), json!(2)]);
    assert_eq!(told(&plans[1]), [json!("B"), json!(2), json!(2), json!(0)]);
    assert_eq!((&plans[0]["success_rate"], &plans[1]["success_rate"]), (&Value::Null, &json!(1.0)));
    assert!(plans[1]["sms_after_seconds"].as_f64().unwrap() > 0.1, "{stats}");

    let text = shop.run(&["stats"]).done();
    assert!(text.contains("100 %") && text.contains("1.36"), "{text}");
    let before = shop.json(&["stats", "--from", "2020-01-01", "--to", "2020-01-31"]);
    assert_eq!((&before["to"], &before["totals"]["delivered"]), (&json!("2020-02-01T00:00:00Z"), &json!(0)));
    server.signal("INT");
    assert!(server.end().success());
    assert_eq!(shop.json(&["stats"])["totals"], sums, "the books need no server");
}

#[tokio::test]
async fn a_redemption_in_quarantine_goes_on_once_it_is_resumed() {
    let ((shop, server), http) = (open(), http());
    let code = shop.mint("silent", 1).remove(0);
    let (_, begun) = shop.post(&http, &code).await;
    let id = begun["id"].as_str().unwrap();
    shop.redemption_when(id, |shown| shown["status"] == "waiting_sms");
    server.kill();

    // Its worker died once too often.
    let secret = VoucherSecret::new(SECRET).unwrap();
    let secrets = Secrets::new(VoucherKeys::new(&secret, &[]), Arc::new(SeededEntropy::new(1)));
    let store = SqliteStore::open(shop.path().join("mintcode.db"), Some(&secrets)).unwrap();
    for dead in store.workers().await.unwrap() {
        assert!(store.strike_off(dead).await.unwrap());
    }
    let worker = "wrk_00000000000000000000000001".parse().unwrap();
    let adopt = Adopt { worker, limit: 10, most_takeovers: 0, now: "2026-11-22T10:00:00Z".parse().unwrap() };
    assert_eq!(store.adopt(adopt).await.unwrap(), []);
    store.close().await.unwrap();
    let alerts = shop.json(&["alerts", "list"]);
    assert_eq!((&alerts[0]["kind"], &alerts[0]["voucher"]), (&json!("quarantined"), &json!(mask(&code))));
    assert!(shop.run(&["alerts", "list"]).done().contains("`mintcode redemption resume`"));

    let resumed = shop.json(&["redemption", "resume", id]);
    assert_eq!(resumed, json!({ "id": id, "phase": "waiting", "wished": "resumed" }));
    assert_eq!(shop.json(&["alerts", "list"]), json!([]));
    let ran = shop.run(&["redemption", "resume", id]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("is in no quarantine"), "{ran:?}");
    let ran = shop.run(&["redemption", "resume", "rdm_00000000000000000000000000"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("there is no redemption"), "{ran:?}");

    let _server = shop.serve();
    shop.run(&["redemption", "cancel", id]).done();
    let shown = shop.redemption_when(id, |shown| shown["status"] == "cancelled");
    assert_eq!(shown["attempts"][0]["supplier_order_end"], "cancelled", "{shown}");
}

/// Takes alerts as a webhook, until one of `kind` is posted: that.
async fn posted(webhook: &TcpListener, kind: &str) -> Value {
    loop {
        let (mut stream, _) = webhook.accept().await.unwrap();
        let mut request = Vec::new();
        // The body is one line of JSON that ends with the object of the alert within the object of the post.
        while !request.ends_with(b"}}") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        let request = String::from_utf8(request).unwrap();
        assert!(request.contains("\r\nwebhook-signature: v1,"), "{request}");
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        if body["data"]["kind"] == kind {
            return body["data"].clone();
        }
    }
}

#[tokio::test]
async fn a_withheld_message_is_told_and_delivered_only_if_the_owner_releases_it() {
    let shop = Shop::open(SKUS, SCENARIO);
    let webhook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut serve = shop.command(&["serve", "--json", "--listen", &shop.address]);
    serve.env("MINTCODE_ALERTS_WEBHOOK", format!("http://{}/hook", webhook.local_addr().unwrap()));
    serve.env("MINTCODE_ALERTS_WEBHOOK_SECRET", "a secret of the operator's");
    let server = Server::start(serve.env("MINTCODE_SMS_PATTERNS", r"telegram code: \d{4,6}"));
    let code = shop.mint("tg", 1).remove(0);
    let ran = shop.redeem(&code);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let told = timeout(Duration::from_secs(10), posted(&webhook, "withheld")).await.unwrap();
    assert_eq!(told["voucher"], mask(&code), "{told}");
    let open = shop.json(&["alerts", "list"]);
    let withheld = open.as_array().unwrap().iter().find(|alert| alert["kind"] == "withheld");
    let withheld = withheld.unwrap_or_else(|| panic!("{open}"));
    assert_eq!((&withheld["pattern"], &withheld["voucher"]), (&json!("operator-1"), &json!(mask(&code))));
    let voucher = shop.lookup(&code);
    assert_eq!(voucher["redemptions"][0]["money"]["loss"], "0.12", "{voucher}");

    let id = voucher["redemptions"][0]["id"].as_str().unwrap();
    assert!(shop.run(&["redemption", "show", id]).done().contains("(withheld: operator-1)"));
    assert!(shop.run(&["redemption", "release", id]).done().contains("is to be delivered"));
    let shown = shop.redemption_when(id, |shown| shown["status"] == "delivered");
    assert_eq!(shown["money"]["loss"], "0.00", "{shown}");
    assert!(shop.redeem(&code).done().starts_with('+'), "its holder is shown the code now");

    let alert = withheld["id"].to_string();
    // Released is as good as acknowledged, so that one or the other clears it.
    shop.run(&["alerts", "ack", &alert]);
    let ran = shop.run(&["alerts", "ack", &alert]);
    assert!(ran.stderr.contains("there is no alert"), "{ran:?}");
    let all = shop.json(&["alerts", "list", "--all"]);
    let cleared = all.as_array().unwrap().iter().find(|row| row["id"] == withheld["id"]);
    assert!(!cleared.unwrap()["cleared_at"].is_null(), "{all}");
    server.kill();
}

#[tokio::test]
async fn the_limits_of_the_configuration_hold() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let mut serve = shop.command(&["serve", "--json", "--listen", &shop.address]);
    let _server = Server::start(serve.env("MINTCODE_LIMITS_ADDRESS_PER_HOUR", "2"));
    let codes = shop.mint("tg", 3);
    for code in &codes[..2] {
        assert_eq!(shop.post(&http, code).await.0, 202);
    }
    let (status, problem) = shop.post(&http, &codes[2]).await;
    assert_eq!((status, &problem["type"]), (429, &json!("/problems/too-many-requests")), "{problem}");
    assert!(problem["retry_after"].as_u64().unwrap() > 3_000, "{problem}");
    assert_eq!(shop.lookup(&codes[2])["state"], "issued");
}

#[test]
fn a_file_with_a_denied_service_is_refused_whole_and_names_its_line() {
    let shop = Shop::open(SKUS, SCENARIO);
    let before = shop.json(&["sku", "list"]);
    let bad = SKUS.replace("\"0.80\"", "\"0.85\"");
    let (first, second) = bad.split_at(bad.rfind("[[sku]]").unwrap());
    let denied = format!("{first}{}", second.replace("\"telegram\"", "\"paypal\""));
    write(shop.path(), "bad.toml", &denied);
    let ran = shop.run(&["sku", "apply", "bad.toml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "error: bad.toml:33: sku[1].product \"paypal\" is not served: it is on the built-in deny list (payments); \
         choose another product\n"
    );
    assert_eq!(shop.json(&["sku", "list"]), before, "nothing is half applied");

    write(shop.path(), "more.toml", &bad);
    let ran = run(shop.command(&["sku", "apply", "more.toml"]).env("MINTCODE_DENY_COUNTRIES", "Georgia"));
    assert!(ran.stderr.contains("more.toml:24: sku[0].plan[2].country \"georgia\""), "{ran:?}");
    assert!(ran.stderr.lines().count() <= 3, "{ran:?}");
    assert_eq!(shop.json(&["sku", "list"]), before);
    let ran = run(shop.command(&["sku", "apply", "bad.toml"]).env("MINTCODE_DENY_SHIPPED", "false"));
    assert_eq!(ran.done(), "tg is replaced\nsilent is replaced\n");

    assert!(shop.run(&["sku", "delete", "silent"]).done().starts_with("silent is archived"));
    assert_eq!(shop.json(&["sku", "show", "silent"])["archived"], true);
    let ran = shop.run(&["sku", "delete", "none"]);
    assert!(ran.stderr.contains("there is no SKU none"), "{ran:?}");
}
