//! The breaker of one source: switched off when it is empty too often, and then probed with one try.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{HealthRules, Silence, Source, Tally};
use crate::alert::{Alert, AlertChange};
use crate::ids::RedemptionId;
use crate::money::Amount;

/// How far ahead a clock may have been when a source was switched off.
const CLOCK_SLACK: Duration = Duration::from_hours(1);

/// How a source does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Health {
    /// Tries that told whether there is stock.
    pub tries: Tally,
    /// Whether its numbers get their SMS.
    pub silence: Silence,
    /// Switched off, and why; `None` while it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
}

/// A source that is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Off {
    /// Since then.
    pub since: DateTime<Utc>,
    /// From then on it may be probed.
    pub until: DateTime<Utc>,
    /// Why.
    pub why: WhyOff,
    /// The try that probes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
}

/// Why a source is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyOff {
    /// It was out of stock too often.
    Empty,
    /// An order there came back dearer than its cap.
    Dear {
        /// What it cost: off for whoever pays less.
        price: Amount,
        /// The cap: a price in the catalogue that fits it brings the probe forward.
        cap: Amount,
        /// Whether the probe itself was too dear, so that the catalogue is not believed for a while.
        is_quote_false: bool,
    },
}

/// The one try that a source gets after its time off: a lease, so that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// Whose attempt.
    pub redemption: RedemptionId,
    /// Which one.
    pub attempt: u32,
    /// It ends then even if nothing is heard of it.
    pub until: DateTime<Utc>,
}

/// Whether a source may be tried, by whoever pays at most a certain amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Standing {
    /// It may.
    On,
    /// It may, as the probe.
    Probe,
    /// It may not.
    Off {
        /// Until then.
        until: DateTime<Utc>,
    },
}

/// What an attempt, or a look at the catalogue, means for a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// The source.
    pub source: Source,
    /// What happened.
    pub event: HealthEvent,
}

/// What happened at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthEvent {
    /// An attempt is intended that probes it.
    Probing(Probe),
    /// An attempt got a number.
    Sold {
        /// Whether the attempt was the probe.
        was_probe: bool,
    },
    /// An attempt found nothing in stock.
    Empty {
        /// Whether the attempt was the probe.
        was_probe: bool,
    },
    /// An attempt got a number that cost more than its cap.
    Dear {
        /// What it cost.
        price: Amount,
        /// Its cap.
        cap: Amount,
        /// Whether the attempt was the probe.
        was_probe: bool,
    },
    /// The probe ended without telling whether there is stock.
    ProbeReleased {
        /// Whose.
        redemption: RedemptionId,
        /// Which attempt.
        attempt: u32,
    },
    /// A number got an SMS, or was given back without one.
    Number {
        /// Whether it got one.
        got_sms: bool,
    },
    /// The catalogue shows what a number costs.
    Listed {
        /// That.
        price: Amount,
    },
}

/// Another attempt probes the source already. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another attempt probes the source")]
pub struct ProbeTaken;

impl Health {
    /// Whether whoever pays at most `cap` may try it now.
    #[must_use]
    pub fn standing(&self, cap: Amount, now: DateTime<Utc>) -> Standing {
        match &self.off {
            None => Standing::On,
            Some(Off { why: WhyOff::Dear { price, .. }, .. }) if *price <= cap => Standing::On,
            // A clock that was far ahead once keeps nothing off until its time has come.
            Some(off) if now < off.until && off.since <= now + CLOCK_SLACK => {
                Standing::Off { until: off.until }
            }
            Some(Off { probe: Some(probe), .. }) if now < probe.until => Standing::Off { until: probe.until },
            Some(_) => Standing::Probe,
        }
    }

