//! The storage of the model: what it promises, it promises as the real ones do, unless a part of it is cut out.
//!
//! What a change means is never decided here: `admit`, `Consequences::of`, `Commit::move_voucher` and `Health::after` are.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mintcode_core::health::{Account, Health, Outlook, Source};
use mintcode_core::ids::SupplierName;
use mintcode_core::ledger::{self, Entry};
use mintcode_core::order::OrderId;
use mintcode_core::ports::{Commit, StorageError, Wanted};
use mintcode_core::redemption::{Consequences, Delivery, Event, Phase, Redemption};
use mintcode_core::voucher::{Admission, Request, Surroundings, Voucher, admit};

use crate::properties::Findings;
use crate::scene::{Cut, Scene};
use crate::shared::Shared;

/// A redemption as stored, with what was booked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) redemption: Shared<Redemption>,
    pub(crate) booked: Vec<Entry>,
    /// What can be told from these two alone, once for all states that share them.
    pub(crate) findings: Findings,
}

impl Kept {
    fn new(redemption: Shared<Redemption>, booked: Vec<Entry>) -> Shared<Self> {
        let findings = Findings::of(&redemption, &booked);
        Shared::new(Self { redemption, booked, findings })
    }
}

/// Something that somebody who does not own a redemption tells its owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) redemption: usize,
    pub(crate) event: Event,
}

/// Who has an order for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Claimant {
    Attempt { redemption: usize, number: u32 },
    Sweeper,
}

/// A change on its way into storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) writer: usize,
    pub(crate) redemption: usize,
    pub(crate) before: Shared<Redemption>,
    pub(crate) next: Shared<Redemption>,
    pub(crate) consumed: Option<u32>,
}

/// Why a change was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Fenced,
    Conflict,
    Claimed,
    ProbeTaken,
    VoucherMoved,
    Corrupt,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Storage {
    pub(crate) voucher: Shared<Voucher>,
    pub(crate) redemptions: Vec<Shared<Kept>>,
    /// Nothing is ever removed.
    pub(crate) claims: Vec<(OrderId, Claimant)>,
    pub(crate) inbox: Vec<Item>,
    last_item: u32,
    sources: BTreeMap<Source, Health>,
    accounts: BTreeMap<SupplierName, Account>,
    /// A write was stored of a worker that did not own the redemption.
    pub(crate) was_intruded: bool,
    /// A change fitted no state of the voucher or of the books.
    pub(crate) was_corrupt: bool,
    /// Orders that somebody told an owner of.
    pub(crate) told: Vec<OrderId>,
    /// The code that was stored first, and so shown, with its redemption.
    pub(crate) shown: Option<(usize, Option<String>)>,
}

impl Storage {
    pub(crate) fn new(voucher: Voucher) -> Self {
        Self {
            voucher: Shared::new(voucher),
            redemptions: Vec::new(),
            claims: Vec::new(),
            inbox: Vec::new(),
            last_item: 0,
            sources: BTreeMap::new(),
            accounts: BTreeMap::new(),
            was_intruded: false,
            was_corrupt: false,
            told: Vec::new(),
            shown: None,
        }
    }

    pub(crate) fn stored(&self, redemption: usize) -> &Shared<Redemption> {
        &self.redemptions[redemption].redemption
    }

