//! What a redemption delivers, and how its order is settled afterwards.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Held;
use super::code::code_of;
use crate::order::{Message, OrderStatus};

/// A delivered code, or one that is withheld. Its `Debug` shows neither code nor text.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delivery {
    /// The number that received it, and all its messages.
    pub held: Held,
    /// When it was stored here.
    pub delivered_at: DateTime<Utc>,
    /// What is left to do for the order.
    pub settlement: Settlement,
    /// Whether it was withheld at first, and then released.
    #[serde(default)]
    pub is_released: bool,
}

/// What is left to do for the order of a delivered code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The number stays alive for more messages.
    Open {
        /// Until then.
        until: DateTime<Utc>,
    },
    /// The order is to be completed at the supplier.
    Finishing {
        /// The supplier is not asked again before this moment.
        not_before: DateTime<Utc>,
        /// How often it was asked.
        asked: u32,
    },
    /// Done.
    Settled {
        /// How the order ended; `None` when the supplier no longer knows it.
        order_end: Option<OrderStatus>,
        /// When.
        at: DateTime<Utc>,
    },
}

impl Delivery {
    /// The newest message that carries a code, or the newest of all.
    #[must_use]
    pub fn message(&self) -> Option<&Message> {
        let newest_first = || self.held.shown().rev();
        newest_first().find(|message| code_of(message).is_some()).or_else(|| newest_first().next())
    }

    /// The code: the supplier's, or else the one found in the text. `None` where only text arrived.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        self.message().and_then(code_of)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("order", &self.held.order.id)
            .field("delivered_at", &self.delivered_at)
            .field("settlement", &self.settlement)
            .finish_non_exhaustive()
    }
}
