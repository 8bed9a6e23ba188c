//! P6: transitions a second on PostgreSQL against the simplest update there is, on the same server in the same run.

use std::process::Command;
use std::sync::Arc;

use mintcode_core::redemption::Redemption;
use mintcode_core::testing::SeededEntropy;
use mintcode_store::PostgresStore;
use mintcode_store::postgres::Limits;
use url::Url;

use crate::table::{Table, median, rate, thousands};
use crate::{Error, minting, stage};

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 8;
/// Redemptions that change at the same time, and how often each does in a round.
const CALLERS: usize = 512;
const STEPS: u32 = 20;
const WORKERS: usize = 4;

pub(crate) async fn measure() -> Result<Table, Error> {
    let url = std::env::var("MINTCODE_TEST_POSTGRES_URL")
        .map_err(|_| "MINTCODE_TEST_POSTGRES_URL names no server")?;
    pgbench(&url, &["-i", "-q", "-s", "20"])?;
    let (client, schema) = minting::schema(&url, "transitions").await?;
    let mut stores = Vec::new();
    for _ in 0..WORKERS {
        let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
        stores.push(Arc::new(
            PostgresStore::open_with(&schema.parse()?, Some(&stage::secrets()), limits).await?,
        ));
    }
    let mut redemptions = begun(&stores[0]).await?;
    let (mut peer, mut one, mut many) = (Vec::new(), Vec::new(), Vec::new());
    let steps = u32::try_from(CALLERS)? * STEPS;
    for _ in 0..ROUNDS {
        peer.push(simple_updates(&url)?);
        one.push(rate(steps, stage::walk(&stores[0], &mut redemptions, STEPS).await?));
        let started = tokio::time::Instant::now();
        let share = CALLERS / WORKERS;
        let walks = redemptions.chunks_mut(share).zip(&stores);
        let walks = walks.map(|(some, store)| stage::walk(store, some, STEPS));
        futures_util::future::try_join_all(walks).await?;
        many.push(rate(steps, started.elapsed()));
    }
    client.batch_execute("DROP SCHEMA transitions CASCADE").await?;
    let (peer, one, many) = (median(peer), median(one), median(many));
    let mut table = Table::default();
    table.tell(format!("pgbench -N, {CONNECTIONS} clients"), thousands(peer));
    table.tell(format!("transitions, {CONNECTIONS} connections, {CALLERS} callers"), thousands(one));
    table.at_least("P6: against pgbench", one / peer, 1.0);
    table.tell(format!("{WORKERS} workers of {CONNECTIONS} connections"), thousands(many));
    table.tell(format!("{WORKERS} workers against one"), format!("{:.2}", many / one));
    Ok(table)
}

async fn begun(store: &Arc<PostgresStore>) -> Result<Vec<Redemption>, Error> {
    let (rules, entropy) = (stage::rules(), SeededEntropy::new(3));
    let mut redemptions = Vec::new();
    for voucher in stage::minted(&**store, u32::try_from(CALLERS)?).await? {
        redemptions.push(stage::begun(&**store, &rules, &entropy, voucher).await?);
    }
    Ok(redemptions)
}

/// Transactions a second of one update and one insert each.
fn simple_updates(url: &str) -> Result<f64, Error> {
    let clients = CONNECTIONS.to_string();
    let told = pgbench(url, &["-N", "-n", "-c", &clients, "-j", "2", "-T", "5", "-M", "prepared"])?;
    let line = told.lines().find_map(|line| line.strip_prefix("tps = ")).ok_or("pgbench told no rate")?;
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}

fn pgbench(url: &str, arguments: &[&str]) -> Result<String, Error> {
    let url: Url = url.parse()?;
    let program = std::env::var("PGBENCH").unwrap_or_else(|_| "pgbench".to_owned());
    let output = Command::new(program).args(arguments).arg(url.as_str()).output()?;
    if !output.status.success() {
        return Err(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
