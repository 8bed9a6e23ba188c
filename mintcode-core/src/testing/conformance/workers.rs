//! Who works on the storage.

use super::Subject;
use super::stage::{adopt, at, dies, enlisted, heard_of, moved, queued, queued_many, reload, stored, worker};
use crate::ports::{StorageError, WorkerRow};
use crate::redemption::Redemption;

async fn is_fenced(store: &Subject, number: u32) -> bool {
    match store.beat(worker(number), at(0)).await {
        Ok(_) => false,
        Err(StorageError::Fenced) => true,
        Err(other) => panic!("it is neither enlisted nor fenced: {other:?}"),
    }
}

/// Nobody is, before the first.
pub async fn whoever_enlists_is_listed_without_a_beat(store: &Subject) {
    assert_eq!(heard_of(store).await, []);
    for number in [2, 1] {
        enlisted(store, number).await;
    }
    assert_eq!(heard_of(store).await, [(worker(1), 0), (worker(2), 0)]);
}

/// Each worker's own, one by one.
pub async fn every_beat_is_counted(store: &Subject) {
    for number in [1, 2] {
        enlisted(store, number).await;
    }
    for number in [1, 2, 1, 1] {
        store.beat(worker(number), at(10)).await.unwrap();
    }
    assert_eq!(heard_of(store).await, [(worker(1), 3), (worker(2), 1)]);
}

/// A storage has a clock of its own, or it has none; its time does not run backwards.
pub async fn a_beat_tells_the_time_as_whoever_asks_is_told(store: &Subject) {
    let before = store.time().await.unwrap();
    let enlisted = store.enlist(worker(1), false, at(0)).await.unwrap();
    let beaten = store.beat(worker(1), at(10)).await.unwrap();
    let after = store.time().await.unwrap();
    let told = [before, enlisted, beaten, after];
    assert!(told.is_sorted(), "{told:?}");
    assert!(told.iter().all(Option::is_some) || told.iter().all(Option::is_none), "{told:?}");
}

/// None is lost among others.
pub async fn many_beats_at_once_are_all_counted(store: &Subject) {
    enlisted(store, 1).await;
    let beating = (0..32).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.beat(worker(1), at(10)).await.unwrap() })
    });
    for beat in beating.collect::<Vec<_>>() {
        beat.await.unwrap();
    }
    assert_eq!(heard_of(store).await, [(worker(1), 32)]);
}

/// An answer that was lost is asked for again.
pub async fn whoever_enlists_again_stays_as_it_is(store: &Subject) {
    for number in [1, 2] {
        enlisted(store, number).await;
        store.beat(worker(number), at(10)).await.unwrap();
    }
    enlisted(store, 1).await;
    assert_eq!(heard_of(store).await, [(worker(1), 1), (worker(2), 1)]);
    store.enlist(worker(1), true, at(20)).await.unwrap();
    assert_eq!(heard_of(store).await, [(worker(1), 1)]);
}

/// The storage's own time, or none ever: what the callers say makes no difference.
pub async fn a_clock_of_its_own_is_told_with_every_answer(store: &Subject) {
    let first = enlisted(store, 1).await;
    let beat = store.beat(worker(1), at(0)).await.unwrap();
    let later = store.beat(worker(1), at(1_000_000_000)).await.unwrap();
    let second = store.enlist(worker(2), false, at(-1_000_000_000)).await.unwrap();
    let told = [first, beat, later, second];
    assert!(told.iter().all(Option::is_some) || told == [None; 4], "{told:?}");
    assert!(told.is_sorted(), "{told:?}");
    let took = second.zip(first).map(|(end, start)| end - start);
    assert!(took.is_none_or(|took| took < chrono::Duration::minutes(10)), "{told:?}");
}

/// Nobody is heard of that is not enlisted: it must not believe that it may act.
pub async fn a_worker_that_is_not_enlisted_is_fenced(store: &Subject) {
    assert!(is_fenced(store, 1).await);
    assert_eq!(heard_of(store).await, []);
    enlisted(store, 1).await;
    assert!(!is_fenced(store, 1).await);
    dies(store, 1).await;
    assert!(is_fenced(store, 1).await);
    enlisted(store, 2).await;
    store.retire(worker(2)).await.unwrap();
    assert!(is_fenced(store, 2).await);
    enlisted(store, 3).await;
    store.enlist(worker(4), true, at(0)).await.unwrap();
    assert!(is_fenced(store, 3).await);
    assert!(!is_fenced(store, 4).await);
}

/// What the others drove is taken over by whoever is alone, at once.
pub async fn whoever_is_alone_strikes_all_others_off(store: &Subject) {
    let first = queued(store).await;
    for number in [1, 2] {
        enlisted(store, number).await;
        store.beat(worker(number), at(10)).await.unwrap();
    }
    store.enlist(worker(3), true, at(20)).await.unwrap();
    assert_eq!(heard_of(store).await, [(worker(3), 0)]);
    assert_eq!(reload(store, first.id).await, first);
    let expected = Redemption { owner: Some(worker(3)), epoch: 2, takeovers: 1, ..first };
    assert_eq!(store.adopt(adopt(3, 9)).await.unwrap(), [expected]);
}

/// An observer strikes off whom nobody has heard of since it looked, and nobody else.
pub async fn a_worker_that_was_heard_of_is_not_struck_off(store: &Subject) {
    for number in [1, 2] {
        enlisted(store, number).await;
    }
    let seen = WorkerRow { worker: worker(1), beats: 0 };
    store.beat(worker(1), at(10)).await.unwrap();
    for beats in [0, 2] {
        assert!(!store.strike_off(WorkerRow { beats, ..seen }).await.unwrap());
    }
    assert_eq!(heard_of(store).await, [(worker(1), 1), (worker(2), 0)]);
    assert!(store.strike_off(WorkerRow { beats: 1, ..seen }).await.unwrap());
    assert_eq!(heard_of(store).await, [(worker(2), 0)]);
    assert!(!store.strike_off(WorkerRow { beats: 1, ..seen }).await.unwrap(), "it is gone already");
}

/// However many observers there are, one strikes it off.
pub async fn of_many_observers_one_strikes_off(store: &Subject) {
    enlisted(store, 1).await;
    let silent = WorkerRow { worker: worker(1), beats: 0 };
    let striking = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.strike_off(silent).await.unwrap() })
    });
    let mut struck = 0;
    for one in striking.collect::<Vec<_>>() {
        struck += u32::from(one.await.unwrap());
    }
    assert_eq!(struck, 1);
}

/// Whoever leaves in good order leaves its redemptions to whoever looks next; until then what it stores still counts.
pub async fn a_retired_workers_redemptions_are_taken_over_at_once(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    for number in [1, 2] {
        enlisted(store, number).await;
    }
    store.retire(worker(1)).await.unwrap();
    assert_eq!(heard_of(store).await, [(worker(2), 0)]);
    let late = stored(store, moved(&redemptions[0], redemptions[0].phase.clone()), Vec::new()).await;
    let adopted = store.adopt(adopt(2, 9)).await.unwrap();
    let taken =
        |before: &Redemption| Redemption { owner: Some(worker(2)), epoch: 2, takeovers: 1, ..before.clone() };
    assert_eq!(adopted, [taken(&late), taken(&redemptions[1])]);
    store.retire(worker(1)).await.unwrap();
    assert_eq!(heard_of(store).await, [(worker(2), 0)]);
}
