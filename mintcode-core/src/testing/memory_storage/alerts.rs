//! Alerts, and who was told of them.

use std::collections::hash_map::Entry;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStorage, State};
use crate::alert::AlertChange;
use crate::ports::{AlertRow, Alerts, StorageError};

pub(super) struct StoredAlert {
    row: AlertRow,
    /// From then on it is to be told; `None` once it was.
    tell_at: Option<DateTime<Utc>>,
}

#[async_trait]
impl Alerts for MemoryStorage {
    async fn alerts(&self, open: bool, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        self.transaction(|state| {
            let newest_first = state.alerts.iter().rev().map(|stored| &stored.row);
            let shown = newest_first.filter(|row| !open || row.cleared_at.is_none());
            Ok(shown.take(limit as usize).cloned().collect())
        })
    }

    async fn acknowledge(&self, id: i64, now: DateTime<Utc>) -> Result<bool, StorageError> {
        self.transaction(|state| {
            let is_it = |stored: &&StoredAlert| stored.row.id == id && stored.row.cleared_at.is_none();
            let key = state.alerts.iter().find(is_it).map(|open| open.row.alert.key());
            Ok(key.and_then(|key| state.clear_alert(&key, now)).is_some())
        })
    }

    async fn untold(&self, now: DateTime<Utc>, limit: u32) -> Result<Vec<AlertRow>, StorageError> {
        self.transaction(|state| {
            let due = state.alerts.iter().filter(|stored| stored.tell_at.is_some_and(|at| at <= now));
            Ok(due.take(limit as usize).map(|stored| stored.row.clone()).collect())
        })
    }

    async fn told(&self, id: i64, again_at: Option<DateTime<Utc>>) -> Result<(), StorageError> {
        self.transaction(|state| {
            for told in state.alerts.iter_mut().filter(|stored| stored.row.id == id) {
                told.row.tries += 1;
                told.tell_at = again_at;
            }
            Ok(())
        })
    }
}

impl State {
    /// Raises what is not raised, and clears what is, one change after the other.
    pub(super) fn alert(&mut self, changes: impl IntoIterator<Item = AlertChange>, now: DateTime<Utc>) {
        for change in changes {
            match change {
                AlertChange::Raise(alert) => {
                    let place = self.alerts.len();
                    if let Entry::Vacant(closed) = self.open_alerts.entry(alert.key()) {
                        let id = i64::try_from(place + 1).unwrap_or(i64::MAX);
                        let row = AlertRow { id, alert, raised_at: now, cleared_at: None, tries: 0 };
                        self.alerts.push(StoredAlert { row, tell_at: Some(now) });
                        closed.insert(place);
                    }
                }
                AlertChange::Clear(key) => drop(self.clear_alert(&key, now)),
            }
        }
    }

    /// Clears the open alert of that key, if there is one.
    fn clear_alert(&mut self, key: &str, now: DateTime<Utc>) -> Option<()> {
        let place = self.open_alerts.remove(key)?;
        self.alerts.get_mut(place)?.row.cleared_at = Some(now);
        Some(())
    }
}
