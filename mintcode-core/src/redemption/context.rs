//! What goes into [`step`](super::step()) and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{ChoiceRecord, Phase, Redemption};
use crate::health::Outlook;
use crate::ids::SupplierName;
use crate::money::{Currency, Rate};
use crate::order::{ListedOrder, Order, OrderId, Sight};
use crate::ports::{Capabilities, Stop};
use crate::rules::Rules;
use crate::sku::Plan;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is time to look.
    Tick,
    /// The worker before this one is gone, and nobody knows what it was doing.
    Recovered,
    /// A number was bought, by the attempt of that number.
    Bought {
        /// The attempt.
        attempt: u32,
        /// The order.
        order: Order,
    },
    /// Nothing was bought, for certain, by the attempt of that number.
    NotBought {
        /// The attempt.
        attempt: u32,
        /// Why.
        why: NotBought,
    },
    /// The purchase got no clear answer.
    BuyUnclear {
        /// The attempt.
        attempt: u32,
    },
    /// The supplier told how an order stands.
    Seen {
        /// The order.
        order: OrderId,
        /// How it stands.
        sight: Sight,
    },
    /// A call about an order failed.
    CallFailed {
        /// The order.
        order: OrderId,
        /// The call.
        call: Call,
        /// Why.
        failure: CallFailure,
    },
    /// The supplier's recent orders were read.
    Listed(Listing),
    /// They could not be read.
    ListFailed(CallFailure),
    /// The customer or the operator wishes something.
    Wish(Wish),
}

impl Event {
    /// The event's name, for errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Recovered => "recovered",
            Self::Bought { .. } => "bought",
            Self::NotBought { .. } => "not_bought",
            Self::BuyUnclear { .. } => "buy_unclear",
            Self::Seen { .. } => "seen",
            Self::CallFailed { .. } => "call_failed",
            Self::Listed(_) => "listed",
            Self::ListFailed(_) => "list_failed",
            Self::Wish(wish) => wish.name(),
        }
    }
}

/// Why nothing was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotBought {
    /// Nothing in stock.
    OutOfStock,
    /// The operator has to act.
    Stopped(Stop),
    /// The request never left.
    NotSent,
    /// Too many requests.
    Throttled {
        /// How long the supplier asks to wait, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// A call about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A look.
    Check,
    /// A settlement: finish, cancel or ban.
    Settle,
}

/// Why a call brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFailure {
    /// Too many requests.
    Throttled {
        /// How long the supplier asks to wait.
        retry_after: Option<Duration>,
    },
    /// The account needs the operator.
    Stopped(Stop),
    /// The supplier knows no such order.
    NotFound,
    /// The order cannot be given back yet.
    TooEarly,
    /// The order's state does not allow it: a check tells.
    Conflict,
    /// No clear answer.
    Unclear,
}

/// A wish of the customer or the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Another number instead of the one this attempt bought: asked twice, it is granted once.
    Replace {
        /// The attempt.
        attempt: u32,
    },
    /// Give up; the voucher stays good.
    Cancel,
    /// Deliver a message that is withheld: the owner's leave.
    Release,
}

impl Wish {
    /// The wish's name, for errors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace { .. } => "wish_replace",
            Self::Cancel => "wish_cancel",
            Self::Release => "wish_release",
        }
    }
}

/// The supplier's recent orders, and what storage knows of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listing {
    /// The orders, newest first.
    pub orders: Vec<ListedOrder>,
    /// Whether the list was read back to an order known before the intent, or to its end.
    pub is_whole: bool,
    /// Those of the orders that an attempt has claimed.
    pub claimed: BTreeSet<OrderId>,
    /// When the earliest other purchase of the same plan began whose answer may still be on its way.
    pub other_send_window: Option<DateTime<Utc>>,
}

/// What is to be done, after the transition is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send the purchase of the phase's intent.
    Buy,
    /// Look at an order.
    Check(SupplierName, OrderId),
    /// Complete an order.
    Finish(SupplierName, OrderId),
    /// Give an order back.
    Cancel(SupplierName, OrderId),
    /// Give an order back as already used.
    Ban(SupplierName, OrderId),
    /// Read the supplier's recent orders.
    ListOrders(SupplierName),
}

