//! `mintcode verify`: whether codes carry a label.

use std::path::Path;

use clap::Args;
use mintcode_core::voucher::{Label, VoucherCode};
use serde_json::json;

use crate::args::{Cli, SecretArgs, ShapeArgs};
use crate::exit::Failure;
use crate::{codes, output};

#[derive(Args)]
#[command(after_help = "\
One line per code, in order: OK or NO; exit code 0 only if all are OK. Needs nothing but the voucher secret, and \
tells only that a code is genuine, not whether it was minted, sold or used.
  mintcode verify - --label TGCA < codes.txt")]
pub(crate) struct Arguments {
    /// The codes; `-` reads them from standard input, one per line.
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// The label they should carry.
    #[arg(long)]
    label: Label,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let sources = Cli::sources(config, &arguments.shape.flags())?;
    let label = arguments.secret.keys(&sources)?.label(&arguments.label);
    let mut verdicts = Vec::new();
    for text in codes::read(&arguments.codes)? {
        let shape = arguments.shape.of_code(&text, &sources)?;
        let code = VoucherCode::parse(&text, &shape);
        let is_ok = code.as_ref().is_ok_and(|code| label.matches(code).is_some());
        verdicts.push((is_ok, code));
    }
    if arguments.json {
        let shown = verdicts.iter().map(|(is_ok, code)| match code {
            Ok(code) => json!({ "ok": is_ok, "voucher": code.mask() }),
            Err(error) => json!({ "ok": is_ok, "voucher": null, "reason": error.to_string() }),
        });
        output::json(&shown.collect::<Vec<_>>())?;
    } else {
        output::lines(verdicts.iter().map(|(is_ok, _)| if *is_ok { "OK" } else { "NO" }))?;
    }
    if verdicts.iter().all(|(is_ok, _)| *is_ok) { Ok(()) } else { Err(Failure::told()) }
}
