//! A backup of a running server's database is gone on with by another server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/command.rs"]
mod command;
#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod postgres;
#[path = "support/server.rs"]
mod server;
#[path = "support/shop.rs"]
mod shop;

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use command::{Ran, run, run_with};
use postgres::{Cluster, connect, programs};
use server::{Server, books_when, http};
use shop::{SKU, Shop, stopped};

const SCENARIO: &str = "sms_after = \"300ms\"\n";

#[test]
fn a_backup_of_a_running_server_is_served_by_another_one() {
    let shop = Shop::open(SKU, SCENARIO);
    let server = shop.serve();
    let codes = shop.mint("tg", 4);
    let before = shop.redeemed(&codes[..2]);
    let taken = run(&mut shop.command(&["backup", "copy.db", "--json"])).done();
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!(taken["file"], "copy.db", "{taken}");
    let copied = run(&mut shop.command(&["migrate", "--json", "--database-url", "sqlite:copy.db"])).done();
    assert_eq!(serde_json::from_str::<Value>(&copied).unwrap()["from"], taken["schema"], "{taken}");
    assert_eq!(taken["bytes"].as_u64(), Some(fs::metadata(shop.path().join("copy.db")).unwrap().len()));
    let again = run(&mut shop.command(&["backup", "copy.db"]));
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("copy.db is there already"), "{again:?}");
    // What happens after it is not in it.
    shop.redeemed(&codes[2..3]);
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
    assert_eq!(shop.redeemed(&codes[..2]), before, "the same holder is shown the same codes");
    for code in &codes[2..] {
        assert_eq!(shop.redeemed(std::slice::from_ref(code))[0]["status"], "delivered");
    }
    // The books of what was restored go on as they were.
    let stats: Value = serde_json::from_str(&run(&mut shop.command(&["stats", "--json"])).done()).unwrap();
    assert!(stats.to_string().contains("3.20"), "four sales of 0.80: {stats}");
    let alerts = run(&mut shop.command(&["alerts", "list", "--json"])).done();
    assert!(!alerts.contains("books_off"), "{alerts}");
    let (is_well, checks) = shop.doctor(&[]);
    assert!(is_well, "{checks:?}");
    let names = checks.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["configuration", "database", "secrets", "clock", "invariants", "supplier main"]);
    stopped(server);
}

#[test]
fn migrating_says_what_it_did_and_leaves_a_running_server_alone() {
    let shop = Shop::open(SKU, SCENARIO);
    let migrate = || run(&mut shop.command(&["migrate", "--json"]));
    let done: Value = serde_json::from_str(&migrate().done()).unwrap();
    assert_eq!(done["from"], done["to"], "{done}");
    let made = run(&mut shop.command(&["migrate", "--database-url", "sqlite:new.db"])).done();
    assert_eq!(made, format!("new.db was made with schema {}\n", done["to"]));
    let server = shop.serve();
    let refused = migrate();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("stop it first"), "{refused:?}");
    stopped(server);
}

/// What the operator is told to do is what is done here. Afterwards an order is open that the restored database does not
/// know of.
#[tokio::test]
async fn a_dump_of_a_postgres_database_under_load_is_gone_on_with_in_another_one() {
    const SILENT: &str = r#"
[[sku]]
id = "silent"
name = { en = "Silent", zh = "Silent" }
label = "SILENT"
product = "telegram"
price = "0.50"
[[sku.plan]]
id = "S"
country = "georgia"
operator = "virtual51"
expected_cost = "0.08"
max_cost = "0.20"
"#;
    const SUPPLY: &str = r#"
sms_after = "300ms"
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
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let raw = connect(&cluster.url).await;
    let shop = Shop::open_on(&cluster.url, &[SKU, SILENT].concat(), SUPPLY);
    let server = shop.serve();
    let (codes, silent) = (shop.mint("tg", 9), shop.mint("silent", 1));
    let before = shop.redeemed(&codes[..2]);
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(shop.path()).env("PATH", programs());
        run(&mut shell)
    };
    let refused = run(&mut shop.command(&["backup", "copy.db"]));
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(2), 3), "{refused:?}");
    let pg_dump = refused.stderr.lines().nth(1).unwrap().trim().to_owned();
    assert!(pg_dump.starts_with("pg_dump "), "{refused:?}");

    let outcomes = thread::scope(|scope| {
        let redeeming = scope.spawn(|| shop.redeemed(&codes[2..8]));
        shell(&pg_dump).done();
        redeeming.join().unwrap()
    });
    assert!(outcomes.iter().all(|outcome| outcome["status"] == "delivered"), "{outcomes:?}");
    let http = http();
    let request = http.post(format!("{}/redeem", shop.url())).json(&json!({ "code": silent[0] }));
    assert_eq!(request.send().await.unwrap().status(), 202);
    books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 1).await;
    server.kill();

    raw.batch_execute("CREATE DATABASE restored").await.unwrap();
    let arguments =
        pg_dump.split_once(" --host=").unwrap().1.replace("--dbname=postgres", "--dbname=restored");
    shell(&format!("pg_restore --no-owner --exit-on-error --host={arguments} mintcode.dump")).done();
    let restored = cluster.database("restored");
    let on_restored = [("MINTCODE_DATABASE_URL", restored.as_str())];
    let (is_well, checks) = shop.doctor(&on_restored);
    assert!(is_well, "{checks:?}");
    let mut serve = shop.command(&["serve", "--json", "--listen", &shop.address]);
    let server = Server::start(serve.envs(on_restored));
    assert_eq!(shop.redeemed(&codes[..2]), before, "the same holder is shown the same codes");
    let again = shop.redeemed(&codes[2..]);
    assert!(again.iter().all(|outcome| outcome["status"] == "delivered"), "{again:?}");

    // The order that is known to nobody any more is found and given back, and its voucher is as good as it was.
    books_when(&http, shop.simulator.url(), |books| books["counts"]["open"] == 0).await;
    let alerts = run(shop.command(&["alerts", "list", "--json"]).envs(on_restored)).done();
    assert!(alerts.contains("orphan_found"), "{alerts}");
    let voucher =
        run_with(shop.command(&["voucher", "lookup", "-", "--json"]).envs(on_restored), &silent[0]).done();
    assert!(voucher.contains("\"issued\""), "{voucher}");
    let (is_well, checks) = shop.doctor(&on_restored);
    assert!(is_well, "{checks:?}");
    stopped(server);
}
