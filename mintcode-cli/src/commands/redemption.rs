//! `mintcode redemption`: what became of single redemptions, and why.

mod explain;
mod shown;

use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use mintcode_core::engine::{Support, SupportError};
use mintcode_core::ids::{RedemptionId, SkuId};
use mintcode_core::ports::RedemptionSearch;
use mintcode_core::redemption::Status;

use crate::args::{Cli, DatabaseArgs};
use crate::exit::{Failure, chain};
use crate::{backend, output};

/// Every status, in the order of a redemption's life.
const STATUSES: [Status; 8] = [
    Status::Queued,
    Status::Ordering,
    Status::WaitingSms,
    Status::CoolingDown,
    Status::Releasing,
    Status::Delivered,
    Status::Failed,
    Status::Cancelled,
];

#[derive(Subcommand)]
pub(crate) enum Action {
    /// List redemptions, newest first.
    List(ListArguments),
    /// Show a redemption with its attempts and its entries in the books.
    Show(OneArguments),
    /// Ask a redemption to stop; its voucher stays good.
    Cancel(OneArguments),
    /// Deliver a message that is withheld.
    Release(OneArguments),
    /// Let workers take over a redemption again that is in quarantine, because worker after worker died while it drove it.
    Resume(OneArguments),
    /// Tell why each plan was chosen or not, and whether the same choice would be made again.
    Explain(ExplainArguments),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  mintcode redemption list --status failed --limit 20
  mintcode redemption list --sku tg_ca_001 --json")]
pub(crate) struct ListArguments {
    /// Of this SKU.
    #[arg(long, value_name = "ID")]
    sku: Option<SkuId>,
    /// That stand here.
    #[arg(long, value_name = "STATUS", value_parser = PossibleValuesParser::new(STATUSES.map(Status::name)))]
    status: Option<String>,
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
A wish is stored, and granted within a second or so by the server that drives the redemption.
  mintcode redemption show rdm_…")]
pub(crate) struct OneArguments {
    /// The redemption, such as rdm_…; `mintcode voucher lookup` shows those of a voucher.
    #[arg(value_name = "REDEMPTION")]
    id: RedemptionId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
#[command(after_help = "\
Each choice is stored with everything it depended on, and is made again here from that record alone. Exit code 1 if a \
choice would be another one today.
Examples:
  mintcode redemption explain rdm_…
  mintcode redemption explain rdm_… --json    the stored records, byte for byte")]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    of: OneArguments,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    let database = match &action {
        Action::List(arguments) => &arguments.database,
        Action::Show(arguments)
        | Action::Cancel(arguments)
        | Action::Release(arguments)
        | Action::Resume(arguments) => &arguments.database,
        Action::Explain(arguments) => &arguments.of.database,
    };
    let sources = Cli::sources(config, &[database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let support = backend::support(&sources, &store)?;
    match action {
        Action::List(arguments) => list(&arguments, &support).await,
        Action::Show(arguments) => show(&arguments, &support).await,
        Action::Cancel(arguments) => {
            let wished = support.cancel(arguments.id).await;
            wish(&arguments, "cancelled", "is asked to stop", wished.map(|found| found.phase.name()))
        }
        Action::Release(arguments) => {
            let wished = support.release(arguments.id).await;
            wish(&arguments, "released", "is to be delivered", wished.map(|found| found.phase.name()))
        }
        Action::Resume(arguments) => match support.resume(arguments.id).await {
            Err(SupportError::NotAllowed { .. }) => {
                Err(Failure::work("the redemption is in no quarantine, so there is nothing to resume"))
            }
            resumed => {
                let state = resumed.map(|found| found.phase.name());
                wish(&arguments, "resumed", "is to be taken over again", state)
            }
        },
        Action::Explain(arguments) => explain::run(&arguments.of, &support).await,
    }
}

async fn list(arguments: &ListArguments, support: &Support) -> Result<(), Failure> {
    let ListArguments { sku, status, limit, json, database: _ } = arguments;
    let status = STATUSES.into_iter().find(|known| status.as_deref() == Some(known.name()));
    let search = RedemptionSearch { sku: sku.clone(), status, before: None };
    let found = support.redemptions(search, *limit).await;
    let found = found.map_err(|error| Failure::because("the redemptions cannot be read", &error))?;
    if *json {
        return Ok(output::json(&found.iter().map(shown::brief).collect::<Vec<_>>())?);
    }
    let rows: Vec<_> = found.iter().map(shown::row).collect();
    Ok(output::table(["REDEMPTION", "BEGAN (UTC)", "STATUS", "SKU", "VOUCHER", "NUMBERS", "WHY"], &rows)?)
}

async fn show(arguments: &OneArguments, support: &Support) -> Result<(), Failure> {
    let unreadable = |error| Failure::because("the redemption cannot be read", &error);
    let found = support.redemption(arguments.id).await.map_err(unreadable)?;
    let redemption = found.ok_or_else(|| unknown(arguments.id))?;
    // What is stored of its attempts and in the books, rather than what its state implies.
    let voucher = support.trail(redemption.voucher).await.map_err(unreadable)?;
    let mut trails = voucher.into_iter().flat_map(|voucher| voucher.redemptions);
    let trail = trails.find(|trail| trail.id == redemption.id).ok_or_else(|| unknown(arguments.id))?;
    let currency = support.rules().rates.selling;
    if arguments.json {
        output::json(&shown::whole(&redemption, &trail, currency)?)?;
    } else {
        output::lines(shown::described(&redemption, &trail, currency)?)?;
    }
    Ok(())
}

/// What became of a wish: `state` is where the redemption stood when it was stored.
fn wish(
    arguments: &OneArguments,
    done: &str,
    told: &str,
    state: Result<&'static str, SupportError>,
) -> Result<(), Failure> {
    let id = arguments.id;
    let state = state.map_err(|error| match error {
        SupportError::NotFound => unknown(id),
        SupportError::NotAllowed { state, .. } => {
            Failure::work(format!("the redemption is {state} and cannot be {done}"))
        }
        error => Failure::work(format!("the redemption is not {done}: {}", chain(&error))),
    })?;
    if arguments.json {
        output::json(&serde_json::json!({ "id": id, "phase": state, "wished": done }))?;
    } else {
        output::line(&format!("{id} {told}; it was {state}"))?;
    }
    Ok(())
}

fn unknown(id: RedemptionId) -> Failure {
    Failure::work(format!("there is no redemption {id}; `mintcode redemption list` shows them"))
}
