//! `mintcode identify`: which label codes carry.

use std::path::Path;

use clap::Args;
use mintcode_core::voucher::{Label, VoucherCode, identify};
use serde_json::json;

use crate::args::{Cli, DatabaseArgs, SecretArgs, ShapeArgs};
use crate::config::Sources;
use crate::exit::Failure;
use crate::{backend, codes, output};

#[derive(Args)]
#[command(after_help = "\
One line per code, in order: the label, or `unknown`. With --labels it needs nothing but the voucher secret.
  mintcode identify 4QZ9-… --labels TGCA,WAUS")]
pub(crate) struct Arguments {
    /// The codes; `-` reads them from standard input, one per line.
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// The labels they may carry; those of the database's SKUs unless given.
    #[arg(long, value_name = "L1,L2,…", value_delimiter = ',')]
    labels: Vec<Label>,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let [length, label_length, label_pos] = arguments.shape.flags();
    let sources = Cli::sources(config, &[length, label_length, label_pos, arguments.database.flag()])?;
    let keys = arguments.secret.keys(&sources)?;
    let labels =
        if arguments.labels.is_empty() { stored_labels(&sources).await? } else { arguments.labels.clone() };
    let labels: Vec<_> = labels.iter().map(|label| keys.label(label)).collect();

    let mut found = Vec::new();
    for text in codes::read(&arguments.codes)? {
        let code = VoucherCode::parse(&text, &arguments.shape.of_code(&text, &sources)?).ok();
        let label = code.as_ref().and_then(|code| identify(code, &labels)).map(|(label, _)| label.clone());
        found.push((code.map(|code| code.mask()), label));
    }
    if arguments.json {
        let shown = found.iter().map(|(mask, label)| json!({ "voucher": mask, "label": label }));
        output::json(&shown.collect::<Vec<_>>())?;
    } else {
        output::lines(found.iter().map(|(_, label)| label.as_ref().map_or("unknown", Label::as_str)))?;
    }
    Ok(())
}

async fn stored_labels(sources: &Sources) -> Result<Vec<Label>, Failure> {
    let store = backend::open_existing(sources).await?;
    let skus = store.skus().await.map_err(|error| Failure::because("the SKUs cannot be read", &error))?;
    Ok(skus.into_iter().map(|sku| sku.label).collect())
}
