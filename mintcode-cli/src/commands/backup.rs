//! `mintcode backup`: a copy of the database, taken while it is used.

use std::path::{Path, PathBuf};

use clap::Args;
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
  mintcode backup /var/backups/mintcode-monday.db")]
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
    let DatabaseUrl::Sqlite(path) = sources.database()? else {
        return Err(Failure::usage(
            "a PostgreSQL database is backed up with its own tools, such as `pg_dump`",
        ));
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
