//! A shop of the real binary: a simulator, and a directory with configuration and SKUs to serve from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ran, SECRET, mintcode, run, run_with};
use crate::server::{Server, free_address, write};

/// The operator's key.
pub(crate) const ADMIN: &str = "an admin key";

/// A SKU that the simulator has in stock, whose orders are settled as soon as their code is there.
pub(crate) const SKU: &str = r#"
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

const CONFIG: &str = r#"
[supplier]
exclusive_account = true
requests_per_second = 40
[engine]
worker_ttl = "3s"
buy_timeout = "1s"
settle_time = "2s"
late_max = "500ms"
orphan_age = "6s"
backoff_min = "200ms"
backoff_max = "500ms"
poll_min = "100ms"
poll_max = "300ms"
"#;

/// A simulator, and a directory with configuration and SKUs to serve from.
pub(crate) struct Shop {
    directory: TempDir,
    pub(crate) simulator: Server,
    pub(crate) address: String,
}

impl Shop {
    /// Starts a simulator of `scenario` and stores `skus` in a file.
    pub(crate) fn open(skus: &str, scenario: &str) -> Self {
        Self::open_on("sqlite:mintcode.db", skus, scenario)
    }

    /// The same, with all commands and servers on the database `url`.
    pub(crate) fn open_on(url: &str, skus: &str, scenario: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scenario = write(directory.path(), "scenario.toml", scenario);
        write(directory.path(), "mintcode.toml", CONFIG);
        write(directory.path(), "skus.toml", skus);
        let arguments = ["simulator", "--json", "--listen", "127.0.0.1:0", "--scenario", scenario];
        let mut command = mintcode(directory.path(), arguments);
        let simulator = Server::start(command.env("MINTCODE_SUPPLIER_API_KEY", "the key"));
        let shop = Self { directory, simulator, address: free_address() };
        shop.configure(&format!("[database]\nurl = \"{url}\""));
        run(&mut mintcode(shop.path(), ["sku", "apply", "skus.toml"])).done();
        shop
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds to the configuration of all commands and servers that come.
    pub(crate) fn configure(&self, settings: &str) {
        let mut file = OpenOptions::new().append(true).open(self.path().join("mintcode.toml")).unwrap();
        writeln!(file, "{settings}").unwrap();
    }

    /// Where customers go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mintcode(self.path(), arguments);
        command.env("MINTCODE_VOUCHER_SECRET", SECRET).env("MINTCODE_ADMIN_API_KEY", ADMIN);
        command
            .env("MINTCODE_SUPPLIER_URL", self.simulator.url())
            .env("MINTCODE_SUPPLIER_API_KEY", "the key");
        command
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(&mut self.command(&["serve", "--json", "--listen", &self.address]))
    }

    pub(crate) fn mint(&self, sku: &str, count: usize) -> Vec<String> {
        let count = count.to_string();
        let codes = run(&mut self.command(&["mint", "--sku", sku, "--count", &count])).done();
        codes.lines().map(str::to_owned).collect()
    }
    /// Redeems `codes` and waits for their ends: one outcome for each, in their order.
    pub(crate) fn redeemed(&self, codes: &[String]) -> Vec<Value> {
        let redeem = ["redeem", "-", "--json", "--server", &self.url()];
        let ran = run_with(&mut mintcode(self.path(), redeem), &codes.join("\n"));
        let outcomes = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        let outcomes: Vec<Value> = outcomes.collect();
        assert_eq!(outcomes.len(), codes.len(), "{ran:?}");
        outcomes
    }

    /// What the doctor says with `changed` in its environment: whether all is well, and the checks.
    pub(crate) fn doctor(&self, changed: &[(&str, &str)]) -> (bool, Vec<Value>) {
        let ran: Ran = run(self.command(&["doctor", "--json"]).envs(changed.iter().copied()));
        let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        let is_well = told["ok"].as_bool().unwrap();
        assert_eq!(ran.code, Some(i32::from(!is_well)), "{ran:?}");
        let checks = told["checks"].as_array().unwrap().clone();
        for check in checks.iter().filter(|check| check["ok"] == false) {
            assert!(check["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{check}");
        }
        (is_well, checks)
    }
}

/// Ends a server as its operator does.
pub(crate) fn stopped(server: Server) {
    server.signal("INT");
    assert!(server.end().success());
}
