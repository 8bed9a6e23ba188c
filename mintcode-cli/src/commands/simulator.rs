//! `mintcode simulator`: the supplier's side as a server of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use mintcode_supplier::simulator::{Scenario, Simulator};
use serde_json::json;

use crate::args::Cli;
use crate::config::Address;
use crate::exit::Failure;
use crate::server::{self, Signals};
use crate::system::SystemClock;
use crate::{logging, output};

#[derive(Args)]
#[command(after_help = "\
Takes exactly the key in MINTCODE_SUPPLIER_API_KEY, or any key where it is not set. Its books are at /sim/books.
  mintcode simulator --listen 127.0.0.1:8090
  export MINTCODE_SUPPLIER_URL=http://127.0.0.1:8090/v1 MINTCODE_SUPPLIER_API_KEY=any")]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: String,
    /// How it behaves: stock, prices, delays and faults, as TOML.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Print the URL as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &[])?;
    let mut scenario = arguments.scenario.as_deref().map_or_else(|| Ok(Scenario::default()), read)?;
    scenario.api_key = sources.simulator_key()?.or(scenario.api_key);
    logging::start(sources.log()?);
    let mut signals = Signals::new()?;
    let (listener, url) = server::listen(&Address(arguments.listen)).await?;
    let url = format!("{url}/v1");
    if arguments.json {
        output::json(&json!({ "url": url }))?;
    } else {
        output::line(&format!("MINTCODE_SUPPLIER_URL={url}"))?;
    }
    let simulator = Simulator::new(scenario, Arc::new(SystemClock));
    let stop = async move {
        signals.next().await;
        signals.end_at_next();
    };
    simulator.serve(listener, stop).await.map_err(|error| Failure::because("the simulator stopped", &error))
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure::work(format!("{} cannot be read: {error}", path.display())))?;
    Scenario::from_toml(&text).map_err(|error| Failure::work(format!("{}, {error}", path.display())))
}
