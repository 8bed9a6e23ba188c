//! The doctor finds what is wrong beside a running server, and says what to do about it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod postgres;
#[path = "support/server.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod server;
#[path = "support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;

use serde_json::Value;

use command::run;
use postgres::{Cluster, connect, schema};
use shop::{SKU, Shop};

const SCENARIO: &str = "sms_after = \"300ms\"\n";

/// The names of what failed with `changed` in the environment.
fn failed(shop: &Shop, changed: &[(&str, &str)]) -> Vec<String> {
    let (_, checks) = shop.doctor(changed);
    let failed = checks.iter().filter(|check| check["ok"] == false);
    failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let shop = Shop::open(SKU, SCENARIO);
    shop.mint("tg", 1);
    for (name, value, wrong) in [
        ("MINTCODE_SUPPLIER_URL", "http://127.0.0.1:1/v1", "supplier main"),
        ("MINTCODE_SUPPLIER_API_KEY", "another key", "supplier main"),
        ("MINTCODE_VOUCHER_SECRET", "another secret of more than 32 bytes", "database"),
        ("MINTCODE_DATABASE_URL", "sqlite:nowhere.db", "database"),
        ("MINTCODE_DATABASE_URL", "postgres://mint:hunter2@%2Fnowhere/mintcode", "database"),
        ("MINTCODE_ENGINE_POLL_MAX", "1ms", "configuration"),
    ] {
        assert_eq!(failed(&shop, &[(name, value)]), [wrong], "{name} {value}");
    }
}

#[tokio::test]
async fn all_is_well_beside_a_server_at_work_and_a_planted_violation_is_named() {
    let url = schema().await;
    let shop = Shop::open_on(&url, SKU, SCENARIO);
    let server = shop.serve();
    let codes = shop.mint("tg", 12);
    // Looks again and again while customers redeem, and no look finds anything.
    std::thread::scope(|scope| {
        let redeeming = scope.spawn(|| shop.redeemed(&codes));
        loop {
            let is_over = redeeming.is_finished();
            let (is_well, checks) = shop.doctor(&[]);
            assert!(is_well, "{checks:?}");
            if is_over {
                break;
            }
        }
        let outcomes = redeeming.join().unwrap();
        assert!(outcomes.iter().all(|outcome| outcome["status"] == "delivered"), "{outcomes:?}");
    });
    let (_, checks) = shop.doctor(&[]);
    let names = checks.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>();
    let wanted =
        ["configuration", "durability", "database", "secrets", "clock", "invariants", "supplier main"];
    assert_eq!(names, wanted);

    let raw = connect(&url).await;
    let sql = "UPDATE redemption SET version = version + 1 WHERE id = (SELECT min(id) FROM redemption) RETURNING id";
    let id: String = raw.query_one(sql, &[]).await.unwrap().get(0);
    let (_, checks) = shop.doctor(&[]);
    let found: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["invariant"], &found[0]["ids"]), (&"I8".into(), &vec![id].into()), "{found:?}");
    drop(server);
}

#[tokio::test]
async fn a_clock_that_is_apart_from_the_databases_is_found() {
    let url = schema().await;
    let shop = Shop::open_on(&url, SKU, SCENARIO);
    let sql = "CREATE OR REPLACE FUNCTION now_micros() RETURNS bigint LANGUAGE sql VOLATILE
                   AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 20000000 $$";
    connect(&url).await.batch_execute(sql).await.unwrap();
    assert_eq!(failed(&shop, &[]), ["clock"]);
}

#[tokio::test]
async fn a_server_that_loses_what_it_acknowledged_is_found() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let shop = Shop::open_on(&cluster.url, SKU, SCENARIO);
    assert_eq!(failed(&shop, &[]), [""; 0]);
    let raw = connect(&cluster.url).await;
    for setting in ["fsync", "full_page_writes"] {
        // The server reads its files again when it comes to it.
        let set = async |value: &str| {
            raw.batch_execute(&format!("ALTER SYSTEM SET {setting} = {value}")).await.unwrap();
            raw.batch_execute("SELECT pg_reload_conf()").await.unwrap();
            let shown = async || connect(&cluster.url).await.query_one(&format!("SHOW {setting}"), &[]).await;
            while shown().await.unwrap().get::<_, String>(0) != value {
                tokio::task::yield_now().await;
            }
        };
        set("off").await;
        let (_, checks) = shop.doctor(&[]);
        let found: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["name"], "durability", "{found:?}");
        assert!(found[0]["advice"].as_str().unwrap().contains(&format!("{setting} = on")), "{found:?}");
        let refused = run(&mut shop.command(&["sku", "list"]));
        assert!(refused.stderr.contains(&format!("{setting} = off")), "{refused:?}");
        set("on").await;
    }
    raw.batch_execute("ALTER DATABASE postgres SET default_transaction_read_only = on").await.unwrap();
    assert_eq!(failed(&shop, &[]), ["durability"]);
}

#[tokio::test]
async fn the_doctor_makes_and_upgrades_nothing() {
    let url = schema().await;
    let shop = Shop::open(SKU, SCENARIO);
    let elsewhere = [("MINTCODE_DATABASE_URL", url.as_str())];
    assert_eq!(failed(&shop, &elsewhere), ["database"]);
    let raw = connect(&url).await;
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
    assert_eq!(raw.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 0);
}
