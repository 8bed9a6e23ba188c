//! Counts, by strace, how often the disk is waited for while groups are acknowledged.

use std::process::Command;
use std::sync::Arc;

use mintcode_store::SqliteStore;
use rusqlite::Connection;

use crate::table::Table;
use crate::{Error, stage, step};

const STEPS: &str = "100";
const NONE: &str = "0";

/// Adds how many syncs there are to an acknowledged group, and to a commit where SQLite is told to be less careful: were
/// the store opened so, the first would be like the second.
pub(crate) fn count(table: &mut Table) -> Result<(), Error> {
    for callers in ["1", "64"] {
        let (groups, syncs) = traced("synced", callers)?;
        let figure = format!("P4: fdatasync per acknowledged group, {callers} callers, {groups} groups");
        table.at_least(figure, syncs / groups, 1.0);
    }
    let (commits, syncs) = traced("synced-now-and-then", "1")?;
    table.at_most(format!("the same at synchronous=NORMAL, {commits} commits"), syncs / commits, 0.1);
    Ok(())
}

/// Runs this program under strace: the commits it tells of, and the syncs strace saw beyond those of a run without steps.
fn traced(work: &str, callers: &str) -> Result<(f64, f64), Error> {
    let (commits, syncs) = trace(&[work, callers, STEPS])?;
    let (_, around) = trace(&[work, callers, NONE])?;
    Ok((commits, f64::from(syncs) - f64::from(around)))
}

fn trace(arguments: &[&str]) -> Result<(f64, u32), Error> {
    let directory = tempfile::tempdir()?;
    let trace = directory.path().join("trace");
    let output = Command::new("strace")
        .args(["-f", "-e", "trace=fdatasync", "-e", "signal=none", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe()?)
        .args(arguments)
        .output()?;
    if !output.status.success() {
        return Err(format!("strace: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let commits = String::from_utf8(output.stdout)?.trim().parse()?;
    // A call that others interrupt has a second line, which does not begin it.
    let calls = std::fs::read_to_string(trace)?.lines().filter(|line| line.contains(" fdatasync(")).count();
    Ok((commits, u32::try_from(calls)?))
}

/// What is traced: so many callers take so many steps, and the groups that were acknowledged for them are told.
pub(crate) async fn work(callers: usize, steps: u32) -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(directory.path().join("mintcode.db"), Some(&stage::secrets()))?);
    let mut redemptions = step::begun(&store, callers).await?;
    let before = store.commits();
    stage::walk(&store, &mut redemptions, steps).await?;
    println!("{}", store.commits() - before);
    Ok(store.close().await?)
}

/// What is traced beside it: commits that are not waited for.
pub(crate) fn control(commits: u32) -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    let connection = Connection::open(directory.path().join("control.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE step (number INTEGER)",
    )?;
    for number in 0..commits {
        connection.execute("INSERT INTO step VALUES (?1)", [number])?;
    }
    println!("{commits}");
    Ok(())
}
