//! One file per command.

pub(crate) mod alerts;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod identify;
pub(crate) mod migrate;
pub(crate) mod mint;
pub(crate) mod plan;
pub(crate) mod redeem;
pub(crate) mod redemption;
pub(crate) mod serve;
pub(crate) mod simulator;
pub(crate) mod sku;
pub(crate) mod stats;
pub(crate) mod verify;
pub(crate) mod voucher;

use std::path::Path;

use crate::args::{Cli, Command};
use crate::exit::Failure;

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let config = cli.config_file();
    let config: Option<&Path> = config.as_deref();
    match cli.command {
        Command::Serve(arguments) => wait_for(serve::run(arguments, config)),
        Command::Generate(arguments) => generate::run(&arguments, config),
        Command::Verify(arguments) => verify::run(&arguments, config),
        Command::Identify(arguments) => wait_for(identify::run(arguments, config)),
        Command::Mint(arguments) => wait_for(mint::run(arguments, config)),
        Command::Batch(action) => wait_for(batch::run(action, config)),
        Command::Voucher(action) => wait_for(voucher::run(action, config)),
        Command::Sku(action) => wait_for(sku::run(action, config)),
        Command::Plan(action) => wait_for(plan::run(action, config)),
        Command::Redemption(action) => wait_for(redemption::run(action, config)),
        Command::Stats(arguments) => wait_for(stats::run(arguments, config)),
        Command::Alerts(action) => wait_for(alerts::run(action, config)),
        Command::Redeem(arguments) => wait_for(redeem::run(arguments)),
        Command::Doctor(arguments) => wait_for(doctor::run(arguments, config)),
        Command::Backup(arguments) => backup::run(&arguments, config),
        Command::Migrate(arguments) => wait_for(migrate::run(arguments, config)),
        Command::Simulator(arguments) => wait_for(simulator::run(arguments, config)),
    }
}

fn wait_for(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new();
    runtime.map_err(|error| Failure::because("no threads can be started", &error))?.block_on(work)
}
