//! The tests are tested: one safeguard at a time is cut out, between the engine and the storage, and has to be missed.

use std::collections::BTreeMap;
use std::time::Duration;

use mintcode_core::ids::RedemptionId;
use mintcode_core::order::OrderId;
use mintcode_core::ports::{Commit, Storage, StorageError};
use mintcode_core::redemption::{Phase, Redemption, Timing};

use super::sim::Sim;

/// What is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// An intent is durable only with the next commit of its redemption: a crash loses it.
    Intent,
    /// Every commit is let through, whoever owns the redemption and whatever version it has.
    Fence,
    /// A purchase is taken for settled at once.
    Settling,
    /// Nothing counts as claimed.
    Claim,
    /// Nobody sweeps.
    Sweeper,
}

/// Intents that one process has acknowledged and not stored.
pub(crate) type Unstored = BTreeMap<RedemptionId, Commit>;

/// Behind an order's id, what makes it another one.
const ALIAS: char = '#';

impl Sim {
    /// Stores a change, as far as nothing is cut out.
    pub(crate) async fn commit(
        &self,
        process: u64,
        unstored: &std::sync::Mutex<Unstored>,
        commit: Commit,
    ) -> Result<(), StorageError> {
        match self.cut {
            Some(Cut::Intent) => {
                let id = commit.next.id;
                if matches!(commit.next.phase, Phase::Ordering(_)) {
                    unstored.lock().unwrap().insert(id, commit);
                    return Ok(());
                }
                let intent = unstored.lock().unwrap().remove(&id);
                if let Some(intent) = intent {
                    self.store(process, intent).await?;
                }
                self.store(process, commit).await
            }
            Some(Cut::Fence) => match self.store(process, commit.clone()).await {
                Err(StorageError::Fenced | StorageError::Conflict) => {
                    let Some(stored) = self.storage.redemption(commit.next.id).await? else {
                        return Err(StorageError::Conflict);
                    };
                    let next = Redemption { version: stored.version + 1, epoch: stored.epoch, ..commit.next };
                    self.store(process, Commit { next, ..commit }).await
                }
                answer => answer,
            },
            Some(Cut::Claim) => match self.store(process, commit.clone()).await {
                Err(StorageError::Claimed) => {
                    let mut commit = commit;
                    alias(&mut commit.next);
                    self.store(process, commit).await
                }
                answer => answer,
            },
            None | Some(Cut::Settling | Cut::Sweeper) => self.store(process, commit).await,
        }
    }

    /// The times that the engine goes by.
    pub(crate) fn timing(&self) -> Timing {
        let timing = self.setup.timing.clone();
        match self.cut {
            Some(Cut::Settling) => {
                let settle_time = Duration::from_millis(101);
                let buy_timeout = Duration::from_millis(100);
                Timing { buy_timeout, settle_time, late_max: Duration::ZERO, ..timing }
            }
            _ => timing,
        }
    }
}

/// The id that the supplier knows an order by.
pub(crate) fn real(order: &OrderId) -> OrderId {
    let text = order.as_str();
    text.split_once(ALIAS).map_or_else(|| order.clone(), |(real, _)| OrderId::new(real))
}

/// Gives the orders of a redemption ids that nobody else has claimed.
fn alias(redemption: &mut Redemption) {
    let owner = redemption.id;
    let rename = |order: &mut OrderId| {
        if !order.as_str().contains(ALIAS) {
            *order = OrderId::new(format!("{order}{ALIAS}{owner}"));
        }
    };
    match &mut redemption.phase {
        Phase::Waiting(held) => rename(&mut held.order.id),
        Phase::Releasing(releasing) => rename(&mut releasing.held.order.id),
        Phase::Delivered(delivery) | Phase::Withheld(delivery) => rename(&mut delivery.held.order.id),
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::CoolingDown { .. }
        | Phase::Failed(_)
        | Phase::Cancelled => {}
    }
    redemption.background.iter_mut().for_each(|surplus| rename(&mut surplus.held.order.id));
    redemption
        .closed
        .iter_mut()
        .filter_map(|closed| closed.order.as_mut())
        .for_each(|order| rename(&mut order.id));
}
