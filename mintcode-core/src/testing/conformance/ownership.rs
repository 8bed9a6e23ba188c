//! Who drives a redemption.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Subject;
use super::stage::{
    adopt, at, begun, change, delivered, delivery, dies, end, enlisted, failed, failure, intent, minted,
    moved, ordering, post, queued, queued_many, rdm, reload, session, stored, surplus, waiting, worker,
};
use crate::ids::RedemptionId;
use crate::ports::Begin;
use crate::redemption::{Phase, Redemption, Settlement};
use crate::testing::sample;
use crate::voucher::VoucherEvent;

fn ids(redemptions: &[Redemption]) -> Vec<RedemptionId> {
    redemptions.iter().map(|redemption| redemption.id).collect()
}

/// The next worker takes over what the one before drove, with an epoch that fences it.
pub async fn an_adopted_redemption_has_a_new_owner_and_epoch(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    enlisted(store, 2).await;
    let expected = Redemption { owner: Some(worker(2)), epoch: 2, takeovers: 1, ..ordering };
    assert_eq!(store.adopt(adopt(2, 10)).await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(reload(store, first.id).await, expected);
    let history = store.history(first.id, 0, 9).await.unwrap();
    assert_eq!(history.len(), 2, "a change of owner is no event");

    dies(store, 2).await;
    enlisted(store, 3).await;
    let thrice = store.adopt(adopt(3, 10)).await.unwrap();
    assert_eq!(thrice, [Redemption { owner: Some(worker(3)), epoch: 3, takeovers: 2, ..expected }]);
}

/// Whoever adopted may commit.
pub async fn an_adopted_redemption_can_be_changed_by_its_new_owner(store: &Subject) {
    let first = queued(store).await;
    enlisted(store, 2).await;
    let adopted = store.adopt(adopt(2, 10)).await.unwrap().remove(0);
    let next = moved(&adopted, Phase::CoolingDown { until: at(60), plan: sample::plan_id("A") });
    let next = stored(store, next, Vec::new()).await;
    assert_eq!(reload(store, first.id).await, Redemption { takeovers: 0, ..next });
}

/// The oldest come first, a few at a time.
pub async fn the_oldest_are_adopted_first(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 4).await;
    for (voucher, number) in vouchers.into_iter().zip([3, 1, 4, 2]) {
        begun(store, post(voucher, session(number), number.into())).await;
    }
    enlisted(store, 2).await;
    assert_eq!(ids(&store.adopt(adopt(2, 3)).await.unwrap()), [rdm(1), rdm(2), rdm(3)]);
    assert_eq!(ids(&store.adopt(adopt(2, 3)).await.unwrap()), [rdm(4)]);
    assert_eq!(store.adopt(adopt(2, 3)).await.unwrap(), []);
}

/// A worker's own redemptions stay as they are.
pub async fn own_redemptions_are_not_adopted(store: &Subject) {
    let first = queued(store).await;
    enlisted(store, 1).await;
    assert_eq!(store.adopt(adopt(1, 10)).await.unwrap(), []);
    assert_eq!(reload(store, first.id).await, first);
}

/// Whoever is enlisted is at work, whether it was heard of or not: an observer strikes it off first.
pub async fn a_living_workers_redemptions_are_not_adopted(store: &Subject) {
    let first = queued(store).await;
    for number in [1, 2] {
        enlisted(store, number).await;
    }
    assert_eq!(store.adopt(adopt(2, 10)).await.unwrap(), []);
    assert_eq!(store.adopt_one(worker(2), first.id).await.unwrap(), None);
    assert_eq!(reload(store, first.id).await, first);

    dies(store, 1).await;
    assert_eq!(reload(store, first.id).await, first, "nobody has taken over yet");
    let expected = Redemption { owner: Some(worker(2)), epoch: 2, takeovers: 1, ..first };
    assert_eq!(store.adopt(adopt(2, 10)).await.unwrap(), [expected]);
}

/// A redemption that nobody drives yet: no worker was lost over it.
pub async fn redemptions_without_an_owner_are_adopted(store: &Subject) {
    let hash = minted(store, &sample::sku("tg"), 2).await;
    let first = begun(store, Begin { owner: None, ..post(hash[0], session(1), 1) }).await;
    enlisted(store, 1).await;
    let expected = Redemption { owner: Some(worker(1)), epoch: 2, takeovers: 0, ..first };
    assert_eq!(store.adopt(adopt(1, 10)).await.unwrap(), [expected]);

    let second = begun(store, Begin { owner: None, ..post(hash[1], session(2), 2) }).await;
    let expected = Redemption { owner: Some(worker(1)), epoch: 2, takeovers: 0, ..second };
    assert_eq!(store.adopt_one(worker(1), rdm(2)).await.unwrap(), Some(expected));
}

