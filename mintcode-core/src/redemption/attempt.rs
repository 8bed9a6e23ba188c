//! An attempt: one try of one plan, from its intent to its settled end.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::code::code_of;
use crate::ids::{PlanId, SupplierName};
use crate::money::{Amount, Currency, Rate};
use crate::order::{Message, Order, OrderId, OrderStatus};
use crate::ports::supplier::Wanted;

/// A purchase that is recorded before it is tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    /// The number of the attempt within its redemption, from 1.
    pub number: u32,
    /// The plan.
    pub plan: PlanId,
    /// Who is asked.
    pub supplier: SupplierName,
    /// What is asked for.
    pub wanted: Wanted,
    /// Why this plan was chosen.
    pub reason: String,
    /// Whether it probes a source that was switched off.
    #[serde(default)]
    pub is_probe: bool,
    /// The supplier's currency.
    #[serde(default = "dollars")]
    pub currency: Currency,
    /// What one unit of it was worth in the selling currency.
    #[serde(default = "at_par")]
    pub rate: Rate,
    /// When the intent was recorded.
    pub intended_at: DateTime<Utc>,
    /// The request leaves by this moment or never.
    pub send_by: DateTime<Utc>,
    /// The newest order known at the supplier by then: a purchase of this intent is newer.
    pub newest_known: Option<OrderId>,
}

fn dollars() -> Currency {
    Currency::USD
}

fn at_par() -> Rate {
    Rate::ONE
}

/// A number that was bought and is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The attempt that bought it.
    pub intent: Intent,
    /// The supplier's order.
    pub order: Order,
    /// The messages so far, oldest first.
    pub messages: Vec<Message>,
    /// How often in a row the supplier did not know the order.
    #[serde(default)]
    pub unknown: u32,
    /// Which of the messages are withheld, by their place, with the pattern that each matches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld: BTreeMap<usize, String>,
}

impl Held {
    /// An order just bought for `intent`.
    pub(super) fn bought(intent: &Intent, order: Order) -> Self {
        Self { intent: intent.clone(), order, messages: Vec::new(), unknown: 0, withheld: BTreeMap::new() }
    }

    /// Whether a message that may be shown carries a code.
    pub(super) fn has_code(&self) -> bool {
        self.shown().any(|message| code_of(message).is_some())
    }

    /// The messages that may be shown, oldest first.
    #[must_use = "the messages are only walked through"]
    pub fn shown(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages
            .iter()
            .enumerate()
            .filter(|(place, _)| !self.withheld.contains_key(place))
            .map(|(_, message)| message)
    }
}

/// An order that no customer has seen or will see, given back while the redemption goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Surplus {
    /// The order.
    pub held: Held,
    /// How its attempt ended.
    pub outcome: Outcome,
    /// The supplier is not asked again before this moment.
    pub not_before: DateTime<Utc>,
    /// How often it was asked.
    pub asked: u32,
}

/// An attempt that is over, its order settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClosedAttempt {
    /// What was tried.
    pub intent: Intent,
    /// What was bought, if anything was.
    pub order: Option<Order>,
    /// How the order ended at the supplier; `None` for an order that vanished, or where nothing was bought.
    pub order_end: Option<OrderStatus>,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// When.
    pub ended_at: DateTime<Utc>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A code was delivered.
    Delivered,
    /// The number got no SMS.
    NoSms,
    /// The customer asked for another number.
    Replaced,
    /// The customer gave up.
    GivenUp,
    /// Nothing in stock.
    OutOfStock,
    /// The order cost more than its cap and was given back; counts as out of stock.
    TooDear,
    /// The supplier asked to slow down; nothing was bought.
    Throttled,
    /// The request never left.
    NotSent,
    /// No answer came, and the supplier's list shows that nothing was bought.
    Absent,
    /// The supplier refused for a reason that the operator has to see to.
    Stopped,
    /// The order came to light after the redemption's end, or after its attempt was given up.
    Late,
    /// Whether anything was bought could not be found out; the cost is on hold.
    Unresolved,
    /// A message came that is withheld; the cost is a loss.
    Withheld,
}

impl Outcome {
    /// Whether an attempt that ended so counts as a purchase: all do but those of which it is certain that nothing was
    /// bought.
    #[must_use]
    pub fn may_have_bought(self) -> bool {
        match self {
            Self::OutOfStock | Self::Throttled | Self::NotSent | Self::Stopped => false,
            Self::Delivered
            | Self::NoSms
            | Self::Replaced
            | Self::GivenUp
            | Self::TooDear
            | Self::Absent
            | Self::Late
            | Self::Unresolved
            | Self::Withheld => true,
        }
    }

    /// The outcome's name in trails and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NoSms => "no_sms",
            Self::Replaced => "replaced",
            Self::GivenUp => "given_up",
            Self::OutOfStock => "out_of_stock",
            Self::TooDear => "too_dear",
            Self::Throttled => "throttled",
            Self::NotSent => "not_sent",
            Self::Absent => "absent",
            Self::Stopped => "stopped",
            Self::Late => "late",
            Self::Unresolved => "unresolved",
            Self::Withheld => "withheld",
        }
    }
}

/// An attempt as a row: what trails, reports and the uniqueness of order ids need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// See [`Intent::number`].
    pub number: u32,
    /// See [`Intent::plan`].
    pub plan: PlanId,
    /// See [`Intent::supplier`].
    pub supplier: SupplierName,
    /// See [`Intent::wanted`].
    pub wanted: Wanted,
    /// See [`Intent::reason`].
    pub reason: String,
    /// See [`Intent::intended_at`].
    pub started_at: DateTime<Utc>,
    /// The supplier's order, once known: claimed by this attempt for ever.
    pub order: Option<OrderId>,
    /// What was charged for it.
    pub price: Option<Amount>,
    /// See [`Intent::currency`].
    pub currency: Currency,
    /// See [`Intent::is_probe`].
    pub is_probe: bool,
    /// Whether the purchase is still without a known outcome.
    pub is_unresolved: bool,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// How its order ended.
    pub order_end: Option<OrderStatus>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When its SMS was stored here, where it got one.
    pub sms_at: Option<DateTime<Utc>>,
}

impl AttemptRow {
    pub(super) fn intended(intent: &Intent) -> Self {
        Self {
            number: intent.number,
            plan: intent.plan.clone(),
            supplier: intent.supplier.clone(),
            wanted: intent.wanted.clone(),
            reason: intent.reason.clone(),
            started_at: intent.intended_at,
            order: None,
            price: None,
            currency: intent.currency,
            is_probe: intent.is_probe,
            is_unresolved: true,
            outcome: None,
            order_end: None,
            ended_at: None,
            sms_at: None,
        }
    }

    pub(super) fn held(held: &Held) -> Self {
        Self {
            order: Some(held.order.id.clone()),
            price: Some(held.order.price),
            is_unresolved: false,
            ..Self::intended(&held.intent)
        }
    }

    pub(super) fn closed(closed: &ClosedAttempt) -> Self {
        Self {
            order: closed.order.as_ref().map(|order| order.id.clone()),
            price: closed.order.as_ref().map(|order| order.price),
            is_unresolved: false,
            outcome: Some(closed.outcome),
            order_end: closed.order_end,
            ended_at: Some(closed.ended_at),
            ..Self::intended(&closed.intent)
        }
    }
}
