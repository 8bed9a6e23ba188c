//! Another voucher in place of a fulfilled one.

use std::path::Path;

use clap::Args;
use mintcode_core::engine::{MintError, SupportError};
use serde_json::json;

use super::{Desk, shown};
use crate::args::DatabaseArgs;
use crate::commands::mint::MINTED_BY;
use crate::exit::{Failure, chain};
use crate::output;

#[derive(Args)]
#[command(after_help = "\
Prints the new code. Asked again it prints the same one, until its batch is sealed. The new voucher earns nothing: the \
one it replaces was paid for.
Example:
  mintcode voucher reissue 4QZ9-…")]
pub(crate) struct ReissueArguments {
    /// The code of the fulfilled voucher, its mask, or its id (vch_…); `-` reads it from standard input.
    #[arg(value_name = "CODE")]
    code: String,
    /// Symbols between two hyphens; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    group: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(arguments: &ReissueArguments, config: Option<&Path>) -> Result<(), Failure> {
    let desk = Desk::open(&arguments.database, config).await?;
    let mut found = desk.find(std::slice::from_ref(&arguments.code)).await?;
    let (Some(trail), true) = (found.pop(), found.is_empty()) else {
        return Err(Failure::usage("name one voucher: each replacement is a matter of its own"));
    };
    let replaced = trail.voucher;
    let mask = replaced.mask;
    let reissued = desk.support.reissue(replaced.hash, MINTED_BY.to_owned()).await;
    let reissued = reissued.map_err(|error| match error {
        SupportError::NotAllowed { state, .. } => {
            Failure::work(format!("{mask} is {state}; only a fulfilled voucher is reissued"))
        }
        SupportError::Mint(MintError::Sealed) => Failure::work(format!(
            "{mask} was reissued before, and the new code can no longer be had: its batch is sealed"
        )),
        error => Failure::work(format!("{mask} is not reissued: {}", chain(&error))),
    })?;
    let code = reissued.code.grouped(arguments.group);
    if arguments.json {
        let hash = desk.sources.voucher_keys()?.lookup_hash(&reissued.code);
        output::json(&json!({
            "id": shown::id(hash),
            "code": code,
            "batch": reissued.batch.id,
            "replaces": shown::id(replaced.hash),
            "replayed": reissued.is_replay,
        }))?;
    } else {
        output::line(&code)?;
    }
    let when = if reissued.is_replay { "issued before" } else { "issued" };
    eprintln!("{when} in place of {mask}: batch {}", reissued.batch.id);
    Ok(())
}
