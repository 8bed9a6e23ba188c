//! `mintcode batch`: batches of vouchers.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mintcode_core::engine::{BatchCodes, Issuer, Support};
use mintcode_core::ids::BatchId;
use mintcode_core::ports::BatchSummary;
use mintcode_core::voucher::VoidReason;

use super::mint::{begin_file, shown, write_codes, write_file};
use crate::args::{Cli, DatabaseArgs};
use crate::exit::{Failure, chain};
use crate::{backend, output};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// List batches, newest first.
    List(ListArguments),
    /// Show a batch and how many of its vouchers are in which state.
    Show(OneArguments),
    /// Print a batch's codes again, until it is sealed.
    Download(DownloadArguments),
    /// Make a batch's codes unavailable for ever.
    Seal(OneArguments),
    /// Take back every voucher of a batch that was never redeemed.
    Void(VoidArguments),
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
pub(crate) struct OneArguments {
    /// The batch, such as bat_….
    #[arg(value_name = "BATCH")]
    id: BatchId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
pub(crate) struct DownloadArguments {
    /// The batch, such as bat_….
    #[arg(value_name = "BATCH")]
    id: BatchId,
    /// Symbols between two hyphens; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    group: usize,
    /// Write the codes to a file that only you can read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if there is one.
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
#[command(after_help = "\
Vouchers that were redeemed, or are being redeemed, stay as they are; `mintcode voucher void` takes them back one by one.
Example:
  mintcode batch void bat_… --reason refunded")]
pub(crate) struct VoidArguments {
    /// Why, in your words.
    #[arg(long, value_name = "TEXT", default_value_t)]
    reason: VoidReason,
    #[command(flatten)]
    batch: OneArguments,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    let database = match &action {
        Action::List(arguments) => &arguments.database,
        Action::Show(arguments) | Action::Seal(arguments) => &arguments.database,
        Action::Download(arguments) => &arguments.database,
        Action::Void(arguments) => &arguments.batch.database,
    };
    let sources = Cli::sources(config, &[database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let issuer = backend::issuer(&sources, &store)?;
    match action {
        Action::List(arguments) => list(&arguments, &issuer).await,
        Action::Show(arguments) => show(&arguments, &issuer).await,
        Action::Download(arguments) => download(&arguments, &issuer).await,
        Action::Seal(arguments) => seal(&arguments, &issuer).await,
        Action::Void(arguments) => void(&arguments, &backend::support(&sources, &store)?).await,
    }
}

async fn list(arguments: &ListArguments, issuer: &Issuer) -> Result<(), Failure> {
    let batches = issuer.batches(None, arguments.limit).await;
    let batches = batches.map_err(|error| Failure::because("the batches cannot be read", &error))?;
    if arguments.json {
        return Ok(output::json(
            &batches.iter().map(|batch| with_counts(batch, issuer)).collect::<Vec<_>>(),
        )?);
    }
    let rows: Vec<_> = batches
        .iter()
        .map(|BatchSummary { batch, counts }| {
            let left = counts.get("issued").copied().unwrap_or_default();
            let minted_at = batch.minted_at.format("%Y-%m-%d %H:%M").to_string();
            let sealed = if issuer.is_sealed(batch) { "yes" } else { "no" };
            let note = batch.note.clone().unwrap_or_default();
            [
                batch.id.to_string(),
                batch.sku.to_string(),
                minted_at,
                batch.count.to_string(),
                left.to_string(),
                sealed.to_owned(),
                note,
            ]
        })
        .collect();
    Ok(output::table(["BATCH", "SKU", "MINTED (UTC)", "VOUCHERS", "UNUSED", "SEALED", "NOTE"], &rows)?)
}

async fn show(arguments: &OneArguments, issuer: &Issuer) -> Result<(), Failure> {
    let found = issuer.batch(arguments.id).await;
    let found = found.map_err(|error| Failure::because("the batch cannot be read", &error))?;
    let summary = found.ok_or_else(|| unknown(arguments.id))?;
    if arguments.json {
        return Ok(output::json(&with_counts(&summary, issuer))?);
    }
    let BatchSummary { batch, counts } = &summary;
    let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let mut rows = vec![
        ["batch".to_owned(), batch.id.to_string()],
        ["sku".to_owned(), batch.sku.to_string()],
        ["minted".to_owned(), format!("{} by {}", time(batch.minted_at), batch.minted_by)],
        ["expires".to_owned(), batch.expires_at.map_or_else(|| "never unredeemed".to_owned(), time)],
        ["sealed".to_owned(), if issuer.is_sealed(batch) { "yes" } else { "no" }.to_owned()],
        ["note".to_owned(), batch.note.clone().unwrap_or_default()],
        ["vouchers".to_owned(), batch.count.to_string()],
    ];
    rows.extend(counts.iter().map(|(state, count)| [format!("  {state}"), count.to_string()]));
    Ok(output::lines(rows.iter().map(|[name, value]| format!("{name:<20}{value}")))?)
}

async fn download(arguments: &DownloadArguments, issuer: &Issuer) -> Result<(), Failure> {
    let found = issuer.codes(arguments.id).await;
    let codes = match found.map_err(|error| Failure::work(chain(&error)))? {
        BatchCodes::Open(_, codes) => codes,
        BatchCodes::Sealed => {
            return Err(Failure::work(format!("{} is sealed: its codes can no longer be had", arguments.id)));
        }
        BatchCodes::NotFound => return Err(unknown(arguments.id)),
    };
    match &arguments.out {
        Some(path) => {
            let written = write_file(begin_file(path, arguments.force)?, codes, arguments.group);
            written.map_err(|error| Failure::work(format!("{} cannot be written: {error}", path.display())))
        }
        None => Ok(write_codes(&mut BufWriter::new(io::stdout().lock()), codes, arguments.group)?),
    }
}

async fn seal(arguments: &OneArguments, issuer: &Issuer) -> Result<(), Failure> {
    let is_known = issuer.seal(arguments.id).await;
    if !is_known.map_err(|error| Failure::because("the batch cannot be sealed", &error))? {
        return Err(unknown(arguments.id));
    }
    if arguments.json {
        output::json(&serde_json::json!({ "batch": arguments.id, "sealed": true }))?;
    } else {
        output::line(&format!("{} is sealed", arguments.id))?;
    }
    Ok(())
}

async fn void(arguments: &VoidArguments, support: &Support) -> Result<(), Failure> {
    let VoidArguments { reason, batch: OneArguments { id, json, .. } } = arguments;
    let voided = support.void_batch(*id, reason).await;
    let voided = voided.map_err(|error| Failure::because("the batch cannot be taken back", &error))?;
    let voided = voided.ok_or_else(|| unknown(*id))?;
    if *json {
        output::json(&serde_json::json!({ "batch": id, "voided": voided, "reason": reason }))?;
    } else {
        output::line(&format!("{voided} vouchers of {id} are cancelled ({reason})"))?;
    }
    Ok(())
}

fn unknown(id: BatchId) -> Failure {
    Failure::work(format!("there is no batch {id}; `mintcode batch list` shows them"))
}

fn with_counts(summary: &BatchSummary, issuer: &Issuer) -> serde_json::Value {
    let mut value = shown(&summary.batch);
    value["sealed"] = issuer.is_sealed(&summary.batch).into();
    value["counts"] = serde_json::json!(summary.counts);
    value
}
