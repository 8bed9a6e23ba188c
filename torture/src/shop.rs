//! A shop to torture: a simulated supplier that misbehaves, SKUs, vouchers, and a server that is started again and again.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::process::Command;

use crate::books::Books;
use crate::cluster::Cluster;
use crate::process::Process;
use crate::proxy::{Proxy, Upstream};
use crate::tables::Tables;
use crate::{Error, Plan};

pub(crate) const SECRET: &str = "a voucher secret for the torture only";
pub(crate) const KEY: &str = "the supplier's key";

const CONFIG: &str = r#"
[supplier]
exclusive_account = true
requests_per_second = 200
[engine]
worker_ttl = "3s"
heartbeat = "500ms"
buy_timeout = "1s"
settle_time = "2s"
late_max = "500ms"
orphan_age = "6s"
sweep_interval = "1s"
backoff_min = "200ms"
backoff_max = "500ms"
poll_min = "100ms"
poll_max = "400ms"
breaker_min_tries = 1000000
[limits]
session_per_hour = 1000000
session_per_day = 1000000
address_per_hour = 1000000
address_per_day = 1000000
sku_per_hour = 1000000
sku_per_day = 1000000
give_backs = 1000000
rating_floor = "0"
"#;

/// The tries and purchases that a voucher has.
pub(crate) const TRIES: i64 = 3;
pub(crate) const BUYS: i64 = 18;

const SKUS: &str = r#"
[[sku]]
id = "well"
name = { en = "Well", zh = "好" }
label = "WELL"
product = "telegram"
price = "0.80"
[sku.policy]
max_duration = "25s"
cooldown = "500ms"
further_sms = "1s"
[[sku.plan]]
id = "A"
country = "canada"
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"
[[sku.plan]]
id = "B"
country = "canada"
operator = "virtual5"
expected_cost = "0.14"
max_cost = "0.20"

[[sku]]
id = "mute"
name = { en = "Mute", zh = "静" }
label = "MUTE"
product = "telegram"
price = "0.80"
[sku.policy]
max_duration = "6s"
cooldown = "500ms"
[[sku.plan]]
id = "A"
country = "canada"
operator = "virtual6"
expected_cost = "0.10"
max_cost = "0.20"
"#;

const SCENARIO: &str = r#"
catalogue = "empty"
balance = "1000000"
sms_after = "700ms"
[[line]]
country = "canada"
operator = "virtual4"
product = "telegram"
price = "0.12"
[[line]]
country = "canada"
operator = "virtual5"
product = "telegram"
price = "0.14"
sms_after = "1500ms"
[[line]]
country = "canada"
operator = "virtual6"
product = "telegram"
price = "0.10"
messages = 0
"#;

/// What the supplier gets wrong, and how often.
const FAULTS: [(&str, f64); 14] = [
    ("buy_answer_lost", 0.06),
    ("buy_refused_before", 0.03),
    ("no_free_phones", 0.08),
    ("price_higher_than_listed", 0.02),
    ("check_answer_lost", 0.03),
    ("finish_answer_lost", 0.05),
    ("cancel_answer_lost", 0.05),
    ("cancel_too_early", 0.1),
    ("sms_between_check_and_cancel", 0.05),
    ("stale_order_list", 0.05),
    ("unknown_status", 0.01),
    ("truncated_body", 0.02),
    ("server_error_500", 0.02),
    ("sms_without_code", 0.02),
];

/// Processes that serve together on PostgreSQL: an API and three workers.
const PROCESSES: usize = 4;

/// How often a process is started that does not get through to its database or its supplier.
const STARTS: u32 = 20;

