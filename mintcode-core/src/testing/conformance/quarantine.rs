//! Redemptions that take their workers down with them.

use super::Subject;
use super::stage::{
    adopt, at, change, dies, dies_of_what_it_adopts, enlisted, fails_whole, has_own_clock, moved, queued,
    queued_many, rdm, reload, stored, worker,
};
use crate::alert::Alert;
use crate::ids::RedemptionId;
use crate::ports::{Adopt, Inbox, StorageError};
use crate::redemption::{Redemption, Wish};

/// Lets workers die of redemption 1 until it is in quarantine, and returns it as it is then.
async fn quarantined(store: &Subject) -> Redemption {
    let first = queued(store).await;
    for number in 2..=6 {
        assert_eq!(dies_of_what_it_adopts(store, number).await.len(), 1, "worker {number}");
    }
    assert_eq!(dies_of_what_it_adopts(store, 7).await, []);
    reload(store, first.id).await
}

async fn takeovers(store: &Subject, id: RedemptionId) -> u32 {
    reload(store, id).await.takeovers
}

/// Whoever stores a change has come further than those before.
pub async fn takeovers_are_counted_until_a_change(store: &Subject) {
    let first = queued(store).await;
    for (number, count) in [(2, 1), (3, 2)] {
        let adopted = dies_of_what_it_adopts(store, number).await;
        assert_eq!(adopted[0].takeovers, count);
        assert_eq!(takeovers(store, first.id).await, count);
    }
    enlisted(store, 4).await;
    let third = store.adopt(adopt(4, 9)).await.unwrap().remove(0);
    assert_eq!(third.takeovers, 3);
    stored(store, moved(&third, third.phase.clone()), Vec::new()).await;
    let changed = reload(store, first.id).await;
    assert_eq!((changed.takeovers, changed.owner, changed.epoch), (0, Some(worker(4)), 4));
    dies(store, 4).await;
    assert_eq!(dies_of_what_it_adopts(store, 5).await[0].takeovers, 1);
}

/// Taken over by its id, it is taken over all the same.
pub async fn one_that_is_adopted_alone_is_counted(store: &Subject) {
    let first = queued(store).await;
    for number in 2..=5 {
        enlisted(store, number).await;
        let adopted = store.adopt_one(worker(number), first.id).await.unwrap().unwrap();
        assert_eq!(adopted.takeovers, number - 1);
        let again = store.adopt_one(worker(number), first.id).await.unwrap();
        assert_eq!(again, Some(adopted), "it takes nothing over from itself");
        dies(store, number).await;
    }
}

/// A worker that went on after its turn did not die of it, even if nothing changed.
pub async fn whoever_outlives_a_turn_begins_the_count_anew(store: &Subject) {
    let redemptions = queued_many(store, 3).await;
    dies_of_what_it_adopts(store, 2).await;
    enlisted(store, 3).await;
    let adopted = store.adopt(adopt(3, 9)).await.unwrap();
    assert_eq!(adopted.iter().map(|redemption| redemption.takeovers).collect::<Vec<_>>(), [2, 2, 2]);

    store.outlived(worker(2), &[rdm(1), rdm(2)]).await.unwrap();
    for redemption in &redemptions {
        assert_eq!(takeovers(store, redemption.id).await, 2, "it is another's by now");
    }
    store.outlived(worker(3), &[rdm(1), rdm(9), rdm(3)]).await.unwrap();
    store.outlived(worker(3), &[]).await.unwrap();
    for (before, takeovers) in adopted.into_iter().zip([0, 2, 0]) {
        assert_eq!(reload(store, before.id).await, Redemption { takeovers, ..before });
    }
}

/// The fifth that it cost is the last one. The operator is told once, and whoever drove it last is fenced.
pub async fn a_redemption_that_keeps_losing_its_owner_is_put_into_quarantine(store: &Subject) {
    let first = queued(store).await;
    for number in 2..=6 {
        dies_of_what_it_adopts(store, number).await;
    }
    let last = reload(store, first.id).await;
    assert_eq!((last.owner, last.epoch, last.takeovers), (Some(worker(6)), 6, 5));
    assert_eq!(store.alerts(false, 9).await.unwrap(), []);

    assert_eq!(dies_of_what_it_adopts(store, 7).await, []);
    let expected = Redemption { owner: None, epoch: 7, ..last.clone() };
    assert_eq!(reload(store, first.id).await, expected);
    let alert = Alert::Quarantined { voucher: first.mask, sku: first.sku };
    let told = store.alerts(true, 9).await.unwrap();
    assert_eq!(told.iter().map(|row| &row.alert).collect::<Vec<_>>(), [&alert]);
    if !has_own_clock(store).await {
        assert_eq!(told[0].raised_at, at(1_000));
    }
    let error = fails_whole(store, change(moved(&last, last.phase.clone()), Vec::new())).await;
    assert!(matches!(error, StorageError::Fenced), "{error:?}");
    assert_eq!(dies_of_what_it_adopts(store, 8).await, []);
    assert_eq!(store.alerts(false, 9).await.unwrap(), told);
    assert_eq!(reload(store, first.id).await, expected);
}

