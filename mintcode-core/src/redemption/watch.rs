//! What of a redemption is needed to look at its order, and nothing more: hundred thousands of them fit into memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Held, Phase, Redemption, Settlement, Timing};
use crate::ids::SupplierName;
use crate::order::{Message, OrderId, Sight};

/// An order that nothing has to be done about until there is news of it, or a time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whose order it is.
    pub supplier: SupplierName,
    /// The order.
    pub order: OrderId,
    /// When its purchase was intended: a young order is looked at more often.
    pub since: DateTime<Utc>,
    /// What is known of it.
    pub known: KnownSight,
    /// When something has to be done about it, news or none.
    pub act_at: DateTime<Utc>,
}

/// What is known of an order, as far as it takes to tell news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSight {
    messages: u32,
    fingerprint: u64,
    /// The supplier did not know the order when it was last asked, so that any answer is news.
    is_doubted: bool,
}

impl KnownSight {
    fn of(held: &Held) -> Self {
        let messages = u32::try_from(held.messages.len()).unwrap_or(u32::MAX);
        Self { messages, fingerprint: fingerprint(&held.messages), is_doubted: held.unknown > 0 }
    }

    /// Whether `sight` tells anything that is not known. A list of messages shorter than the known one is stale.
    #[must_use]
    pub fn is_news(&self, sight: &Sight) -> bool {
        let messages = u32::try_from(sight.messages.len()).unwrap_or(u32::MAX);
        self.is_doubted
            || sight.status.is_closed()
            || messages > self.messages
            || (messages == self.messages && fingerprint(&sight.messages) != self.fingerprint)
    }
}

fn fingerprint(messages: &[Message]) -> u64 {
    if messages.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    messages.hash(&mut hasher);
    hasher.finish()
}

impl Redemption {
    /// The order to be looked at, where looking is all there is to do: a number waits for its SMS, or is kept open for
    /// further ones.
    #[must_use]
    pub fn watch(&self, timing: &Timing) -> Option<Watch> {
        let (held, act_at) = match &self.phase {
            Phase::Waiting(held) => (held, self.deadline.min(held.order.expires_at - timing.expiry_margin)),
            Phase::Delivered(delivery) | Phase::Withheld(delivery) => match delivery.settlement {
                Settlement::Open { until } => (&delivery.held, until),
                Settlement::Finishing { .. } | Settlement::Settled { .. } => return None,
            },
            Phase::Queued
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Releasing(_)
            | Phase::CoolingDown { .. }
            | Phase::Failed(_)
            | Phase::Cancelled => return None,
        };
        let background = self.background.iter().map(|surplus| surplus.not_before);
        Some(Watch {
            supplier: held.intent.supplier.clone(),
            // A copy of its own: a shared one would keep a piece of the memory that the whole redemption was read into.
            order: OrderId::new(held.order.id.as_str()),
            since: held.intent.intended_at,
            known: KnownSight::of(held),
            act_at: background.fold(act_at, DateTime::min),
        })
    }
}

impl Timing {
    /// The pause between two looks at an order of that age: short while it is young, longer with age.
    #[must_use]
    pub fn look_pause(&self, age: Duration) -> Duration {
        (age / 10).clamp(self.poll_min, self.poll_max.max(self.poll_min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::OrderStatus;

    fn message(code: Option<&str>) -> Message {
        Message {
            received_at: DateTime::UNIX_EPOCH,
            sender: "Service".to_owned(),
            text: "Your code is 123456".to_owned(),
            code: code.map(ToOwned::to_owned),
        }
    }

    fn known(messages: &[Message]) -> KnownSight {
        let count = u32::try_from(messages.len()).unwrap();
        KnownSight { messages: count, fingerprint: fingerprint(messages), is_doubted: false }
    }

    fn open(messages: Vec<Message>) -> Sight {
        Sight { status: OrderStatus::Open, messages }
    }

    #[test]
    fn a_message_more_another_message_and_an_end_are_news() {
        let one = vec![message(None)];
        assert!(!known(&[]).is_news(&open(vec![])));
        assert!(known(&[]).is_news(&open(one.clone())));
        assert!(!known(&one).is_news(&open(one.clone())));
        // The code was found in it later.
        assert!(known(&one).is_news(&open(vec![message(Some("123456"))])));
        // Stale.
        assert!(!known(&one).is_news(&open(vec![])));
        assert!(known(&one).is_news(&Sight { status: OrderStatus::TimedOut, messages: vec![] }));
        let doubted = KnownSight { is_doubted: true, ..known(&one) };
        assert!(doubted.is_news(&open(one)));
    }

    #[test]
    fn looks_are_rarer_with_age() {
        let timing = Timing::default();
        let pauses = [0, 20, 50, 1_000].map(|age| timing.look_pause(Duration::from_secs(age)).as_secs());
        assert_eq!(pauses, [1, 2, 5, 10]);
    }
}
