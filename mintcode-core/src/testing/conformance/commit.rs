//! Storing a change of a redemption.

use std::collections::BTreeSet;

use chrono::Duration;

use super::Subject;
use super::choices::choice;
use super::stage::{
    at, begun, bought, change, delivered, delivery, end, failed, fails_whole, failure, held, intent, keyed,
    meant, minted, moved, ordering, post, queued, queued_many, rdm, reload, session, stored, surplus,
    voucher, waiting, wanted, worker,
};
use crate::alert::{Alert, AlertChange};
use crate::health::{AccountChange, AccountEvent};
use crate::ids::SupplierName;
use crate::order::OrderId;
use crate::ports::{Commit, Inbox, StorageError};
use crate::redemption::{
    AfterRelease, ClosedAttempt, GiveBack, NotBought, Outcome, Phase, Redemption, Releasing, Search,
    Settlement, Wish,
};
use crate::testing::sample;
use crate::voucher::{Resting, VoucherEvent, VoucherState};

/// A change with something for every table: claims, a voucher's event, an inbox item it takes care of, entries of the
/// books, a choice, and what it means for source, account and operator.
async fn rich(store: &Subject, ordering: &Redemption, order_id: &str) -> Commit {
    store.append_inbox(ordering.id, Inbox::Wish(Wish::Cancel)).await.unwrap();
    let item = store.inbox(ordering.id).await.unwrap().pop().unwrap();
    let waiting = bought(ordering, order_id);
    let settled = Settlement::Finishing { not_before: at(30), asked: 1 };
    let next = Redemption { version: ordering.version + 1, ..delivery(&waiting, settled) };
    let given_back = AccountChange { supplier: SupplierName::default(), event: AccountEvent::GivenBack };
    Commit {
        consumed: vec![item.id],
        accounts: vec![given_back],
        alerts: vec![AlertChange::raise(Alert::BooksOff {
            voucher: "ABCD****WXYZ".parse().unwrap(),
            what: "a test".into(),
        })],
        choice: Some(Box::new(choice(&next))),
        ..meant(ordering, next)
    }
}

/// Whatever a redemption holds comes back as it was, in every phase.
pub async fn every_phase_is_read_back_whole(store: &Subject) {
    let queued = queued(store).await;
    let intended = intent(&queued);
    let phases = [
        Phase::Ordering(intended.clone()),
        Phase::Uncertain(Search { intent: intended.clone(), absent_since: Some(at(40)) }),
        Phase::Waiting(held(intended.clone(), "100")),
        Phase::Releasing(Releasing {
            held: held(intended.clone(), "100"),
            by: GiveBack::Ban,
            then: AfterRelease::NextPlan,
            not_before: at(50),
            asked: 3,
        }),
        Phase::CoolingDown { until: at(60), plan: sample::plan_id("A") },
        Phase::Cancelled,
    ];
    let mut current = queued;
    for phase in phases {
        let next = Redemption { cancel_wished: true, ..moved(&current, phase) };
        let events = if next.is_final() { vec![end(&next, None)] } else { Vec::new() };
        current = stored(store, next, events).await;
        assert_eq!(reload(store, current.id).await, current);
    }
}

/// Closed attempts, orders in the background, messages: nothing is lost.
pub async fn attempts_and_messages_are_read_back_whole(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    let closed = ClosedAttempt {
        intent: intent(&first),
        order: None,
        order_end: None,
        outcome: Outcome::OutOfStock,
        ended_at: at(9) + Duration::microseconds(7),
    };
    let mut next = delivery(&waiting, Settlement::Open { until: at(120) });
    next.closed
        .push(ClosedAttempt { intent: crate::redemption::Intent { number: 2, ..intent(&first) }, ..closed });
    next.background.push(surplus(crate::redemption::Intent { number: 3, ..intent(&first) }, "101"));
    let next = stored(store, next, vec![VoucherEvent::Deliver]).await;
    let read = reload(store, next.id).await;
    assert_eq!(read, next);
    assert_eq!(read.attempt_rows(), next.attempt_rows());
}

/// Two hold the same redemption: the slower one is told, and changes nothing.
pub async fn a_stale_commit_is_a_conflict(store: &Subject) {
    let first = queued(store).await;
    let seen_by_both = ordering(store, &first).await;
    let late = rich(store, &seen_by_both, "101").await;
    stored(store, bought(&seen_by_both, "100"), Vec::new()).await;
    let error = fails_whole(store, late).await;
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
}