/// What [`step`](super::step()) decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The redemption as it is to be stored; `None` where nothing changes.
    pub next: Option<Box<Redemption>>,
    /// What to do once that is durable.
    pub effect: Option<Effect>,
    /// The choice of a plan behind it, where one was made.
    pub choice: Option<Box<ChoiceRecord>>,
    /// When to look again, if no effect's outcome comes before; `None` when nothing is left to do.
    pub wake_at: Option<DateTime<Utc>>,
}

/// What the machine may know of the world.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The SKU's plans as they are now.
    pub plans: &'a [Plan],
    /// How their sources and accounts do.
    pub outlook: &'a Outlook,
    /// What the operator has set.
    pub rules: &'a Rules,
    /// The configured suppliers.
    pub suppliers: &'a BTreeMap<SupplierName, SupplierFacts>,
    /// The engine's times.
    pub timing: &'a Timing,
    /// A random number from 0 to 999, for spreading retries.
    pub jitter: u32,
}

/// What is known of a supplier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupplierFacts {
    /// What it can do.
    pub capabilities: Capabilities,
    /// Whether nobody else buys on the account, so that an order nobody claims may be adopted.
    pub is_exclusive: bool,
    /// The currency of its prices.
    pub currency: Currency,
    /// What one unit of it is worth in the selling currency.
    pub rate: Rate,
    /// The newest order known there.
    pub newest_known: Option<OrderId>,
}

/// The engine's times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a purchase may take before it counts as unclear.
    pub buy_timeout: Duration,
    /// How long after the intent the purchase may still be sent.
    pub send_window: Duration,
    /// How long after the send window an unclear purchase is first looked for.
    pub settle_time: Duration,
    /// How late after the send window a purchase may still appear at the supplier.
    pub late_max: Duration,
    /// How far the supplier's clock may be off.
    pub skew: Duration,
    /// The shortest pause after a throttle or network trouble.
    pub backoff_min: Duration,
    /// The longest such pause.
    pub backoff_max: Duration,
    /// The pause between two looks at a young order.
    pub poll_min: Duration,
    /// The pause between two looks at an old order.
    pub poll_max: Duration,
    /// The pause after a refusal to give a number back yet.
    pub too_early_wait: Duration,
    /// A number is given back this long before its own end.
    pub expiry_margin: Duration,
    /// How often inboxes are looked into, where others put wishes without a word, and work is looked for that nobody does.
    pub inbox_look: Duration,
    /// How long a worker counts as alive after it was last heard of.
    pub worker_ttl: Duration,
    /// How often a worker is heard of.
    pub heartbeat: Duration,
    /// How old an order is at least before it counts as one that nobody knows of.
    pub orphan_age: Duration,
    /// How often such orders are looked for.
    pub sweep_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            buy_timeout: secs(10),
            send_window: secs(5),
            settle_time: secs(30),
            late_max: secs(10),
            skew: secs(3),
            backoff_min: secs(30),
            backoff_max: secs(60),
            poll_min: secs(1),
            poll_max: secs(10),
            too_early_wait: secs(30),
            expiry_margin: secs(10),
            inbox_look: secs(1),
            worker_ttl: secs(30),
            heartbeat: secs(10),
            orphan_age: secs(100),
            sweep_interval: secs(30),
        }
    }
}

/// The event cannot follow the phase: a stale wish or a bug. Nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a redemption that is {phase} cannot take {event}")]
pub struct Illegal {
    /// The phase's name.
    pub phase: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl Phase {
    /// The phase's name, for errors and storage.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ordering(_) => "ordering",
            Self::Uncertain(_) => "uncertain",
            Self::Waiting(_) => "waiting",
            Self::Releasing(_) => "releasing",
            Self::CoolingDown { .. } => "cooling_down",
            Self::Delivered(_) => "delivered",
            Self::Withheld(_) => "withheld",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
