//! Named points around every commit, at which a test lets the process end as a loss of power would end it.
//!
//! Only with feature `crash-points`, which the tests of the binary switch on and nothing else; without it all of this is
//! empty. Two variables say what is to be done:
//!
//! - `CRASH_POINTS_PASSED=FILE`: the name of each point is written to FILE, a line each, when it is passed first.
//! - `CRASH_AT=NAME`: the process kills itself where it passes the point of that name first.
//!
//! A point is named after the side of the COMMIT it is on and what is stored by it: `before beat`,
//! `after change ordering to waiting, cost charge`. A commit that several share has the points of each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};

use mintcode_core::ids::RedemptionId;
use mintcode_core::ports::Commit;
use mintcode_core::redemption::Redemption;
use rustix::process::{Signal, getpid, kill_process};

/// What one operation stores, in words.
#[derive(Clone, Debug)]
pub(crate) struct Stored(String);

impl Stored {
    /// Named after the function that `work` is written in.
    pub(crate) fn by<W>(_work: &W) -> Self {
        let path = std::any::type_name::<W>();
        // As in `<Store as Workers>::beat<'_>::{{closure}}::{{closure}}`.
        let name = path.rsplit("::").find(|part| !part.contains('{'));
        let name = name.and_then(|name| name.split('<').next());
        Self(name.unwrap_or(path).to_owned())
    }

    /// Named so.
    pub(crate) fn called(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Named after what `commit` does to its redemption, its voucher and the books.
    pub(crate) fn change(commit: &Commit) -> Self {
        let mut said = vec![format!("change {}", moved(&commit.next))];
        said.extend(commit.voucher.iter().map(|event| format!("voucher {}", event.name())));
        let entries: BTreeSet<_> =
            commit.ledger.iter().map(|entry| (entry.book.name(), entry.kind.name())).collect();
        said.extend(entries.into_iter().map(|(book, kind)| format!("{book} {kind}")));
        said.extend((!commit.consumed.is_empty()).then(|| "inbox read".to_owned()));
        said.extend((!commit.alerts.is_empty()).then(|| "alert".to_owned()));
        Self(said.join(", "))
    }
}

/// From where to where the redemption goes, as far as this process has seen it.
fn moved(next: &Redemption) -> String {
    static PHASES: Mutex<BTreeMap<RedemptionId, String>> = Mutex::new(BTreeMap::new());
    let rest = if next.is_at_rest() { " at rest" } else { "" };
    let phase = format!("{}{rest}", next.phase.name());
    let before = PHASES.lock().unwrap_or_else(PoisonError::into_inner).insert(next.id, phase.clone());
    format!("{} to {phase}", before.as_deref().unwrap_or("begun"))
}

/// All of it is about to be committed.
pub(crate) fn before_commit<'a>(stored: impl IntoIterator<Item = &'a Stored>) {
    stored.into_iter().for_each(|stored| pass(format!("before {}", stored.0)));
}

/// All of it is committed, and nobody knows yet.
pub(crate) fn after_commit<'a>(stored: impl IntoIterator<Item = &'a Stored>) {
    stored.into_iter().for_each(|stored| pass(format!("after {}", stored.0)));
}

struct Points {
    end_at: Option<String>,
    passed: Mutex<(BTreeSet<String>, Option<File>)>,
}

static POINTS: LazyLock<Points> = LazyLock::new(|| {
    let file = std::env::var_os("CRASH_POINTS_PASSED").map(|path| {
        let opened = File::options().create(true).append(true).open(&path);
        opened.expect("whoever names a file for the points can write to it")
    });
    Points { end_at: std::env::var("CRASH_AT").ok(), passed: Mutex::new((BTreeSet::new(), file)) }
});

fn pass(name: String) {
    let points = &*POINTS;
    let mut passed = points.passed.lock().unwrap_or_else(PoisonError::into_inner);
    let (seen, file) = &mut *passed;
    if let Some(file) = file
        && !seen.contains(&name)
    {
        writeln!(file, "{name}").expect("whoever names a file for the points can write to it");
    }
    if points.end_at.as_ref() == Some(&name) {
        // Nothing of this process runs any more when this returns, if it does.
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    }
    seen.insert(name);
}
