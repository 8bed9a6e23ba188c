//! `mintcode mint`: vouchers into the database.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use mintcode_core::engine::{Issuer, MOST_IN_A_BATCH, MintError, MintRequest};
use mintcode_core::ids::SkuId;
use mintcode_core::ports::{NewBatch, Progress};
use mintcode_core::span;
use mintcode_core::voucher::{Note, VoucherCode};
use serde_json::json;

use crate::args::{Cli, DatabaseArgs, ShapeArgs};
use crate::atomic_file::AtomicFile;
use crate::exit::{Failure, chain};
use crate::{backend, codes, output};

/// Who is named as the one who minted.
pub(super) const MINTED_BY: &str = "cli";
/// How many lines an error names.
const NAMED_LINES: usize = 5;

#[derive(Args)]
#[command(after_help = "\
The batch is stored whole before its first code is shown, and can be downloaded again until it is sealed:
  mintcode mint --sku tg_ca_001 --count 100 --expires-in 30d --out vouchers.txt
  mintcode mint --sku tg_ca_001 --import codes.txt")]
pub(crate) struct Arguments {
    /// The SKU they are for.
    #[arg(long, value_name = "ID")]
    sku: SkuId,
    /// How many to mint.
    #[arg(long, value_name = "N", required_unless_present = "import",
        value_parser = value_parser!(u32).range(1..=i64::from(MOST_IN_A_BATCH)))]
    count: Option<u32>,
    /// Take in the codes of a file made by `generate` instead, one per line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["count", "out", "group", "force"])]
    import: Option<PathBuf>,
    /// How long from now they are good, such as 30d.
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    expires_in: Option<Duration>,
    /// A note on the batch.
    #[arg(long, value_name = "TEXT")]
    note: Option<Note>,
    /// Symbols between two hyphens; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    group: usize,
    /// Write the codes to a file that only you can read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if there is one.
    #[arg(long, requires = "out")]
    force: bool,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "out")]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let [length, label_length, label_pos] = arguments.shape.flags();
    let sources = Cli::sources(config, &[length, label_length, label_pos, arguments.database.flag()])?;
    let store = backend::open_existing(&sources).await?;
    let issuer = backend::issuer(&sources, &store)?;
    match (&arguments.import, arguments.count) {
        (Some(file), _) => import(&arguments, file, &issuer).await?,
        (None, Some(count)) => mint(&arguments, count, &issuer).await?,
        (None, None) => return Err(Failure::usage("--count or --import is needed")),
    }
    store.close().await
}

async fn mint(arguments: &Arguments, count: u32, issuer: &Issuer) -> Result<(), Failure> {
    // Before anything is minted, so that codes are not made for a place where they cannot be put.
    let file = arguments.out.as_deref().map(|path| begin_file(path, arguments.force)).transpose()?;
    let request = MintRequest {
        sku: &arguments.sku,
        count,
        expires_in: arguments.expires_in,
        note: arguments.note.clone(),
        minted_by: MINTED_BY.to_owned(),
        idempotency: None,
    };
    let bar = progress(count);
    let storing = bar.clone();
    let told = Progress::new(move |more| storing.inc(more as u64));
    let minted = issuer.mint_told(request, Some(told)).await;
    let minted = minted.map_err(|error| in_words(&error, &arguments.sku))?;
    let batch = minted.batch.id;
    bar.reset();
    bar.set_message("writing");
    let codes = minted.codes.inspect(|_| bar.inc(1));

    let written = match file {
        Some(file) => write_file(file, codes, arguments.group),
        None if arguments.json => {
            let codes: Vec<_> = codes.map(|code| code.grouped(arguments.group)).collect();
            let mut shown = shown(&minted.batch);
            shown["codes"] = codes.into();
            output::json(&shown)
        }
        None => write_codes(&mut BufWriter::new(io::stdout().lock()), codes, arguments.group),
    };
    bar.finish_and_clear();
    written.map_err(|error| {
        Failure::work(format!(
            "batch {batch} is minted, but its codes could not be written: {error}\n\
             `mintcode batch download {batch}` gives them again until it is sealed"
        ))
    })?;
    if arguments.out.is_some() || output::is_watched() {
        eprintln!("{count} vouchers of {} are minted: batch {batch}", arguments.sku);
    }
    Ok(())
}

