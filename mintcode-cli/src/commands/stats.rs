//! `mintcode stats`: what was delivered, what it cost, and how plans did.

mod report;

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use mintcode_core::ports::{Clock, Reports};
use mintcode_store::SqliteStore;

use self::report::{PlanLine, Report};
use crate::args::{Cli, DatabaseArgs};
use crate::exit::Failure;
use crate::system::SystemClock;
use crate::time::Bound;
use crate::{backend, money, output, time};

/// How many days are shown, today included, where nobody says.
const DAYS: i64 = 30;

#[derive(Args)]
#[command(after_help = "\
Days are those of UTC. What was booked counts on the day it was booked; attempts count by when they began. Success is \
the share of a plan's numbers that got an SMS.
Examples:
  mintcode stats
  mintcode stats --from 2026-11-01 --to 2026-11-30 --json")]
pub(crate) struct Arguments {
    /// From this day or moment on [default: 30 days, today included].
    #[arg(long, value_name = "TIME", value_parser = Bound::read)]
    from: Option<Bound>,
    /// Up to this day, with all of it, or until this moment [default: today].
    #[arg(long, value_name = "TIME", value_parser = Bound::read)]
    to: Option<Bound>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let to = arguments.to.unwrap_or(Bound::Day(SystemClock::start().now().date_naive())).end();
    let from = arguments.from.map_or_else(|| to - TimeDelta::days(DAYS), Bound::start);
    if from >= to {
        return Err(Failure::usage("--from has to lie before --to"));
    }
    let store = backend::open_existing(&sources)?;
    let report = read(&store, from, to).await?;
    let currency = sources.rates()?.selling;
    if arguments.json {
        return Ok(output::json(&report.shown(from, to, currency)?)?);
    }
    output::line(&format!("{} to {} UTC, in {currency}", time::shown(from), time::shown(to)))?;
    show(&report)
}

async fn read(store: &Arc<SqliteStore>, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Report, Failure> {
    let unreadable = |error| Failure::because("the books cannot be read", &error);
    let booked = store.ledger_totals(from, to).await.map_err(unreadable)?;
    let plans = store.plan_totals(from, to).await.map_err(unreadable)?;
    Report::new(&booked, plans).map_err(money::too_large)
}

fn show(report: &Report) -> Result<(), Failure> {
    let [delivered, revenue, cost, loss, margin] = money::HEADS;
    let mut rows = Vec::new();
    for (day, totals) in &report.days {
        rows.push(named(&day.to_string(), money::columns(totals)?));
    }
    rows.push(named("total", money::columns(&report.totals)?));
    output::line("")?;
    output::table(["DAY", delivered, revenue, cost, loss, margin], &rows)?;

    let mut rows = Vec::new();
    for (sku, totals) in &report.skus {
        rows.push(named(sku.as_str(), money::columns(totals)?));
    }
    output::line("")?;
    output::table(["SKU", delivered, revenue, cost, loss, margin], &rows)?;

    let rows = report.plans.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    output::line("")?;
    let heads = [
        "SKU", "PLAN", "TRIES", "EMPTY", "NUMBERS", "SUCCESS", "TO SMS", delivered, revenue, cost, loss,
        margin,
    ];
    Ok(output::table(heads, &rows)?)
}

fn named(name: &str, [delivered, revenue, cost, loss, margin]: [String; 5]) -> [String; 6] {
    [name.to_owned(), delivered, revenue, cost, loss, margin]
}

fn row(line: &PlanLine) -> Result<[String; 12], Failure> {
    let [delivered, revenue, cost, loss, margin] = money::columns(&line.totals)?;
    let tenths = |millis: u64| format!("{}.{} s", millis / 1_000, millis % 1_000 / 100);
    let success = line.success_hundredths().map(|share| format!("{share} %"));
    Ok([
        line.sku.to_string(),
        line.plan.to_string(),
        line.attempts.to_string(),
        line.out_of_stock.to_string(),
        line.numbers.to_string(),
        success.unwrap_or_else(|| "-".to_owned()),
        line.sms_after_ms.map_or_else(|| "-".to_owned(), tenths),
        delivered,
        revenue,
        cost,
        loss,
        margin,
    ])
}
