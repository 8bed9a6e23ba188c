//! Wakes whoever waits for a redemption to change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::ids::RedemptionId;

/// Tells waiting readers which version of a redemption was stored last. A lost notice only costs them time: they read
/// storage, not the notice.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    waiting: Arc<Mutex<HashMap<RedemptionId, watch::Sender<u64>>>>,
}

impl Notices {
    /// A receiver that sees every version stored from now on, the newest standing for those before.
    #[must_use]
    pub fn subscribe(&self, id: RedemptionId) -> watch::Receiver<u64> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(id).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells that `version` of `id` is stored.
    pub fn publish(&self, id: RedemptionId, version: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.get(&id) {
            sender.send_replace(version);
            // Nobody listens any more, so nothing is kept.
            if sender.is_closed() {
                waiting.remove(&id);
            }
        }
    }
}
