//! `mintcode voucher`: support work on single vouchers.

mod change;
mod reissue;
mod shown;

use std::path::Path;

use clap::{Args, Subcommand};
use mintcode_core::engine::{Issuer, Support};
use mintcode_core::ports::VoucherTrail;
use mintcode_core::voucher::{Mask, VoucherHash};

use self::change::{ExtendArguments, ResetArguments, VoidArguments};
use self::reissue::ReissueArguments;
pub(super) use self::shown::{attempt_described, attempt_shown, id};
use crate::args::{Cli, DatabaseArgs};
use crate::config::Sources;
use crate::exit::Failure;
use crate::{backend, codes, output};

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Show everything that happened to a voucher, and what it cost and earned.
    Lookup(LookupArguments),
    /// Take vouchers back, for good.
    Void(VoidArguments),
    /// Give vouchers another end; an expired one is good again.
    Extend(ExtendArguments),
    /// Give vouchers all their tries back.
    Reset(ResetArguments),
    /// Issue another voucher in place of a fulfilled one, once.
    Reissue(ReissueArguments),
}

/// Which vouchers are meant, and where they are kept.
#[derive(Args)]
struct Which {
    /// The code, its mask as in ABCD****WXYZ, or the voucher's id (vch_…); `-` reads them from standard input.
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  mintcode voucher lookup ABCD****WXYZ
  mintcode voucher lookup - < code.txt")]
pub(crate) struct LookupArguments {
    #[command(flatten)]
    which: Which,
}

pub(crate) async fn run(action: Action, config: Option<&Path>) -> Result<(), Failure> {
    match action {
        Action::Lookup(arguments) => lookup(&arguments.which, config).await,
        Action::Void(arguments) => change::void(&arguments, config).await,
        Action::Extend(arguments) => change::extend(&arguments, config).await,
        Action::Reset(arguments) => change::reset(&arguments, config).await,
        Action::Reissue(arguments) => reissue::run(&arguments, config).await,
    }
}

/// What works on vouchers needs.
struct Desk {
    sources: Sources,
    issuer: Issuer,
    support: Support,
}

impl Desk {
    async fn open(database: &DatabaseArgs, config: Option<&Path>) -> Result<Self, Failure> {
        let sources = Cli::sources(config, &[database.flag()])?;
        let store = backend::open_existing(&sources).await?;
        let issuer = backend::issuer(&sources, &store)?;
        let support = backend::support(&sources, &store)?;
        Ok(Self { sources, issuer, support })
    }

    /// The vouchers that `text` means: none, one, or those that share a mask.
    async fn trails(&self, text: &str) -> Result<Vec<VoucherTrail>, Failure> {
        let text = text.trim();
        let found = if let Some(hash) = text.strip_prefix("vch_") {
            match hash.parse::<VoucherHash>() {
                Ok(hash) => self.support.trail(hash).await.map(Vec::from_iter),
                Err(_) => Ok(Vec::new()),
            }
        } else {
            match text.parse::<Mask>() {
                Ok(mask) => self.issuer.trails_by_mask(mask).await,
                Err(_) => self.issuer.trail(text).await.map(Vec::from_iter),
            }
        };
        found.map_err(|error| Failure::because("the vouchers cannot be read", &error))
    }

    /// The one voucher that each of `given` means, in order. Nothing is changed before all are found.
    async fn find(&self, given: &[String]) -> Result<Vec<VoucherTrail>, Failure> {
        let mut found = Vec::new();
        let mut missing = 0;
        for text in read(given)? {
            let mut trails = self.trails(&text).await?;
            match trails.pop() {
                None => missing += 1,
                Some(only) if trails.is_empty() => found.push(only),
                Some(one) => {
                    return Err(Failure::work(format!(
                        "{} vouchers are shown as {}; name the one by its code, or by its id as in\n\
                         `mintcode voucher lookup {}`; nothing is changed",
                        trails.len() + 1,
                        one.voucher.mask,
                        one.voucher.mask
                    )));
                }
            }
        }
        match missing {
            0 => Ok(found),
            missing => Err(Failure::work(format!("{}; nothing is changed", unknown(missing)))),
        }
    }
}

/// The codes in `given` and on standard input, without empty lines.
fn read(given: &[String]) -> Result<Vec<String>, Failure> {
    Ok(codes::read(given)?.into_iter().filter(|code| !code.trim().is_empty()).collect())
}

/// What is said of codes that mean nothing here. They are not repeated: they may belong to somebody.
fn unknown(missing: usize) -> String {
    match missing {
        1 => "one of the codes belongs to no voucher here".to_owned(),
        missing => format!("{missing} of the codes belong to no voucher here"),
    }
}

async fn lookup(which: &Which, config: Option<&Path>) -> Result<(), Failure> {
    let desk = Desk::open(&which.database, config).await?;
    let currency = desk.support.rules().rates.selling;
    let mut found = Vec::new();
    let mut missing = 0;
    for code in read(&which.codes)? {
        let trails = desk.trails(&code).await?;
        missing += usize::from(trails.is_empty());
        found.extend(trails);
    }
    if which.json {
        let shown = found.iter().map(|trail| shown::trail(trail, currency)).collect::<Result<Vec<_>, _>>();
        output::json(&shown?)?;
    } else {
        let lines =
            found.iter().map(|trail| shown::described(trail, currency)).collect::<Result<Vec<_>, _>>();
        output::lines(lines?.concat())?;
    }
    match missing {
        0 => Ok(()),
        missing => Err(Failure::work(unknown(missing))),
    }
}
