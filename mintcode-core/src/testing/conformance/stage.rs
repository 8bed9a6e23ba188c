//! What the cases need before they come to their point.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use super::Subject;
use crate::health::{Account, Health, HealthChange, HealthEvent, HealthRules, Source};
use crate::ids::{PlanId, RedemptionId, SupplierName, WorkerId};
use crate::ledger::Booked;
use crate::money::{Amount, Currency, Rate};
use crate::order::{Message, Order, OrderId, OrderStatus, Phone};
use crate::ports::supplier::Wanted;
use crate::ports::{
    Adopt, AlertRow, Begin, BeginBy, Begun, Commit, InboxItem, Observed, Put, StorageError, VoucherTrail,
};
use crate::redemption::{
    ClosedAttempt, Consequences, Delivery, Failure, FailureKind, Held, Holder, HolderKey, Intent, Outcome,
    Phase, Redemption, Settlement, Snapshot, Surplus,
};
use crate::sku::Sku;
use crate::testing::sample;
use crate::voucher::{Refusal, Voucher, VoucherEvent, VoucherHash};

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    sample::now() + Duration::seconds(seconds)
}

/// A redemption's id of that number.
pub(super) fn rdm(number: u32) -> RedemptionId {
    format!("rdm_{number:026}").parse().expect("digits make an id")
}

pub(super) fn worker(number: u32) -> WorkerId {
    format!("wrk_{number:026}").parse().expect("digits make an id")
}

/// Worker `number` wishes for `limit` redemptions; five takeovers are the most.
pub(super) fn adopt(number: u32, limit: u32) -> Adopt {
    Adopt { worker: worker(number), limit, most_takeovers: 5, now: at(1_000) }
}

/// Enlists worker `number`, beside others. Tells the time by the storage's own clock, if it has one.
pub(super) async fn enlisted(store: &Subject, number: u32) -> Option<DateTime<Utc>> {
    store.enlist(worker(number), false, at(0)).await.unwrap()
}

/// Whether the storage goes by a clock of its own.
pub(super) async fn has_own_clock(store: &Subject) -> bool {
    enlisted(store, 1).await.is_some()
}

/// The workers that are enlisted and how often each was heard of, by their ids.
pub(super) async fn heard_of(store: &Subject) -> Vec<(WorkerId, u64)> {
    let mut rows: Vec<_> =
        store.workers().await.unwrap().into_iter().map(|row| (row.worker, row.beats)).collect();
    rows.sort();
    rows
}

/// Worker `number` dies, and is struck off.
pub(super) async fn dies(store: &Subject, number: u32) {
    let rows = store.workers().await.unwrap();
    let silent = rows.into_iter().find(|row| row.worker == worker(number)).expect("it is enlisted");
    assert!(store.strike_off(silent).await.unwrap());
}

/// Worker `number` enlists, takes over what it may, and dies of it.
pub(super) async fn dies_of_what_it_adopts(store: &Subject, number: u32) -> Vec<Redemption> {
    enlisted(store, number).await;
    let adopted = store.adopt(adopt(number, 9)).await.unwrap();
    dies(store, number).await;
    adopted
}

fn key(seed: u8) -> HolderKey {
    HolderKey::new(&[seed; 32])
}

/// The holder of a browser session.
pub(super) fn session(seed: u8) -> Holder {
    Holder { session: Some(key(seed)), idempotency: None }
}

/// The holder of an idempotency key.
pub(super) fn keyed(seed: u8) -> Holder {
    Holder { session: None, idempotency: Some(key(seed)) }
}

/// Stores a SKU and `count` vouchers of it.
pub(super) async fn minted(store: &Subject, sku: &Sku, count: u32) -> Vec<VoucherHash> {
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(sku, count);
    let hashes = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, vouchers.into()).await.unwrap();
    hashes
}

/// Stores one voucher of a plain SKU.
pub(super) async fn one_voucher(store: &Subject) -> VoucherHash {
    minted(store, &sample::sku("tg"), 1).await[0]
}

/// `holder` posts the voucher; redemption `number` is to begin, driven by worker 1, `number` seconds in.
pub(super) fn post(voucher: VoucherHash, holder: Holder, number: u32) -> Begin {
    let by = BeginBy::Code(vec![voucher]);
    Begin {
        by,
        holder,
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: Some(worker(1)),
        now: at(i64::from(number)),
    }
}

