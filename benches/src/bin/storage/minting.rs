//! P2 and P3: a million vouchers by the real `mintcode mint`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::ports::{Catalogue, Put};
use mintcode_core::testing::sample;
use mintcode_store::{PostgresStore, SqliteStore};
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::table::{Table, median, rate, thousands};
use crate::{Error, peers, stage};

const ROUNDS: usize = 3;
/// Codes that fit into a pipe and the buffer before it, so that the process waits for its reader.
const UNREAD: u32 = 2_500;
const SECRET: &str = "correct horse battery staple mintcode";

/// What one run of `mintcode mint` showed.
struct Run {
    /// Until its first code, when all of them are durable.
    stored: Duration,
    /// Until its last one.
    written: Duration,
    /// The most memory it ever had, in bytes.
    memory: f64,
}

pub(crate) async fn measure(count: u32) -> Result<Table, Error> {
    let mut table = Table::default();
    let binary = std::env::current_exe()?.with_file_name("mintcode");
    if !binary.exists() {
        return Err(format!("{} is missing: build it first", binary.display()).into());
    }
    let rows = peers::rows(count);
    let (mut runs, mut peer, mut bytes) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let (file, _directory) = sqlite_file().await?;
        peer.push(rate(count, peers::sqlite(&file, &rows)?));
        let (file, _directory) = sqlite_file().await?;
        let empty = file.metadata()?.len();
        runs.push(mint(&binary, &format!("sqlite:{}", file.display()), count)?);
        bytes = per_voucher(file.metadata()?.len() - empty, count);
    }
    add(&mut table, "SQLite", count, &runs, peer);
    table.at_most("P3: SQLite, bytes a voucher", bytes, 60.0);

    let Ok(url) = std::env::var("MINTCODE_TEST_POSTGRES_URL") else {
        table.tell("PostgreSQL", "left out");
        return Ok(table);
    };
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("rows");
    peers::write_binary(&file, &rows)?;
    let (mut runs, mut peer) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (client, _) = schema(&url, &format!("peer_{round}")).await?;
        peer.push(rate(count, peers::postgres(&client, &file).await?));
        drop_schema(&client, &format!("peer_{round}")).await?;
        let (client, url) = schema(&url, &format!("mint_{round}")).await?;
        runs.push(mint(&binary, &url, count)?);
        let sql = "SELECT pg_total_relation_size('voucher')";
        let size: i64 = client.query_one(sql, &[]).await?.get(0);
        bytes = per_voucher(u64::try_from(size)?, count);
        drop_schema(&client, &format!("mint_{round}")).await?;
    }
    add(&mut table, "PostgreSQL", count, &runs, peer);
    table.at_most("P3: PostgreSQL, bytes a voucher", bytes, 150.0);
    Ok(table)
}

fn add(table: &mut Table, name: &str, count: u32, runs: &[Run], peer: Vec<f64>) {
    let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let stored = f64::from(count) / of(|run| run.stored.as_secs_f64());
    let written = f64::from(count) / of(|run| run.written.as_secs_f64());
    let peer = median(peer);
    table.tell(format!("{name}: the rows alone"), thousands(peer));
    table.tell(format!("{name}: durable"), thousands(stored));
    table.tell(format!("{name}: durable, and all codes written"), thousands(written));
    table.at_least(format!("P2: {name}, durable against the rows alone"), stored / peer, 0.6);
    let memory = runs.iter().map(|run| run.memory).fold(0.0, f64::max) / f64::from(1 << 20);
    table.at_most(format!("P2: {name}, most memory, MiB"), memory, 64.0);
}

fn per_voucher(bytes: u64, count: u32) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::INFINITY, f64::from) * 1024.0 / f64::from(count)
}

/// A file with the SKU `tg` and nothing else.
async fn sqlite_file() -> Result<(PathBuf, tempfile::TempDir), Error> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("mintcode.db");
    let store = SqliteStore::open(&file, Some(&stage::secrets()))?;
    store.put_sku(sample::sku("tg"), Put::Apply).await?;
    store.close().await?;
    Ok((file, directory))
}

/// A schema of that name with the SKU `tg` and nothing else.
pub(crate) async fn schema(url: &str, name: &str) -> Result<(Client, String), Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let sql = format!(
        "SET client_min_messages = warning; DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name};
         SET search_path = {name}"
    );
    client.batch_execute(&sql).await?;
    let url = format!("{url}?options=-csearch_path%3D{name}");
    let store = open_postgres(&url).await?;
    store.put_sku(sample::sku("tg"), Put::Apply).await?;
    Ok((client, url))
}

async fn drop_schema(client: &Client, name: &str) -> Result<(), Error> {
    Ok(client.batch_execute(&format!("DROP SCHEMA {name} CASCADE")).await?)
}

pub(crate) async fn open_postgres(url: &str) -> Result<Arc<PostgresStore>, Error> {
    Ok(Arc::new(PostgresStore::open(&url.parse()?, Some(&stage::secrets())).await?))
}

/// Runs `mintcode mint` and takes its codes.
fn mint(binary: &Path, url: &str, count: u32) -> Result<Run, Error> {
    let started = Instant::now();
    let mut child = Command::new(binary)
        .args(["mint", "--sku", "tg", "--count", &count.to_string()])
        .env("MINTCODE_DATABASE_URL", url)
        .env("MINTCODE_VOUCHER_SECRET", SECRET)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("it has no output")?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let stored = started.elapsed();
    let mut read = 1;
    let mut memory = most_memory(&child)?;
    while read < count {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Err(format!("it gave {read} codes").into());
        }
        read += 1;
        if read == count.saturating_sub(UNREAD) {
            memory = memory.max(most_memory(&child)?);
        }
    }
    let written = started.elapsed();
    let status = child.wait()?;
    if status.success() { Ok(Run { stored, written, memory }) } else { Err(format!("{status}").into()) }
}

/// The most memory a process ever had, in bytes.
fn most_memory(child: &Child) -> Result<f64, Error> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0)
}
