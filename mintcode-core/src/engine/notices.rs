//! Wakes whoever waits for a redemption to change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::ids::RedemptionId;
use crate::ports::News;

/// How many entries there are before the first sweep of those nobody listens to.
const FIRST_SWEEP: usize = 64;

/// Tells waiting readers which version of a redemption was stored last. A lost notice only costs them time: they read
/// storage, not the notice.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    senders: HashMap<RedemptionId, watch::Sender<u64>>,
    /// Entries left by the last sweep.
    swept: usize,
}

impl Notices {
    /// A receiver that sees every version stored from now on, the newest standing for those before.
    #[must_use]
    pub fn subscribe(&self, id: RedemptionId) -> watch::Receiver<u64> {
        let mut waiting = self.lock();
        // Readers go away without a word, so entries are swept whenever they have doubled.
        if waiting.senders.len() >= FIRST_SWEEP.max(2 * waiting.swept) {
            waiting.senders.retain(|_, sender| !sender.is_closed());
            waiting.swept = waiting.senders.len();
        }
        waiting.senders.entry(id).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells that `version` of `id` is stored.
    pub fn publish(&self, id: RedemptionId, version: u64) {
        let mut waiting = self.lock();
        if let Some(sender) = waiting.senders.get(&id) {
            sender.send_replace(version);
            // Nobody listens any more, so nothing is kept.
            if sender.is_closed() {
                waiting.senders.remove(&id);
            }
        }
    }

    /// Tells that nobody knows what is stored.
    pub(super) fn publish_anything(&self) {
        for sender in self.lock().senders.values() {
            sender.send_modify(|_| {});
        }
    }

    /// Passes on what other processes store, until storage is gone.
    pub(super) async fn follow(self, mut news: broadcast::Receiver<News>) {
        loop {
            match news.recv().await {
                Ok(News::Version { redemption, version }) => self.publish(redemption, version),
                Ok(News::Anything) | Err(RecvError::Lagged(_)) => self.publish_anything(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    #[test]
    fn entries_that_nobody_listens_to_are_swept() {
        let notices = Notices::default();
        let entropy = SeededEntropy::new(1);
        let kept = RedemptionId::draw(&entropy);
        let mut listening = notices.subscribe(kept);
        for _ in 0..10_000 {
            drop(notices.subscribe(RedemptionId::draw(&entropy)));
        }
        assert!(notices.lock().senders.len() <= FIRST_SWEEP + 1);
        notices.publish(kept, 7);
        assert_eq!(*listening.borrow_and_update(), 7);
    }

    #[tokio::test]
    async fn what_others_store_wakes_whoever_waits_for_it() {
        let (notices, entropy) = (Notices::default(), SeededEntropy::new(1));
        let (one, other) = (RedemptionId::draw(&entropy), RedemptionId::draw(&entropy));
        let (mut of_one, mut of_other) = (notices.subscribe(one), notices.subscribe(other));
        let (teller, news) = broadcast::channel(2);
        teller.send(News::Version { redemption: one, version: 3 }).unwrap();
        let following = tokio::spawn(notices.follow(news));
        of_one.changed().await.unwrap();
        assert_eq!(*of_one.borrow_and_update(), 3);
        assert!(!of_other.has_changed().unwrap());

        teller.send(News::Anything).unwrap();
        of_one.changed().await.unwrap();
        of_other.changed().await.unwrap();
        drop(teller);
        following.await.unwrap();
    }
}
