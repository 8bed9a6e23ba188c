//! A shop of the real binary: a simulator, and a directory with configuration and SKUs to serve from.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::command::{SECRET, mintcode, run};
use crate::server::{Server, free_address, write};

/// The operator's key.
pub(crate) const ADMIN: &str = "an admin key";

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
    /// Starts a simulator of `scenario` and stores `skus`.
    pub(crate) fn open(skus: &str, scenario: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scenario = write(directory.path(), "scenario.toml", scenario);
        write(directory.path(), "mintcode.toml", CONFIG);
        write(directory.path(), "skus.toml", skus);
        let arguments = ["simulator", "--json", "--listen", "127.0.0.1:0", "--scenario", scenario];
        let mut command = mintcode(directory.path(), arguments);
        let simulator = Server::start(command.env("MINTCODE_SUPPLIER_API_KEY", "the key"));
        let shop = Self { directory, simulator, address: free_address() };
        run(&mut mintcode(shop.path(), ["sku", "apply", "skus.toml"])).done();
        shop
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
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
}
