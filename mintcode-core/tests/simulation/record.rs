//! What went by at the ports: when an order was claimed and by whom, who was fenced, and what each change followed from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mintcode_core::ids::RedemptionId;
use mintcode_core::order::OrderId;
use mintcode_core::orphan::Orphan;
use mintcode_core::ports::{Commit, Inbox, Storage, StorageError};
use mintcode_core::redemption::{Outcome, Phase, Redemption};

use super::sim::Sim;

#[derive(Default)]
pub(crate) struct Record {
    /// When storage first knew of an order, by number, and whose it became.
    pub(crate) claimed: BTreeMap<String, (DateTime<Utc>, RedemptionId)>,
    /// When each redemption ended for its customer, and the end of a number's minimum age where it had to be waited for.
    pub(crate) ended: BTreeMap<RedemptionId, Ended>,
    /// Orders that were taken for forgotten, by number.
    pub(crate) swept: BTreeMap<String, Orphan>,
    /// The highest epoch of each redemption.
    epochs: BTreeMap<RedemptionId, u64>,
    /// The epoch in which a process was told that a redemption is not its own any more.
    fenced: BTreeMap<(u64, RedemptionId), u64>,
    /// The epoch in which a process was given a redemption last.
    given: BTreeMap<(u64, RedemptionId), u64>,
    /// Whose each order is, by the id that the engine knows.
    owners: BTreeMap<OrderId, RedemptionId>,
    /// What the supplier last said of an order, since its redemption last changed.
    heard: BTreeMap<OrderId, &'static str>,
}

/// How a redemption ended.
#[derive(Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) at: DateTime<Utc>,
    /// When the number that was given back last was bought, where one was.
    pub(crate) number_since: Option<DateTime<Utc>>,
}

impl Record {
    pub(crate) fn heard(&mut self, order: &OrderId, what: &'static str) {
        self.heard.insert(order.clone(), what);
    }

    /// A process is about to settle an order: it must not if it knows that the redemption is another's.
    pub(crate) fn calls_about(&mut self, process: u64, call: &str, order: &OrderId, sim: &Sim) {
        let Some(owner) = self.owners.get(order) else { return };
        let (fenced, given) = (self.fenced.get(&(process, *owner)), self.given.get(&(process, *owner)));
        if fenced.is_some_and(|fenced| given.is_none_or(|given| given <= fenced)) {
            sim.violated(format!("I8: process {process} calls {call} for order {order} after it was fenced"));
        }
    }

    /// A process was given a redemption.
    pub(crate) fn adopted(&mut self, process: u64, redemption: &Redemption, sim: &Sim) {
        self.given.insert((process, redemption.id), redemption.epoch);
        self.has_epoch(redemption, sim);
    }

    fn has_epoch(&mut self, redemption: &Redemption, sim: &Sim) {
        let epoch = self.epochs.entry(redemption.id).or_insert(redemption.epoch);
        if redemption.epoch < *epoch {
            sim.violated(format!(
                "I8: the epoch of {} fell from {epoch} to {}",
                redemption.id, redemption.epoch
            ));
        }
        *epoch = redemption.epoch;
    }

    fn changed(&mut self, before: &Redemption, after: &Redemption, now: DateTime<Utc>) {
        for row in after.attempt_rows() {
            let Some(order) = row.order else { continue };
            self.owners.insert(order, after.id);
            if let Some(phone) = after.phone(row.number) {
                self.claimed.entry(phone.reveal().to_owned()).or_insert((now, after.id));
            }
        }
        if after.is_final() && !before.is_final() {
            let number_since = before.held().map(|held| held.order.created_at);
            self.ended.insert(after.id, Ended { at: now, number_since });
        }
    }

