//! A database of two redemptions in which all is well, and everything that may be wrong with one.

use std::collections::BTreeMap;

use chrono::Duration;
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{Message, Order, OrderId, OrderStatus, Phone};
use mintcode_core::ports::{Begin, BeginBy, Begun, Catalogue, Commit, Put, Storage, Vouchers, Wanted};
use mintcode_core::redemption::{
    Consequences, Delivery, Held, Holder, Intent, Phase, Redemption, Settlement,
};
use mintcode_core::testing::sample;
use mintcode_core::voucher::VoucherHash;
use mintcode_store::Finding;

/// What these scenes need of a storage.
pub(crate) trait Ports: Storage + Catalogue + Vouchers {}

impl<S: Storage + Catalogue + Vouchers> Ports for S {}

pub(crate) fn rdm(number: u32) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

/// Stores `redemption` in `phase`, with everything that it means.
pub(crate) async fn moved(store: &impl Ports, redemption: &Redemption, phase: Phase) -> Redemption {
    let next = Redemption {
        phase,
        version: redemption.version + 1,
        updated_at: redemption.updated_at + Duration::seconds(1),
        number_shown: true,
        ..redemption.clone()
    };
    let Consequences { voucher, ledger, health, accounts, alerts } =
        Consequences::of(redemption, &next, std::time::Duration::from_mins(1));
    let commit = Commit {
        next: next.clone(),
        voucher: voucher.into_iter().collect(),
        consumed: Vec::new(),
        ledger,
        health,
        accounts,
        alerts,
        choice: None,
        rules: HealthRules::default(),
    };
    store.commit(commit).await.unwrap();
    next
}

async fn waiting(store: &impl Ports, redemption: &Redemption, order: &str) -> Redemption {
    let at = redemption.updated_at;
    let intent = Intent {
        number: 1,
        plan: sample::plan_id("A"),
        supplier: SupplierName::default(),
        wanted: Wanted {
            product: "telegram".into(),
            country: "canada".into(),
            operator: "virtual4".into(),
            max_cost: Amount::from_micros(200_000),
        },
        reason: "first".into(),
        is_probe: false,
        currency: Currency::USD,
        rate: Rate::ONE,
        intended_at: at,
        send_by: at + Duration::seconds(5),
        newest_known: None,
    };
    let order = Order {
        id: OrderId::new(order),
        phone: Phone::new("15550001122"),
        price: Amount::from_micros(135_900),
        created_at: at,
        expires_at: at + Duration::minutes(15),
    };
    let ordering = moved(store, redemption, Phase::Ordering(intent.clone())).await;
    let held = Held { intent, order, messages: Vec::new(), unknown: 0, withheld: BTreeMap::new() };
    moved(store, &ordering, Phase::Waiting(held)).await
}

/// `waiting` with `messages` delivered and its order settled.
pub(crate) async fn delivered(
    store: &impl Ports,
    waiting: &Redemption,
    messages: Vec<Message>,
) -> Redemption {
    let held = Held { messages, ..waiting.held().unwrap().clone() };
    let at = waiting.updated_at;
    let settlement = Settlement::Settled { order_end: Some(OrderStatus::Finished), at };
    let delivery = Delivery { held, delivered_at: at, settlement, is_released: false };
    moved(store, waiting, Phase::Delivered(delivery)).await
}

/// Stores a SKU with `count` vouchers.
pub(crate) async fn minted(store: &impl Ports, count: u32) -> Vec<VoucherHash> {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    let hashes = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, vouchers.into()).await.unwrap();
    hashes
}

/// Begins redemption `number` of `voucher`.
pub(crate) async fn begins(store: &impl Ports, voucher: VoucherHash, number: u32) -> Redemption {
    let begin = Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: None,
        // So far apart that no cap counts many of them.
        now: sample::now() + Duration::minutes(i64::from(number)),
    };
    let Begun::New(redemption) = store.begin(begin).await.unwrap() else { panic!("it begins") };
    *redemption
}

/// The same, brought to where order `100 + number` waits for its SMS.
pub(crate) async fn waits(store: &impl Ports, voucher: VoucherHash, number: u32) -> Redemption {
    let redemption = begins(store, voucher, number).await;
    waiting(store, &redemption, &format!("{}", 100 + number)).await
}

/// More redemptions than are read at once, the newest of which is damaged once `DAMAGE` is run.
pub(crate) async fn fill_pages(store: &impl Ports) -> String {
    const MANY: u32 = 501;
    for (number, hash) in (1..=MANY).zip(minted(store, MANY).await) {
        begins(store, hash, number).await;
    }
    rdm(MANY).to_string()
}

/// See [`fill_pages`].
pub(crate) const DAMAGE: &str =
    "UPDATE redemption SET state = substr(state, 1, 20) WHERE id = (SELECT max(id) FROM redemption)";

/// A message with a code, as the supplier passes it on.
pub(crate) fn message() -> Message {
    let (received_at, sender) = (sample::now(), "Telegram".into());
    Message { received_at, sender, text: "Code 48213".into(), code: Some("48213".into()) }
}

