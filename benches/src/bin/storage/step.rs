//! P4: one redemption's durable step on SQLite against one fdatasync of as many bytes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use mintcode_core::redemption::Redemption;
use mintcode_core::testing::SeededEntropy;
use mintcode_store::SqliteStore;
use tokio::time::Instant;

use crate::table::{Table, median, rate, thousands};
use crate::{Error, stage, syncs};

const ROUNDS: usize = 7;
/// Callers, steps of a round, and how many times the rate of one fdatasync they are to reach.
const CROWDS: [(usize, u32, f64); 3] = [(1, 1_000, 0.85), (64, 60, 7.0), (512, 12, 10.0)];
/// Syncs of a round of the peer.
const SYNCS: u32 = 1_000;

pub(crate) async fn measure() -> Result<Table, Error> {
    let mut table = Table::default();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("mintcode.db");
    let store = Arc::new(SqliteStore::open(&path, Some(&stage::secrets()))?);
    let durability = store.durability().await?;
    if !durability.is_full() {
        return Err(format!("the store is not durable: {durability:?}").into());
    }
    let most = CROWDS.map(|(callers, _, _)| callers).into_iter().max().unwrap_or_default();
    let mut redemptions = begun(&store, most).await?;
    let bytes = bytes_of_a_step(&store, &path, &mut redemptions[..1]).await?;

    let mut peer = Vec::new();
    let mut rates = CROWDS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        peer.push(fdatasyncs(directory.path(), bytes)?);
        for ((callers, steps, _), rates) in CROWDS.into_iter().zip(&mut rates) {
            let took = stage::walk(&store, &mut redemptions[..callers], steps).await?;
            rates.push(rate(u32::try_from(callers)? * steps, took));
        }
    }
    let peer = median(peer);
    table.tell(
        "journal_mode, synchronous",
        format!("{}, {}", durability.journal_mode, durability.synchronous),
    );
    table.tell(format!("fdatasync of {bytes} bytes"), thousands(peer));
    for ((callers, _, goal), rates) in CROWDS.into_iter().zip(rates) {
        let steps = median(rates);
        table.tell(format!("steps of {callers} callers"), thousands(steps));
        table.at_least(format!("P4: steps of {callers} callers against fdatasync"), steps / peer, goal);
    }
    store.close().await?;
    syncs::count(&mut table)?;
    Ok(table)
}

/// `count` redemptions that have begun.
pub(crate) async fn begun(store: &Arc<SqliteStore>, count: usize) -> Result<Vec<Redemption>, Error> {
    let (rules, entropy) = (stage::rules(), SeededEntropy::new(3));
    let mut redemptions = Vec::new();
    for voucher in stage::minted(&**store, u32::try_from(count)?).await? {
        redemptions.push(stage::begun(&**store, &rules, &entropy, voucher).await?);
    }
    Ok(redemptions)
}

/// What a step of one caller adds to the log.
async fn bytes_of_a_step(
    store: &Arc<SqliteStore>,
    path: &Path,
    redemption: &mut [Redemption],
) -> Result<usize, Error> {
    const STEPS: u32 = 50;
    let log = path.with_extension("db-wal");
    let before = log.metadata()?.len();
    stage::walk(store, redemption, STEPS).await?;
    Ok(usize::try_from((log.metadata()?.len() - before) / u64::from(STEPS))?)
}

/// How many times a second that many bytes are appended and synced.
fn fdatasyncs(directory: &Path, bytes: usize) -> Result<f64, Error> {
    let path = directory.join("synced");
    let mut file = File::create(&path)?;
    // As the log, whose space is used again and again.
    let bytes = vec![7; bytes];
    for _ in 0..SYNCS {
        file.write_all(&bytes)?;
    }
    file.sync_all()?;
    std::io::Seek::rewind(&mut file)?;
    let started = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    let rate = rate(SYNCS, started.elapsed());
    std::fs::remove_file(path)?;
    Ok(rate)
}
