//! An order at a supplier that no redemption knows of: claimed first, then given back.
//!
//! A purchase whose answer was lost for good, or one that was sent too late by a worker that had been asleep, leaves an
//! order behind that nobody waits for. On an account that is ours alone it is safe to take it back. Nobody is ever shown
//! its number.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertChange};
use crate::health::Source;
use crate::ids::SupplierName;
use crate::money::{Amount, Currency, Rate};
use crate::order::{ListedOrder, Order, OrderStatus, Phone, Sight};
use crate::redemption::{Call, CallFailure, settle_pause};

/// An order that no redemption knows of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Orphan {
    /// Where it was bought.
    pub source: Source,
    /// The order.
    pub order: Order,
    /// The supplier's currency.
    pub currency: Currency,
    /// What one unit of it was worth in the selling currency.
    pub rate: Rate,
    /// When it was found.
    pub found_at: DateTime<Utc>,
    /// Whether a message has come for it, so that it can only be completed.
    pub has_message: bool,
    /// How often in a row the supplier did not know it.
    pub unknown: u32,
    /// Where it stands.
    pub phase: OrphanPhase,
    /// Grows by one with every stored change. Kept by the storage beside the state.
    #[serde(skip)]
    pub version: u64,
}

/// Where an orphan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanPhase {
    /// It is being given back.
    Returning {
        /// The supplier is not asked again before this moment.
        not_before: DateTime<Utc>,
        /// How often it was asked.
        asked: u32,
    },
    /// It is settled.
    Settled {
        /// How; `None` when the supplier no longer knows it.
        end: Option<OrderStatus>,
        /// When.
        at: DateTime<Utc>,
    },
}

/// What is to be asked of the supplier about an orphan, once the decision is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanEffect {
    /// Look at it.
    Check,
    /// Give it back.
    Cancel,
    /// Complete it: a message has come, so it is charged.
    Finish,
}

/// What an orphan has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanLoss {
    /// Where it was bought.
    pub source: Source,
    /// The order.
    pub order: Order,
    /// The currency of the order's price.
    pub currency: Currency,
    /// The price in the selling currency.
    pub value: Amount,
    /// When it was settled.
    pub at: DateTime<Utc>,
}

impl Orphan {
    /// The orphan that `listed` turns out to be, at version 1.
    #[must_use]
    pub fn found(
        supplier: &SupplierName,
        listed: ListedOrder,
        currency: Currency,
        rate: Rate,
        now: DateTime<Utc>,
    ) -> Self {
        let ListedOrder { order, product, country, operator, sight } = listed;
        Self {
            source: Source { supplier: supplier.clone(), product, country, operator },
            order,
            currency,
            rate,
            found_at: now,
            has_message: false,
            unknown: 0,
            phase: OrphanPhase::Returning { not_before: now, asked: 0 },
            version: 1,
        }
        .after_sight(&sight, now)
    }

