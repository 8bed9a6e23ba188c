//! `mintcode alerts`: what the operator should know.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use mintcode_core::alert::Alert;
use mintcode_core::engine::{SupportError, acknowledge as acknowledge_alert};
use mintcode_core::money::Amount;
use mintcode_core::ports::{AlertRow, Clock};
use mintcode_core::span;

use crate::args::{Cli, DatabaseArgs};
use crate::exit::Failure;
use crate::system::SystemClock;
use crate::{backend, output, time};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// List what is so now, newest first.
    List(ListArguments),
    /// Clear an alert by hand; it is raised again if it becomes so again.
    Ack(AckArguments),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  mintcode alerts list
  mintcode alerts list --all --limit 200 --json")]
pub(crate) struct ListArguments {
    /// Also what is so no more.
    #[arg(long)]
    all: bool,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
#[command(after_help = "\
Example:
  mintcode alerts ack 7")]
pub(crate) struct AckArguments {
    /// The alert's id, as `mintcode alerts list` shows it.
    #[arg(value_name = "ID")]
    id: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    match action {
        Action::List(arguments) => list(&arguments, config).await,
        Action::Ack(arguments) => acknowledge(&arguments, config).await,
    }
}

async fn list(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let alerts = store.alerts(!arguments.all, arguments.limit).await;
    let alerts = alerts.map_err(|error| Failure::because("the alerts cannot be read", &error))?;
    if arguments.json {
        return Ok(output::json(&alerts)?);
    }
    let rows: Vec<_> = alerts.iter().map(row).collect();
    Ok(output::table(["ID", "RAISED (UTC)", "CLEARED (UTC)", "KIND", "WHAT"], &rows)?)
}

fn row(row: &AlertRow) -> [String; 5] {
    [
        row.id.to_string(),
        time::shown(row.raised_at),
        row.cleared_at.map_or_else(|| "open".to_owned(), time::shown),
        row.alert.kind().to_owned(),
        described(&row.alert),
    ]
}

async fn acknowledge(arguments: &AckArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let id = arguments.id;
    let cleared = acknowledge_alert(&*store, id, SystemClock.now()).await;
    cleared.map_err(|error| match error {
        SupportError::NotFound => {
            Failure::work(format!("there is no alert {id} that is open; `mintcode alerts list` shows them"))
        }
        SupportError::NotAllowed { state, .. } => Failure::work(format!(
            "alert {id} ({state}) is found again by each look at the account, and ends with what it tells of"
        )),
        error => Failure::because("the alert cannot be cleared", &error),
    })?;
    if arguments.json {
        output::json(&serde_json::json!({ "id": id, "cleared": true }))?;
    } else {
        output::line(&format!("alert {id} is cleared"))?;
    }
    Ok(())
}

/// An alert's particulars in words.
fn described(alert: &Alert) -> String {
    match alert {
        Alert::BalanceLow { supplier, balance, currency } => {
            format!("supplier {supplier} has {balance} {currency} left")
        }
        Alert::BalanceEmpty { supplier } => {
            format!("the balance at supplier {supplier} did not cover a purchase")
        }
        Alert::RatingLow { supplier, rating_milli } => {
            let rating = Amount::from_micros(rating_milli.saturating_mul(1_000));
            format!("the standing at supplier {supplier} is {rating}")
        }
        Alert::RatingRefused { supplier } => format!("the standing at supplier {supplier} is too low to buy"),
        Alert::KeyRefused { supplier } => format!("supplier {supplier} refuses the key"),
        Alert::ParametersRefused { source } => {
            format!("{source}: the supplier refuses what the plan asks for")
        }
        Alert::SourceOff { source, until } => {
            format!("{source}: off by itself until {} UTC", time::shown(*until))
        }
        Alert::SourceSilent { source } => format!("{source}: most of the last numbers got no SMS"),
        Alert::NoPlanLeft { sku } => format!("a customer found no plan of {sku} that could be tried"),
        Alert::PurchaseUnresolved { voucher, source, cap } => {
            format!("{voucher}: nobody knows whether {source} sold a number, for at most {cap}")
        }
        Alert::OrphanFound { supplier, order, price } => {
            format!("order {order} at supplier {supplier}, for {price}, belongs to nobody and is given back")
        }
        Alert::ClockOff { worker, ahead_ms } => {
            let by = Duration::from_millis(ahead_ms.unsigned_abs());
            let (by, way) = (span::show(by), if *ahead_ms < 0 { "behind" } else { "ahead of" });
            format!("the clock of {worker} is {by} {way} the database's: it buys nothing until they agree")
        }
        Alert::Quarantined { voucher, sku } => {
            format!(
                "{voucher} of {sku}: worker after worker died with its redemption, which waits for \
                 `mintcode redemption resume`"
            )
        }
        Alert::OrphanLoss { supplier, order, price } => {
            format!("order {order} at supplier {supplier} cost {price} and served nobody")
        }
        Alert::OrderVanished { supplier, order, price } => {
            format!("order {order} at supplier {supplier} vanished, with {price} charged for it")
        }
        Alert::Withheld { voucher, sku, pattern, .. } => {
            format!("{voucher} of {sku}: a message is withheld, by pattern {pattern}")
        }
        Alert::BooksOff { voucher, what } => format!("the books of voucher {voucher} do not balance: {what}"),
        Alert::AccountPaused { supplier, until } => {
            format!(
                "too many numbers were given back at {supplier}: nothing is bought there until {} UTC",
                time::shown(*until)
            )
        }
    }
}
