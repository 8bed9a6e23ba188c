//! `mintcode migrate`: brings the database up to date.

use std::path::Path;

use clap::Args;
use mintcode_store::SqliteStore;
use serde_json::json;

use crate::args::{Cli, DatabaseArgs};
use crate::exit::{Failure, chain};
use crate::{backend, output};

#[derive(Args)]
#[command(after_help = "\
`mintcode serve` does the same when it starts; this does it beforehand, while no server uses the database, and makes \
the database where there is none. Take a backup first: there is no way back to an earlier version.")]
pub(crate) struct Arguments {
    /// Print the versions as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let Arguments { json, database } = arguments;
    let sources = Cli::sources(config, &[database.flag()])?;
    let path = sources.database()?.path;
    let secrets = backend::given_secrets(&sources)?;
    let (from, to) =
        SqliteStore::migrate(&path, secrets.as_ref()).map_err(|error| Failure::work(chain(&error)))?;
    if *json {
        output::json(&json!({ "from": from, "to": to }))?;
        return Ok(());
    }
    let path = path.display();
    output::line(&match from {
        None => format!("{path} was made with schema {to}"),
        Some(from) if from == to => format!("{path} has schema {to} already"),
        Some(from) => format!("{path} was brought from schema {from} to schema {to}"),
    })?;
    Ok(())
}
