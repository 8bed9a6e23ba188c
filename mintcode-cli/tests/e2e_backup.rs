//! A backup of a running server's database is gone on with by another server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
#[path = "support/shop.rs"]
mod shop;

use std::fs;

use serde_json::{Value, json};

use command::{Ran, mintcode, run, run_with};
use server::Server;
use shop::Shop;

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
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"
"#;

const SCENARIO: &str = "sms_after = \"300ms\"\n";

fn redeemed(shop: &Shop, codes: &[String]) -> Vec<Value> {
    let redeem = ["redeem", "-", "--json", "--server", &format!("http://{}", shop.address)];
    let ran = run_with(&mut mintcode(shop.path(), redeem), &codes.join("\n"));
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stopped(server: Server) {
    server.signal("INT");
    assert!(server.end().success());
}

#[test]
fn a_backup_of_a_running_server_is_served_by_another_one() {
    let shop = Shop::open(SKUS, SCENARIO);
    let server = shop.serve();
    let codes = shop.mint("tg", 4);
    let before = redeemed(&shop, &codes[..2]);
    let taken = run(&mut shop.command(&["backup", "copy.db", "--json"])).done();
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!((&taken["file"], &taken["schema"]), (&json!("copy.db"), &json!(5)), "{taken}");
    assert_eq!(taken["bytes"].as_u64(), Some(fs::metadata(shop.path().join("copy.db")).unwrap().len()));
    let again = run(&mut shop.command(&["backup", "copy.db"]));
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("copy.db is there already"), "{again:?}");
    // What happens after it is not in it.
    redeemed(&shop, &codes[2..3]);
    let lookup = |code: &str| -> Ran { run_with(&mut shop.command(&["voucher", "lookup", "-"]), code) };
    assert_eq!(lookup(&codes[2]).code, Some(0));
    stopped(server);

    for ending in ["", "-wal", "-shm"] {
        let file = shop.path().join(format!("mintcode.db{ending}"));
        if file.exists() {
            fs::remove_file(file).unwrap();
        }
    }
    fs::rename(shop.path().join("copy.db"), shop.path().join("mintcode.db")).unwrap();
    let server = shop.serve();
    assert_eq!(redeemed(&shop, &codes[..2]), before, "the same holder is shown the same codes");
    for code in &codes[2..] {
        assert_eq!(redeemed(&shop, std::slice::from_ref(code))[0]["status"], "delivered");
    }
    // The books of what was restored go on as they were.
    let stats: Value = serde_json::from_str(&run(&mut shop.command(&["stats", "--json"])).done()).unwrap();
    assert!(stats.to_string().contains("3.20"), "four sales of 0.80: {stats}");
    let alerts = run(&mut shop.command(&["alerts", "list", "--json"])).done();
    assert!(!alerts.contains("books_off"), "{alerts}");
    let doctor: Value = serde_json::from_str(&run(&mut shop.command(&["doctor", "--json"])).done()).unwrap();
    assert_eq!(doctor["ok"], true, "{doctor}");
    let names = doctor["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap());
    let names = names.collect::<Vec<_>>();
    assert_eq!(names, ["configuration", "database", "secrets", "clock", "invariants", "supplier main"]);
    stopped(server);
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let shop = Shop::open(SKUS, SCENARIO);
    shop.mint("tg", 1);
    let failed = |name: &str, value: &str| {
        let ran = run(shop.command(&["doctor", "--json"]).env(name, value));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        let checks = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        let failed = checks.map(|check| {
            assert!(check["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{check}");
            check["name"].as_str().unwrap().to_owned()
        });
        failed.collect::<Vec<_>>()
    };
    assert_eq!(failed("MINTCODE_SUPPLIER_URL", "http://127.0.0.1:1/v1"), ["supplier main"]);
    assert_eq!(failed("MINTCODE_SUPPLIER_API_KEY", "another key"), ["supplier main"]);
    assert_eq!(failed("MINTCODE_VOUCHER_SECRET", "another secret of more than 32 bytes"), ["database"]);
    assert_eq!(failed("MINTCODE_DATABASE_URL", "sqlite:nowhere.db"), ["database"]);
    assert_eq!(failed("MINTCODE_ENGINE_POLL_MAX", "1ms"), ["configuration"]);
}

#[test]
fn migrating_says_what_it_did_and_leaves_a_running_server_alone() {
    let shop = Shop::open(SKUS, SCENARIO);
    let migrate = || run(&mut shop.command(&["migrate", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&migrate().done()).unwrap(), json!({ "from": 4, "to": 4 }));
    let made = run(&mut shop.command(&["migrate", "--database-url", "sqlite:new.db"])).done();
    assert_eq!(made, "new.db was made with schema 5\n");
    let server = shop.serve();
    let refused = migrate();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("stop it first"), "{refused:?}");
    stopped(server);
}
