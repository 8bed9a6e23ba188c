//! `mintcode migrate`: brings the database up to date.

use std::path::Path;

use clap::Args;
use mintcode_store::{DatabaseUrl, PostgresStore, SqliteStore};
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

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let Arguments { json, database } = arguments;
    let sources = Cli::sources(config, &[database.flag()])?;
    let secrets = backend::given_secrets(&sources)?;
    let (name, (from, to)) = match sources.database()? {
        DatabaseUrl::Sqlite(path) => {
            let done = SqliteStore::migrate(&path, secrets.as_ref());
            (path.display().to_string(), done.map_err(|error| Failure::work(chain(&error)))?)
        }
        DatabaseUrl::Postgres(url) => {
            let done = PostgresStore::migrate(&url, secrets.as_ref()).await;
            (url.to_string(), done.map_err(|error| Failure::work(chain(&error)))?)
        }
    };
    if json {
        output::json(&json!({ "from": from, "to": to }))?;
        return Ok(());
    }
    output::line(&match from {
        None => format!("{name} was made with schema {to}"),
        Some(from) if from == to => format!("{name} has schema {to} already"),
        Some(from) => format!("{name} was brought from schema {from} to schema {to}"),
    })?;
    Ok(())
}
