//! `mintcode plan`: switching plans.

use std::path::Path;

use clap::{Args, Subcommand};
use mintcode_core::ids::{PlanId, SkuId};
use mintcode_core::ports::{PlanChange, SkuError};

use crate::args::{Cli, DatabaseArgs};
use crate::exit::{Failure, chain};
use crate::{backend, output};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Let a plan be chosen again.
    Enable(Arguments),
    /// Let a plan no longer be chosen, effective at the next attempt.
    Disable(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// The SKU.
    #[arg(value_name = "SKU")]
    sku: SkuId,
    /// The plan within it.
    #[arg(value_name = "PLAN")]
    plan: PlanId,
    /// Print the SKU as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    let (arguments, enabled) = match action {
        Action::Enable(arguments) => (arguments, true),
        Action::Disable(arguments) => (arguments, false),
    };
    let Arguments { sku, plan, json, database } = arguments;
    let sources = Cli::sources(config, &[database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let change = PlanChange { enabled: Some(enabled), ..PlanChange::default() };
    let changed = store.change_plan(&sku, &plan, change).await.map_err(|error| match error {
        SkuError::NoSku => Failure::work(format!("there is no SKU {sku}; `mintcode sku list` shows them")),
        SkuError::NoPlan => {
            Failure::work(format!("SKU {sku} has no plan {plan}; `mintcode sku show {sku}` shows them"))
        }
        error => Failure::work(chain(&error)),
    })?;
    if json {
        output::json(&changed)?;
    } else {
        output::line(&format!("plan {plan} of {sku} is {}", if enabled { "on" } else { "off" }))?;
    }
    Ok(())
}
