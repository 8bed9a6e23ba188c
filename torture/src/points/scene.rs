//! The scene: seven customers at once. One is served, one of them in two windows; one wants another number, one gives up at
//! first; one is served by the second plan since the first has no numbers, one since the first is too dear; one gets no SMS.
//! The server dies where it is to, and is started again, as often as there are deaths.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Plan;
use crate::Error;
use crate::audit;
use crate::books::Books;
use crate::cluster::{Cluster, connect};
use crate::customer::{Customer, Receipt};
use crate::process::Process;
use crate::shop::{KEY, SECRET, command, free_address};
use crate::tables::Tables;

/// How long a scene may take to come to rest.
const REST_WITHIN: Duration = Duration::from_secs(90);
/// How long a server may take to end when it is asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at whether all is at rest.
const LOOK: Duration = Duration::from_millis(400);

const CONFIG: &str = r#"
[supplier]
exclusive_account = true
requests_per_second = 100
[engine]
worker_ttl = "4800ms"
heartbeat = "800ms"
buy_timeout = "1500ms"
settle_time = "2s"
late_max = "300ms"
orphan_age = "8s"
sweep_interval = "700ms"
backoff_min = "200ms"
backoff_max = "400ms"
poll_min = "100ms"
poll_max = "300ms"
breaker_min_tries = 1000000
[limits]
give_backs = 1000000
rating_floor = "0"
"#;

/// Plans in the order they are tried.
const SKUS: [(&str, &str, &[&str]); 5] = [
    ("well", "max_duration = \"20s\"", &["virtual4"]),
    // Slow enough for customers to wish for something else.
    ("slow", "max_duration = \"20s\"", &["virtual8"]),
    ("fall", "max_duration = \"20s\"", &["virtual5", "virtual4"]),
    ("mute", "max_duration = \"3s\"\nmax_redemptions = 1", &["virtual6"]),
    // Slow enough for the money of the first plan to come back first.
    ("dear", "max_duration = \"20s\"", &["virtual7", "virtual8"]),
];

const SCENARIO: &str = r#"
catalogue = "empty"
sms_after = "600ms"
[[line]]
country = "canada"
operator = "virtual4"
product = "telegram"
price = "0.12"
[[line]]
country = "canada"
operator = "virtual5"
product = "telegram"
price = "0.12"
stock = 0
[[line]]
country = "canada"
operator = "virtual6"
product = "telegram"
price = "0.12"
messages = 0
[[line]]
country = "canada"
operator = "virtual7"
product = "telegram"
price = "0.12"
charged = "0.25"
messages = 0
[[line]]
country = "canada"
operator = "virtual8"
product = "telegram"
price = "0.12"
sms_after = "4s"
"#;

/// Who comes: the number decides what a customer wants (`customer.rs`), the SKU what becomes of it.
const CUSTOMERS: [(usize, &str); 7] =
    [(1, "well"), (4, "well"), (7, "slow"), (3, "slow"), (11, "fall"), (31, "dear"), (21, "mute")];

/// A database with vouchers, of which each scene gets a copy.
pub(super) struct Stage {
    directory: TempDir,
    binary: PathBuf,
    cluster: Option<Cluster>,
    http: reqwest::Client,
    /// Customers' numbers and codes.
    codes: Vec<(usize, String)>,
}

/// What became of one scene.
pub(super) struct Played {
    pub(super) passed: BTreeSet<String>,
    /// Whether the server died as often as it was to.
    pub(super) is_over: bool,
    pub(super) violations: Vec<String>,
}