    /// After what `change` tells, with what that says to the operator.
    ///
    /// # Errors
    ///
    /// [`ProbeTaken`] where an attempt is to probe what another one probes, or what is off for longer.
    pub fn after(
        mut self,
        change: &HealthChange,
        rules: &HealthRules,
        now: DateTime<Utc>,
    ) -> Result<(Self, Vec<AlertChange>), ProbeTaken> {
        let (was_silent, was_off) = (self.silence.is_silent(), self.off.is_some());
        match change.event {
            HealthEvent::Probing(probe) => self.reserve(probe, now)?,
            HealthEvent::Sold { was_probe } => {
                self.tries.count(false, rules.window, now);
                if was_probe {
                    // What was counted before the time off says nothing about the time after it.
                    self.tries = Tally::default();
                    self.off = None;
                }
            }
            HealthEvent::Empty { was_probe } => {
                self.tries.count(true, rules.window, now);
                // One that is off for its price may be empty as well, for those who pay it.
                let is_off_as_empty = self.off.as_ref().is_some_and(|off| off.why == WhyOff::Empty);
                let is_probed_empty = was_probe && self.off.is_some();
                if is_probed_empty || (!is_off_as_empty && self.is_too_empty(rules, now)) {
                    self.switch_off(WhyOff::Empty, rules, now);
                }
            }
            HealthEvent::Dear { price, cap, was_probe } => {
                self.tries.count(true, rules.window, now);
                self.switch_off(WhyOff::Dear { price, cap, is_quote_false: was_probe }, rules, now);
            }
            HealthEvent::ProbeReleased { redemption, attempt } => self.release(redemption, attempt),
            HealthEvent::Number { got_sms } => self.silence.note(got_sms),
            HealthEvent::Listed { price: listed } => self.relist(listed, rules, now),
        }
        let source = &change.source;
        let mut alerts = Vec::new();
        if self.silence.is_silent() != was_silent {
            let silent = Alert::SourceSilent { source: source.clone() };
            alerts.push(AlertChange::when(self.silence.is_silent(), silent));
        }
        if self.off.is_some() != was_off {
            let until = self.off.as_ref().map_or(now, |off| off.until);
            let off = Alert::SourceOff { source: source.clone(), until };
            alerts.push(AlertChange::when(self.off.is_some(), off));
        }
        Ok((self, alerts))
    }

    fn switch_off(&mut self, why: WhyOff, rules: &HealthRules, now: DateTime<Utc>) {
        self.off = Some(Off { since: now, until: now + rules.off, why, probe: None });
    }

    fn is_too_empty(&self, rules: &HealthRules, now: DateTime<Utc>) -> bool {
        let (tries, empty) = self.tries.within(rules.window, now);
        tries >= rules.min_tries.max(1) && u64::from(empty) * 100 >= u64::from(tries) * HealthRules::TOO_EMPTY
    }

    fn reserve(&mut self, probe: Probe, now: DateTime<Utc>) -> Result<(), ProbeTaken> {
        // One that was switched on in the meantime needs no probe.
        let Some(off) = &mut self.off else { return Ok(()) };
        let is_leased = off.probe.is_some_and(|other| {
            now < other.until && (other.redemption, other.attempt) != (probe.redemption, probe.attempt)
        });
        if now < off.until || is_leased {
            return Err(ProbeTaken);
        }
        off.probe = Some(probe);
        Ok(())
    }

    fn release(&mut self, redemption: RedemptionId, attempt: u32) {
        if let Some(off) = &mut self.off {
            off.probe = off.probe.filter(|probe| (probe.redemption, probe.attempt) != (redemption, attempt));
        }
    }

    /// A source that is off for its price is probed early when the catalogue shows one that fits, and stays off for as
    /// long as it shows one that does not.
    fn relist(&mut self, listed: Amount, rules: &HealthRules, now: DateTime<Utc>) {
        let Some(off) = &mut self.off else { return };
        let WhyOff::Dear { cap, is_quote_false, .. } = off.why else { return };
        if listed > cap {
            off.until = off.until.max(now + rules.off);
        } else if !is_quote_false {
            off.until = off.until.min(now);
        }
    }
}
