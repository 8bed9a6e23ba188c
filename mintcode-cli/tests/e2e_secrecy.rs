//! Whoever has the database's files and the most talkative log has no code, number, message or secret.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
#[path = "support/shop.rs"]
mod shop;

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use command::{SECRET, mintcode, run, run_with};
use server::{Server, books_when, http};
use shop::{ADMIN, Shop};

const SKUS: &str = r#"
[[sku]]
id = "good"
name = { en = "Good", zh = "Good" }
label = "GOOD"
product = "telegram"
price = "0.80"
[sku.policy]
further_sms = "0s"
[[sku.plan]]
id = "A"
country = "canada"
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"

[[sku]]
id = "silent"
name = { en = "Silent", zh = "Silent" }
label = "SILENT"
product = "telegram"
price = "0.80"
[sku.policy]
max_duration = "3s"
[[sku.plan]]
id = "A"
country = "georgia"
operator = "virtual51"
expected_cost = "0.12"
max_cost = "0.30"
"#;

/// Every message has a word that nothing else has.
const SCENARIO: &str = r#"
sms_after = "1s"
[[line]]
country = "canada"
operator = "virtual4"
product = "telegram"
price = "0.12"
texts = ["Mintleaf says {code}"]
"#;

/// Where the server logs to.
const LOG: &str = "serve.log";

/// Everything that only its holder may know: what the supplier's books say of numbers and messages, and `codes`.
fn private(books: &Value, codes: &[String]) -> Vec<String> {
    let mut private = codes.to_vec();
    private.extend([SECRET, ADMIN, "Bearer the key", "Mintleaf"].map(str::to_owned));
    for order in books["orders"].as_array().unwrap() {
        private.push(order["phone"].as_str().unwrap().trim_start_matches('+').to_owned());
        for sms in order["sms"].as_array().unwrap() {
            // In quotes: five digits alone are part of many a number.
            private.extend(sms["code"].as_str().map(|code| format!("\"{code}\"")));
        }
    }
    private
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// Asserts that neither the database's files nor the log hold any of `private`, and that there is something in them.
fn assert_clean(shop: &Shop, private: &[String]) {
    let mut looked_at = Vec::new();
    for entry in fs::read_dir(shop.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("mintcode.db") || name == LOG {
            let bytes = fs::read(&path).unwrap();
            for word in private {
                assert!(!holds(&bytes, word), "{word} in {name}");
            }
            looked_at.push((name, bytes.len()));
        }
    }
    for wanted in ["mintcode.db", LOG] {
        assert!(looked_at.iter().any(|(name, size)| name == wanted && *size > 10_000), "{looked_at:?}");
    }
}

fn serve(shop: &Shop, log: &Path) -> Server {
    let mut command = shop.command(&["serve", "--json", "--listen", &shop.address]);
    command.env("MINTCODE_LOG", "trace").env("MINTCODE_ENGINE_SWEEP_INTERVAL", "500ms");
    Server::start(command.stderr(File::create(log).unwrap()))
}

#[tokio::test]
async fn files_and_logs_hold_no_code_number_message_or_secret() {
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let supplier = shop.simulator.url().to_owned();
    let server = serve(&shop, &shop.path().join(LOG));
    let mut codes = shop.mint("good", 3);
    codes.extend(shop.mint("silent", 1));

    // One answer comes after the engine stopped waiting for it; one order is nobody's.
    let late = json!({ "name": "slow_answer", "route": "buy", "delay": "1500ms", "nth": 2 });
    http.post(supplier.replace("/v1", "/sim/faults")).json(&late).send().await.unwrap();
    let redeem = ["redeem", "-", "--json", "--server", &format!("http://{}", shop.address)];
    let ran = run_with(&mut mintcode(shop.path(), redeem), &codes.join("\n"));
    let outcomes: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended: Vec<_> = outcomes.iter().map(|outcome| outcome["status"].as_str().unwrap()).collect();
    assert_eq!(ended, ["delivered", "delivered", "delivered", "failed"], "{outcomes:?}");
    let orphan = format!("{supplier}/user/buy/activation/canada/virtual4/telegram");
    let orphan = http.get(orphan).bearer_auth("the key").send().await.unwrap();
    let orphan: Value = orphan.json().await.unwrap();
    let is_returned = |books: &Value| {
        let orders = books["orders"].as_array().unwrap();
        orders.iter().all(|order| order["status"] != "PENDING" && order["status"] != "RECEIVED")
    };
    let books_now = books_when(&http, &supplier, is_returned).await;
    let sold = books_now["orders"].as_array().unwrap();
    assert!(
        sold.iter().any(|order| order["id"] == orphan["id"] && !order["closed_at"].is_null()),
        "{books_now}"
    );

    let private = private(&books_now, &codes);
    let told = format!("{books_now}{}{SECRET}{ADMIN}Bearer the key", codes.join(" "));
    assert!(
        private.iter().all(|word| holds(told.as_bytes(), word)),
        "it is looked for what there is: {private:?}"
    );
    assert!(holds(told.as_bytes(), outcomes[0]["phone"].as_str().unwrap()));
    assert_clean(&shop, &private);
    let lookup = run_with(&mut shop.command(&["voucher", "lookup", "-"]), &codes[0]);
    assert_eq!(lookup.code, Some(0), "{lookup:?}");
    server.signal("INT");
    assert!(server.end().success());
    assert_clean(&shop, &private);
}

/// Another secret opens nothing and says which one it is that does; a previous one is enough to go on.
#[tokio::test]
async fn a_server_goes_on_with_another_secret_only_beside_the_previous_one() {
    const OTHER: &str = "another secret of more than 32 bytes, really";
    let (shop, http) = (Shop::open(SKUS, SCENARIO), http());
    let server = shop.serve();
    let codes = shop.mint("good", 2);
    let redeem = |code: &str| {
        let arguments = ["redeem", code, "--json", "--server", &format!("http://{}", shop.address)];
        let ran = run(&mut mintcode(shop.path(), arguments));
        serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
    };
    let first = redeem(&codes[0]);
    assert_eq!(first["status"], "delivered", "{first}");
    server.signal("INT");
    assert!(server.end().success());

    let with = |current: &str, previous: &str| {
        let mut command = shop.command(&["serve", "--json", "--listen", &shop.address]);
        command.env("MINTCODE_VOUCHER_SECRET", current).env("MINTCODE_VOUCHER_SECRET_PREVIOUS", previous);
        command
    };
    let refused = run(&mut with(OTHER, ""));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("MINTCODE_VOUCHER_SECRET_PREVIOUS"), "{refused:?}");
    assert!(!refused.stderr.contains(OTHER), "{refused:?}");

    let server = Server::start(&mut with(OTHER, SECRET));
    let path = format!("http://{}/redeem/{}", shop.address, first["redemption"].as_str().unwrap());
    let again: Value = http.get(path).send().await.unwrap().json().await.unwrap();
    assert_eq!(again["code"], first["code"], "what was delivered is still read: {again}");
    server.signal("INT");
    assert!(server.end().success());
    // The data key is wrapped anew, and the unredeemed voucher still needs the previous secret.
    let refused = run(&mut with(OTHER, ""));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("1 vouchers"), "{refused:?}");
    let server = Server::start(&mut with(OTHER, SECRET));
    assert_eq!(redeem(&codes[1])["status"], "delivered");
    server.signal("INT");
    assert!(server.end().success());
}