pub(super) async fn refusal(store: &Subject, begin: Begin) -> Refusal {
    match store.begin(begin).await.unwrap() {
        Begun::Refused(refusal) => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

pub(super) async fn begun(store: &Subject, begin: Begin) -> Redemption {
    match store.begin(begin).await.unwrap() {
        Begun::New(redemption) => *redemption,
        other => panic!("no redemption began: {other:?}"),
    }
}

/// Begins redemption 1 of a voucher of its own, in session 1.
pub(super) async fn queued(store: &Subject) -> Redemption {
    let voucher = one_voucher(store).await;
    begun(store, post(voucher, session(1), 1)).await
}

/// Begins redemptions 1 to `count`, each of a voucher of its own, in sessions of their own.
pub(super) async fn queued_many(store: &Subject, count: u8) -> Vec<Redemption> {
    let vouchers = minted(store, &sample::sku("tg"), count.into()).await;
    let mut redemptions = Vec::new();
    for (voucher, number) in vouchers.into_iter().zip(1..) {
        redemptions.push(begun(store, post(voucher, session(number), number.into())).await);
    }
    redemptions
}

/// `redemption` one version on, in `phase`.
pub(super) fn moved(redemption: &Redemption, phase: Phase) -> Redemption {
    Redemption {
        phase,
        version: redemption.version + 1,
        updated_at: redemption.updated_at + Duration::seconds(1),
        ..redemption.clone()
    }
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        product: "telegram".into(),
        country: "canada".into(),
        operator: "virtual4".into(),
        max_cost: Amount::from_micros(200_000),
    }
}

pub(super) fn intent(redemption: &Redemption) -> Intent {
    Intent {
        number: redemption.attempts() + 1,
        plan: sample::plan_id("A"),
        supplier: SupplierName::default(),
        wanted: wanted(),
        reason: "first by priority".into(),
        is_probe: false,
        currency: Currency::USD,
        rate: Rate::ONE,
        intended_at: redemption.updated_at + Duration::seconds(1),
        send_by: redemption.updated_at + Duration::seconds(6),
        newest_known: Some(OrderId::new("99")),
    }
}

pub(super) fn order(id: &str) -> Order {
    Order {
        id: OrderId::new(id),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(135_900),
        created_at: at(2) + Duration::microseconds(345_678),
        expires_at: at(902),
    }
}

pub(super) fn held(intent: Intent, order_id: &str) -> Held {
    Held { intent, order: order(order_id), messages: Vec::new(), unknown: 0, withheld: BTreeMap::new() }
}

pub(super) fn surplus(intent: Intent, order_id: &str) -> Surplus {
    let held = held(intent, order_id);
    Surplus { held, outcome: Outcome::TooDear, not_before: at(30), asked: 2 }
}

pub(super) fn message() -> Message {
    Message {
        received_at: at(20),
        sender: "Telegram".into(),
        text: "Your code is 48213 · 验证码".into(),
        code: Some("48213".into()),
    }
}

pub(super) fn change(next: Redemption, voucher: Vec<VoucherEvent>) -> Commit {
    Commit {
        next,
        voucher,
        consumed: Vec::new(),
        ledger: Vec::new(),
        health: Vec::new(),
        accounts: Vec::new(),
        alerts: Vec::new(),
        choice: None,
        rules: HealthRules::default(),
    }
}

/// Stores `next`, and returns it.
pub(super) async fn stored(store: &Subject, next: Redemption, voucher: Vec<VoucherEvent>) -> Redemption {
    store.commit(change(next.clone(), voucher)).await.unwrap();
    next
}

/// `next`, which follows `before`, with everything that it means, as the engine stores it.
pub(super) fn meant(before: &Redemption, next: Redemption) -> Commit {
    let Consequences { voucher, ledger, health, accounts, alerts } =
        Consequences::of(before, &next, std::time::Duration::from_secs(45));
    let voucher = voucher.into_iter().collect();
    Commit { ledger, health, accounts, alerts, ..change(next, voucher) }
}

/// Stores `next` with everything that it means, and returns it.
pub(super) async fn went_on(store: &Subject, before: &Redemption, next: Redemption) -> Redemption {
    store.commit(meant(before, next.clone())).await.unwrap();
    next
}

/// `redemption` with the intent of its next purchase, as it is to be stored.
pub(super) fn intended(redemption: &Redemption) -> Redemption {
    moved(redemption, Phase::Ordering(intent(redemption)))
}

/// Commits what must fail, and looks that nothing of it was stored.
pub(super) async fn fails_whole(store: &Subject, commit: Commit) -> StorageError {
    let (id, voucher) = (commit.next.id, commit.next.voucher);
    let before: Picture = picture(store, id, voucher).await;
    let error = store.commit(commit).await.unwrap_err();
    assert_eq!(picture(store, id, voucher).await, before, "after {error:?}");
    error
}

/// Where the only plan of a plain SKU buys.
pub(super) fn source() -> Source {
    Source::of_wanted(&SupplierName::default(), &wanted())
}

/// Something that happened where the only plan of a plain SKU buys.
pub(super) fn happened(event: HealthEvent) -> HealthChange {
    HealthChange { source: source(), event }
}

/// An observation of nothing, `seconds` in.
pub(super) fn nothing_observed(seconds: i64) -> Observed {
    let rules = HealthRules::default();
    Observed { health: Vec::new(), accounts: Vec::new(), alerts: Vec::new(), rules, now: at(seconds) }
}

/// Stores the intent of the next purchase.
pub(super) async fn ordering(store: &Subject, redemption: &Redemption) -> Redemption {
    stored(store, moved(redemption, Phase::Ordering(intent(redemption))), vec![VoucherEvent::Buy { buys: 1 }])
        .await
}

/// `ordering` with its number bought, as it is to be stored.
pub(super) fn bought(ordering: &Redemption, order_id: &str) -> Redemption {
    let Phase::Ordering(intent) = &ordering.phase else { panic!("no purchase is under way: {ordering:?}") };
    let next = moved(ordering, Phase::Waiting(held(intent.clone(), order_id)));
    Redemption { number_shown: true, ..next }
}

/// Takes `queued` to a number.
pub(super) async fn waiting(store: &Subject, queued: &Redemption, order_id: &str) -> Redemption {
    let ordering = ordering(store, queued).await;
    stored(store, bought(&ordering, order_id), Vec::new()).await
}

/// `waiting` with its code, as it is to be stored.
pub(super) fn delivery(waiting: &Redemption, settlement: Settlement) -> Redemption {
    let mut held = waiting.held().expect("a number is there").clone();
    held.messages = vec![message()];
    moved(waiting, Phase::Delivered(Delivery { held, delivered_at: at(21), settlement, is_released: false }))
}

/// Takes `waiting` to its code, with the order settled.
pub(super) async fn delivered(store: &Subject, waiting: &Redemption) -> Redemption {
    let settlement = Settlement::Settled { order_end: Some(OrderStatus::Finished), at: at(22) };
    stored(store, delivery(waiting, settlement), vec![VoucherEvent::Deliver]).await
}

/// The end of a redemption without a code, as it is to be stored.
pub(super) fn failure(redemption: &Redemption) -> Redemption {
    let failure = Failure { kind: FailureKind::NoSms, stop: None, retry_at: at(100) };
    let mut next = moved(redemption, Phase::Failed(failure));
    next.closed.extend(redemption.held().map(|held| ClosedAttempt {
        intent: held.intent.clone(),
        order: Some(held.order.clone()),
        order_end: Some(OrderStatus::Cancelled),
        outcome: Outcome::NoSms,
        ended_at: next.updated_at,
    }));
    next
}

/// What the end of `redemption` does to its voucher: the next one may begin 100 seconds in.
pub(super) fn end(redemption: &Redemption, start_behind: Option<PlanId>) -> VoucherEvent {
    VoucherEvent::End {
        at: redemption.updated_at,
        buys: redemption.buys(),
        number_shown: redemption.number_shown,
        ready_at: at(100),
        start_behind,
    }
}

/// Ends `redemption` without a code.
pub(super) async fn failed(store: &Subject, redemption: &Redemption) -> Redemption {
    stored(store, failure(redemption), vec![end(redemption, None)]).await
}

pub(super) async fn voucher(store: &Subject, hash: VoucherHash) -> Voucher {
    store.trail(&[hash]).await.unwrap().expect("the voucher is stored").voucher
}

pub(super) async fn reload(store: &Subject, id: RedemptionId) -> Redemption {
    store.redemption(id).await.unwrap().expect("the redemption is stored")
}

/// Everything that storage tells about a redemption, to see that nothing was left half done.
#[derive(Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) redemption: Option<Redemption>,
    pub(super) trail: Option<VoucherTrail>,
    pub(super) history: Vec<Snapshot>,
    pub(super) inbox: Vec<InboxItem>,
    pub(super) newest_order: Option<OrderId>,
    pub(super) booked: Vec<Booked>,
    pub(super) choices: Vec<String>,
    pub(super) sources: Vec<(Source, Health)>,
    pub(super) accounts: Vec<(SupplierName, Account)>,
    pub(super) alerts: Vec<AlertRow>,
}

pub(super) async fn picture(store: &Subject, id: RedemptionId, voucher: VoucherHash) -> Picture {
    Picture {
        redemption: store.redemption(id).await.unwrap(),
        trail: store.trail(&[voucher]).await.unwrap(),
        history: store.history(id, 0, 1000).await.unwrap(),
        inbox: store.inbox(id).await.unwrap(),
        newest_order: store.newest_order(&SupplierName::default()).await.unwrap(),
        booked: store.booked(id).await.unwrap(),
        choices: store.choices(id).await.unwrap(),
        sources: store.sources().await.unwrap(),
        accounts: store.accounts().await.unwrap(),
        alerts: store.alerts(false, 1000).await.unwrap(),
    }
}
