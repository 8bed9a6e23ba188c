//! `mintcode redeem`: from codes to phone numbers and verification codes, in a terminal.

mod client;
mod holder;
mod progress;
mod run;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use url::Url;

use self::client::Client;
use self::holder::Holder;
use self::progress::Progress;
use self::run::{Outcome, Run};
use crate::exit::Failure;
use crate::{codes, output};

/// How many vouchers are redeemed at a time.
const AT_A_TIME: usize = 64;

#[derive(Args)]
#[command(after_help = "\
Prints `PHONE CODE` for each voucher, in order. It can be ended and called again at any time: the same vouchers come \
back to the same redemptions, and a delivered code is shown again.
  mintcode redeem 4QZ9-…
  mintcode redeem - --server https://redeem.example < codes.txt")]
pub(crate) struct Arguments {
    /// The voucher codes; `-` reads them from standard input, one per line.
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// The server.
    #[arg(long, value_name = "URL", env = "MINTCODE_SERVER", default_value = "http://127.0.0.1:8080")]
    server: Url,
    /// Print one line of JSON per voucher.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let given = codes::read(&arguments.codes)?;
    let given: Vec<&str> = given.iter().map(|code| code.trim()).filter(|code| !code.is_empty()).collect();
    if given.is_empty() {
        return Err(Failure::usage(
            "no voucher code was given; name one, or `-` to read them from standard input",
        ));
    }
    let client = Client::new(&arguments.server)?;
    let holder = Holder::load();
    let progress = Progress::start(given.len());

    let redeem_all = async {
        let runs = given.iter().enumerate().map(|(index, code)| {
            let line = progress.line(index, code);
            let run = Run { client: &client, holder: &holder, line };
            async move { (*code, run.redeem(code).await) }
        });
        // Buffered, so that the results come in the order of the codes.
        let mut outcomes = stream::iter(runs).buffered(AT_A_TIME);
        let mut is_complete = true;
        while let Some((code, outcome)) = outcomes.next().await {
            is_complete &= outcome.is_delivered();
            progress.around(|| print(&outcome, code, arguments.json))?;
        }
        if is_complete { Ok(()) } else { Err(Failure::told()) }
    };
    tokio::select! {
        result = redeem_all => result,
        interrupted = tokio::signal::ctrl_c() => {
            progress.clear();
            interrupted.map_err(|error| Failure::because("Ctrl-C cannot be heard", &error))?;
            eprintln!("Not watching any more; what began goes on at the server.");
            eprintln!("Call the same command again to come back to it.");
            Err(Failure::told())
        }
    }
}

fn print(outcome: &Outcome, code: &str, as_json: bool) -> std::io::Result<()> {
    if as_json {
        let mut shown = outcome.shown();
        shown["voucher"] = json!(codes::read_any(code).ok().map(|code| code.mask()));
        return output::json(&shown);
    }
    match outcome.delivered() {
        Some(text) => output::line(&text),
        None => Ok(()),
    }
}
