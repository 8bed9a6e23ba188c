//! `mintcode generate`: codes made offline.

use std::path::Path;

use clap::{Args, value_parser};
use mintcode_core::ports::Entropy;
use mintcode_core::voucher::{Label, MAX_BATCH};
use serde_json::json;

use crate::args::{Cli, SecretArgs, ShapeArgs};
use crate::exit::Failure;
use crate::output;
use crate::system::SystemEntropy;

/// What the tags are made of where no label is given.
const DEFAULT_LABEL: &str = "MINT";

#[derive(Args)]
#[command(after_help = "\
Needs the voucher secret and nothing else. The codes are worth something only once they are taken in:
  mintcode generate --count 100 --label TGCA > codes.txt
  mintcode mint --sku tg_ca_001 --import codes.txt")]
pub(crate) struct Arguments {
    /// How many codes.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(MAX_BATCH)))]
    count: u32,
    /// The label of the SKU they are for.
    #[arg(long, default_value = DEFAULT_LABEL)]
    label: Label,
    /// Symbols between two hyphens; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 4)]
    group: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let Arguments { count, label, group, json, shape, secret } = arguments;
    let sources = Cli::sources(config, &shape.flags())?;
    let (keys, shape) = (secret.keys(&sources)?, sources.shape(None)?);
    let codes = keys.mint_many(label, shape, *count, |bytes| SystemEntropy.fill(bytes));
    let codes = codes.map_err(|error| Failure::usage(error.to_string()))?.map(|code| code.grouped(*group));
    if *json {
        let codes: Vec<_> = codes.collect();
        output::json(&json!({ "label": label, "count": count, "codes": codes }))?;
    } else {
        output::lines(codes)?;
    }
    Ok(())
}
