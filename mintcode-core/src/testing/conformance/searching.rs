//! What operators look for among redemptions, and how plans did.

use super::Subject;
use super::stage::{
    at, begun, bought, change, delivered, delivery, end, failed, held, intent, keyed, message, minted, moved,
    order, ordering, post, queued, queued_many, rdm, reload, session, stored, voucher, waiting,
};
use crate::ids::RedemptionId;
use crate::order::OrderStatus;
use crate::ports::{Begin, PlanTotal, RedemptionSearch};
use crate::redemption::{
    AfterRelease, ClosedAttempt, Delivery, GiveBack, Intent, Outcome, Phase, Redemption, Releasing,
    Settlement, Status,
};
use crate::testing::sample;
use crate::voucher::VoucherEvent;

async fn found(store: &Subject, search: RedemptionSearch, limit: u32) -> Vec<RedemptionId> {
    let found = store.redemptions(search, limit).await.unwrap();
    found.into_iter().map(|redemption| redemption.id).collect()
}

fn all() -> RedemptionSearch {
    RedemptionSearch::default()
}

/// Newest first, page by page, each as a whole.
pub async fn redemptions_are_found_newest_first(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 5).await;
    for (voucher, number) in vouchers.into_iter().zip([3, 1, 5, 2, 4]) {
        begun(store, post(voucher, session(number), number.into())).await;
    }
    let third = reload(store, rdm(3)).await;
    let third = waiting(store, &third, "100").await;
    let page = async |before: Option<u32>, limit| {
        found(store, RedemptionSearch { before: before.map(rdm), ..all() }, limit).await
    };
    assert_eq!(page(None, 2).await, [rdm(5), rdm(4)]);
    assert_eq!(page(Some(4), 2).await, [rdm(3), rdm(2)]);
    assert_eq!(page(Some(2), 2).await, [rdm(1)]);
    assert_eq!(page(Some(1), 2).await, []);
    assert_eq!(page(Some(9), 2).await, [], "nothing is older than what nobody knows");
    let whole = store.redemptions(RedemptionSearch { before: Some(rdm(4)), ..all() }, 1).await.unwrap();
    assert_eq!(whole, [third]);
}

/// Pages leave none out and tell none twice, also where many began at the same moment.
pub async fn redemptions_of_one_moment_are_found_once(store: &Subject) {
    let vouchers = minted(store, &sample::sku("tg"), 7).await;
    for (voucher, number) in vouchers.into_iter().zip([4, 2, 7, 1, 6, 3, 5]) {
        let begin = Begin { now: at(9), ..post(voucher, session(number), number.into()) };
        begun(store, begin).await;
    }
    let mut seen = Vec::new();
    loop {
        let page = found(store, RedemptionSearch { before: seen.last().copied(), ..all() }, 3).await;
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 7, "{seen:?}");
    seen.sort();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7].map(rdm));
}

/// By SKU, by status, and by both; what is withheld has failed as far as anyone is told.
pub async fn redemptions_are_found_by_sku_and_status(store: &Subject) {
    let redemptions = queued_many(store, 8).await;
    let other = minted(store, &sample::sku("wa"), 1).await[0];
    begun(store, post(other, keyed(9), 9)).await;
    ordering(store, &redemptions[1]).await;
    let number = waiting(store, &redemptions[2], "102").await;
    let pause = Phase::CoolingDown { until: at(60), plan: sample::plan_id("A") };
    stored(store, moved(&redemptions[3], pause), Vec::new()).await;
    let releasing = Phase::Releasing(Releasing {
        held: held(intent(&redemptions[4]), "104"),
        by: GiveBack::Cancel,
        then: AfterRelease::Cancel,
        not_before: at(9),
        asked: 0,
    });
    stored(store, moved(&redemptions[4], releasing), vec![VoucherEvent::Buy { buys: 1 }]).await;
    delivered(store, &waiting(store, &redemptions[5], "105").await).await;
    failed(store, &redemptions[6]).await;
    let settlement = Settlement::Settled { order_end: Some(OrderStatus::Finished), at: at(22) };
    let withheld = delivery(&waiting(store, &redemptions[7], "107").await, settlement);
    let Phase::Delivered(message) = withheld.phase.clone() else { unreachable!("it is delivered") };
    let withheld = Redemption { phase: Phase::Withheld(message), ..withheld };
    let event = end(&withheld, None);
    stored(store, withheld, vec![event]).await;

    let by = async |sku: Option<&str>, status| {
        let sku = sku.map(|sku| sample::sku(sku).id);
        found(store, RedemptionSearch { sku, status, before: None }, 100).await
    };
    for (status, expected) in [
        (Status::Queued, vec![rdm(9), rdm(1)]),
        (Status::Ordering, vec![rdm(2)]),
        (Status::WaitingSms, vec![number.id]),
        (Status::CoolingDown, vec![rdm(4)]),
        (Status::Releasing, vec![rdm(5)]),
        (Status::Delivered, vec![rdm(6)]),
        (Status::Failed, vec![rdm(8), rdm(7)]),
        (Status::Cancelled, vec![]),
    ] {
        assert_eq!(by(None, Some(status)).await, expected, "{status:?}");
    }
    assert_eq!(by(Some("wa"), None).await, [rdm(9)]);
    assert_eq!(by(Some("tg"), Some(Status::Queued)).await, [rdm(1)]);
    assert_eq!(by(Some("nope"), None).await, []);
    let older = RedemptionSearch { status: Some(Status::Failed), before: Some(rdm(8)), ..all() };
    assert_eq!(found(store, older, 100).await, [rdm(7)]);
}