/// The history has no gaps, so no version may be left out.
pub async fn a_version_left_out_is_a_conflict(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    let mut commit = rich(store, &ordering, "100").await;
    commit.next.version += 1;
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
}

/// A worker whose redemption was taken over changes nothing.
pub async fn a_commit_at_an_older_epoch_is_fenced(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    let commit = rich(store, &ordering, "100").await;
    store.adopt_one(worker(2), ordering.id).await.unwrap();
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::Fenced), "{error:?}");
}

/// An epoch that nobody gave out is as wrong as an old one.
pub async fn a_commit_at_a_newer_epoch_is_fenced(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    let mut commit = rich(store, &ordering, "100").await;
    commit.next.epoch += 1;
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::Fenced), "{error:?}");
}

/// Whoever lost it and is late as well has to drop it, not to load it again.
pub async fn a_commit_both_stale_and_fenced_is_fenced(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    let commit = rich(store, &ordering, "101").await;
    let adopted = store.adopt_one(worker(2), ordering.id).await.unwrap().unwrap();
    stored(store, bought(&adopted, "100"), Vec::new()).await;
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::Fenced), "{error:?}");
}

/// A redemption that does not exist cannot change.
pub async fn a_commit_of_an_unknown_redemption_is_a_conflict(store: &Subject) {
    let first = queued(store).await;
    let unknown = Redemption { id: rdm(9), ..moved(&first, Phase::Cancelled) };
    let error = fails_whole(store, change(unknown, Vec::new())).await;
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
}

/// An order belongs to the first attempt that claims it.
pub async fn an_order_of_another_redemption_is_claimed(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    waiting(store, &redemptions[0], "100").await;
    let loser = ordering(store, &redemptions[1]).await;
    let commit = rich(store, &loser, "100").await;
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::Claimed), "{error:?}");
    stored(store, bought(&loser, "101"), Vec::new()).await;
}

/// Being late comes before being second.
pub async fn a_stale_commit_of_a_claimed_order_is_a_conflict(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    waiting(store, &redemptions[0], "100").await;
    let other = ordering(store, &redemptions[1]).await;
    let late = change(bought(&other, "100"), Vec::new());
    stored(store, moved(&other, Phase::Queued), Vec::new()).await;
    let error = fails_whole(store, late).await;
    assert!(matches!(error, StorageError::Conflict), "{error:?}");
}

/// Two attempts of one redemption are two attempts.
pub async fn an_order_of_another_attempt_is_claimed(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    let second = crate::redemption::Intent { number: 2, ..intent(&first) };
    let again = moved(&waiting, Phase::Waiting(held(second.clone(), "100")));
    let error = fails_whole(store, change(again, Vec::new())).await;
    assert!(matches!(error, StorageError::Claimed), "{error:?}");

    let mut both = moved(&waiting, waiting.phase.clone());
    both.background.push(surplus(second, "100"));
    let error = fails_whole(store, change(both, Vec::new())).await;
    assert!(matches!(error, StorageError::Claimed), "{error:?}");
}

/// A claim holds however the redemption ended.
pub async fn a_claim_outlives_its_redemption(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let waiting = waiting(store, &redemptions[0], "100").await;
    let gone = Redemption { closed: Vec::new(), ..failure(&waiting) };
    stored(store, gone, vec![end(&waiting, None)]).await;
    let other = ordering(store, &redemptions[1]).await;
    let error = fails_whole(store, change(bought(&other, "100"), Vec::new())).await;
    assert!(matches!(error, StorageError::Claimed), "{error:?}");
    let claims =
        store.claims(&SupplierName::default(), &wanted(), &[OrderId::new("100")], rdm(2)).await.unwrap();
    assert_eq!(claims.claimed, BTreeSet::from([OrderId::new("100")]));
}

/// Two suppliers may use the same numbers.
pub async fn the_same_order_id_at_another_supplier_is_free(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    waiting(store, &redemptions[0], "100").await;
    let mut elsewhere = bought(&ordering(store, &redemptions[1]).await, "100");
    let Phase::Waiting(held) = &mut elsewhere.phase else { unreachable!("a number was bought") };
    held.intent.supplier = SupplierName::new("second").unwrap();
    let elsewhere = stored(store, elsewhere, Vec::new()).await;
    assert_eq!(reload(store, elsewhere.id).await, elsewhere);
}

