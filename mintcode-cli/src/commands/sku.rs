//! `mintcode sku`: what is sold.

mod file;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mintcode_core::ids::SkuId;
use mintcode_core::ports::{Put, SkuError};
use mintcode_core::sku::Sku;

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
    Show(OneArguments),
    /// Take a SKU off sale: nothing more is minted of it, and its vouchers stay good.
    Delete(OneArguments),
}

#[derive(Args)]
#[command(after_help = r#"A SKU on the deny list (see [deny] in the configuration) refuses the whole file.
Example of a file (every field of the policy is optional):
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
pub(crate) struct OneArguments {
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
        Action::Delete(arguments) => delete(&arguments, config).await,
    }
}

async fn apply(arguments: &ApplyArguments, config: Option<&Path>) -> Result<(), Failure> {
    let file = SkuFile::read(&arguments.file)?;
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let deny = sources.deny_list()?;
    for (index, sku) in file.skus.iter().enumerate() {
        deny.check(sku).map_err(|errors| file.refused(index, &SkuError::Denied(errors)))?;
    }
    let store = backend::open(&sources).await?;
    let applied = store.put_skus(file.skus.clone(), Put::Apply).await;
    let applied = applied.map_err(|(index, error)| file.refused(index, &error))?;
    store.close().await?;
    if arguments.json {
        return Ok(output::json(&file.skus)?);
    }
    let word = |is_new: bool| if is_new { "added" } else { "replaced" };
    let lines = file.skus.iter().zip(applied).map(|(sku, is_new)| format!("{} is {}", sku.id, word(is_new)));
    Ok(output::lines(lines)?)
}

async fn list(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources).await?;
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

async fn show(arguments: &OneArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let id = &arguments.id;
    let found = store.sku(id).await.map_err(|error| Failure::because("the SKU cannot be read", &error))?;
    let sku = found.ok_or_else(|| unknown(id))?;
    if arguments.json {
        return Ok(output::json(&sku)?);
    }
    let text = file::written(&sku).map_err(|error| Failure::work(chain(&*error)))?;
    Ok(output::line(text.trim_end())?)
}

async fn delete(arguments: &OneArguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let id = &arguments.id;
    store.archive_sku(id).await.map_err(|error| match error {
        SkuError::NoSku => unknown(id),
        error => Failure::work(chain(&error)),
    })?;
    if arguments.json {
        output::json(&serde_json::json!({ "sku": id, "archived": true }))?;
    } else {
        output::line(&format!("{id} is archived; `mintcode sku apply` puts it back on sale"))?;
    }
    Ok(())
}

fn unknown(id: &SkuId) -> Failure {
    Failure::work(format!("there is no SKU {id}; `mintcode sku list` shows them"))
}
