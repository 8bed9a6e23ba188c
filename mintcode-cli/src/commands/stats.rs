//! `mintcode stats`: what was delivered, what it cost, and how plans did.

use std::path::Path;

use chrono::TimeDelta;
use clap::Args;
use mintcode_core::engine::{PlanSums, Report, SpanSums};
use mintcode_core::ledger::margin::Sums;
use mintcode_core::ports::Clock;

use crate::args::{Cli, DatabaseArgs};
use crate::exit::Failure;
use crate::system::SystemClock;
use crate::time::Bound;
use crate::{backend, output, time};

/// How many days are shown, today included, where nobody says.
const DAYS: i64 = 30;
const HEADS: [&str; 5] = ["DELIVERED", "REVENUE", "COST", "LOSS", "MARGIN"];

#[derive(Args)]
#[command(after_help = "\
Days are those of UTC. What was booked counts on the day it was booked; attempts count by when they began. Success is \
the share of a plan's numbers that got an SMS. ORPHANS is what was charged for orders that no redemption knew of: it is \
part of the margin of its day and of the total, but of no SKU's.
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
    let to = arguments.to.unwrap_or(Bound::Day(SystemClock.now().date_naive())).end();
    let from = arguments.from.map_or_else(|| to - TimeDelta::days(DAYS), Bound::start);
    if from >= to {
        return Err(Failure::usage("--from has to lie before --to"));
    }
    let store = backend::open_existing(&sources).await?;
    let report = Report::read(&*store, &*store, sources.rates()?.selling, from, to).await;
    let report = report.map_err(|error| Failure::because("the books cannot be read", &error))?;
    if arguments.json {
        return Ok(output::json(&report)?);
    }
    show(&report)
}

fn show(report: &Report) -> Result<(), Failure> {
    let Report { from, to, currency, totals, days, skus, plans } = report;
    output::line(&format!("{} to {} UTC, in {currency}", time::shown(*from), time::shown(*to)))?;

    let [delivered, revenue, cost, loss, margin] = HEADS;
    let mut rows: Vec<_> = days.iter().map(|day| in_all(&day.day.to_string(), &day.sums)).collect();
    rows.push(in_all("total", totals));
    output::line("")?;
    output::table(["DAY", delivered, revenue, cost, loss, "ORPHANS", margin], &rows)?;

    let rows: Vec<_> = skus.iter().map(|sku| named(sku.sku.as_str(), &sku.sums)).collect();
    output::line("")?;
    output::table(["SKU", delivered, revenue, cost, loss, margin], &rows)?;

    let rows: Vec<_> = plans.iter().map(row).collect();
    output::line("")?;
    let heads = [
        "SKU", "PLAN", "TRIES", "EMPTY", "NUMBERS", "SUCCESS", "TO SMS", delivered, revenue, cost, loss,
        margin,
    ];
    Ok(output::table(heads, &rows)?)
}

fn in_all(name: &str, sums: &SpanSums) -> [String; 7] {
    let SpanSums { delivered, revenue, cost, loss, orphan_loss, margin } = sums;
    let [revenue, cost, loss, orphans, margin] =
        [revenue, cost, loss, orphan_loss, margin].map(ToString::to_string);
    [name.to_owned(), delivered.to_string(), revenue, cost, loss, orphans, margin]
}

fn named(name: &str, sums: &Sums) -> [String; 6] {
    let [delivered, revenue, cost, loss, margin] = columns(sums);
    [name.to_owned(), delivered, revenue, cost, loss, margin]
}

/// The sums as cells under [`HEADS`].
fn columns(sums: &Sums) -> [String; 5] {
    let Sums { delivered, revenue, cost, loss, margin } = sums;
    [delivered.to_string(), revenue.to_string(), cost.to_string(), loss.to_string(), margin.to_string()]
}

fn row(plan: &PlanSums) -> [String; 12] {
    let [delivered, revenue, cost, loss, margin] = columns(&plan.sums);
    let none = || "-".to_owned();
    [
        plan.sku.to_string(),
        plan.plan.to_string(),
        plan.attempts.to_string(),
        plan.out_of_stock.to_string(),
        plan.numbers.to_string(),
        plan.success_rate.map_or_else(none, |share| format!("{:.0} %", share * 100.0)),
        plan.sms_after_seconds.map_or_else(none, |seconds| format!("{seconds:.1} s")),
        delivered,
        revenue,
        cost,
        loss,
        margin,
    ]
}
