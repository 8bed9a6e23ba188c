//! What is told to a redemption's owner.

use super::Subject;
use super::stage::{dies, enlisted, failed, order, picture, queued, queued_many, rdm, reload, worker};
use crate::order::OrderId;
use crate::ports::{Inbox, StorageError, supplier::Stop};
use crate::redemption::{NotBought, Wish};

const CANCEL: Inbox = Inbox::Wish(Wish::Cancel);

async fn told(store: &Subject, number: u32, item: Inbox) -> i64 {
    store.append_inbox(rdm(number), item).await.unwrap();
    store.inbox(rdm(number)).await.unwrap().pop().unwrap().id
}

/// Whatever is told is read as it was told.
pub async fn every_kind_of_item_is_read_back_whole(store: &Subject) {
    queued(store).await;
    let items = [
        Inbox::Wish(Wish::Replace { attempt: 1 }),
        CANCEL,
        Inbox::News { order: OrderId::new("100") },
        Inbox::OrderSeen { attempt: 1, order: order("100") },
        Inbox::NotBought { attempt: 2, why: NotBought::OutOfStock },
        Inbox::NotBought { attempt: 3, why: NotBought::Stopped(Stop::Balance) },
        Inbox::NotBought { attempt: 4, why: NotBought::NotSent },
        Inbox::NotBought { attempt: 5, why: NotBought::Throttled { retry_after_ms: Some(1500) } },
    ];
    for item in &items {
        store.append_inbox(rdm(1), item.clone()).await.unwrap();
    }
    let read: Vec<_> = store.inbox(rdm(1)).await.unwrap().into_iter().map(|item| item.item).collect();
    assert_eq!(read, items);
}

/// Items have ids that grow in the order of arrival, over all redemptions.
pub async fn items_are_numbered_in_the_order_of_arrival(store: &Subject) {
    queued_many(store, 2).await;
    let ids = [told(store, 1, CANCEL).await, told(store, 2, CANCEL).await, told(store, 1, CANCEL).await];
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    let mine: Vec<_> = store.inbox(rdm(1)).await.unwrap().into_iter().map(|item| item.id).collect();
    assert_eq!(mine, [ids[0], ids[2]]);
}

/// A worker that is late must not discard what came after it looked.
pub async fn ids_are_never_used_again(store: &Subject) {
    queued(store).await;
    let first = told(store, 1, CANCEL).await;
    store.discard_inbox(rdm(1), 1, &[first]).await.unwrap();
    let second = told(store, 1, CANCEL).await;
    assert!(second > first, "{first} {second}");
    store.discard_inbox(rdm(1), 1, &[first]).await.unwrap();
    assert_eq!(store.inbox(rdm(1)).await.unwrap().len(), 1);
}

/// What is discarded is gone, and nothing else is.
pub async fn only_the_named_items_are_discarded(store: &Subject) {
    queued_many(store, 2).await;
    let ids = [told(store, 1, CANCEL).await, told(store, 1, CANCEL).await, told(store, 2, CANCEL).await];
    store.discard_inbox(rdm(1), 1, &[ids[0], ids[2], 1_000_000]).await.unwrap();
    store.discard_inbox(rdm(1), 1, &[]).await.unwrap();
    let left = async |number| -> Vec<_> {
        store.inbox(rdm(number)).await.unwrap().into_iter().map(|item| item.id).collect()
    };
    assert_eq!(left(1).await, [ids[1]]);
    assert_eq!(left(2).await, [ids[2]], "another's item is not theirs to discard");
}

/// What an earlier owner takes for settled may be news to the next one.
pub async fn only_the_owner_discards(store: &Subject) {
    queued(store).await;
    let item = told(store, 1, CANCEL).await;
    enlisted(store, 2).await;
    let owned = store.adopt_one(worker(2), rdm(1)).await.unwrap().unwrap();
    for epoch in [owned.epoch - 1, owned.epoch + 1] {
        let error = store.discard_inbox(rdm(1), epoch, &[item]).await.unwrap_err();
        assert!(matches!(error, StorageError::Fenced), "{error:?}");
    }
    let error = store.discard_inbox(rdm(9), 1, &[]).await.unwrap_err();
    assert!(matches!(error, StorageError::Fenced), "{error:?}");
    assert_eq!(store.inbox(rdm(1)).await.unwrap().len(), 1);
    store.discard_inbox(rdm(1), owned.epoch, &[item]).await.unwrap();
    assert_eq!(store.inbox(rdm(1)).await.unwrap(), []);
}

/// Each redemption is named once, whoever waits longest first.
pub async fn redemptions_with_something_in_their_inbox_are_named_once(store: &Subject) {
    queued_many(store, 3).await;
    assert_eq!(store.inboxes(worker(1), 10).await.unwrap(), []);
    for number in [3, 1, 3, 2] {
        told(store, number, CANCEL).await;
    }
    assert_eq!(store.inboxes(worker(1), 10).await.unwrap(), [rdm(3), rdm(1), rdm(2)]);
    assert_eq!(store.inboxes(worker(1), 2).await.unwrap(), [rdm(3), rdm(1)]);
    let items = store.inbox(rdm(3)).await.unwrap();
    store.discard_inbox(rdm(3), 1, &items.iter().map(|item| item.id).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(store.inboxes(worker(1), 10).await.unwrap(), [rdm(1), rdm(2)]);
}

/// A worker is told of what it owns and of what nobody alive owns; of the rest its owner is.
pub async fn only_those_are_named_that_the_worker_may_drive(store: &Subject) {
    queued_many(store, 5).await;
    for number in [2, 3, 4] {
        enlisted(store, number).await;
        store.adopt_one(worker(number), rdm(number)).await.unwrap();
    }
    store.retire(worker(3)).await.unwrap();
    for number in [4, 3, 2, 1] {
        told(store, number, CANCEL).await;
    }
    // The first belongs to a worker that nobody enlisted, the third to nobody.
    assert_eq!(store.inboxes(worker(2), 9).await.unwrap(), [rdm(3), rdm(2), rdm(1)]);
    assert_eq!(store.inboxes(worker(4), 9).await.unwrap(), [rdm(4), rdm(3), rdm(1)]);
    assert_eq!(store.inboxes(worker(2), 1).await.unwrap(), [rdm(3)], "another's takes no place");
    dies(store, 4).await;
    assert_eq!(store.inboxes(worker(2), 9).await.unwrap(), [rdm(4), rdm(3), rdm(2), rdm(1)]);
}

/// A late answer may come after the end.
pub async fn redemptions_at_rest_are_named_as_well(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    enlisted(store, 2).await;
    store.adopt_one(worker(2), rdm(2)).await.unwrap();
    failed(store, &redemptions[0]).await;
    failed(store, &reload(store, rdm(2)).await).await;
    for number in [1, 2] {
        told(store, number, Inbox::OrderSeen { attempt: 1, order: order("100") }).await;
    }
    assert_eq!(store.inboxes(worker(2), 9).await.unwrap(), [rdm(1), rdm(2)]);
}

/// Nobody would ever read it.
pub async fn an_unknown_redemption_cannot_be_told_anything(store: &Subject) {
    let first = queued(store).await;
    let error = store.append_inbox(rdm(9), CANCEL).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
    assert_eq!(picture(store, rdm(9), first.voucher).await.inbox, []);
    assert_eq!(store.inboxes(worker(1), 10).await.unwrap(), []);
}
