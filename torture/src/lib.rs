//! Torture: the real binary is killed and stalled again and again while customers redeem and the simulated supplier
//! misbehaves; then everything comes to rest, and an auditor compares the database with the supplier's own books.
//!
//! ```text
//! cargo build --release && cargo run --release -p torture -- --binary target/release/mintcode --kills 2000 --stalls 200
//! ```
//!
//! Nothing here depends on the library that is tortured: the auditor reads the tables by their names, and what a customer was
//! shown comes from the HTTP answers.

mod audit;
mod books;
mod cluster;
mod customer;
mod process;
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
use self::shop::Shop;

/// What goes wrong inside the torture itself.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long everything may take to come to rest once nothing goes wrong any more: the longest redemption, the minute after
/// its deadline, and what this machine takes to start a process.
const REST_WITHIN: Duration = Duration::from_secs(150);

/// How much is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `mintcode` binary.
    pub binary: PathBuf,
    /// Starts and kills a PostgreSQL server: with it there are one API and three workers, without it one server on SQLite.
    pub cluster: Option<PathBuf>,
    /// Decides who is hit when.
    pub seed: u64,
    /// How often a process is killed.
    pub kills: u32,
    /// How often one is stopped for longer than its life span.
    pub stalls: u32,
    /// How often PostgreSQL is killed and started again, and how often all connections to it are cut.
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
}

/// Does all of it, in a directory that is removed afterwards.
pub async fn torture(plan: &Plan) -> Result<Report, Error> {
    let began = Instant::now();
    let shop = Arc::new(Shop::open(plan).await?);
    let customers = Customers::come(&shop, plan);
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let (struck, _servers) = weather::rage(&shop, &mut rng, plan, customers.served()).await?;
    shop.calm_down().await?;
    let receipts = customers.leave().await?;

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
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    violations.extend(audit::violations(&books, &tables, &receipts));
    Ok(Report { counts: counts(struck, &books, &tables, &receipts), violations, took: began.elapsed() })
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
