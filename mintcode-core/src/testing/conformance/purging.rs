//! Numbers and messages go after a time; what the books need stays.

use super::Subject;
use super::stage::{
    at, change, delivered, failed, fails_whole, intent, moved, order, queued, queued_many, reload, source,
    stored, waiting,
};
use crate::ids::SupplierName;
use crate::money::{Currency, Rate};
use crate::order::{ListedOrder, OrderStatus, Phone, Sight};
use crate::orphan::{Orphan, OrphanPhase};
use crate::ports::StorageError;
use crate::redemption::{ClosedAttempt, Outcome, Phase, Redemption};

/// Purges what is older than `before` seconds until nothing is left, long after everything happened.
async fn purge(store: &Subject, before: i64) {
    while store.purge(at(before), 1, at(1_000)).await.unwrap() > 0 {}
}

/// Whether `redemption` is stored as it was, or with its numbers and messages purged.
async fn is_purged(store: &Subject, redemption: &Redemption) -> bool {
    let stored = reload(store, redemption.id).await;
    let purged = redemption.purged(at(1_000)).expect("it has a number");
    assert!(stored == *redemption || stored == purged, "{stored:?}");
    stored == purged
}

/// Nothing but number and messages is gone, and the history tells of it.
pub async fn an_old_delivery_loses_its_number_and_messages(store: &Subject) {
    let first = queued(store).await;
    let delivered = delivered(store, &waiting(store, &first, "100").await).await;
    let booked = store.booked(delivered.id).await.unwrap();
    purge(store, 500).await;
    let purged = reload(store, delivered.id).await;
    assert_eq!(purged, delivered.purged(at(1_000)).unwrap());
    assert!(purged.is_purged());
    let Phase::Delivered(delivery) = &purged.phase else { panic!("it is delivered: {purged:?}") };
    assert_eq!((delivery.code(), purged.phone(1), delivery.held.messages.len()), (None, None, 0));
    assert_eq!(delivery.held.order.price, delivered.held().unwrap().order.price);
    assert_eq!((purged.version, purged.updated_at), (delivered.version + 1, at(1_000)));
    let history = store.history(delivered.id, delivered.version, 9).await.unwrap();
    assert_eq!(history, [purged.snapshot()]);
    assert_eq!(store.booked(delivered.id).await.unwrap(), booked);
    purge(store, 2_000).await;
    assert_eq!(reload(store, delivered.id).await, purged, "once is enough");
}

/// To the moment of its last change.
pub async fn what_is_young_is_kept(store: &Subject) {
    let first = queued(store).await;
    let failed = failed(store, &waiting(store, &first, "100").await).await;
    let changed_at = (failed.updated_at - at(0)).num_seconds();
    purge(store, changed_at).await;
    assert!(!is_purged(store, &failed).await);
    purge(store, changed_at + 1).await;
    assert!(is_purged(store, &failed).await);
}

/// However old it is: somebody may still need the number.
pub async fn what_is_not_at_rest_is_kept(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    purge(store, 500).await;
    assert_eq!(reload(store, waiting.id).await, waiting);
}

/// There is nothing to be told about it.
pub async fn a_redemption_without_a_number_stays_as_it_is(store: &Subject) {
    let failed = failed(store, &queued(store).await).await;
    purge(store, 500).await;
    assert_eq!(reload(store, failed.id).await, failed);
    assert_eq!(store.history(failed.id, failed.version, 9).await.unwrap(), []);
}

/// All of them, however few at once.
pub async fn many_are_purged_a_few_at_a_time(store: &Subject) {
    let mut ended = Vec::new();
    for (number, first) in queued_many(store, 5).await.iter().enumerate() {
        ended.push(failed(store, &waiting(store, first, &format!("{}", 100 + number)).await).await);
    }
    let looked_through = store.purge(at(500), 2, at(1_000)).await.unwrap();
    assert!((1..=2).contains(&looked_through), "{looked_through}");
    purge(store, 500).await;
    for redemption in &ended {
        assert!(is_purged(store, redemption).await);
    }
}

/// A number that came to light after the purge goes as well, in its turn.
pub async fn what_changes_after_a_purge_is_purged_again(store: &Subject) {
    let failed = failed(store, &waiting(store, &queued(store).await, "100").await).await;
    purge(store, 500).await;
    let purged = reload(store, failed.id).await;
    let late = ClosedAttempt {
        intent: intent(&purged),
        order: Some(order("101")),
        order_end: Some(OrderStatus::Cancelled),
        outcome: Outcome::Late,
        ended_at: at(1_001),
    };
    let mut next = moved(&purged, purged.phase.clone());
    next.closed.push(late);
    let next = stored(store, next, Vec::new()).await;
    purge(store, 1_001).await;
    assert_eq!(reload(store, failed.id).await, next, "it is young");
    purge(store, 1_002).await;
    assert!(is_purged(store, &next).await);
}

/// Whoever saw it before the purge decides anew.
pub async fn a_change_of_what_was_purged_meanwhile_is_a_conflict(store: &Subject) {
    let failed = failed(store, &waiting(store, &queued(store).await, "100").await).await;
    purge(store, 500).await;
    let stale = moved(&failed, failed.phase.clone());
    let error = fails_whole(store, change(stale, Vec::new())).await;
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
}

/// Once it is settled; what it has cost stays.
pub async fn an_old_orphan_loses_its_number(store: &Subject) {
    let found = |id: &str| {
        let source = source();
        let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
        let listed = ListedOrder {
            order: order(id),
            product: source.product,
            country: source.country,
            operator: source.operator,
            sight,
        };
        Orphan::found(&SupplierName::default(), listed, Currency::USD, Rate::ONE, at(10))
    };
    let (open, returned) = (found("100"), found("101"));
    store.claim_orphans(vec![open.clone(), returned.clone()], at(10)).await.unwrap();
    let phase = OrphanPhase::Settled { end: Some(OrderStatus::Finished), at: at(20) };
    let settled = Orphan { phase, version: 2, ..returned };
    store.update_orphan(settled.clone(), Vec::new(), at(20)).await.unwrap();

    let losses = async || store.orphan_losses(at(0), at(100)).await.unwrap();
    purge(store, 20).await;
    assert_eq!(losses().await, [settled.loss().unwrap()]);
    purge(store, 21).await;
    let purged = settled.purged().unwrap();
    assert_eq!(losses().await, [purged.loss().unwrap()]);
    assert_eq!((purged.order.phone.clone(), purged.version), (Phone::purged(), 3));
    assert_eq!(store.open_orphans(&SupplierName::default(), 9).await.unwrap(), [open]);
    let stale = Orphan { has_message: true, version: 3, ..settled };
    let error = store.update_orphan(stale, Vec::new(), at(30)).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
}
