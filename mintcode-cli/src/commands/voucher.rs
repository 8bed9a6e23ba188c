//! `mintcode voucher`: support work on single vouchers.

use std::path::Path;

use clap::{Args, Subcommand};
use mintcode_core::engine::Issuer;
use mintcode_core::ports::{RedemptionTrail, VoucherTrail};
use mintcode_core::redemption::{AttemptRow, Outcome};
use mintcode_core::voucher::Mask;
use serde_json::{Value, json};

use crate::args::{Cli, DatabaseArgs};
use crate::exit::Failure;
use crate::{backend, codes, output};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Show everything that happened to a voucher.
    Lookup(Arguments),
}

#[derive(Args)]
#[command(after_help = "\
  mintcode voucher lookup ABCD****WXYZ
  mintcode voucher lookup - < code.txt")]
pub(crate) struct Arguments {
    /// The code, or its mask as in ABCD****WXYZ; `-` reads codes from standard input.
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    let Action::Lookup(arguments) = action;
    let sources = Cli::sources(config, &[arguments.database.flag()])?;
    let store = backend::open_existing(&sources)?;
    let issuer = backend::issuer(&sources, &store)?;
    let mut found = Vec::new();
    let mut missing = 0;
    for code in codes::read(&arguments.codes)?.iter().filter(|code| !code.trim().is_empty()) {
        let trails = trails(code, &issuer).await?;
        missing += usize::from(trails.is_empty());
        found.extend(trails);
    }
    if arguments.json {
        output::json(&found.iter().map(shown).collect::<Vec<_>>())?;
    } else {
        output::lines(found.iter().flat_map(described))?;
    }
    match missing {
        0 => Ok(()),
        1 => Err(Failure::work("one of the codes belongs to no voucher here")),
        missing => Err(Failure::work(format!("{missing} of the codes belong to no voucher here"))),
    }
}

async fn trails(code: &str, issuer: &Issuer) -> Result<Vec<VoucherTrail>, Failure> {
    let found = match code.parse::<Mask>() {
        Ok(mask) => issuer.trails_by_mask(mask).await,
        Err(_) => issuer.trail(code).await.map(|trail| trail.into_iter().collect()),
    };
    found.map_err(|error| Failure::because("the vouchers cannot be read", &error))
}

fn shown(trail: &VoucherTrail) -> Value {
    let voucher = &trail.voucher;
    json!({
        "id": voucher.hash,
        "state": voucher.state.name(),
        "mask": voucher.mask,
        "sku": voucher.sku,
        "batch": voucher.batch,
        "expires_at": voucher.expires_at,
        "redemptions": trail.redemptions.iter().map(redemption_shown).collect::<Vec<_>>(),
    })
}

fn redemption_shown(redemption: &RedemptionTrail) -> Value {
    json!({
        "id": redemption.id,
        "status": redemption.status,
        "created_at": redemption.created_at,
        "updated_at": redemption.updated_at,
        "attempts": redemption.attempts.iter().map(attempt_shown).collect::<Vec<_>>(),
    })
}

fn attempt_shown(attempt: &AttemptRow) -> Value {
    json!({
        "number": attempt.number,
        "plan": attempt.plan,
        "supplier_order": attempt.order,
        "price": attempt.price,
        "outcome": attempt.outcome.map(Outcome::name),
        "reason": attempt.reason,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
    })
}

fn described(trail: &VoucherTrail) -> Vec<String> {
    let voucher = &trail.voucher;
    let mut lines =
        vec![format!("{}  {}  {}  {}", voucher.mask, voucher.state.name(), voucher.sku, voucher.batch)];
    for redemption in &trail.redemptions {
        let at = redemption.created_at.format("%Y-%m-%d %H:%M:%S");
        lines.push(format!("  {at}  {}  {}", redemption.id, redemption.status.name()));
        lines.extend(redemption.attempts.iter().map(|attempt| {
            let outcome = attempt.outcome.map_or("under way", Outcome::name);
            let price = attempt.price.map_or_else(String::new, |price| format!("  {price}"));
            let order = attempt.order.as_ref().map_or_else(String::new, |order| format!("  order {order}"));
            format!(
                "    attempt {}  plan {}  {outcome}{order}{price}  {}",
                attempt.number, attempt.plan, attempt.reason
            )
        }));
    }
    lines
}
