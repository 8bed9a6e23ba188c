//! Whoever has the database's files and the most talkative log has no code, number, message or secret.

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

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio_postgres::Client;

use command::{SECRET, mintcode, run, run_with};
use postgres::{Cluster, connect};
use server::{Server, books_when, http};
use shop::{ADMIN, Shop, stopped};

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

/// What a SQLite server logs to.
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

/// Asserts that none of `files` holds any of `private`, and that there is something in each but a
/// database's log, which may be folded in.
fn assert_clean(files: &[PathBuf], private: &[String]) {
    for path in files {
        let bytes = fs::read(path).unwrap();
        let is_log = path.to_string_lossy().ends_with("-wal");
        assert!(is_log || bytes.len() > 10_000, "{} has {} bytes", path.display(), bytes.len());
        for word in private {
            assert!(!holds(&bytes, word), "{word} in {}", path.display());
        }
    }
}

/// Starts a server that logs all it can to the file `log` of the shop's.
fn serve(shop: &Shop, role: &str, listen: &str, log: &str) -> Server {
    let mut command = shop.command(&["serve", "--json", "--role", role, "--listen", listen]);
    command.env("MINTCODE_LOG", "trace").env("MINTCODE_ENGINE_SWEEP_INTERVAL", "500ms");
    Server::start(command.stderr(File::create(shop.path().join(log)).unwrap()))
}

/// Lets happen what can happen, and returns the codes, and what is private of it.
async fn all_sorts_of_redemptions(shop: &Shop) -> (Vec<String>, Vec<String>) {
    let (http, supplier) = (http(), shop.simulator.url());
    let mut codes = shop.mint("good", 3);
    codes.extend(shop.mint("silent", 1));

    // One answer comes after the engine stopped waiting for it; one order is nobody's.
    let late = json!({ "name": "slow_answer", "route": "buy", "delay": "1500ms", "nth": 2 });
    http.post(supplier.replace("/v1", "/sim/faults")).json(&late).send().await.unwrap();
    let outcomes = shop.redeemed(&codes);
    let ended: Vec<_> = outcomes.iter().map(|outcome| outcome["status"].as_str().unwrap()).collect();
    assert_eq!(ended, ["delivered", "delivered", "delivered", "failed"], "{outcomes:?}");
    let orphan = format!("{supplier}/user/buy/activation/canada/virtual4/telegram");
    let orphan = http.get(orphan).bearer_auth("the key").send().await.unwrap();
    let orphan: Value = orphan.json().await.unwrap();
    let is_returned = |books: &Value| {
        let orders = books["orders"].as_array().unwrap();
        orders.iter().all(|order| order["status"] != "PENDING" && order["status"] != "RECEIVED")
    };
    let books_now = books_when(&http, supplier, is_returned).await;
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
    let lookup = run_with(&mut shop.command(&["voucher", "lookup", "-"]), &codes[0]);
    assert_eq!(lookup.code, Some(0), "{lookup:?}");
    (codes, private)
}

#[tokio::test]
async fn files_and_logs_hold_no_code_number_message_or_secret() {
    let shop = Shop::open(SKUS, SCENARIO);
    let server = serve(&shop, "all", &shop.address, LOG);
    let (_, private) = all_sorts_of_redemptions(&shop).await;
    let files = || {
        let entries = fs::read_dir(shop.path()).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let is_of_interest = |name: String| name == LOG || name == "mintcode.db" || name == "mintcode.db-wal";
        entries.filter(|path| is_of_interest(name(path))).collect::<Vec<_>>()
    };
    assert_eq!(files().len(), 3);
    assert_clean(&files(), &private);
    stopped(server);
    assert_clean(&files(), &private);
}

/// The words as bytes are written in a dump or a log.
fn hex(word: &str) -> String {
    use std::fmt::Write;
    word.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// All rows of all tables as text, bytes in hexadecimal digits.
async fn dump(client: &Client) -> String {
    let sql = "SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'";
    let mut dump = String::new();
    for table in client.query(sql, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in client.query(&format!("SELECT stored::text FROM {table} AS stored"), &[]).await.unwrap() {
            dump.push_str(row.get(0));
            dump.push('\n');
        }
    }
    dump
}

/// Files below `directory` that hold any of `words`.
fn holding(directory: &Path, words: &[String]) -> String {
    let list = tempfile::NamedTempFile::new().unwrap();
    fs::write(list.path(), words.join("\n")).unwrap();
    let mut grep = std::process::Command::new("grep");
    grep.args(["--recursive", "--text", "--fixed-strings", "--files-with-matches", "--file"]);
    String::from_utf8(grep.arg(list.path()).arg(directory).output().unwrap().stdout).unwrap()
}

/// The server writes down every statement with its parameters, and so does every process.
#[tokio::test]
async fn a_postgres_server_and_its_log_hold_no_code_number_message_or_secret() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let raw = connect(&cluster.url).await;
    raw.batch_execute("ALTER SYSTEM SET log_statement = 'all'").await.unwrap();
    raw.batch_execute("ALTER SYSTEM SET log_parameter_max_length_on_error = -1").await.unwrap();
    raw.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while connect(&cluster.url).await.query_one("SHOW log_statement", &[]).await.unwrap().get::<_, &str>(0)
        != "all"
    {
        tokio::task::yield_now().await;
    }

    let shop = Shop::open_on(&cluster.url, SKUS, SCENARIO);
    let servers =
        [serve(&shop, "api", &shop.address, "api.log"), serve(&shop, "worker", "127.0.0.1:0", "worker.log")];
    let (codes, mut private) = all_sorts_of_redemptions(&shop).await;
    servers.into_iter().for_each(stopped);
    assert_clean(&["api.log", "worker.log"].map(|log| shop.path().join(log)), &private);

    // As the server's log writes texts.
    let quoted: Vec<_> =
        private.iter().filter(|word| word.starts_with('"')).map(|word| word.replace('"', "'")).collect();
    private.extend(quoted);
    private.extend(private.clone().iter().map(|word| hex(word)));
    let dump = dump(&raw).await;
    assert!(dump.contains(&codes[0][..4]), "masks are there");
    for word in &private {
        assert!(!dump.contains(word), "{word} in a table");
    }
    // On disk as it is in memory.
    raw.batch_execute("CHECKPOINT").await.unwrap();
    let log = fs::read_to_string(cluster.directory().join("log")).unwrap();
    assert!(
        log.contains("INSERT INTO event") && log.contains("parameters: $1 = "),
        "it writes down everything"
    );
    let marked = vec![codes[0][..4].to_owned()];
    assert!(
        holding(cluster.directory(), &marked).lines().count() >= 2,
        "a mask is in the files and in the log"
    );
    assert_eq!(holding(cluster.directory(), &private), "");
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
    stopped(server);

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
    stopped(server);
    // The data key is wrapped anew, and the unredeemed voucher still needs the previous secret.
    let refused = run(&mut with(OTHER, ""));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("1 vouchers"), "{refused:?}");
    let server = Server::start(&mut with(OTHER, SECRET));
    assert_eq!(redeem(&codes[1])["status"], "delivered");
    stopped(server);
}