impl Stage {
    pub(super) async fn open(plan: &Plan) -> Result<Self, Error> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
        let cluster = match &plan.cluster {
            Some(script) => Some(Cluster::start(&std::path::absolute(script)?).await?),
            None => None,
        };
        let binary = std::path::absolute(&plan.binary)?;
        let mut stage = Self { directory: tempfile::tempdir()?, binary, cluster, http, codes: Vec::new() };
        stage.create_database("stage", "template1").await?;
        let directory = stage.directory.path().to_owned();
        std::fs::write(directory.join("mintcode.toml"), CONFIG)?;
        std::fs::write(directory.join("skus.toml"), SKUS.map(sku).concat())?;
        stage.run(&["sku", "apply", "skus.toml"]).await?;
        for (number, sku) in CUSTOMERS {
            let minted = stage.run(&["mint", "--sku", sku, "--count", "1"]).await?;
            stage.codes.push((number, minted.trim().to_owned()));
        }
        Ok(stage)
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut command = command(&self.binary, self.directory.path(), arguments);
        command.env("MINTCODE_VOUCHER_SECRET", SECRET);
        if let Some(url) = self.url("stage") {
            command.env("MINTCODE_DATABASE_URL", url);
        }
        let output = command.output().await?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The address of the database of that name, where it is not a file.
    fn url(&self, name: &str) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        Some(format!("{}/{name}", cluster.url.strip_suffix("/postgres").unwrap_or(&cluster.url)))
    }

    async fn create_database(&self, name: &str, template: &str) -> Result<(), Error> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        Ok(connect(&cluster.url).await?.batch_execute(&sql).await?)
    }

    /// Plays the scene with a server that dies at each of the points `deaths` in turn, and is started again.
    pub(super) async fn play(&self, number: usize, deaths: &[String]) -> Result<Played, Error> {
        let directory = tempfile::tempdir()?;
        for name in ["mintcode.toml", "mintcode.db"] {
            let from = self.directory.path().join(name);
            if from.exists() {
                std::fs::copy(from, directory.path().join(name))?;
            }
        }
        let name = format!("scene_{number}");
        self.create_database(&name, "stage").await?;
        std::fs::write(directory.path().join("scenario.toml"), format!("seed = {number}\n{SCENARIO}"))?;
        let arguments = ["simulator", "--json", "--listen", "127.0.0.1:0", "--scenario", "scenario.toml"];
        let mut simulate = command(&self.binary, directory.path(), &arguments);
        simulate.env("MINTCODE_SUPPLIER_API_KEY", KEY).env("MINTCODE_LOG", "error");
        let scene = Scene {
            stage: self,
            simulator: Process::start(simulate).await?,
            address: free_address(u64::try_from(number)?)?,
            url: self.url(&name),
            directory,
            deaths,
        };
        let played = scene.play().await?;
        if let Some(cluster) = &self.cluster {
            drop(scene);
            let sql = format!("DROP DATABASE {name} WITH (FORCE)");
            connect(&cluster.url).await?.batch_execute(&sql).await?;
        }
        Ok(played)
    }
}

struct Scene<'a> {
    stage: &'a Stage,
    simulator: Process,
    address: String,
    /// The database, where it is not a file.
    url: Option<String>,
    directory: TempDir,
    deaths: &'a [String],
}

/// The server, and how often it died.
struct Server {
    child: Child,
    died: usize,
}

