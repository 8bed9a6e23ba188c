//! `mintcode doctor`: whether everything is as it has to be, and what to do where it is not.

mod check;
mod database;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mintcode_core::ports::{Clock, Supplier};

use self::check::Check;
use crate::args::{Cli, DatabaseArgs};
use crate::config::{Sources, SupplierSettings};
use crate::exit::{Failure, chain};
use crate::system::SystemClock;
use crate::{backend, output};

/// How long a supplier has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(after_help = "\
Wants what `mintcode serve` wants, and changes nothing; run it beside the server as often as you like. Exit code 1 where \
anything is not as it has to be. All of the database is read, as of one moment, so it takes a while where there is much.")]
pub(crate) struct Arguments {
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let Arguments { json, database } = arguments;
    let sources = Cli::sources(config, &[database.flag()])?;
    let mut checks = vec![configuration(&sources)];
    checks.extend(database::look_at(&sources).await);
    for supplier in sources.suppliers().unwrap_or_default() {
        checks.push(of_supplier(supplier).await);
    }
    let is_well = checks.iter().all(|check| check.ok);
    if json {
        output::json(&serde_json::json!({ "ok": is_well, "checks": checks }))?;
    } else {
        output::lines(checks.iter().flat_map(Check::shown))?;
    }
    if is_well { Ok(()) } else { Err(Failure::told()) }
}

fn configuration(sources: &Sources) -> Check {
    let read = || {
        sources.check()?;
        sources.admin_key()?;
        sources.voucher_keys()?;
        sources.shape(None)?;
        sources.timing()?;
        sources.rules()?;
        sources.check_rates(&sources.suppliers()?)
    };
    match read() {
        Ok(()) => Check::good("configuration", "`mintcode serve` can start with it"),
        Err(failure) => Check::bad(
            "configuration",
            failure.text(),
            "set it in mintcode.toml or the environment; mintcode.example.toml explains every key",
        ),
    }
}

async fn of_supplier(settings: SupplierSettings) -> Check {
    let name = format!("supplier {}", settings.name);
    let client = match backend::client(settings, &(Arc::new(SystemClock) as Arc<dyn Clock>), PATIENCE) {
        Ok(client) => client,
        Err(failure) => return Check::bad(name, failure.text(), "correct its URL and key"),
    };
    match client.profile().await {
        Ok(profile) => Check::good(name, format!("its account has {} {}", profile.balance, profile.currency)),
        Err(error) => {
            Check::bad(name, chain(&error), "see whether its URL and key are right and it can be reached")
        }
    }
}