/// What plans did, told by the attempts that began in time, those under way among them.
pub async fn plans_are_told_by_their_attempts(store: &Subject) {
    let first = queued(store).await;
    let number = waiting(store, &first, "100").await;
    let attempt = |number, plan: &str, seconds| Intent {
        number,
        plan: sample::plan_id(plan),
        intended_at: at(seconds),
        ..intent(&first)
    };
    let closed = |intent, outcome| ClosedAttempt {
        order: (outcome == Outcome::NoSms).then(|| order("99")),
        order_end: (outcome == Outcome::NoSms).then_some(OrderStatus::Cancelled),
        intent,
        outcome,
        ended_at: at(60),
    };
    // The first number came 2 s in and its SMS 21 s in, so the wait was 19 s.
    let mut done = delivery(&number, Settlement::Open { until: at(120) });
    done.closed = vec![
        closed(attempt(2, "A", 10), Outcome::OutOfStock),
        closed(attempt(3, "B", 10), Outcome::Throttled),
        closed(attempt(4, "A", 20), Outcome::NoSms),
    ];
    stored(store, done, vec![VoucherEvent::Deliver]).await;

    let other = minted(store, &sample::sku("wa"), 2).await;
    let quick = begun(store, post(other[0], session(2), 30)).await;
    let quick_number = waiting(store, &quick, "101").await;
    let Phase::Waiting(held) = &quick_number.phase else { unreachable!("a number is there") };
    let mut held = held.clone();
    held.messages = vec![message()];
    let settlement = Settlement::Open { until: at(300) };
    let arrived = Delivery { held, delivered_at: at(34), settlement, is_released: false };
    let quick =
        stored(store, moved(&quick_number, Phase::Delivered(arrived)), vec![VoucherEvent::Deliver]).await;
    let slow = begun(store, post(other[1], session(3), 40)).await;
    let slow = waiting(store, &slow, "103").await;
    let mut late = delivery(&slow, Settlement::Open { until: at(300) });
    let Phase::Delivered(arrived) = &mut late.phase else { unreachable!("it is delivered") };
    arrived.delivered_at = at(50);
    stored(store, late, vec![VoucherEvent::Deliver]).await;
    ordering(store, &begun(store, post(minted(store, &sample::sku("wa"), 1).await[0], session(4), 50)).await)
        .await;

    let total = |sku: &str, plan: &str, counts: [u64; 4], sms_after_ms| PlanTotal {
        sku: sample::sku(sku).id,
        plan: sample::plan_id(plan),
        attempts: counts[0],
        numbers: counts[1],
        out_of_stock: counts[2],
        with_sms: counts[3],
        sms_after_ms,
    };
    // 31 s in, of an SMS 34 s in; and 41 s in, of one 50 s in: 6 s on average.
    assert_eq!(quick.attempt_rows()[0].started_at, at(31));
    let expected = [
        total("tg", "A", [3, 2, 1, 1], Some(19_000)),
        total("tg", "B", [1, 0, 0, 0], None),
        total("wa", "A", [3, 2, 0, 2], Some(6_000)),
    ];
    assert_eq!(store.plan_totals(at(0), at(3_600)).await.unwrap(), expected);
    let early = [total("tg", "A", [2, 1, 1, 1], Some(19_000)), total("tg", "B", [1, 0, 0, 0], None)];
    assert_eq!(store.plan_totals(at(2), at(20)).await.unwrap(), early);
    assert_eq!(
        store.plan_totals(at(41), at(42)).await.unwrap(),
        [total("wa", "A", [1, 1, 0, 1], Some(9_000))]
    );
    assert_eq!(store.plan_totals(at(52), at(3_600)).await.unwrap(), []);
}

/// An attempt that is known better by now is told as it is known now.
pub async fn a_plans_attempts_are_told_as_they_stand(store: &Subject) {
    let first = queued(store).await;
    let counts = async || {
        let totals = store.plan_totals(at(0), at(3_600)).await.unwrap();
        totals.first().map(|total| (total.attempts, total.numbers, total.out_of_stock, total.with_sms))
    };
    assert_eq!(counts().await, None);
    let tried = ordering(store, &first).await;
    assert_eq!(counts().await, Some((1, 0, 0, 0)));
    let number = stored(store, bought(&tried, "100"), Vec::new()).await;
    assert_eq!(counts().await, Some((1, 1, 0, 0)));
    let done = delivered(store, &number).await;
    assert_eq!(counts().await, Some((1, 1, 0, 1)));
    store.commit(change(moved(&done, done.phase.clone()), Vec::new())).await.unwrap();
    assert_eq!(counts().await, Some((1, 1, 0, 1)));
    assert_eq!(voucher(store, first.voucher).await.state.name(), "fulfilled");
}
