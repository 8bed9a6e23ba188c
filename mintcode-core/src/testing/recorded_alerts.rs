//! Remembers what the operator was told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::alert::Alert;
use crate::ports::{AlertError, AlertRow, AlertSink};

/// A sink that keeps what it is told, and fails where it is to. Cheap to clone; clones share the record.
#[derive(Clone, Default)]
pub struct RecordedAlerts(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    told: Vec<AlertRow>,
    failed: Vec<AlertRow>,
    is_broken: bool,
}

impl RecordedAlerts {
    /// Fails from now on, or no longer does.
    pub fn set_broken(&self, is_broken: bool) {
        self.record().is_broken = is_broken;
    }

    /// What was told, in order.
    #[must_use]
    pub fn told(&self) -> Vec<Alert> {
        self.rows().into_iter().map(|row| row.alert).collect()
    }

    /// What was told, in order, as it was stored then.
    #[must_use]
    pub fn rows(&self) -> Vec<AlertRow> {
        self.record().told.clone()
    }

    /// What could not be told, in order, once for every time it was tried.
    #[must_use]
    pub fn failed(&self) -> Vec<AlertRow> {
        self.record().failed.clone()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AlertSink for RecordedAlerts {
    async fn tell(&self, alert: &AlertRow) -> Result<(), AlertError> {
        let mut record = self.record();
        if record.is_broken {
            record.failed.push(alert.clone());
            return Err(AlertError("the sink is broken".into()));
        }
        record.told.push(alert.clone());
        Ok(())
    }
}
