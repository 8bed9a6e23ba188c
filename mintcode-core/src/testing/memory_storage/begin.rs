//! Beginning a redemption.

use chrono::{DateTime, Utc};

use super::{State, corrupt};
use crate::ids::RedemptionId;
use crate::ledger;
use crate::ports::{Begin, BeginBy, Begun, StorageError};
use crate::redemption::Redemption;
use crate::voucher::{Admission, Refusal, Request, Surroundings, VoucherHash, admit};

impl State {
    pub(super) fn begin(&mut self, begin: Begin) -> Result<Begun, StorageError> {
        let hash = match self.named(&begin.by) {
            Ok(hash) => hash,
            Err(refusal) => return Ok(Begun::Refused(refusal)),
        };
        let key = begin.holder.idempotency.clone();
        let first_voucher = key.as_ref().and_then(|key| self.idempotency.get(key)).copied();
        if first_voucher.is_some() && first_voucher != hash {
            return Ok(Begun::Refused(Refusal::IdempotencyMismatch));
        }
        let Some(voucher) = hash.and_then(|hash| self.vouchers.get(&hash)).cloned() else {
            return Ok(Begun::Refused(Refusal::Unknown));
        };

        let (hash, sku) = (voucher.hash, voucher.sku.clone());
        let keys = begin.counted_under(&sku);
        let Begin { by, holder, id, owner, now, rules, address: _ } = begin;
        let again = match by {
            BeginBy::Again(id) => Some(id),
            BeginBy::Code(_) => None,
        };
        let offer = self.skus.get(&sku).ok_or_else(|| corrupt("voucher", &hash))?;
        let last = voucher.redemption.and_then(|last| self.redemptions.get(&last));
        let earlier = |key: &String| self.begun.get(key).cloned().unwrap_or_default();
        let lately: Vec<_> = keys.iter().map(|(key, cap)| (*cap, earlier(key))).collect();
        let outlook = self.outlook(offer);
        let around = Surroundings { outlook: &outlook, rules: &rules, begun: &lately };
        match admit(voucher, offer, last, Request { holder, id, again }, &around, now) {
            Admission::Begin { voucher, redemption, follows } => {
                if self.redemptions.contains_key(&id) {
                    return Err(StorageError::Conflict);
                }
                if last.is_some_and(|last| !last.is_final()) {
                    return Err(corrupt("redemption", &id));
                }
                if let Some(key) = key {
                    self.idempotency.entry(key).or_insert(hash);
                }
                for (key, _) in keys {
                    let counter = self.begun.remove(&key).unwrap_or_default();
                    self.begun.insert(key, counter.counted(now));
                }
                self.vouchers.insert(hash, *voucher);
                Ok(Begun::New(Box::new(self.insert(Redemption { owner, ..*redemption }, follows, now))))
            }
            Admission::Same => {
                let last = last.ok_or_else(|| corrupt("voucher", &hash))?;
                Ok(Begun::Same(Box::new(last.clone())))
            }
            Admission::Expired(voucher) => {
                self.vouchers.insert(hash, *voucher);
                Ok(Begun::Refused(Refusal::Expired))
            }
            Admission::Refused(refusal) => {
                self.alert(refusal.alert(&sku), now);
                Ok(Begun::Refused(refusal))
            }
        }
    }

    /// The hash of the voucher that is asked for, if there is one.
    fn named(&self, by: &BeginBy) -> Result<Option<VoucherHash>, Refusal> {
        match by {
            BeginBy::Code(hashes) => Ok(hashes.iter().find(|hash| self.vouchers.contains_key(hash)).copied()),
            BeginBy::Again(id) => match self.redemptions.get(id) {
                Some(redemption) => Ok(Some(redemption.voucher)),
                None => Err(Refusal::NoRedemption),
            },
        }
    }

    /// Stores a redemption that begins, and returns it.
    fn insert(
        &mut self,
        redemption: Redemption,
        follows: Option<RedemptionId>,
        now: DateTime<Utc>,
    ) -> Redemption {
        let id = redemption.id;
        if let Some(followed) = follows.and_then(|followed| self.redemptions.get_mut(&followed)) {
            followed.next = Some(id);
        }
        self.book(&redemption, ledger::due(None, &redemption), now);
        self.history.insert(id, vec![redemption.snapshot()]);
        self.put(redemption.clone());
        redemption
    }
}