/// The voucher goes where its events lead, one after the other.
pub async fn voucher_events_are_applied_in_order(store: &Subject) {
    let first = queued(store).await;
    let next = moved(&first, Phase::Ordering(intent(&first)));
    let settle = VoucherEvent::Settle { buys: 1, number_shown: true };
    stored(store, next, vec![VoucherEvent::Buy { buys: 1 }, settle, VoucherEvent::Buy { buys: 2 }]).await;
    let after = voucher(store, first.voucher).await;
    assert_eq!(after.state, VoucherState::Redeeming { from: Resting::RetryableFailed });
    assert_eq!(after.buys, 2);
}

/// What a voucher cannot do is not stored, nor is anything that goes with it.
pub async fn an_impossible_voucher_event_changes_nothing(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    let mut commit = rich(store, &ordering, "100").await;
    commit.voucher = vec![VoucherEvent::Deliver, VoucherEvent::Buy { buys: 1 }];
    let error = fails_whole(store, commit).await;
    assert!(matches!(error, StorageError::Corrupt { table: "voucher", .. }), "{error:?}");
}

/// A redemption that was followed by another does not move the voucher any more.
pub async fn a_former_redemption_does_not_move_the_voucher(store: &Subject) {
    let first = queued(store).await;
    let failed = failed(store, &first).await;
    begun(store, post(first.voucher, session(1), 200)).await;
    let next = moved(&failed, failed.phase.clone());
    let error = fails_whole(store, change(next, vec![VoucherEvent::Buy { buys: 1 }])).await;
    assert!(matches!(error, StorageError::Corrupt { table: "voucher", .. }), "{error:?}");
}

/// A code is never stored beside a voucher that is still good, nor a spent voucher without one.
pub async fn delivered_and_fulfilled_go_together(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    let code = delivery(&waiting, Settlement::Open { until: at(120) });
    let no_code = moved(&waiting, waiting.phase.clone());
    for commit in [change(code.clone(), Vec::new()), change(no_code, vec![VoucherEvent::Deliver])] {
        let error = fails_whole(store, commit).await;
        assert!(matches!(error, StorageError::Corrupt { table: "voucher", .. }), "{error:?}");
    }
    stored(store, code, vec![VoucherEvent::Deliver]).await;
    assert_eq!(voucher(store, first.voucher).await.state, VoucherState::Fulfilled);
}

/// What happens after the delivery needs no further event of the voucher.
pub async fn a_delivery_goes_on_being_settled(store: &Subject) {
    let first = queued(store).await;
    let waiting = waiting(store, &first, "100").await;
    let open =
        stored(store, delivery(&waiting, Settlement::Open { until: at(120) }), vec![VoucherEvent::Deliver])
            .await;
    let finishing = Settlement::Finishing { not_before: at(121), asked: 0 };
    let next = Redemption { version: open.version + 1, ..delivery(&waiting, finishing) };
    let next = stored(store, next, Vec::new()).await;
    assert_eq!(reload(store, next.id).await, next);
}

/// A redemption that ended stays ended while another one of its voucher is live.
pub async fn a_voucher_has_one_live_redemption(store: &Subject) {
    let first = queued(store).await;
    let failed = failed(store, &first).await;
    begun(store, post(first.voucher, session(1), 200)).await;
    let revived = moved(&failed, Phase::Queued);
    let error = fails_whole(store, change(revived, Vec::new())).await;
    assert!(matches!(error, StorageError::Corrupt { table: "redemption", .. }), "{error:?}");
}

/// Items that a change takes care of go with it; everything else stays.
pub async fn consumed_inbox_items_are_removed(store: &Subject) {
    let redemptions = queued_many(store, 2).await;
    let not_bought = Inbox::NotBought { attempt: 1, why: NotBought::OutOfStock };
    for item in [Inbox::Wish(Wish::Replace { attempt: 1 }), not_bought, Inbox::Wish(Wish::Cancel)] {
        store.append_inbox(rdm(1), item).await.unwrap();
    }
    store.append_inbox(rdm(2), Inbox::Wish(Wish::Cancel)).await.unwrap();
    let (mine, others) = (store.inbox(rdm(1)).await.unwrap(), store.inbox(rdm(2)).await.unwrap());

    let next = moved(&redemptions[0], Phase::CoolingDown { until: at(60), plan: sample::plan_id("A") });
    // The other redemption's item is not this one's to take.
    let consumed = vec![mine[0].id, mine[2].id, others[0].id];
    store.commit(Commit { consumed, ..change(next, Vec::new()) }).await.unwrap();
    assert_eq!(store.inbox(rdm(1)).await.unwrap(), [mine[1].clone()]);
    assert_eq!(store.inbox(rdm(2)).await.unwrap(), others);
}