    /// What is to be asked now, and the orphan as it is to be stored before that; `None` while there is nothing to do.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> Option<(Self, OrphanEffect)> {
        match self.phase {
            OrphanPhase::Returning { not_before, asked } if now >= not_before => {
                let effect = if self.has_message { OrphanEffect::Finish } else { OrphanEffect::Cancel };
                let not_before = now + settle_pause(asked);
                Some((self.moved(OrphanPhase::Returning { not_before, asked: asked + 1 }), effect))
            }
            OrphanPhase::Returning { .. } | OrphanPhase::Settled { .. } => None,
        }
    }

    /// The orphan as `sight` shows it; `None` where that is nothing new, or it is settled already.
    #[must_use]
    pub fn seen(&self, sight: &Sight, now: DateTime<Utc>) -> Option<Self> {
        if self.is_settled() {
            return None;
        }
        let next = Self { unknown: 0, ..self.clone() }.after_sight(sight, now);
        (next != *self).then(|| Self { version: self.version + 1, ..next })
    }

    fn after_sight(self, sight: &Sight, now: DateTime<Utc>) -> Self {
        let has_message = self.has_message || !sight.messages.is_empty();
        let phase = match self.phase {
            OrphanPhase::Returning { .. } if sight.status.is_closed() => {
                OrphanPhase::Settled { end: Some(sight.status), at: now }
            }
            // It is to be completed now instead of given back, so there is nothing to wait for.
            OrphanPhase::Returning { asked, .. } if has_message && !self.has_message => {
                OrphanPhase::Returning { not_before: now, asked }
            }
            phase => phase,
        };
        Self { has_message, phase, ..self }
    }

    /// The orphan after a call about it failed, if that changes it, and what is to be asked next. `too_early` is the pause
    /// after a refusal to take it back yet.
    #[must_use]
    pub fn failed(
        &self,
        call: Call,
        failure: CallFailure,
        too_early: Duration,
        now: DateTime<Utc>,
    ) -> (Option<Self>, Option<OrphanEffect>) {
        let OrphanPhase::Returning { asked, .. } = self.phase else { return (None, None) };
        let later =
            |pause: Duration| Some(self.moved(OrphanPhase::Returning { not_before: now + pause, asked }));
        match (call, failure) {
            (Call::Settle, CallFailure::TooEarly) => (later(too_early), None),
            (Call::Settle, CallFailure::Throttled { retry_after }) => {
                (later(retry_after.unwrap_or_default().max(settle_pause(asked))), None)
            }
            // Why it was refused is not believed, and a lost answer may have done the work: a look tells.
            (Call::Settle, _) => (None, Some(OrphanEffect::Check)),
            (Call::Check, CallFailure::NotFound) if self.unknown > 0 => {
                (Some(self.moved(OrphanPhase::Settled { end: None, at: now })), None)
            }
            (Call::Check, CallFailure::NotFound) => {
                (Some(Self { unknown: self.unknown + 1, ..self.moved(self.phase) }), None)
            }
            (Call::Check, _) => (None, None),
        }
    }

    fn moved(&self, phase: OrphanPhase) -> Self {
        Self { phase, version: self.version + 1, ..self.clone() }
    }

    /// When it was settled.
    #[must_use]
    pub fn settled_at(&self) -> Option<DateTime<Utc>> {
        match self.phase {
            OrphanPhase::Settled { at, .. } => Some(at),
            OrphanPhase::Returning { .. } => None,
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, OrphanPhase::Settled { .. })
    }

    /// The orphan without its number, at the next version; `None` where it has none, or is not settled.
    #[must_use]
    pub fn purged(&self) -> Option<Self> {
        if !self.is_settled() || self.order.phone.is_purged() {
            return None;
        }
        let order = Order { phone: Phone::purged(), ..self.order.clone() };
        Some(Self { order, ..self.moved(self.phase) })
    }

    /// What it has cost, once that is known: an order that was completed was charged, and nobody was served by it.
    #[must_use]
    pub fn loss(&self) -> Option<OrphanLoss> {
        match self.phase {
            OrphanPhase::Settled { end: Some(OrderStatus::Finished), at } => Some(OrphanLoss {
                source: self.source.clone(),
                order: self.order.clone(),
                currency: self.currency,
                value: self.rate.convert(self.order.price).unwrap_or(Amount::MAX),
                at,
            }),
            OrphanPhase::Settled { .. } | OrphanPhase::Returning { .. } => None,
        }
    }

    /// What the operator is told where the orphan has become this: `before` is what it was, `None` when it was found.
    #[must_use]
    pub fn alerts(&self, before: Option<&Self>) -> Vec<AlertChange> {
        let (supplier, order, price) =
            (self.source.supplier.clone(), self.order.id.clone(), self.order.price);
        let mut alerts = Vec::new();
        if before.is_none() {
            let (supplier, order) = (supplier.clone(), order.clone());
            alerts.push(AlertChange::raise(Alert::OrphanFound { supplier, order, price }));
        }
        if let (OrphanPhase::Settled { end, .. }, false) = (self.phase, before.is_some_and(Self::is_settled))
        {
            match end {
                Some(OrderStatus::Finished) => {
                    alerts.push(AlertChange::raise(Alert::OrphanLoss { supplier, order, price }));
                }
                None => alerts.push(AlertChange::raise(Alert::OrderVanished { supplier, order, price })),
                Some(_) => {}
            }
        }
        alerts
    }
}