/// It is the wish that says how many takeovers are too many.
pub async fn the_most_takeovers_are_the_adopters_to_say(store: &Subject) {
    let first = queued(store).await;
    dies_of_what_it_adopts(store, 2).await;
    enlisted(store, 3).await;
    let adopted = store.adopt(Adopt { most_takeovers: 1, ..adopt(3, 9) }).await.unwrap();
    assert_eq!(adopted, []);
    assert_eq!(store.alerts(true, 9).await.unwrap().len(), 1);
    assert_eq!(reload(store, first.id).await.owner, None);
}

/// Neither with others nor alone, neither for itself nor for what is in its inbox.
pub async fn nobody_takes_over_what_is_in_quarantine(store: &Subject) {
    let alone = quarantined(store).await;
    store.append_inbox(alone.id, Inbox::Wish(Wish::Cancel)).await.unwrap();
    enlisted(store, 8).await;
    assert_eq!(store.adopt(adopt(8, 9)).await.unwrap(), []);
    assert_eq!(store.adopt_one(worker(8), alone.id).await.unwrap(), None);
    assert_eq!(store.inboxes(worker(8), 9).await.unwrap(), []);
    assert_eq!(reload(store, alone.id).await, alone);
}

/// What goes into quarantine is not what a worker gets, and keeps nobody from work.
pub async fn what_goes_into_quarantine_takes_no_place(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    for number in 2..=6 {
        enlisted(store, number).await;
        store.adopt_one(worker(number), redemptions[0].id).await.unwrap();
        dies(store, number).await;
    }
    enlisted(store, 7).await;
    let adopted = store.adopt(adopt(7, 1)).await.unwrap();
    assert_eq!(adopted.iter().map(|redemption| redemption.id).collect::<Vec<_>>(), [redemptions[1].id]);
    assert_eq!(reload(store, redemptions[0].id).await.owner, None);
}

/// The operator ends it; the count begins anew.
pub async fn a_resumed_redemption_is_taken_over_again(store: &Subject) {
    let alone = quarantined(store).await;
    assert!(store.resume(alone.id).await.unwrap());
    let resumed = Redemption { takeovers: 0, ..alone };
    assert_eq!(reload(store, resumed.id).await, resumed);
    assert!(!store.resume(resumed.id).await.unwrap(), "it is in none any more");

    store.append_inbox(resumed.id, Inbox::Wish(Wish::Cancel)).await.unwrap();
    enlisted(store, 8).await;
    assert_eq!(store.inboxes(worker(8), 9).await.unwrap(), [resumed.id]);
    let expected = Redemption { owner: Some(worker(8)), epoch: 8, ..resumed };
    assert_eq!(store.adopt(adopt(8, 9)).await.unwrap(), [expected]);
}

/// Once resumed, it can come into quarantine again, and the operator is told again.
pub async fn a_resumed_redemption_can_come_into_quarantine_again(store: &Subject) {
    let alone = quarantined(store).await;
    let told = store.alerts(true, 9).await.unwrap().remove(0);
    assert!(store.acknowledge(told.id, at(1_001)).await.unwrap());
    assert!(store.resume(alone.id).await.unwrap());
    // The first of them takes it over from nobody.
    for number in 8..=13 {
        assert_eq!(dies_of_what_it_adopts(store, number).await.len(), 1, "worker {number}");
    }
    assert_eq!(store.alerts(true, 9).await.unwrap(), []);
    assert_eq!(dies_of_what_it_adopts(store, 14).await, []);
    let again = store.alerts(true, 9).await.unwrap();
    assert_eq!(again.iter().map(|row| &row.alert).collect::<Vec<_>>(), [&told.alert]);
}

/// Neither one that is driven, nor one that does not exist.
pub async fn nothing_is_resumed_that_is_in_no_quarantine(store: &Subject) {
    let first = queued(store).await;
    dies_of_what_it_adopts(store, 2).await;
    let before = reload(store, first.id).await;
    assert!(!store.resume(first.id).await.unwrap());
    assert!(!store.resume(rdm(9)).await.unwrap());
    assert_eq!(reload(store, first.id).await, before);
}