/// A shop, but for its servers.
pub(crate) struct Shop {
    directory: TempDir,
    binary: PathBuf,
    simulator: Process,
    /// The database, where it is not a file.
    pub(crate) cluster: Option<Cluster>,
    /// Between the servers and the supplier.
    pub(crate) to_supplier: Proxy,
    /// Between the servers and PostgreSQL.
    pub(crate) to_database: Option<Proxy>,
    /// Where the server of customers listens, whenever it does.
    pub(crate) address: String,
    pub(crate) http: reqwest::Client,
    /// The vouchers that are sold: code by code.
    pub(crate) codes: Vec<String>,
    faults: AtomicU64,
}

impl Shop {
    /// Opens it with as many vouchers as the plan can use up.
    pub(crate) async fn open(plan: &Plan) -> Result<Self, Error> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
        let directory = tempfile::tempdir()?;
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
        let faults =
            FAULTS.map(|(name, chance)| format!("[[fault]]\nname = \"{name}\"\nchance = {chance}\n"));
        write("scenario.toml", &format!("seed = {}\n{SCENARIO}{}", plan.seed, faults.concat()))?;
        write("mintcode.toml", CONFIG)?;
        write("skus.toml", SKUS)?;
        let binary = std::path::absolute(&plan.binary)?;
        let arguments = ["simulator", "--json", "--listen", "127.0.0.1:0", "--scenario", "scenario.toml"];
        let mut simulate = command(&binary, directory.path(), &arguments);
        simulate.env("MINTCODE_SUPPLIER_API_KEY", KEY).env("MINTCODE_LOG", "error");
        let simulator = Process::start(simulate).await?;
        let to_supplier = Proxy::open(Upstream::Tcp(host(&simulator.url)?.to_owned()), plan.seed).await?;
        let (mut cluster, mut to_database) = (None, None);
        if let Some(script) = &plan.cluster {
            let started = Cluster::start(&std::path::absolute(script)?).await?;
            // Another link, another seed.
            to_database = Some(Proxy::open(Upstream::Unix(started.socket()), plan.seed + 1).await?);
            cluster = Some(started);
        }
        let mut shop = Self {
            directory,
            binary,
            simulator,
            cluster,
            to_supplier,
            to_database,
            address: free_address(plan.seed)?,
            http,
            codes: Vec::new(),
            faults: AtomicU64::new(0),
        };
        shop.run(&["sku", "apply", "skus.toml"]).await?;
        let vouchers = plan.redemptions + 40 * usize::try_from(plan.kills)?;
        let well = shop.run(&["mint", "--sku", "well", "--count", &(vouchers * 4 / 5).to_string()]).await?;
        let mute = shop.run(&["mint", "--sku", "mute", "--count", &(vouchers / 5).to_string()]).await?;
        let (mut well, mut mute) = (well.lines(), mute.lines());
        while let Some(code) = well.next() {
            shop.codes.push(code.to_owned());
            let others = well.by_ref().take(3).chain(mute.by_ref().take(1));
            shop.codes.extend(others.map(str::to_owned));
        }
        Ok(shop)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.binary, self.directory.path(), arguments);
        command
            .env("MINTCODE_VOUCHER_SECRET", SECRET)
            .env("MINTCODE_ADMIN_API_KEY", "an admin key")
            .env("MINTCODE_SUPPLIER_URL", &self.simulator.url)
            .env("MINTCODE_SUPPLIER_API_KEY", KEY);
        if let Some(cluster) = &self.cluster {
            command.env("MINTCODE_DATABASE_URL", &cluster.url);
        }
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = self.command(arguments).output().await?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Processes that serve together.
    pub(crate) fn places(&self) -> usize {
        if self.cluster.is_some() { PROCESSES } else { 1 }
    }

    /// Starts the process of that place, again and again where it does not get through. Customers come to the first one.
    pub(crate) async fn serve(&self, place: usize) -> Result<Process, Error> {
        let mut tries = 1;
        loop {
            match Process::start(self.server(place)?).await {
                Err(_) if tries < STARTS => tries += 1,
                started => return started,
            }
        }
    }

    fn server(&self, place: usize) -> Result<Command, Error> {
        let (role, address) = match (&self.cluster, place) {
            (None, _) => ("all", &*self.address),
            (Some(_), 0) => ("api", &*self.address),
            (Some(_), _) => ("worker", "127.0.0.1:0"),
        };
        let mut command = self.command(&["serve", "--json", "--role", role, "--listen", address]);
        let simulator = &self.simulator.url;
        let supplier = simulator.replace(host(simulator)?, &self.to_supplier.address.to_string());
        command.env("MINTCODE_SUPPLIER_URL", supplier);
        if let Some(link) = &self.to_database {
            let url = format!("postgres://mintcode@{}/postgres", link.address);
            command.env("MINTCODE_DATABASE_URL", url);
        }
        let log = self.directory.path().join(format!("server-{place}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        command.env("MINTCODE_LOG", "warn").stderr(log);
        Ok(command)
    }

    /// Lets the supplier and the links behave from now on.
    pub(crate) async fn calm_down(&self) -> Result<(), Error> {
        self.to_supplier.calm_down();
        self.to_database.iter().for_each(Proxy::calm_down);
        let faults = self.simulator.url.replace("/v1", "/sim/faults");
        let armed: Vec<Armed> = serde_json::from_str(&self.http.get(&faults).send().await?.text().await?)?;
        self.faults.store(armed.iter().map(|fault| fault.struck).sum(), Ordering::Relaxed);
        self.http.delete(&faults).send().await?.error_for_status()?;
        Ok(())
    }

    pub(crate) async fn books(&self) -> Result<Books, Error> {
        let url = self.simulator.url.replace("/v1", "/sim/books");
        let books = Books::read(&self.http.get(url).send().await?.text().await?)?;
        Ok(Books { faults: self.faults.load(Ordering::Relaxed), ..books })
    }

    pub(crate) async fn tables(&self) -> Result<Tables, Error> {
        match &self.cluster {
            Some(cluster) => Tables::of_postgres(&cluster.url).await,
            None => Tables::of_sqlite(&self.directory.path().join("mintcode.db")),
        }
    }

    /// Lets what lost its owner too often be driven again, as an operator does once all is well. Tells how many there were.
    pub(crate) async fn resume(&self) -> Result<u64, Error> {
        let mut resumed = 0;
        for row in self.tables().await?.redemptions.iter().filter(|row| row.is_quarantined) {
            self.run(&["redemption", "resume", &row.id]).await?;
            resumed += 1;
        }
        Ok(resumed)
    }

    /// Leaves its files where they are, to be looked at, and tells where that is.
    pub(crate) fn keep(&mut self) -> Vec<PathBuf> {
        self.directory.disable_cleanup(true);
        let mut kept = vec![self.directory.path().to_owned()];
        kept.extend(self.cluster.as_mut().map(|cluster| cluster.keep().to_owned()));
        kept
    }
}

#[derive(serde::Deserialize)]
struct Armed {
    struck: u64,
}

/// Host and port of `url`.
fn host(url: &str) -> Result<&str, Error> {
    let rest = url.strip_prefix("http://").ok_or("a simulator without an address")?;
    Ok(rest.split('/').next().unwrap_or(rest))
}

/// An address that nobody listens on. Its port is none that the system gives to outgoing connections: a server that is
/// started again would now and then find it taken.
pub(crate) fn free_address(seed: u64) -> Result<String, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ u64::from(std::process::id()));
    let ports = std::iter::repeat_with(|| rng.random_range(10_000..30_000_u16)).take(100);
    let mut addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    let free = addresses.find(|address| TcpListener::bind(address).is_ok());
    Ok(free.ok_or("no port is free")?)
}

/// The binary in `directory`, with nothing of this shell's configuration.
pub(crate) fn command(binary: &Path, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MINTCODE_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(directory).env("XDG_STATE_HOME", directory.join("state"));
    command
}
