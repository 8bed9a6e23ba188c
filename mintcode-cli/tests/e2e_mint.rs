//! Minting many vouchers with the real binary, and what is left of it when it is killed half-way.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "support/command.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod command;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use command::{SECRET, mintcode, run};

const SKUS: &str = r#"
[[sku]]
id = "tg"
name = { en = "Telegram", zh = "Telegram" }
label = "TG"
product = "telegram"
price = "0.80"
[[sku.plan]]
id = "B"
country = "canada"
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"
"#;

/// Enough that storing them takes long enough to be killed in the middle of it.
const MANY: &str = "200000";
/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(120);

/// A directory whose commands use the database at `url`.
struct Place {
    directory: tempfile::TempDir,
    url: String,
}

impl Place {
    fn new(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("skus.toml"), SKUS).unwrap();
        let place = Self { directory, url: url.to_owned() };
        run(&mut place.command(&["sku", "apply", "skus.toml"])).done();
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mintcode(self.path(), arguments);
        command.env("MINTCODE_VOUCHER_SECRET", SECRET).env("MINTCODE_DATABASE_URL", &self.url);
        command
    }

    fn begin_to_mint(&self) -> Child {
        let mut command = self.command(&["mint", "--sku", "tg", "--count", MANY, "--out", "many.txt"]);
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    /// Mints some more, and returns how many codes that gave.
    fn mint(&self, count: &str) -> usize {
        run(&mut self.command(&["mint", "--sku", "tg", "--count", count])).done().lines().count()
    }

    /// How many vouchers each batch has, newest first.
    fn batches(&self) -> Vec<u64> {
        let listed = run(&mut self.command(&["batch", "list", "--json"])).done();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed.as_array().unwrap().iter().map(|batch| batch["count"].as_u64().unwrap()).collect()
    }
}

/// Kills `mint` once `is_half_way` says so.
async fn kill_when(mut mint: Child, mut is_half_way: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_half_way().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, waiting).await.expect("something is stored");
    mint.kill().unwrap();
    assert!(!mint.wait().unwrap().success(), "it was killed before its end");
}

#[tokio::test]
async fn a_mint_into_a_file_that_is_killed_leaves_nothing_to_be_seen() {
    let place = Place::new("sqlite:mintcode.db");
    let raw = Connection::open(place.path().join("mintcode.db")).unwrap();
    let count = |table: &str| -> i64 {
        raw.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    kill_when(place.begin_to_mint(), async || count("voucher") > 0).await;
    let left = count("voucher");
    assert!((1..200_000).contains(&left), "{left}");
    assert_eq!(place.batches(), [0_u64; 0]);
    assert!(!place.path().join("many.txt").exists());

    assert_eq!(place.mint("5000"), 5000);
    assert_eq!(place.batches(), [5000]);
    assert_eq!((count("voucher"), count("every_batch")), (left + 5000, 2));
    // As if half a minute had passed since it was last heard of.
    raw.execute("UPDATE every_batch SET staged_until = 1 WHERE staged_until IS NOT NULL", []).unwrap();
    assert_eq!(place.mint("6000"), 6000);
    assert_eq!(place.batches(), [6000, 5000]);
    assert_eq!((count("voucher"), count("every_batch")), (11_000, 2));
}

#[tokio::test]
async fn a_mint_into_postgresql_that_is_killed_leaves_nothing() {
    let server = std::env::var("MINTCODE_TEST_POSTGRES_URL").expect(
        "MINTCODE_TEST_POSTGRES_URL names no server: run ./test, or start one with \
         mintcode-store/tests/postgres-cluster start /tmp/pg",
    );
    let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    let sql = "SELECT 'mint_' || replace(gen_random_uuid()::text, '-', '')";
    let schema: String = client.query_one(sql, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await.unwrap();
    let place = Place::new(&format!("{server}?options=-csearch_path%3D{schema}"));
    let copied = async || -> i64 {
        let sql = "SELECT coalesce(sum(tuples_processed), 0)::bigint FROM pg_stat_progress_copy
                   WHERE relid = 'voucher'::regclass";
        client.query_one(sql, &[]).await.unwrap().get(0)
    };
    kill_when(place.begin_to_mint(), async || copied().await > 0).await;
    assert_eq!(place.batches(), [0_u64; 0]);
    let sql = "SELECT count(*) FROM voucher";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(place.mint("5000"), 5000);
    assert_eq!(place.batches(), [5000]);
}
