//! Storing a change of a redemption, and what is learnt beside them.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::{Claimant, State, corrupt};
use crate::alert::AlertChange;
use crate::health::{Account, AccountChange, Health, HealthChange, HealthRules, Source};
use crate::ids::{RedemptionId, SupplierName};
use crate::ledger::{Booked, Entry};
use crate::order::OrderId;
use crate::ports::{Commit, Observed, StorageError};
use crate::redemption::Redemption;
use crate::voucher::{Voucher, VoucherHash};

/// What changes mean for sources and accounts, and for the operator: not stored yet.
#[derive(Default)]
struct Learnt {
    sources: BTreeMap<Source, Health>,
    accounts: BTreeMap<SupplierName, Account>,
    alerts: Vec<AlertChange>,
}

impl State {
    pub(super) fn commit(&mut self, commit: Commit) -> Result<(), StorageError> {
        let id = commit.next.id;
        let stored = self.redemptions.get(&id).ok_or(StorageError::Conflict)?;
        if stored.epoch != commit.next.epoch {
            return Err(StorageError::Fenced);
        }
        if commit.next.version != stored.version + 1 {
            return Err(StorageError::Conflict);
        }
        let (owner, next, hash) = (stored.owner, stored.next, stored.voucher);
        let claims = self.new_claims(&commit.next)?;
        let now = commit.next.updated_at;
        let learnt = self.learn_all(&commit, now)?;
        let is_other_live = |other: &Redemption| other.voucher == hash && other.id != id && !other.is_final();
        let revives = stored.is_final() && !commit.next.is_final();
        if revives && self.redemptions.values().any(is_other_live) {
            return Err(corrupt("redemption", &id));
        }
        let voucher =
            if commit.needs_voucher() { Some(commit.move_voucher(self.voucher(hash)?)?) } else { None };
        self.check_entries(id, &commit.ledger)?;

        for (supplier, order, attempt) in claims {
            self.claims.entry(supplier).or_default().insert(order, Claimant::Attempt(id, attempt));
        }
        if let Some(voucher) = voucher {
            self.vouchers.insert(hash, voucher);
        }
        for item in commit.consumed {
            if self.inbox.get(&item).is_some_and(|(redemption, _)| *redemption == id) {
                self.inbox.remove(&item);
            }
        }
        self.keep(learnt, now);
        self.alert(commit.alerts, now);
        self.choices.entry(id).or_default().extend(commit.choice.map(|choice| choice.text()));
        let redemption = Redemption { owner, next, takeovers: 0, ..commit.next };
        self.book(&redemption, commit.ledger, now);
        self.history.entry(id).or_default().push(redemption.snapshot());
        self.put(redemption);
        Ok(())
    }

    pub(super) fn observe(&mut self, observed: Observed) {
        let Observed { health, accounts, alerts, rules, now } = observed;
        let mut learnt = Learnt::default();
        for change in &health {
            // A source that cannot take a change goes on without it.
            let _ = self.learn_of_source(&mut learnt, change, &rules, now);
        }
        for change in &accounts {
            self.learn_of_account(&mut learnt, change, &rules, now);
        }
        self.keep(learnt, now);
        self.alert(alerts, now);
    }

    pub(super) fn voucher(&self, hash: VoucherHash) -> Result<Voucher, StorageError> {
        self.vouchers.get(&hash).cloned().ok_or_else(|| corrupt("voucher", &hash))
    }

    /// Books `entries` of `redemption`.
    pub(super) fn book(&mut self, redemption: &Redemption, entries: Vec<Entry>, at: DateTime<Utc>) {
        self.ledger.entry(redemption.id).or_default().extend(entries.into_iter().map(|entry| Booked {
            redemption: redemption.id,
            sku: redemption.sku.clone(),
            at,
            entry,
        }));
    }

    /// Whether none of `entries` is booked already, or stands twice among them.
    fn check_entries(&self, redemption: RedemptionId, entries: &[Entry]) -> Result<(), StorageError> {
        let booked = self.ledger.get(&redemption).into_iter().flatten();
        let mut known: HashSet<_> = booked.map(|booked| booked.entry.identity()).collect();
        let are_new = entries.iter().all(|entry| known.insert(entry.identity()));
        if are_new { Ok(()) } else { Err(corrupt("ledger", &redemption)) }
    }

    /// The claims that the attempts of `next` make and that are not stored yet.
    fn new_claims(&self, next: &Redemption) -> Result<Vec<(SupplierName, OrderId, u32)>, StorageError> {
        let mut new: Vec<(SupplierName, OrderId, u32)> = Vec::new();
        for row in next.attempt_rows() {
            let Some(order) = row.order else { continue };
            let stored = self.claims.get(&row.supplier).and_then(|claimed| claimed.get(&order)).copied();
            let made_now =
                new.iter().find(|(supplier, claimed, _)| (supplier, claimed) == (&row.supplier, &order));
            match stored.or(made_now.map(|(_, _, attempt)| Claimant::Attempt(next.id, *attempt))) {
                None => new.push((row.supplier, order, row.number)),
                Some(claim) if claim == Claimant::Attempt(next.id, row.number) => {}
                Some(_) => return Err(StorageError::Claimed),
            }
        }
        Ok(new)
    }

    fn learn_all(&self, commit: &Commit, now: DateTime<Utc>) -> Result<Learnt, StorageError> {
        let mut learnt = Learnt::default();
        for change in &commit.health {
            self.learn_of_source(&mut learnt, change, &commit.rules, now)?;
        }
        for change in &commit.accounts {
            self.learn_of_account(&mut learnt, change, &commit.rules, now);
        }
        Ok(learnt)
    }

    fn learn_of_source(
        &self,
        learnt: &mut Learnt,
        change: &HealthChange,
        rules: &HealthRules,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let source = &change.source;
        let before = learnt.sources.get(source).or_else(|| self.sources.get(source)).cloned();
        let (after, alerts) =
            before.unwrap_or_default().after(change, rules, now).map_err(|_| StorageError::ProbeTaken)?;
        learnt.sources.insert(source.clone(), after);
        learnt.alerts.extend(alerts);
        Ok(())
    }

    fn learn_of_account(
        &self,
        learnt: &mut Learnt,
        change: &AccountChange,
        rules: &HealthRules,
        now: DateTime<Utc>,
    ) {
        let name = &change.supplier;
        let before = learnt.accounts.get(name).or_else(|| self.accounts.get(name)).cloned();
        let (after, alerts) = before.unwrap_or_default().after(change, rules, now);
        learnt.accounts.insert(name.clone(), after);
        learnt.alerts.extend(alerts);
    }

    fn keep(&mut self, learnt: Learnt, now: DateTime<Utc>) {
        self.sources.extend(learnt.sources);
        self.accounts.extend(learnt.accounts);
        self.alert(learnt.alerts, now);
    }
}
