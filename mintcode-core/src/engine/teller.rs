//! Tells the operator of alerts: in the log, and through a sink where there is one.

use std::sync::Arc;
use std::time::Duration;

use super::driver::Driver;
use super::pulse::Pulse;
use super::supplier_desk::Chain;
use crate::ports::{AlertRow, AlertSink, Alerts, Clock, StorageError};

/// How often alerts are looked for that another process raised, or that could not be told.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Alerts told in a row.
const AT_ONCE: u32 = 100;
/// The longest one telling may take.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

pub(super) struct Teller {
    pub(super) alerts: Arc<dyn Alerts>,
    pub(super) sink: Option<Arc<dyn AlertSink>>,
    pub(super) driver: Arc<Driver>,
    pub(super) pulse: Arc<Pulse>,
}

impl Teller {
    pub(super) async fn run(self: Arc<Self>) {
        let alerted = self.driver.journal.alerted();
        loop {
            if let Err(error) = self.tell_all().await {
                tracing::warn!(error = %Chain(&error), "alerts could not be read or noted");
            }
            // Looked for all the same now and then, so a notice too few only costs time.
            drop(tokio::time::timeout(LOOK_EVERY, alerted.notified()).await);
        }
    }

    async fn tell_all(&self) -> Result<(), StorageError> {
        let untold = self.alerts.untold(self.driver.clock.now(), AT_ONCE).await?;
        // Of several workers one tells, so that each alert is told once.
        if untold.is_empty()
            || !self.driver.has_chore("tell alerts", self.driver.timing.worker_ttl, &self.pulse).await
        {
            return Ok(());
        }
        for alert in untold {
            let again_at = self.tell(&alert).await.map(|pause| self.driver.clock.now() + pause);
            self.alerts.told(alert.id, again_at).await?;
        }
        Ok(())
    }

    /// `None` once it is told, else how long to wait before it is tried again.
    async fn tell(&self, alert: &AlertRow) -> Option<Duration> {
        if alert.tries == 0 {
            tracing::error!(id = alert.id, kind = alert.alert.kind(), about = alert.alert.key(), "alert");
        }
        let sink = self.sink.as_ref()?;
        match tokio::time::timeout(PATIENCE, sink.tell(alert)).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => {
                tracing::warn!(id = alert.id, error = %Chain(&error), "an alert could not be told");
            }
            Err(_) => tracing::warn!(id = alert.id, "an alert could not be told in time"),
        }
        Some((FIRST_PAUSE * 2_u32.saturating_pow(alert.tries.min(20))).min(LONGEST_PAUSE))
    }
}
