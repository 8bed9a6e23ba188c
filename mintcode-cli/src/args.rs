//! The command line: the commands, and arguments that several of them share.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use mintcode_core::voucher::{Shape, VoucherKeys, VoucherSecret};

use crate::commands::{
    alerts, backup, batch, doctor, generate, identify, migrate, mint, plan, redeem, redemption, serve,
    simulator, sku, stats, verify, voucher,
};
use crate::config::{Flag, Sources};
use crate::exit::Failure;

/// Vouchers that become verification codes.
#[derive(Parser)]
#[command(
    name = "mintcode",
    version,
    arg_required_else_help = false,
    after_help = "\
Examples:
  mintcode serve --sandbox          try everything: simulated supplier, demo SKUs, ten vouchers
  mintcode sku apply skus.toml      say what is sold
  mintcode mint --sku tg_ca_001 --count 100 --out vouchers.txt
  mintcode redeem CODE              redeem from the terminal

Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration."
)]
pub(crate) struct Cli {
    /// The configuration file; mintcode.toml in the working directory unless given.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API and the pages, and drive redemptions.
    Serve(serve::Arguments),
    /// Make voucher codes offline, sorted, one per line.
    Generate(generate::Arguments),
    /// Tell for each code whether it carries a label: OK or NO.
    Verify(verify::Arguments),
    /// Tell which label each code carries.
    Identify(identify::Arguments),
    /// Mint vouchers into the database, or take in codes made by `generate`.
    Mint(mint::Arguments),
    /// Look after batches of vouchers.
    #[command(subcommand, arg_required_else_help = false)]
    Batch(batch::Action),
    /// Look after single vouchers.
    #[command(subcommand, arg_required_else_help = false)]
    Voucher(voucher::Action),
    /// Look after SKUs.
    #[command(subcommand, arg_required_else_help = false)]
    Sku(sku::Action),
    /// Switch plans on and off.
    #[command(subcommand, arg_required_else_help = false)]
    Plan(plan::Action),
    /// Look after redemptions.
    #[command(subcommand, arg_required_else_help = false)]
    Redemption(redemption::Action),
    /// Show what was delivered, what it cost and earned, and how plans did.
    Stats(stats::Arguments),
    /// Look after alerts.
    #[command(subcommand, arg_required_else_help = false)]
    Alerts(alerts::Action),
    /// Redeem vouchers from the terminal.
    Redeem(redeem::Arguments),
    /// Look whether everything is as it has to be, and say what to do where it is not.
    Doctor(doctor::Arguments),
    /// Copy the database while it is used.
    Backup(backup::Arguments),
    /// Bring the database up to date.
    Migrate(migrate::Arguments),
    /// Run the supplier simulator as a server of its own.
    Simulator(simulator::Arguments),
}

impl Cli {
    /// What is configured, with `flags` over it.
    pub(crate) fn sources(config: Option<&Path>, flags: &[Flag<'_>]) -> Result<Sources, Failure> {
        Sources::load(config, flags)
    }

    /// The file named by `--config`.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        self.config.clone()
    }
}

/// Which database a command works on.
#[derive(Args)]
pub(crate) struct DatabaseArgs {
    /// The database, such as sqlite:mintcode.db.
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

impl DatabaseArgs {
    pub(crate) fn flag(&self) -> Flag<'_> {
        ("database.url", "--database-url", self.database_url.as_deref())
    }
}

/// The secret that keys voucher codes.
#[derive(Args)]
pub(crate) struct SecretArgs {
    /// A file with the voucher secret, instead of MINTCODE_VOUCHER_SECRET; one line end at its end is left out.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SecretArgs {
    /// The keys of the secret in the file, or of the configured one and those before it.
    pub(crate) fn keys(&self, sources: &Sources) -> Result<VoucherKeys, Failure> {
        let Some(path) = &self.secret_file else { return sources.voucher_keys() };
        let unusable =
            |problem: String| Failure::usage(format!("--secret-file {}: {problem}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let line =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        let secret = VoucherSecret::new(line).map_err(|error| unusable(error.to_string()))?;
        Ok(VoucherKeys::new(&secret, &[]))
    }
}

/// The shape of voucher codes.
#[derive(Args)]
pub(crate) struct ShapeArgs {
    /// Symbols of a code, tag and check symbol included [default: 32, or as configured].
    #[arg(long, value_name = "N")]
    length: Option<String>,
    /// Symbols of the tag [default: 6, or as configured].
    #[arg(long, value_name = "N")]
    label_length: Option<String>,
    /// Random symbols in front of the tag [default: 8, or as configured].
    #[arg(long, value_name = "N")]
    label_pos: Option<String>,
}

impl ShapeArgs {
    pub(crate) fn flags(&self) -> [Flag<'_>; 3] {
        [
            ("voucher.length", "--length", self.length.as_deref()),
            ("voucher.label_length", "--label-length", self.label_length.as_deref()),
            ("voucher.label_pos", "--label-pos", self.label_pos.as_deref()),
        ]
    }

    /// The shape in which to read `code`. Its length is the code's own unless `--length` says otherwise: codes of
    /// another length than the configured one can be told by their tags all the same.
    pub(crate) fn of_code(&self, code: &str, sources: &Sources) -> Result<Shape, Failure> {
        let usual = sources.shape(None)?;
        if self.length.is_some() {
            return Ok(usual);
        }
        let own = crate::codes::length(code, usual);
        Ok(own.and_then(|length| sources.shape(Some(length)).ok()).unwrap_or(usual))
    }
}
