//! Stores what the machine decided, before anything is done about it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::notices::Notices;
use crate::health::HealthRules;
use crate::ports::{BuyPermit, Clock, Commit, SendWindow, Storage, StorageError};
use crate::redemption::{ChoiceRecord, Consequences, Effect, Phase, Redemption, Timing};

/// Proof that a permit comes from the journal: nothing else can make one.
#[derive(Debug)]
pub(crate) struct Seal {
    _private: (),
}

/// The only way to storage for whoever drives redemptions, and the only maker of [`BuyPermit`]s.
#[derive(Clone)]
pub(crate) struct Journal {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    notices: Notices,
    rules: HealthRules,
    /// How long a probe that nothing is heard of keeps others from probing.
    probe_lasts: Duration,
    /// Woken when the operator may have to be told something.
    alerted: Arc<Notify>,
}

/// A change that is durable.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The redemption as stored.
    pub(crate) redemption: Redemption,
    /// Leave to buy, where a purchase was decided and this very commit made its intent durable. A commit whose answer
    /// was lost gives none, even when it turns out to have happened.
    pub(crate) permit: Option<BuyPermit>,
}

/// The change was not stored and never will be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// The redemption belongs to another worker, or was changed by somebody: this worker drops it.
    #[error("the redemption is not this worker's any more")]
    Ownership(#[source] StorageError),
    /// Another attempt has the order: this one has to look on.
    #[error("the order is claimed by another attempt")]
    Claim,
    /// Another attempt probes the source: the plan has to be chosen again.
    #[error("another attempt probes the source")]
    Probe,
    /// The voucher went on without the redemption, so that what was withheld can no longer be released.
    #[error("the voucher has gone on without this redemption")]
    Voucher,
    /// The stored redemption cannot be read.
    #[error("the stored redemption cannot be read")]
    Unreadable(#[source] StorageError),
}

impl Journal {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        notices: Notices,
        rules: HealthRules,
        timing: &Timing,
    ) -> Self {
        let probe_lasts = timing.send_window + timing.buy_timeout + timing.settle_time;
        Self { storage, clock, notices, rules, probe_lasts, alerted: Arc::default() }
    }

    /// Woken whenever the operator may have to be told something.
    pub(crate) fn alerted(&self) -> Arc<Notify> {
        Arc::clone(&self.alerted)
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Stores `next`, which follows `before`, with everything that it means and the `choice` behind it, and asks again for
    /// as long as storage is away.
    pub(crate) async fn commit(
        &self,
        before: &Redemption,
        next: Redemption,
        choice: Option<Box<ChoiceRecord>>,
        effect: Option<&Effect>,
        consumed: Vec<i64>,
    ) -> Result<Committed, Lost> {
        let Consequences { voucher, ledger, health, accounts, mut alerts } =
            Consequences::of(before, &next, self.probe_lasts);
        alerts.extend(choice.as_ref().and_then(|choice| choice.alert(&next.sku)));
        let may_alert = !(health.is_empty() && accounts.is_empty() && alerts.is_empty());
        let voucher = voucher.into_iter().collect();
        let next = Redemption { takeovers: 0, ..next };
        let commit =
            Commit { next, voucher, consumed, ledger, health, accounts, alerts, choice, rules: self.rules };
        let mut trouble = Trouble::new("storing a transition");
        loop {
            match self.storage.commit(commit.clone()).await {
                Ok(()) => {
                    if may_alert {
                        self.alerted.notify_one();
                    }
                    let permit = self.permit(&commit.next, effect);
                    return Ok(self.committed(commit.next, permit));
                }
                Err(StorageError::Unavailable(source)) => trouble.pause(&source).await,
                Err(error @ (StorageError::Unknown(_) | StorageError::Conflict)) => {
                    match self.is_stored(before, &commit.next).await? {
                        Some(true) => return Ok(self.committed(commit.next, None)),
                        Some(false) if matches!(error, StorageError::Unknown(_)) => {
                            trouble.pause(&error).await;
                        }
                        Some(false) | None => return Err(Lost::Ownership(error)),
                    }
                }
                Err(StorageError::Claimed) => return Err(Lost::Claim),
                Err(StorageError::ProbeTaken) => return Err(Lost::Probe),
                Err(StorageError::VoucherMoved) => return Err(Lost::Voucher),
                Err(error @ StorageError::Fenced) => return Err(Lost::Ownership(error)),
                Err(error @ StorageError::Corrupt { .. }) => return Err(Lost::Unreadable(error)),
            }
        }
    }

    fn permit(&self, next: &Redemption, effect: Option<&Effect>) -> Option<BuyPermit> {
        match (&next.phase, effect) {
            (Phase::Ordering(intent), Some(Effect::Buy)) => {
                let window = SendWindow::new(intent.send_by, Arc::clone(&self.clock));
                Some(BuyPermit::new(intent.wanted.clone(), window, Seal { _private: () }))
            }
            _ => None,
        }
    }

    fn committed(&self, redemption: Redemption, permit: Option<BuyPermit>) -> Committed {
        self.notices.publish(redemption.id, redemption.version);
        Committed { redemption, permit }
    }

    /// Whether `next` is what is stored, or still `before`; `None` if it is something else.
    async fn is_stored(&self, before: &Redemption, next: &Redemption) -> Result<Option<bool>, Lost> {
        let stored = persist("reloading a redemption", || self.storage.redemption(next.id)).await;
        let stored = stored.map_err(Lost::Unreadable)?;
        Ok(stored.filter(|stored| stored.epoch == before.epoch && stored.owner == before.owner).and_then(
            |stored| {
                let is_next = stored.version == next.version && stored.phase == next.phase;
                (is_next || stored.version == before.version).then_some(is_next)
            },
        ))
    }
}

/// Repeats a read, or a write that may be repeated, for as long as storage is away.
pub(super) async fn persist<T, F: Future<Output = Result<T, StorageError>>>(
    what: &'static str,
    mut operation: impl FnMut() -> F,
) -> Result<T, StorageError> {
    let mut trouble = Trouble::new(what);
    loop {
        match operation().await {
            Err(error @ (StorageError::Unavailable(_) | StorageError::Unknown(_))) => {
                trouble.pause(&error).await;
            }
            answer => return answer,
        }
    }
}

/// Waits longer each time, from 100 ms up to 5 s, and says so once per streak.
struct Trouble {
    what: &'static str,
    pause: Duration,
}

impl Trouble {
    fn new(what: &'static str) -> Self {
        Self { what, pause: Duration::from_millis(100) }
    }

    async fn pause(&mut self, error: &(dyn std::fmt::Display + Sync)) {
        if self.pause == Duration::from_millis(100) {
            tracing::warn!(%error, "{} failed, trying again until it works", self.what);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(5));
    }
}
