//! `mintcode doctor`: whether everything is as it has to be, and what to do where it is not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use mintcode_core::ports::{Clock, RedemptionSearch, Supplier};
use mintcode_store::Finding;
use serde::Serialize;

use crate::args::{Cli, DatabaseArgs};
use crate::config::{Sources, SupplierSettings};
use crate::exit::{Failure, chain};
use crate::store::Store;
use crate::system::SystemClock;
use crate::{backend, output};

/// How long a supplier has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far the clock may be behind what is stored.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(5);

#[derive(Args)]
#[command(after_help = "\
Wants what `mintcode serve` wants, and changes nothing; run it beside the server as often as you like. Exit code 1 where \
anything is not as it has to be. Invariants are looked for in SQLite databases; PostgreSQL holds them by constraints \
alone.")]
pub(crate) struct Arguments {
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// What was looked at, and what is wrong with it.
#[derive(Serialize)]
struct Check {
    name: String,
    ok: bool,
    /// What there is, or what is wrong.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invariant: Option<&'static str>,
    /// Where it is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<String>,
}

impl Check {
    fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let (name, detail) = (name.into(), detail.into());
        Self { name, ok: true, detail, advice: None, invariant: None, ids: Vec::new() }
    }

    fn bad(name: impl Into<String>, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { ok: false, advice: Some(advice), ..Self::good(name, detail) }
    }

    fn of(finding: Finding) -> Self {
        let Finding { invariant, what, ids } = finding;
        let advice = match invariant {
            "I5" => "compare `mintcode redemption show ID` with the supplier's own list of the order",
            "I9" => "delete the backups that have it too, and report how it came to be",
            _ => {
                "stop the server, keep a backup, and report the ids; `mintcode redemption show ID` tells of each"
            }
        };
        Self { invariant: Some(invariant), ids, ..Self::bad("invariant", what, advice) }
    }

    fn shown(&self) -> Vec<String> {
        let mark = if self.ok { "ok  " } else { "FAIL" };
        let invariant = self.invariant.map(|invariant| format!(" {invariant}")).unwrap_or_default();
        let mut lines = vec![format!("{mark} {}{invariant}: {}", self.name, self.detail)];
        if !self.ids.is_empty() {
            lines.push(format!("       at {}", self.ids.join(", ")));
        }
        lines.extend(self.advice.map(|advice| format!("       → {advice}")));
        lines
    }
}

pub(crate) async fn run(arguments: Arguments, config: Option<&Path>) -> Result<(), Failure> {
    let Arguments { json, database } = arguments;
    let sources = Cli::sources(config, &[database.flag()])?;
    let mut checks = vec![configuration(&sources)];
    match backend::open_existing(&sources).await {
        Ok(store) => checks.extend(of_database(&sources, &store).await),
        Err(failure) => checks.push(Check::bad("database", failure.text(), "see what the sentence says")),
    }
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

async fn of_database(sources: &Sources, store: &Store) -> Vec<Check> {
    let mut checks = vec![Check::good("database", "it opens, and its schema is up to date")];
    checks.push(secrets(sources, store).await);
    checks.push(clock(store).await);
    // The invariants of a PostgreSQL database are held by its constraints alone.
    let Store::Sqlite(store) = store else { return checks };
    match store.examine(SystemClock.now()).await {
        Ok(findings) if findings.is_empty() => {
            checks.push(Check::good("invariants", "I1 to I9 and I11 hold"));
        }
        Ok(findings) => checks.extend(findings.into_iter().map(Check::of)),
        Err(error) => checks.push(Check::bad(
            "invariants",
            chain(&error),
            "set MINTCODE_VOUCHER_SECRET, or see what the sentence says",
        )),
    }
    checks
}

async fn secrets(sources: &Sources, store: &Store) -> Check {
    const ADVICE: &str = "add the secret to MINTCODE_VOUCHER_SECRET_PREVIOUS, or void and seal what needs it";
    let issuer = match backend::issuer(sources, store) {
        Ok(issuer) => issuer,
        Err(failure) => return Check::bad("secrets", failure.text(), "set MINTCODE_VOUCHER_SECRET"),
    };
    match issuer.missing_secrets().await {
        Ok(missing) if missing.is_empty() => Check::good("secrets", "every voucher's secret is there"),
        Ok(missing) => {
            let needed = missing.iter().map(|needed| {
                let (live, unsealed) = (needed.live_vouchers, needed.unsealed_batches);
                format!("{} for {live} vouchers and {unsealed} unsealed batches", needed.secret)
            });
            let needed = needed.collect::<Vec<_>>().join(", ");
            Check::bad("secrets", format!("not given, by fingerprint: {needed}"), ADVICE)
        }
        Err(error) => Check::bad("secrets", chain(&error), ADVICE),
    }
}

/// A clock that was set back shows in what is stored.
async fn clock(store: &Store) -> Check {
    let now = SystemClock.now();
    let newest = store.redemptions(RedemptionSearch::default(), 1).await;
    match newest.map(|page| page.first().map(|newest| newest.created_at)) {
        Ok(Some(newest)) if newest > now + CLOCK_SKEW => Check::bad(
            "clock",
            format!("it is {now}, and a redemption began at {newest}"),
            "set the clock by a time server; nothing is bought while it is wrong",
        ),
        Ok(_) => Check::good("clock", format!("it is {now}")),
        Err(error) => Check::bad("clock", chain(&error), "what is stored cannot be read; see above"),
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
