//! `mintcode backup`: a copy of the database, taken while it is used.

use std::path::{Path, PathBuf};

use clap::Args;
use mintcode_store::postgres::PostgresUrl;
use mintcode_store::{BackupSummary, DatabaseUrl};
use serde_json::json;

use crate::args::{Cli, DatabaseArgs};
use crate::exit::{Failure, chain};
use crate::{backend, output};

#[derive(Args)]
#[command(after_help = "\
Needs no secret: what is sealed stays sealed, and the copy is of use only beside the voucher secret, which it does not \
hold. To go on with a copy, stop the server, put the copy in the place of the database (and remove the files beside \
it that end in -wal and -shm), and start the server with the same secret.
  mintcode backup /var/backups/mintcode-monday.db

A PostgreSQL database is backed up with PostgreSQL's own tools: this says how, and docs/operations.md says more.")]
pub(crate) struct Arguments {
    /// The file to make; one that is there is never replaced.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let Arguments { file, json, database } = arguments;
    let sources = Cli::sources(config, &[database.flag()])?;
    let path = match sources.database()? {
        DatabaseUrl::Sqlite(path) => path,
        DatabaseUrl::Postgres(url) => return Err(Failure::usage(of_server(&url))),
    };
    backend::existing_file(&path)?;
    let made = mintcode_store::sqlite::backup(&path, file);
    let BackupSummary { bytes, schema } = made.map_err(|error| Failure::work(chain(&error)))?;
    if *json {
        output::json(&json!({ "file": file, "bytes": bytes, "schema": schema }))?;
    } else {
        output::line(&format!("{} is a checked copy of {} bytes, schema {schema}", file.display(), bytes))?;
    }
    Ok(())
}

/// What to do instead. The server's own tools fit its version, know its roles, and can lose less than any copy does.
fn of_server(url: &PostgresUrl) -> String {
    format!(
        "a PostgreSQL database is backed up with PostgreSQL's own tools, as of one moment and while it is used:\n\
         pg_dump --format=custom --no-owner --file=mintcode.dump {}\n\
         docs/operations.md says how to restore it, and how base backups and archived logs lose less",
        url.client_arguments()
    )
}