/// Where nothing is left to do, nobody has to be found for it.
pub async fn redemptions_at_rest_are_not_adopted(store: &Subject) {
    let redemptions = queued_many(store, 3).await;
    delivered(store, &waiting(store, &redemptions[0], "100").await).await;
    failed(store, &redemptions[1]).await;
    let cancelled = moved(&redemptions[2], Phase::Cancelled);
    let event = end(&cancelled, None);
    stored(store, cancelled, vec![event]).await;
    enlisted(store, 2).await;
    assert_eq!(store.adopt(adopt(2, 10)).await.unwrap(), []);
}

/// A code is delivered, or the redemption failed, but an order is still open at the supplier.
pub async fn unsettled_redemptions_are_adopted(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let number = waiting(store, &redemptions[0], "100").await;
    let open = delivery(&number, Settlement::Open { until: at(120) });
    stored(store, open, vec![VoucherEvent::Deliver]).await;
    let mut with_surplus = failure(&redemptions[1]);
    with_surplus.background.push(surplus(intent(&redemptions[1]), "101"));
    let event = end(&with_surplus, None);
    stored(store, with_surplus, vec![event]).await;
    enlisted(store, 2).await;
    assert_eq!(ids(&store.adopt(adopt(2, 10)).await.unwrap()), [rdm(1), rdm(2)]);
}

/// Two workers that look at the same moment share the work and get nothing twice.
pub async fn two_adopters_get_nothing_twice(store: &Subject) {
    let redemptions = queued_many(store, 40).await;
    for number in [2, 3] {
        enlisted(store, number).await;
    }
    let left = Arc::new(AtomicUsize::new(redemptions.len()));
    let adopting = [2, 3].map(|number| {
        let (store, left) = (store.clone(), Arc::clone(&left));
        tokio::spawn(async move {
            let mut adopted = Vec::new();
            // What one is about to take, the other may leave to it: that is looked for again.
            for _ in 0..1_000 {
                if left.load(Ordering::SeqCst) == 0 {
                    break;
                }
                let more = store.adopt(adopt(number, 4)).await.unwrap();
                left.fetch_sub(more.len(), Ordering::SeqCst);
                adopted.extend(more);
            }
            adopted
        })
    });
    let mut owners = BTreeMap::new();
    for adopted in adopting {
        for redemption in adopted.await.unwrap() {
            assert_eq!(redemption.epoch, 2);
            assert_eq!(owners.insert(redemption.id, redemption.owner), None, "it was adopted twice");
        }
    }
    assert_eq!(owners.keys().copied().collect::<Vec<_>>(), ids(&redemptions));
    for (id, owner) in owners {
        assert_eq!(reload(store, id).await.owner, owner);
    }
}

/// One redemption is taken over by its id, also when it is at rest.
pub async fn one_redemption_is_adopted_at_rest_or_not(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let at_rest = failed(store, &redemptions[0]).await;
    enlisted(store, 2).await;
    for redemption in [&at_rest, &redemptions[1]] {
        let expected = Redemption { owner: Some(worker(2)), epoch: 2, takeovers: 1, ..redemption.clone() };
        assert_eq!(store.adopt_one(worker(2), redemption.id).await.unwrap(), Some(expected.clone()));
        assert_eq!(reload(store, redemption.id).await, expected);
    }
}

/// However many take it over at the same moment, one gets it.
pub async fn of_many_at_once_one_adopts_a_redemption(store: &Subject) {
    let first = queued(store).await;
    let numbers = 2..18;
    for number in numbers.clone() {
        enlisted(store, number).await;
    }
    let adopting = numbers.map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.adopt_one(worker(number), rdm(1)).await.unwrap() })
    });
    let mut adopted = Vec::new();
    for one in adopting.collect::<Vec<_>>() {
        adopted.extend(one.await.unwrap());
    }
    assert_eq!(adopted, [reload(store, first.id).await]);
    assert_eq!(adopted[0].epoch, 2);
}

/// A worker that takes what it has keeps its epoch, so that its own commits under way still count.
pub async fn an_own_redemption_is_adopted_without_a_new_epoch(store: &Subject) {
    let first = queued(store).await;
    enlisted(store, 1).await;
    assert_eq!(store.adopt_one(worker(1), first.id).await.unwrap(), Some(first.clone()));
    let next = moved(&first, Phase::Ordering(intent(&first)));
    store.commit(change(next, vec![VoucherEvent::Buy { buys: 1 }])).await.unwrap();
}

/// An id nobody has.
pub async fn an_unknown_redemption_is_not_adopted(store: &Subject) {
    queued(store).await;
    enlisted(store, 2).await;
    assert_eq!(store.adopt_one(worker(2), rdm(9)).await.unwrap(), None);
    assert_eq!(store.redemption(rdm(9)).await.unwrap(), None);
}
