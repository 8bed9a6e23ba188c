//! Removing old numbers and messages, and which secrets are still needed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::State;
use crate::ports::vouchers::SecretUse;
use crate::voucher::{KeyId, VoucherState};

impl State {
    pub(super) fn purge(&mut self, before: DateTime<Utc>, limit: u32, now: DateTime<Utc>) -> u64 {
        let limit = limit as usize;
        let old = self.redemptions.values().filter(|redemption| redemption.updated_at < before);
        let purged: Vec<_> = old.filter_map(|redemption| redemption.purged(now)).take(limit).collect();
        let is_old = |at: DateTime<Utc>| at < before;
        let settled = self.orphans.values().filter(|orphan| orphan.settled_at().is_some_and(is_old));
        let orphans: Vec<_> = settled.filter_map(crate::orphan::Orphan::purged).take(limit).collect();
        let count = purged.len() + orphans.len();
        for redemption in purged {
            self.history.entry(redemption.id).or_default().push(redemption.snapshot());
            self.put(redemption);
        }
        for orphan in orphans {
            self.orphans.insert((orphan.source.supplier.clone(), orphan.order.id.clone()), orphan);
        }
        count as u64
    }

    pub(super) fn secrets_in_use(&self) -> Vec<SecretUse> {
        let mut uses: BTreeMap<KeyId, (u64, u64)> = BTreeMap::new();
        let is_live = |state: VoucherState| {
            matches!(
                state,
                VoucherState::Issued
                    | VoucherState::Locked { .. }
                    | VoucherState::Redeeming { .. }
                    | VoucherState::RetryableFailed
            )
        };
        for voucher in self.vouchers.values().filter(|voucher| is_live(voucher.state)) {
            uses.entry(voucher.key_id).or_default().0 += 1;
        }
        for batch in self.batches.iter().filter(|batch| batch.nonce.is_some()) {
            uses.entry(batch.key_id).or_default().1 += 1;
        }
        let as_use = |(secret, (live_vouchers, unsealed_batches))| SecretUse {
            secret,
            live_vouchers,
            unsealed_batches,
        };
        uses.into_iter().map(as_use).collect()
    }
}
