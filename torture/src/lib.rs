//! Torture: the real processes are killed and stalled again and again while customers redeem, the simulated supplier
//! misbehaves and the links fail; then everything comes to rest, and an auditor compares the database with the supplier's own
//! books.
//!
//! ```text
//! cargo build --release && cargo run --release -p torture -- --binary target/release/mintcode --kills 2000 --stalls 200
//! cargo run --release -p torture -- --binary target/release/mintcode --kills 2000 --stalls 200 --restarts 20 \
//!     --postgres-cluster mintcode-store/tests/postgres-cluster
//! ```
//!
//! On SQLite one server is struck. On PostgreSQL there are an API and three workers, and the database server is struck as
//! well: it crashes, is restarted, and all connections to it are cut. Every link, to the supplier and to PostgreSQL, is a proxy
//! on which messages are held up or lost.
//!
//! Nothing here depends on the library that is tortured: the auditor reads the tables by their names, and what a customer was
//! shown comes from the HTTP answers.

mod audit;
mod books;
mod cluster;
mod customer;
pub mod points;
mod process;
mod proxy;
mod shop;
mod tables;
mod weather;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tokio::time::Instant;

use self::customer::{Customers, Receipt};
use self::proxy::{Fault, Proxy};
use self::shop::Shop;

/// What goes wrong inside the torture itself.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long everything may take to come to rest once nothing goes wrong any more: the longest redemption, the minute after
/// its deadline, and what this machine takes to start a process.
const REST_WITHIN: Duration = Duration::from_secs(150);

/// How often the operator looks for what waits for them, once nothing goes wrong any more.
const OPERATOR_LOOKS: Duration = Duration::from_secs(2);

/// How much is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `mintcode` binary.
    pub binary: PathBuf,
    /// Starts and kills a PostgreSQL server: with it there are one API and three workers, without it one server on SQLite.
    pub cluster: Option<PathBuf>,
    /// Decides who is hit when, and what goes wrong on the links.
    pub seed: u64,
    /// How often a process is killed.
    pub kills: u32,
    /// How often one is stopped for longer than its life span.
    pub stalls: u32,
    /// How often PostgreSQL ends and is started again, and how often all connections to it are cut.
    pub restarts: u32,
    /// How many redemptions there are at least.
    pub redemptions: usize,
}

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// What must not be.
    pub violations: Vec<String>,
    /// How long it went on.
    pub took: Duration,
    /// Where logs and database were left for whoever looks into the violations.
    pub kept: Vec<PathBuf>,
}

/// Does all of it, in a directory that is removed afterwards.
pub async fn torture(plan: &Plan) -> Result<Report, Error> {
    let began = Instant::now();
    let mut shop = Arc::new(Shop::open(plan).await?);
    let customers = Customers::come(&shop, plan);
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let (struck, _servers) = weather::rage(&shop, &mut rng, plan, customers.served()).await?;
    shop.calm_down().await?;
    let mut resumed = 0;
    let mut leaving = std::pin::pin!(customers.leave());
    let receipts = loop {
        tokio::select! {
            receipts = &mut leaving => break receipts?,
            () = tokio::time::sleep(OPERATOR_LOOKS) => resumed += shop.resume().await?,
        }
    };

    let quiet_by = Instant::now() + REST_WITHIN;
    let mut violations = Vec::new();
    let (books, tables) = loop {
        let (books, tables) = (shop.books().await?, shop.tables().await?);
        let restless = audit::restless(&books, &tables);
        if restless.is_empty() {
            break (books, tables);
        }
        if Instant::now() > quiet_by {
            violations.extend(restless);
            break (books, tables);
        }
        resumed += shop.resume().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    violations.extend(audit::violations(&books, &tables, &receipts));
    if struck.ended > 0 {
        violations.push(format!("{} processes ended though nobody killed them", struck.ended));
    }
    let mut counts = counts(struck, &books, &tables, &receipts);
    counts.extend(links(&shop));
    counts.insert("resumed out of quarantine", resumed);
    let kept = match Arc::get_mut(&mut shop) {
        Some(shop) if !violations.is_empty() => shop.keep(),
        _ => Vec::new(),
    };
    Ok(Report { counts, violations, took: began.elapsed(), kept })
}

/// What went wrong on the links.
fn links(shop: &Shop) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::from(Fault::ALL.map(|fault| (fault.name(), 0)));
    let links = [
        ("faults to the supplier", Some(&shop.to_supplier)),
        ("faults to PostgreSQL", shop.to_database.as_ref()),
    ];
    for (name, link) in links {
        let struck = link.map(Proxy::struck).unwrap_or_default();
        counts.insert(name, struck.values().sum());
        for (fault, times) in struck {
            *counts.entry(fault.name()).or_default() += times;
        }
    }
    counts
}

fn counts(
    struck: weather::Struck,
    books: &books::Books,
    tables: &tables::Tables,
    receipts: &[Receipt],
) -> BTreeMap<&'static str, u64> {
    let outcome = |name| tables.attempts.iter().filter(|row| row.outcome.as_deref() == Some(name)).count();
    let redemptions = &tables.redemptions;
    let counted = [
        ("kills", u64::from(struck.kills)),
        ("stalls", u64::from(struck.stalls)),
        ("restarts of PostgreSQL", u64::from(struck.restarts)),
        ("cuts of all connections", u64::from(struck.cuts)),
        ("redemptions", redemptions.len() as u64),
        ("delivered", redemptions.iter().filter(|row| row.status == "delivered").count() as u64),
        ("codes shown", receipts.iter().filter(|receipt| receipt.code.is_some()).count() as u64),
        ("orders sold", books.orders.len() as u64),
        ("orders paid for", books.orders.iter().filter(|order| order.cost() > 0).count() as u64),
        ("orphans", tables.orphans.len() as u64),
        ("taken over", redemptions.iter().filter(|row| row.epoch > 1).count() as u64),
        ("found absent", outcome("absent") as u64),
        ("answers that came late", outcome("late") as u64),
        ("faults struck", books.faults),
    ];
    counted.into_iter().collect()
}