    /// What the change followed from, as far as it shows.
    fn cause(&mut self, before: &Redemption, after: &Redemption, told: Option<&'static str>) -> &'static str {
        if let Some(told) = told {
            return told;
        }
        let orders = before.attempt_rows().into_iter().filter_map(|row| row.order);
        let heard = orders.filter_map(|order| self.heard.remove(&order)).next_back();
        match (&before.phase, &after.phase) {
            (Phase::Ordering(_), Phase::Uncertain(_)) if before.takeovers > 0 => "recovered",
            (Phase::Ordering(_), Phase::Uncertain(_)) => "buy unclear",
            (Phase::Ordering(intent), _) if after.phone(intent.number).is_some() => "bought",
            (Phase::Ordering(_), _) => "not bought",
            (Phase::Uncertain(_), _) => "listed",
            _ => heard.unwrap_or(if before.takeovers > 0 { "recovered" } else { "tick" }),
        }
    }
}

impl Sim {
    /// Stores a change for good, and notes what it shows.
    pub(crate) async fn store(&self, process: u64, commit: Commit) -> Result<(), StorageError> {
        let id = commit.next.id;
        let before = self.storage.redemption(id).await?;
        let told = match commit.consumed.first() {
            None => None,
            Some(consumed) => {
                let items = self.storage.inbox(id).await?;
                Some(
                    items
                        .iter()
                        .find(|item| item.id == *consumed)
                        .map_or("told twice", |item| kind(&item.item)),
                )
            }
        };
        let (next, now) = (commit.next.clone(), self.now());
        let answer = self.storage.commit(commit).await;
        let Some(before) = before else { return answer };
        let mut record = self.record();
        match &answer {
            Ok(()) => {
                let cause = record.cause(&before, &next, told);
                self.trace(|| {
                    let (from, to) = (before.phase.name(), next.phase.name());
                    format!(
                        "process {process}: {id} v{} e{}: {from} -> {to} ({cause})",
                        next.version, next.epoch
                    )
                });
                self.count_change(&before, &next, cause);
                record.has_epoch(&next, self);
                record.changed(&before, &next, now);
            }
            Err(error) => {
                self.trace(|| format!("process {process}: {id} v{}: {error}", next.version));
                match error {
                    StorageError::Fenced => {
                        self.count("fenced");
                        record.fenced.insert((process, id), next.epoch);
                    }
                    StorageError::Conflict => self.count("conflicts"),
                    StorageError::Claimed => self.count("claims refused"),
                    StorageError::ProbeTaken => self.count("probes refused"),
                    StorageError::VoucherMoved | StorageError::Corrupt { .. } => {
                        self.violated(format!("storage refused a change of {id}: {error}"));
                    }
                    StorageError::Unavailable(_) | StorageError::Unknown(_) => {}
                }
            }
        }
        answer
    }

    fn count_change(&self, before: &Redemption, after: &Redemption, cause: &'static str) {
        let mut counts = self.counts();
        counts.pair(before.phase.name(), cause, after.phase.name());
        if let Phase::Ordering(intent) = &after.phase {
            let is_new = before.intent(intent.number).is_none();
            counts.add("probed", u64::from(intent.is_probe && is_new));
        }
        if let Phase::Uncertain(search) = &before.phase
            && after.phone(search.intent.number).is_some()
        {
            counts.add(if cause == "listed" { "adopted" } else { "heard of late" }, 1);
        }
        if matches!((&before.phase, &after.phase), (Phase::Releasing(_), Phase::Delivered(_))) {
            counts.add("late SMS", 1);
        }
        let ended = |redemption: &Redemption, outcome| {
            redemption.closed.iter().filter(|closed| closed.outcome == outcome).count() as u64
        };
        for (outcome, name) in [(Outcome::Absent, "found absent"), (Outcome::Unresolved, "unresolved")] {
            counts.add(name, ended(after, outcome).saturating_sub(ended(before, outcome)));
        }
        if after.is_final() && !before.is_final() {
            counts.add(after.phase.name(), 1);
        }
    }
}

fn kind(item: &Inbox) -> &'static str {
    match item {
        Inbox::Wish(wish) => wish.name(),
        Inbox::News { .. } => "news",
        Inbox::OrderSeen { .. } => "late answer: bought",
        Inbox::NotBought { .. } => "late answer: not bought",
    }
}
