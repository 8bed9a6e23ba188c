//! `mintcode sku`: what is sold.

mod file;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mintcode_core::ids::SkuId;
use mintcode_core::ports::catalogue::may_replace;
use mintcode_core::ports::{Catalogue, Put, SkuError, Vouchers};
use mintcode_core::sku::Sku;
use mintcode_store::SqliteStore;

pub(super) use self::file::SkuFile;
use crate::args::{Cli, DatabaseArgs};
use crate::exit::{Failure, chain};
use crate::{backend, output};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Store the SKUs of a file, all or none; those that exist are replaced.
    Apply(ApplyArguments),
    /// List SKUs.
    List(ListArguments),
    /// Show a SKU as a file that `sku apply` takes.
    Show(ShowArguments),
}

#[derive(Args)]
#[command(after_help = r#"Example of a file (every field of the policy is optional):
  [[sku]]
  id = "tg_ca_001"
  name = { en = "Telegram · Canada", zh = "Telegram · 加拿大" }
  label = "TGCA"                # fixed once a batch exists, like product
  product = "telegram"
  price = "0.80"
  [sku.policy]
  max_redemptions = 3
  max_duration = "5m"
  [[sku.plan]]
  id = "A"
  country = "canada"
  operator = "virtual4"         # never "any"
  expected_cost = "0.12"
  max_cost = "0.20""#)]
pub(crate) struct ApplyArguments {
    /// The SKU file.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
pub(crate) struct ShowArguments {
    /// The SKU.
    #[arg(value_name = "SKU")]
    id: SkuId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    match action {
        Action::Apply(arguments) => apply(&arguments, config).await,
        Action::List(arguments) => list(&arguments, config).await,
        Action::Show(arguments) => show(&arguments, config).await,
    }
}

async fn apply(arguments: &ApplyArguments, config: Option<&Path>) -> Result<(), Failure> {
    let file = SkuFile::read(&arguments.file)?;
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open(&sources)?;
    fits(&file, &store).await?;

    let mut applied = Vec::new();
    for (index, sku) in file.skus.iter().enumerate() {
        let is_new =
            store.put_sku(sku.clone(), Put::Apply).await.map_err(|error| file.refused(index, &error))?;
        applied.push((sku, is_new));
    }
    store.close().await.map_err(|error| Failure::because("the database cannot be closed", &error))?;
    if arguments.json {
        output::json(&applied.iter().map(|(sku, _)| sku).collect::<Vec<_>>())?;
    } else {
        let word = |is_new: bool| if is_new { "added" } else { "replaced" };
        output::lines(applied.iter().map(|(sku, is_new)| format!("{} is {}", sku.id, word(*is_new))))?;
    }
    Ok(())
}

/// Checks the file against what is stored before anything is changed, so that it is applied whole or not at all.
async fn fits(file: &SkuFile, store: &SqliteStore) -> Result<(), Failure> {
    let unreadable =
        |error: &(dyn std::error::Error + 'static)| Failure::because("the SKUs cannot be read", error);
    let stored = store.skus().await.map_err(|error| unreadable(&error))?;
    let minted = store.labels().await.map_err(|error| unreadable(&error))?;
    for (index, sku) in file.skus.iter().enumerate() {
        if let Some(old) = stored.iter().find(|old| old.id == sku.id) {
            let has_batch = minted.iter().any(|(label, _)| *label == old.label);
            may_replace(old, sku, has_batch).map_err(|error| file.refused(index, &error))?;
        }
        // One that this file gives another label leaves its old one free.
        let owner = stored.iter().find(|other| other.label == sku.label && other.id != sku.id);
        let is_freed =
            owner.is_some_and(|owner| file.skus[..index].iter().any(|earlier| earlier.id == owner.id));
        if owner.is_some() && !is_freed {
            return Err(file.refused(index, &SkuError::LabelTaken));
        }
    }
    Ok(())
}

async fn list(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources)?;
    let skus = store.skus().await.map_err(|error| Failure::because("the SKUs cannot be read", &error))?;
    if arguments.json {
        return Ok(output::json(&skus)?);
    }
    let rows: Vec<_> = skus.iter().map(row).collect();
    Ok(output::table(["SKU", "NAME", "LABEL", "PRODUCT", "PRICE", "PLANS ON", "STATE"], &rows)?)
}

fn row(sku: &Sku) -> [String; 7] {
    let on = sku.plans.iter().filter(|plan| plan.enabled).count();
    let name = if sku.name.en == sku.name.zh {
        sku.name.en.clone()
    } else {
        format!("{} / {}", sku.name.en, sku.name.zh)
    };
    [
        sku.id.to_string(),
        name,
        sku.label.to_string(),
        sku.product.clone(),
        sku.price.to_string(),
        format!("{on} of {}", sku.plans.len()),
        if sku.archived { "archived" } else { "on sale" }.to_owned(),
    ]
}

async fn show(arguments: &ShowArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources)?;
    let id = &arguments.id;
    let found = store.sku(id).await.map_err(|error| Failure::because("the SKU cannot be read", &error))?;
    let sku = found
        .ok_or_else(|| Failure::work(format!("there is no SKU {id}; `mintcode sku list` shows them")))?;
    if arguments.json {
        return Ok(output::json(&sku)?);
    }
    let text = file::written(&sku).map_err(|error| Failure::work(chain(&*error)))?;
    Ok(output::line(text.trim_end())?)
}