impl Scene<'_> {
    async fn play(&self) -> Result<Played, Error> {
        let mut server = Server { child: self.serve(0)?, died: 0 };
        let mut customers = JoinSet::new();
        for (number, code) in self.stage.codes.clone() {
            let (http, address, (_, left)) =
                (self.stage.http.clone(), self.address.clone(), watch::channel(true));
            let customer = Customer { http, address, number, left };
            customers.spawn(async move { customer.redeem(&code).await });
        }
        let mut receipts = Vec::new();
        while receipts.len() < self.stage.codes.len() {
            tokio::select! {
                receipt = customers.join_next() => receipts.extend(receipt.transpose()?),
                ended = server.child.wait() => self.after_death(&mut server, ended?)?,
            }
        }
        let mut violations = self.rest(&mut server).await?;
        // What is left of the points may be on the way to an orderly end.
        while self.deaths.is_empty() || server.died < self.deaths.len() {
            let pid = server.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            kill_process(pid.ok_or("a server that nobody has waited for has an id")?, Signal::TERM)?;
            let ended =
                timeout(ENDS_WITHIN, server.child.wait()).await.map_err(|_| "a server does not end")??;
            if ended.success() {
                break;
            }
            self.after_death(&mut server, ended)?;
            violations.extend(self.rest(&mut server).await?);
        }
        violations.extend(self.audit(&receipts).await?);
        let passed = std::fs::read_to_string(self.points())?;
        let passed = passed.lines().map(str::to_owned).collect();
        Ok(Played { passed, is_over: server.died == self.deaths.len(), violations })
    }

    fn points(&self) -> PathBuf {
        self.directory.path().join("points")
    }

    /// Starts a server that dies its next death.
    fn serve(&self, died: usize) -> Result<Child, Error> {
        let arguments = ["serve", "--json", "--listen", &self.address];
        let mut command = command(&self.stage.binary, self.directory.path(), &arguments);
        command
            .env("MINTCODE_VOUCHER_SECRET", SECRET)
            .env("MINTCODE_ADMIN_API_KEY", "an admin key")
            .env("MINTCODE_SUPPLIER_URL", &self.simulator.url)
            .env("MINTCODE_SUPPLIER_API_KEY", KEY)
            .env("MINTCODE_LOG", "warn")
            .env("CRASH_POINTS_PASSED", self.points());
        if let Some(url) = &self.url {
            command.env("MINTCODE_DATABASE_URL", url);
        }
        if let Some(point) = self.deaths.get(died) {
            command.env("CRASH_AT", point);
        }
        let log = self.directory.path().join("server.log");
        let log = File::options().create(true).append(true).open(log)?;
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn()?)
    }

    /// Starts the server again that died where it was to.
    fn after_death(&self, server: &mut Server, ended: ExitStatus) -> Result<(), Error> {
        if server.died == self.deaths.len() || ended.signal() != Some(9) {
            let log = std::fs::read_to_string(self.directory.path().join("server.log"))?;
            return Err(format!("a server ended by itself ({ended}): {log}").into());
        }
        server.died += 1;
        server.child = self.serve(server.died)?;
        Ok(())
    }

    /// Waits until all is at rest and the server ready for more; what is not in time is a violation.
    async fn rest(&self, server: &mut Server) -> Result<Vec<String>, Error> {
        let quiet_by = Instant::now() + REST_WITHIN;
        loop {
            if let Some(ended) = server.child.try_wait()? {
                self.after_death(server, ended)?;
            }
            let mut restless = audit::restless(&self.books().await?, &self.tables().await?);
            let ready = self.stage.http.get(format!("http://{}/readyz", self.address)).send().await;
            if !ready.is_ok_and(|answer| answer.status().is_success()) {
                restless.push("I11: the server is not ready".to_owned());
            }
            if restless.is_empty() || Instant::now() > quiet_by {
                return Ok(restless);
            }
            sleep(LOOK).await;
        }
    }

    async fn audit(&self, receipts: &[Receipt]) -> Result<Vec<String>, Error> {
        let (books, tables) = (self.books().await?, self.tables().await?);
        let mut found = audit::violations(&books, &tables, receipts);
        let served = receipts.iter().filter(|receipt| receipt.code.is_some()).count();
        if served + 1 != self.stage.codes.len() {
            found.push(format!("{served} customers were served, and all but one were to be"));
        }
        Ok(found)
    }

    async fn books(&self) -> Result<Books, Error> {
        let url = self.simulator.url.replace("/v1", "/sim/books");
        Books::read(&self.stage.http.get(url).send().await?.text().await?)
    }

    async fn tables(&self) -> Result<Tables, Error> {
        match &self.url {
            Some(url) => Tables::of_postgres(url).await,
            None => Tables::of_sqlite(&self.file()),
        }
    }

    fn file(&self) -> PathBuf {
        Path::join(self.directory.path(), "mintcode.db")
    }
}

fn sku((id, policy, operators): (&str, &str, &[&str])) -> String {
    let plans = operators.iter().zip(["A", "B"]).map(|(operator, plan)| {
        format!(
            "[[sku.plan]]\nid = \"{plan}\"\ncountry = \"canada\"\noperator = \"{operator}\"\n\
             expected_cost = \"0.12\"\nmax_cost = \"0.20\"\n"
        )
    });
    let label = id.to_uppercase();
    format!(
        "[[sku]]\nid = \"{id}\"\nname = {{ en = \"{id}\", zh = \"{id}\" }}\nlabel = \"{label}\"\n\
         product = \"telegram\"\nprice = \"0.80\"\n[sku.policy]\n{policy}\ncooldown = \"300ms\"\nfurther_sms = \"300ms\"\n{}",
        plans.collect::<String>()
    )
}