/// Redemption 1 is delivered, redemption 2 waits for its SMS, and a voucher is unsold.
pub(crate) async fn fill(store: &impl Ports) {
    for (number, hash) in (1..=2).zip(minted(store, 3).await) {
        let waiting = waits(store, hash, number).await;
        if number == 1 {
            delivered(store, &waiting, vec![message()]).await;
        }
    }
}

/// Something that must never be so: its invariant, what a finding says of it, and how it is planted where nothing keeps
/// the database from it.
pub(crate) type Plant = (&'static str, &'static str, &'static str);

/// One for everything that is found by its columns. What only documents tell cannot be planted by SQL.
pub(crate) const PLANTS: [Plant; 20] = [
    (
        "I1",
        "more than one live redemption",
        "UPDATE redemption SET standing = 'live', voucher = (SELECT voucher FROM redemption WHERE id LIKE '%2')",
    ),
    (
        "I1",
        "more than one order",
        "UPDATE redemption SET voucher = (SELECT voucher FROM redemption WHERE id LIKE '%2');
         UPDATE attempt SET outcome = NULL",
    ),
    ("I2", "fulfilled vouchers", "UPDATE voucher SET state = 'fulfilled', came_from = NULL"),
    ("I2", "are not fulfilled", "UPDATE voucher SET state = 'issued', came_from = NULL"),
    ("I2", "fit no state", "UPDATE redemption SET state = substr(state, 1, 20)"),
    ("I3", "have not claimed", "DELETE FROM claim"),
    ("I3", "without the attempt", "DELETE FROM attempt WHERE redemption LIKE '%2'"),
    ("I3", "has not ended", "UPDATE attempt SET ended_at = NULL"),
    (
        "I4",
        "more than one order",
        "INSERT INTO ledger SELECT redemption, 2, book, kind, 'other', version, 9, sku, plan, supplier, amount, currency,
             value, booked_at FROM ledger WHERE kind = 'charge'",
    ),
    ("I5", "do not balance", "UPDATE ledger SET amount = amount + 1 WHERE kind = 'charge'"),
    ("I5", "do not balance", "UPDATE ledger SET currency = 'no currency' WHERE kind = 'charge'"),
    (
        "I7",
        "another voucher",
        "INSERT INTO idempotency SELECT 'key ' || id,
             (SELECT hash FROM voucher WHERE hash <> voucher ORDER BY hash LIMIT 1), id FROM redemption",
    ),
    (
        "I7",
        "orphans",
        "INSERT INTO orphan (supplier, size, order_id, product, country, operator, found_at, version, state)
             SELECT supplier, size, order_id, 'p', 'c', 'o', 0, 1, (SELECT state FROM redemption LIMIT 1) FROM claim",
    ),
    ("I8", "a gap", "DELETE FROM event WHERE version = 2"),
    ("I8", "in quarantine", "UPDATE redemption SET is_quarantined = TRUE, owner = 'wrk'"),
    ("I9", "not sealed", "UPDATE redemption SET state = substr(state, 2)"),
    (
        "I9",
        "a phone number",
        "INSERT INTO choice SELECT id, 9, '{\"phone\":\"+15550001122\"}' FROM redemption",
    ),
    ("I11", "counts", "UPDATE batch_count SET vouchers = vouchers + 1"),
    ("I11", "are locked", "UPDATE voucher SET state = 'locked', came_from = 'issued'"),
    (
        "I11",
        "should have ended",
        "INSERT INTO worker VALUES ('wrk', 1); UPDATE redemption SET deadline = 0",
    ),
];

/// Fails unless `findings` tell of the plant, and where it is.
#[track_caller]
pub(crate) fn assert_found(findings: &[Finding], (invariant, what, _): Plant) {
    let is_it = |finding: &&Finding| finding.invariant == invariant && finding.what.contains(what);
    let it = findings.iter().find(is_it);
    let it = it.unwrap_or_else(|| panic!("{invariant} {what} is not among {findings:?}"));
    assert!(!it.ids.is_empty() && it.ids.iter().all(|id| !id.is_empty()), "{it:?}");
}

/// Plants what only documents tell, and asserts that `examine` finds it.
pub(crate) async fn plant_documents<S: Ports>(store: &S, examine: impl AsyncFn(&S) -> Vec<Finding>) {
    let waiting = store.redemption(rdm(2)).await.unwrap().unwrap();
    let beyond = Redemption { tries_before: 3, ..waiting };
    let beyond = moved(store, &beyond, beyond.phase.clone()).await;
    let find = async || {
        let findings = examine(store).await;
        findings.into_iter().map(|finding| (finding.invariant, finding.ids)).collect::<Vec<_>>()
    };
    assert_eq!(find().await, [("I6", vec![rdm(2).to_string()])]);
    delivered(store, &beyond, Vec::new()).await;
    let found = find().await;
    assert!(found.contains(&("I2", vec![rdm(2).to_string()])), "{found:?}");
}