async fn import(arguments: &Arguments, file: &Path, issuer: &Issuer) -> Result<(), Failure> {
    let lines = if file == Path::new("-") {
        codes::read(&["-".to_owned()])?
    } else {
        let text = fs::read_to_string(file);
        let text =
            text.map_err(|error| Failure::work(format!("{} cannot be read: {error}", file.display())))?;
        text.lines().map(str::to_owned).collect()
    };
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Arguments { sku, expires_in, note, json, .. } = arguments;
    let imported = issuer.import(sku, &lines, *expires_in, note.clone(), MINTED_BY.to_owned()).await;
    let batch = imported.map_err(|error| in_words(&error, sku))?;
    if *json {
        output::json(&shown(&batch))?;
    } else {
        output::line(&batch.id.to_string())?;
        eprintln!("{} vouchers of {sku} are taken in as a sealed batch", batch.count);
    }
    Ok(())
}

/// Begins the file that the codes go to.
pub(super) fn begin_file(path: &Path, replaces: bool) -> Result<AtomicFile, Failure> {
    AtomicFile::begin(path, replaces).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::work(format!("{} exists; name another file, or replace it with --force", path.display()))
        }
        _ => Failure::work(format!("{} cannot be written: {error}", path.display())),
    })
}

/// Writes codes into a file begun by [`begin_file`] and lets it appear.
pub(super) fn write_file(
    mut file: AtomicFile,
    codes: impl Iterator<Item = VoucherCode>,
    group: usize,
) -> io::Result<()> {
    write_codes(&mut file, codes, group)?;
    file.finish()
}

/// Writes codes, one per line.
pub(super) fn write_codes(
    out: &mut impl Write,
    codes: impl Iterator<Item = VoucherCode>,
    group: usize,
) -> io::Result<()> {
    for code in codes {
        writeln!(out, "{}", code.grouped(group))?;
    }
    out.flush()
}

/// A batch as JSON, without its codes.
pub(super) fn shown(batch: &NewBatch) -> serde_json::Value {
    json!({
        "batch": batch.id,
        "sku": batch.sku,
        "count": batch.count,
        "note": batch.note,
        "minted_by": batch.minted_by,
        "minted_at": batch.minted_at,
        "expires_at": batch.expires_at,
    })
}

fn progress(count: u32) -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {human_pos}/{human_len}");
    let bar = ProgressBar::new(count.into()).with_message("storing");
    bar.enable_steady_tick(Duration::from_millis(100));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Why nothing was minted, with what to do about it.
fn in_words(error: &MintError, sku: &SkuId) -> Failure {
    match error {
        MintError::NoSku => {
            Failure::work(format!("there is no SKU {sku} on sale; `mintcode sku list` shows them"))
        }
        MintError::NotCodes(lines) => {
            let named = lines.iter().take(NAMED_LINES).map(|(line, error)| match error {
                Some(error) => format!("line {line}: {error}"),
                None => format!("line {line}: not made with this secret and this SKU's label"),
            });
            let named: Vec<_> = named.collect();
            let more = more(lines.len());
            Failure::work(format!("nothing is taken in: {}{more}", named.join("; ")))
        }
        MintError::Duplicate(lines) => {
            let named: Vec<_> = lines.iter().take(NAMED_LINES).map(usize::to_string).collect();
            let more = more(lines.len());
            let named = named.join(", ");
            Failure::work(format!(
                "nothing is taken in: the codes of these lines are known already: {named}{more}"
            ))
        }
        MintError::InFlight => Failure::work(
            "nothing is taken in: some of these codes are being taken in right now, or were by a command that was stopped;\n\
             try again in a minute",
        ),
        MintError::Count
        | MintError::IdempotencyMismatch
        | MintError::Sealed
        | MintError::Derive(_)
        | MintError::Storage(_) => Failure::work(format!("nothing is minted: {}", chain(error))),
    }
}

fn more(count: usize) -> String {
    match count.saturating_sub(NAMED_LINES) {
        0 => String::new(),
        left => format!(" and {left} more"),
    }
}
