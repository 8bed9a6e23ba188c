//! Who drives a redemption.

use super::State;
use crate::alert::{Alert, AlertChange};
use crate::ids::{RedemptionId, WorkerId};
use crate::ports::Adopt;
use crate::redemption::Redemption;

impl State {
    /// Stores a redemption as it is now.
    pub(super) fn put(&mut self, redemption: Redemption) {
        let (id, owner, is_at_rest) = (redemption.id, redemption.owner, redemption.is_at_rest());
        if let Some(before) = self.redemptions.insert(id, redemption) {
            let of_owner = self.awake.entry(before.owner).or_default();
            of_owner.remove(&id);
            if of_owner.is_empty() {
                self.awake.remove(&before.owner);
            }
        }
        if !is_at_rest {
            self.awake.entry(owner).or_default().insert(id);
        }
    }

    pub(super) fn adopt(&mut self, adopt: Adopt) -> Vec<Redemption> {
        let Adopt { worker, limit, most_takeovers, now } = adopt;
        let mut due: Vec<_> = self
            .awake
            .iter()
            .filter(|(owner, _)| **owner != Some(worker) && self.is_gone(**owner))
            .flat_map(|(_, redemptions)| redemptions)
            .filter_map(|id| self.redemptions.get(id))
            .filter(|redemption| !self.quarantined.contains(&redemption.id))
            .map(|redemption| (redemption.created_at, redemption.id, redemption.takeovers))
            .collect();
        due.sort_unstable();
        let (worn, due): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|(_, _, takeovers)| *takeovers >= most_takeovers);
        for (_, id, _) in worn {
            if let Some(quarantined) = self.change_owner(id, None) {
                let Redemption { mask: voucher, sku, .. } = quarantined;
                self.quarantined.insert(id);
                self.alert([AlertChange::raise(Alert::Quarantined { voucher, sku })], now);
            }
        }
        due.into_iter()
            .take(limit as usize)
            .filter_map(|(_, id, _)| self.change_owner(id, Some(worker)))
            .collect()
    }

    pub(super) fn adopt_one(&mut self, worker: WorkerId, id: RedemptionId) -> Option<Redemption> {
        let redemption = self.redemptions.get(&id).filter(|redemption| self.may_drive(redemption, worker))?;
        if redemption.owner == Some(worker) {
            return Some(redemption.clone());
        }
        self.change_owner(id, Some(worker))
    }

    pub(super) fn outlived(&mut self, worker: WorkerId, redemptions: &[RedemptionId]) {
        for id in redemptions {
            if let Some(redemption) = self.redemptions.get_mut(id).filter(|it| it.owner == Some(worker)) {
                redemption.takeovers = 0;
            }
        }
    }

    pub(super) fn resume(&mut self, id: RedemptionId) -> bool {
        let was_quarantined = self.quarantined.remove(&id);
        if let Some(redemption) = self.redemptions.get_mut(&id).filter(|_| was_quarantined) {
            redemption.takeovers = 0;
        }
        was_quarantined
    }

    /// Whether `worker` owns the redemption, or may take it over.
    pub(super) fn may_drive(&self, redemption: &Redemption, worker: WorkerId) -> bool {
        let is_free = redemption.owner == Some(worker) || self.is_gone(redemption.owner);
        is_free && !self.quarantined.contains(&redemption.id)
    }

    fn is_gone(&self, owner: Option<WorkerId>) -> bool {
        owner.is_none_or(|owner| !self.workers.contains_key(&owner))
    }

    /// Gives the redemption to `owner`, or to nobody, with the next epoch.
    fn change_owner(&mut self, id: RedemptionId, owner: Option<WorkerId>) -> Option<Redemption> {
        let before = self.redemptions.get(&id)?;
        let is_takeover = owner.is_some() && before.owner.is_some();
        let takeovers = before.takeovers + u32::from(is_takeover);
        let next = Redemption { owner, takeovers, epoch: before.epoch + 1, ..before.clone() };
        self.put(next.clone());
        Some(next)
    }
}