/// Every version is there once, in order, as it was when it was stored.
pub async fn the_history_is_whole_and_in_order(store: &Subject) {
    let first = queued(store).await;
    let ordering = ordering(store, &first).await;
    let waiting = stored(store, bought(&ordering, "100"), Vec::new()).await;
    let delivered = delivered(store, &waiting).await;
    let all = [&first, &ordering, &waiting, &delivered].map(Redemption::snapshot);
    assert_eq!(store.history(first.id, 0, 100).await.unwrap(), all);
    assert_eq!(store.history(first.id, 1, 2).await.unwrap(), all[1..3]);
    assert_eq!(store.history(first.id, 4, 100).await.unwrap(), []);
    assert_eq!(store.history(rdm(9), 0, 100).await.unwrap(), []);
}

/// Owner and follower are storage's own: a change made before they were set does not undo them.
pub async fn a_commit_leaves_owner_and_follower_alone(store: &Subject) {
    let first = queued(store).await;
    let failed = failed(store, &first).await;
    begun(store, post(first.voucher, session(1), 200)).await;
    let stale = Redemption { owner: None, next: None, ..moved(&failed, failed.phase.clone()) };
    let next = stored(store, stale, Vec::new()).await;
    let expected = Redemption { owner: Some(worker(1)), next: Some(rdm(200)), ..next };
    assert_eq!(reload(store, first.id).await, expected);
}

/// Of many who change the same version at the same moment, one does.
pub async fn of_many_changes_of_one_version_one_is_stored(store: &Subject) {
    let first = queued(store).await;
    let rivals = (0..16).map(|rival| {
        let (store, mut next) = (store.clone(), moved(&first, first.phase.clone()));
        next.deadline += Duration::seconds(rival);
        tokio::spawn(async move { store.commit(change(next.clone(), Vec::new())).await.map(|()| next) })
    });
    let mut winners = Vec::new();
    for rival in rivals.collect::<Vec<_>>() {
        match rival.await.unwrap() {
            Ok(next) => winners.push(next),
            Err(error) => assert!(matches!(error, StorageError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(winners, [reload(store, first.id).await]);
}

/// Changes of different redemptions do not hold each other up, and a bad one fails alone.
pub async fn a_bad_change_fails_alone(store: &Subject) {
    let redemptions = queued_many(store, 32).await;
    let changes = redemptions.iter().zip(0..).map(|(redemption, place)| {
        let mut next = moved(redemption, Phase::CoolingDown { until: at(60), plan: sample::plan_id("A") });
        next.epoch += place % 2;
        let store = store.clone();
        tokio::spawn(async move { store.commit(change(next, Vec::new())).await })
    });
    for (answer, place) in changes.collect::<Vec<_>>().into_iter().zip(0..) {
        let answer = answer.await.unwrap();
        assert_eq!(answer.is_ok(), place % 2 == 0, "{place}: {answer:?}");
    }
    for (redemption, place) in redemptions.iter().zip(0..) {
        assert_eq!(reload(store, redemption.id).await.version, 2 - place % 2);
    }
}

/// Everything about one redemption says nothing about another.
pub async fn a_commit_touches_no_other_redemption(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 2).await;
    let first = begun(store, post(vouchers[0], session(1), 1)).await;
    let second = begun(store, post(vouchers[1], keyed(2), 2)).await;
    let before = (reload(store, second.id).await, store.history(second.id, 0, 9).await.unwrap());
    let waiting = waiting(store, &first, "100").await;
    delivered(store, &waiting).await;
    assert_eq!((reload(store, second.id).await, store.history(second.id, 0, 9).await.unwrap()), before);
    assert_eq!(voucher(store, second.voucher).await.state, VoucherState::Locked { from: Resting::Issued });
}
