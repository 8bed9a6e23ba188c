//! What the doctor looks at in the database.

use chrono::TimeDelta;
use mintcode_core::ports::{Clock, RedemptionSearch};
use mintcode_store::postgres::{self, PostgresUrl, Shortcoming};
use mintcode_store::{DatabaseUrl, sqlite};

use super::check::Check;
use crate::backend;
use crate::config::Sources;
use crate::exit::{Failure, chain};
use crate::store::Store;
use crate::system::SystemClock;

/// How far the clock may be from the database's, and behind what is stored. Nothing is bought where it is further off.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(5);

const SEE_SENTENCE: &str = "see what the sentence says";

/// Looks at the configured database, and changes nothing there.
pub(super) async fn look_at(sources: &Sources) -> Vec<Check> {
    let mut checks = match sources.database() {
        Ok(DatabaseUrl::Postgres(url)) => of_server(&url).await,
        // Whether a file is there and can be a durable database shows when it is opened.
        Ok(DatabaseUrl::Sqlite(path)) if path.exists() => {
            schema(sqlite::schema(&path).map_err(|error| Failure::work(chain(&error)))).into_iter().collect()
        }
        Ok(DatabaseUrl::Sqlite(_)) => Vec::new(),
        Err(failure) => vec![Check::bad("database", failure.text(), SEE_SENTENCE)],
    };
    if checks.iter().any(|check| !check.ok) {
        return checks;
    }
    match backend::open_existing(sources).await {
        Ok(store) => {
            checks.push(Check::good("database", "it opens, and its schema is up to date"));
            checks.push(secrets(sources, &store).await);
            checks.push(clock(&store).await);
            checks.extend(invariants(&store).await);
        }
        Err(failure) => checks.push(Check::bad("database", failure.text(), SEE_SENTENCE)),
    }
    checks
}

/// Looks at what the server promises and at the version of the schema.
async fn of_server(url: &PostgresUrl) -> Vec<Check> {
    const REACH: &str = "see whether the server runs and its address, user and password are right";
    let server = match postgres::Durability::of(url).await {
        Ok(server) => server,
        Err(error) => return vec![Check::bad("database", chain(&error), REACH)],
    };
    let shortcomings = server.shortcomings();
    if !shortcomings.is_empty() {
        let told = shortcomings.into_iter().map(|shortcoming| {
            let (what, advice) = explained(shortcoming);
            Check::bad("durability", format!("PostgreSQL {}: {what}", server.version), advice)
        });
        return told.collect();
    }
    let (version, commit) = (&server.version, &server.synchronous_commit);
    let promised = format!(
        "PostgreSQL {version} with fsync and full_page_writes; sessions have synchronous_commit = {commit}"
    );
    let mut checks = vec![Check::good("durability", promised)];
    checks.extend(schema(postgres::schema(url).await.map_err(|error| Failure::work(chain(&error)))));
    checks
}

/// What is wrong with the version of a schema; opening would bring an older one up to date.
fn schema(found: Result<(Option<i64>, i64), Failure>) -> Option<Check> {
    match found {
        Ok((Some(found), known)) if found < known => Some(Check::bad(
            "database",
            format!("it has schema {found}, and this program's is {known}"),
            "take a backup and run `mintcode migrate`, or use the version that serves it",
        )),
        Ok((None, _)) => Some(Check::bad(
            "database",
            "it has no tables of this program",
            "name the right one with --database-url or MINTCODE_DATABASE_URL, or make the tables with `mintcode migrate`",
        )),
        // A newer schema is refused when it is opened.
        Ok((Some(_), _)) => None,
        Err(failure) => Some(Check::bad("database", failure.text(), SEE_SENTENCE)),
    }
}

/// What a shortcoming means, and what to do about it.
fn explained(shortcoming: Shortcoming) -> (&'static str, &'static str) {
    match shortcoming {
        Shortcoming::OldServer => (
            "15 or newer is needed",
            "upgrade the server with pg_upgrade, or move the database to a newer one",
        ),
        Shortcoming::NoFsync => (
            "fsync is off, so that a loss of power may damage everything",
            "set fsync = on in postgresql.conf, reload it, and run `sync` on the server's machine",
        ),
        Shortcoming::NoFullPageWrites => (
            "full_page_writes is off, so that a loss of power may damage what is being written",
            "set full_page_writes = on in postgresql.conf and reload it",
        ),
        Shortcoming::NoSynchronousCommit => (
            "commits are answered before they are on disk",
            "let the program's role set synchronous_commit, or set it to on for the role",
        ),
        Shortcoming::ReadOnly => (
            "nothing can be changed there: it is a standby, or the role or database is read-only",
            "name the primary (`?target_session_attrs=read-write` finds it among several hosts), or unset \
             default_transaction_read_only",
        ),
    }
}

async fn invariants(store: &Store) -> Vec<Check> {
    const ADVICE: &str = "set MINTCODE_VOUCHER_SECRET, or see what the sentence says";
    let now = SystemClock.now();
    let found = match store {
        Store::Sqlite(store) => store.examine(now).await,
        Store::Postgres(store) => store.examine(now).await,
    };
    match found {
        Ok(findings) if findings.is_empty() => vec![Check::good("invariants", "I1 to I9 and I11 hold")],
        Ok(findings) => findings.into_iter().map(Check::of).collect(),
        Err(error) => vec![Check::bad("invariants", chain(&error), ADVICE)],
    }
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

/// A clock that is apart from the database's shows there, and one that was set back shows in what is stored.
async fn clock(store: &Store) -> Check {
    const ADVICE: &str = "set the clock by a time server, here and on the database's machine; nothing is bought while it is wrong";
    const UNREAD: &str = "what is stored cannot be read; see above";
    let before = SystemClock.now();
    let there = match store.time().await {
        Ok(there) => there,
        Err(error) => return Check::bad("clock", chain(&error), UNREAD),
    };
    let now = SystemClock.now();
    if let Some(there) = there
        && (there < before - CLOCK_SKEW || there > now + CLOCK_SKEW)
    {
        return Check::bad("clock", format!("it is {now} here, and {there} by the database's clock"), ADVICE);
    }
    let newest = store.redemptions(RedemptionSearch::default(), 1).await;
    match newest.map(|page| page.first().map(|newest| newest.created_at)) {
        Ok(Some(newest)) if newest > now + CLOCK_SKEW => {
            Check::bad("clock", format!("it is {now}, and a redemption began at {newest}"), ADVICE)
        }
        Ok(_) => Check::good("clock", format!("it is {now}")),
        Err(error) => Check::bad("clock", chain(&error), UNREAD),
    }
}