    pub(crate) fn latest(&self) -> Option<&Shared<Redemption>> {
        self.redemptions.last().map(|kept| &kept.redemption)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Redemption> {
        self.redemptions.iter().map(|kept| &*kept.redemption)
    }

    pub(crate) fn outlook(&self) -> Outlook {
        Outlook { sources: self.sources.clone(), accounts: self.accounts.clone() }
    }

    /// What becomes of the voucher if its holder posts it now.
    pub(crate) fn admission(&self, scene: &Scene, now: DateTime<Utc>) -> Admission {
        let outlook = self.outlook();
        let around = Surroundings { outlook: &outlook, rules: &scene.rules, begun: &[] };
        let id = scene.redemptions[self.redemptions.len()];
        let request = Request { holder: scene.holder.clone(), id, again: None };
        admit((*self.voucher).clone(), &scene.sku, self.latest().map(|last| &**last), request, &around, now)
    }

    /// The redemption that begins, owned by `worker`; `None` where none does.
    pub(crate) fn begin(
        &mut self,
        scene: &Scene,
        worker: usize,
        now: DateTime<Utc>,
    ) -> Option<Shared<Redemption>> {
        let Admission::Begin { voucher, redemption, follows } = self.admission(scene, now) else {
            return None;
        };
        if let (Some(_), Some(last)) = (follows, self.redemptions.last_mut()) {
            let followed = Redemption { next: Some(redemption.id), ..(*last.redemption).clone() };
            *last = Kept::new(Shared::new(followed), last.booked.clone());
        }
        let owner = Some(scene.workers[worker]);
        let redemption = Shared::new(Redemption { owner, ..*redemption });
        let booked = ledger::due(None, &redemption);
        self.voucher = Shared::new(*voucher);
        self.redemptions.push(Kept::new(Shared::clone(&redemption), booked));
        Some(redemption)
    }

    /// Stores a change whole, or not at all.
    pub(crate) fn commit(
        &mut self,
        scene: &Scene,
        write: &Write,
        now: DateTime<Utc>,
    ) -> Result<Shared<Redemption>, Refused> {
        let stored = Shared::clone(&self.redemptions[write.redemption].redemption);
        if scene.has(Cut::Fence) && stored.epoch != write.next.epoch {
            return Err(Refused::Fenced);
        }
        if scene.has(Cut::Compare) && write.next.version != stored.version + 1 {
            return Err(Refused::Conflict);
        }
        let is_intent = matches!((&write.before.phase, &write.next.phase), (before, Phase::Ordering(_))
            if !matches!(before, Phase::Ordering(_)));
        if is_intent && !scene.has(Cut::Intent) {
            return Ok(Shared::clone(&write.next));
        }
        let claims = self.new_claims(scene, write)?;
        let timing = &scene.timing;
        let probe_lasts = timing.send_window + timing.buy_timeout + timing.settle_time;
        let Consequences { voucher, ledger, health, accounts, alerts } =
            Consequences::of(&write.before, &write.next, probe_lasts);
        let commit = Commit {
            next: (*write.next).clone(),
            voucher: voucher.into_iter().collect(),
            consumed: Vec::new(),
            ledger,
            health,
            accounts,
            alerts,
            choice: None,
            rules: scene.rules.health,
        };
        let sources = if scene.learns { self.learnt_of_sources(&commit, now)? } else { BTreeMap::new() };
        if commit.needs_voucher() {
            match commit.move_voucher((*self.voucher).clone()) {
                Ok(moved) => self.voucher = Shared::new(moved),
                Err(StorageError::VoucherMoved) => return Err(Refused::VoucherMoved),
                Err(_) => {
                    self.was_corrupt = true;
                    return Err(Refused::Corrupt);
                }
            }
        }

        self.was_intruded |= stored.owner != Some(scene.workers[write.writer]);
        self.sources.extend(sources);
        if scene.learns {
            for change in &commit.accounts {
                let before = self.accounts.get(&change.supplier).cloned().unwrap_or_default();
                let (after, _) = before.after(change, &commit.rules, now);
                self.accounts.insert(change.supplier.clone(), after);
            }
        }
        self.claims.extend(claims);
        if let Some(consumed) = write.consumed {
            self.discard(consumed);
        }
        if let (None, Phase::Delivered(delivery)) = (&self.shown, &write.next.phase) {
            self.shown = Some((write.redemption, delivery.code()));
        }
        let redemption = Redemption { owner: stored.owner, next: stored.next, ..commit.next };
        let redemption = Shared::new(redemption);
        let mut booked = self.redemptions[write.redemption].booked.clone();
        booked.extend(commit.ledger);
        self.redemptions[write.redemption] = Kept::new(Shared::clone(&redemption), booked);
        Ok(redemption)
    }

    fn learnt_of_sources(
        &self,
        commit: &Commit,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<Source, Health>, Refused> {
        let mut learnt = BTreeMap::<Source, Health>::new();
        for change in &commit.health {
            let known = learnt.get(&change.source).or_else(|| self.sources.get(&change.source));
            let after = known.cloned().unwrap_or_default().after(change, &commit.rules, now);
            let (after, _) = after.map_err(|_| Refused::ProbeTaken)?;
            learnt.insert(change.source.clone(), after);
        }
        Ok(learnt)
    }

    fn new_claims(&self, scene: &Scene, write: &Write) -> Result<Vec<(OrderId, Claimant)>, Refused> {
        let mut new: Vec<(OrderId, Claimant)> = Vec::new();
        for row in write.next.attempt_rows() {
            let Some(order) = row.order else { continue };
            let claim = Claimant::Attempt { redemption: write.redemption, number: row.number };
            let mut known = self.claims.iter().chain(&new).filter(|(claimed, _)| *claimed == order);
            if known.clone().any(|(_, claimant)| *claimant == claim) {
                continue;
            }
            if scene.has(Cut::UniqueClaim) && known.next().is_some() {
                return Err(Refused::Claimed);
            }
            new.push((order, claim));
        }
        Ok(new)
    }

    /// Makes `worker` the owner, in the next epoch.
    pub(crate) fn take_over(
        &mut self,
        scene: &Scene,
        redemption: usize,
        worker: usize,
    ) -> Shared<Redemption> {
        let owner = Some(scene.workers[worker]);
        let epoch = self.stored(redemption).epoch + 1;
        self.replace(redemption, |stored| Redemption { owner, epoch, ..stored })
    }

    /// `worker` is dead, as everybody finds out sooner or later.
    pub(crate) fn bury(&mut self, scene: &Scene, worker: usize) {
        for redemption in 0..self.redemptions.len() {
            if self.stored(redemption).owner == Some(scene.workers[worker]) {
                self.replace(redemption, |stored| Redemption { owner: None, ..stored });
            }
        }
    }

    fn replace(
        &mut self,
        redemption: usize,
        change: impl FnOnce(Redemption) -> Redemption,
    ) -> Shared<Redemption> {
        let Kept { redemption: stored, booked, findings } = (*self.redemptions[redemption]).clone();
        let changed = Shared::new(change((*stored).clone()));
        // Neither the books nor what is shown depend on who drives it.
        self.redemptions[redemption] =
            Shared::new(Kept { redemption: Shared::clone(&changed), booked, findings });
        changed
    }

    pub(crate) fn tell(&mut self, redemption: usize, event: Event) {
        if let Event::Bought { order, .. } = &event {
            self.told.push(order.id.clone());
        }
        self.last_item += 1;
        self.inbox.push(Item { id: self.last_item, redemption, event });
    }

    pub(crate) fn inbox(&self, redemption: usize) -> impl Iterator<Item = &Item> {
        self.inbox.iter().filter(move |item| item.redemption == redemption)
    }

    /// Removes an item that changes nothing, for the worker that knows `copy` of its redemption. `false` where that
    /// worker does not own it any more.
    pub(crate) fn forget(&mut self, scene: &Scene, copy: &Redemption, item: u32) -> bool {
        let is_owned = self.all().any(|stored| stored.id == copy.id && stored.epoch == copy.epoch);
        let may_forget = is_owned || !scene.has(Cut::FencedInbox);
        if may_forget {
            self.discard(item);
        }
        may_forget
    }

    fn discard(&mut self, item: u32) {
        self.inbox.retain(|known| known.id != item);
    }

    pub(crate) fn is_claimed(&self, order: &OrderId) -> bool {
        self.claims.iter().any(|(claimed, _)| claimed == order)
    }

    /// Which orders are claimed, and when the earliest other purchase of the plan began that may still get its answer.
    pub(crate) fn claims(
        &self,
        redemption: usize,
        wanted: &Wanted,
    ) -> (BTreeSet<OrderId>, Option<DateTime<Utc>>) {
        let others = self.redemptions.iter().enumerate().filter(|(other, _)| *other != redemption);
        let windows = others.filter_map(|(_, kept)| match &kept.redemption.phase {
            Phase::Ordering(intent) if intent.wanted == *wanted => Some(intent.intended_at),
            _ => None,
        });
        (self.claims.iter().map(|(order, _)| order.clone()).collect(), windows.min())
    }

    pub(crate) fn newest_order(&self) -> Option<OrderId> {
        self.claims.iter().map(|(order, _)| order).max().cloned()
    }

    /// The delivery that is stored for the voucher, if one is.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = (usize, &Delivery)> {
        self.all().enumerate().filter_map(|(index, redemption)| match &redemption.phase {
            Phase::Delivered(delivery) => Some((index, delivery)),
            _ => None,
        })
    }
}
