//! Being heard of, and noticing who is not: the beats of a worker, and the end of others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::driver::Driver;
use super::pulse::Pulse;
use super::supplier_desk::Chain;
use crate::alert::{Alert, AlertChange};
use crate::ids::WorkerId;
use crate::ports::{Clock, Observed, StorageError, WorkerRow};

/// Beats for as long as the worker lives, and strikes off whoever is dead.
pub(super) async fn live(driver: Arc<Driver>, pulse: Arc<Pulse>) {
    let mut others = Others::default();
    let mut beats = tokio::time::interval(driver.timing.heartbeat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_off = false;
    while pulse.is_alive() {
        beats.tick().await;
        let sent_at = driver.clock.uptime();
        match driver.workers.beat(pulse.worker, driver.clock.now()).await {
            Ok(theirs) => {
                pulse.beat(sent_at);
                if let Some(theirs) = theirs {
                    was_off = driver.compare_clocks(&pulse, theirs, was_off).await;
                }
            }
            Err(StorageError::Fenced) => {
                tracing::error!("this worker was struck off: it begins anew");
                pulse.end();
                return;
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "a beat could not be stored, trying again");
                beats.reset_after(driver.timing.heartbeat / 4);
                continue;
            }
        }
        if let Err(error) = others.look(&driver, &pulse).await {
            tracing::warn!(error = %Chain(&error), "the other workers could not be looked at");
        }
    }
}

/// When each of the other workers was last heard of, by this worker's uptime.
#[derive(Default)]
struct Others(BTreeMap<WorkerId, (u64, Duration)>);

impl Others {
    /// A worker is dead once its beats stood still for a whole life span while this one looked.
    async fn look(&mut self, driver: &Driver, pulse: &Pulse) -> Result<(), StorageError> {
        let workers = driver.workers.workers().await?;
        let now = driver.clock.uptime();
        for desk in driver.suppliers.values() {
            desk.line.set_crowd(workers.len());
        }
        self.0.retain(|worker, _| workers.iter().any(|row| row.worker == *worker));
        for row in workers.into_iter().filter(|row| row.worker != pulse.worker) {
            let (beats, since) = self.0.entry(row.worker).or_insert((row.beats, now));
            if *beats != row.beats {
                (*beats, *since) = (row.beats, now);
            } else if now.saturating_sub(*since) >= driver.timing.worker_ttl {
                strike_off(driver, row).await?;
            }
        }
        Ok(())
    }
}

async fn strike_off(driver: &Driver, silent: WorkerRow) -> Result<(), StorageError> {
    if driver.workers.strike_off(silent).await? {
        tracing::warn!(worker = %silent.worker, "a worker was not heard of any more: its redemptions are taken over");
    }
    Ok(())
}

impl Driver {
    /// Whoever is gone has no clock that could be off.
    pub(super) async fn clock_is_nobodys(&self, pulse: &Pulse) {
        if pulse.is_off_clock() {
            let alert = Alert::ClockOff { worker: pulse.worker, ahead_ms: 0 };
            let alerts = vec![AlertChange::clear(&alert)];
            self.observe(Observed { alerts, ..self.nothing_observed() }).await;
        }
    }

    /// Whether this worker's clock is off; tells the operator when that changes.
    pub(super) async fn compare_clocks(
        &self,
        pulse: &Pulse,
        theirs: chrono::DateTime<chrono::Utc>,
        was_off: bool,
    ) -> bool {
        let ahead = pulse.compare(theirs);
        if ahead.is_some() != was_off {
            let ahead_ms = ahead.map_or(0, |ahead| ahead.num_milliseconds());
            tracing::error!(ahead_ms, is_off = ahead.is_some(), "the worker's clock against the database's");
            let alert = Alert::ClockOff { worker: pulse.worker, ahead_ms };
            let alerts = vec![AlertChange::when(ahead.is_some(), alert)];
            self.observe(Observed { alerts, ..self.nothing_observed() }).await;
        }
        ahead.is_some()
    }
}
