//! A supplier that misbehaves: what it says and does not say costs nobody a voucher, a number or the rest of the day.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mintcode_core::engine::{Engine, MintRequest, Proof, Redeemer, Running};
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Sight};
use mintcode_core::ports::{
    BuyError, BuyPermit, CallError, Capabilities, Catalogue, Profile, Put, Stop, Storage, Supplier, Wanted,
};
use mintcode_core::redemption::{FailureKind, Outcome, Phase, Redemption, Status};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{FakeSupplier, Line, MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};

/// The fake supplier, with trouble on demand in front of it.
struct Troubled {
    inner: FakeSupplier,
    trouble: Arc<Trouble>,
}

#[derive(Default)]
struct Trouble {
    /// So many checks find no order.
    lost_checks: AtomicU64,
    /// So many cancels get no answer and do nothing.
    lost_cancels: AtomicU64,
    /// Every purchase never leaves.
    unreachable: AtomicU64,
    /// One purchase is made and never answered.
    silent_purchases: AtomicU64,
    /// Every finish gets no answer.
    lost_finishes: AtomicU64,
    check_takes: Mutex<Duration>,
    throttle_purchases: Mutex<Option<Duration>>,
    throttle_one_check: Mutex<Option<Duration>>,
    clock_behind: Mutex<Duration>,
    purchases: AtomicU64,
}

fn strikes(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Supplier for Troubled {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn currency(&self) -> Currency {
        self.inner.currency()
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        self.inner.profile().await
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        self.trouble.purchases.fetch_add(1, Ordering::SeqCst);
        if let Some(pause) = *self.trouble.throttle_purchases.lock().unwrap() {
            return Err(BuyError::Throttled { retry_after: Some(pause) });
        }
        if strikes(&self.trouble.unreachable) {
            return Err(BuyError::NotSent(None));
        }
        let answer = self.inner.buy(permit).await;
        if strikes(&self.trouble.silent_purchases) {
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        if let Some(pause) = self.trouble.throttle_one_check.lock().unwrap().take() {
            return Err(CallError::Throttled { retry_after: Some(pause) });
        }
        if strikes(&self.trouble.lost_checks) {
            return Err(CallError::NotFound);
        }
        let answer = self.inner.check(order).await;
        let takes = *self.trouble.check_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        answer
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        if strikes(&self.trouble.lost_finishes) {
            return Err(CallError::Unclear("no answer".into()));
        }
        self.inner.finish(order).await
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        if strikes(&self.trouble.lost_cancels) {
            return Err(CallError::Unclear("no answer".into()));
        }
        self.inner.cancel(order).await
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.inner.ban(order).await
    }

    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        self.inner.listed_price(wanted).await
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        let behind = *self.trouble.clock_behind.lock().unwrap();
        let mut orders = self.inner.recent_orders(skip).await?;
        for listed in &mut orders {
            listed.order.created_at -= behind;
        }
        Ok(orders)
    }
}

struct Shop {
    storage: Arc<MemoryStorage>,
    supplier: FakeSupplier,
    trouble: Arc<Trouble>,
    clock: TokioClock,
    redeemer: Redeemer,
    running: Running,
    codes: Vec<String>,
}

impl Shop {
    async fn open(sku: Sku, vouchers: u32) -> Self {
        let (storage, clock) = (Arc::new(MemoryStorage::default()), TokioClock::default());
        let supplier = FakeSupplier::new(Arc::new(clock));
        supplier.stock("canada", "virtual4", Line::default());
        let trouble = Arc::new(Trouble::default());
        let id = sku.id.clone();
        storage.put_sku(sku, Put::Create).await.unwrap();
        let engine = engine(&storage, &supplier, &trouble, clock, 1);
        let request = MintRequest {
            sku: &id,
            count: vouchers,
            expires_in: None,
            note: None,
            minted_by: "test".to_owned(),
            idempotency: None,
        };
        let codes = engine.issuer().mint(request).await.unwrap().codes.map(|code| code.reveal()).collect();
        let redeemer = engine.redeemer();
        Self { running: engine.start(), storage, supplier, trouble, clock, redeemer, codes }
    }

    async fn redeem(&self, voucher: usize) -> RedemptionId {
        let customer = format!("customer {voucher}");
        let proof = Proof { session: Some(&customer), idempotency: None, ..Proof::default() };
        self.redeemer.redeem(&self.codes[voucher], proof).await.unwrap().redemption.id
    }

    async fn now(&self, id: RedemptionId) -> Redemption {
        self.storage.redemption(id).await.unwrap().unwrap()
    }

    async fn until(&self, id: RedemptionId, holds: impl Fn(&Redemption) -> bool) -> Redemption {
        for _ in 0..360_000 {
            let redemption = self.now(id).await;
            if holds(&redemption) {
                return redemption;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to that: {:?}", self.now(id).await.phase)
    }

    async fn at_rest(&self, id: RedemptionId) -> Redemption {
        self.until(id, Redemption::is_at_rest).await
    }
}

fn engine(
    storage: &Arc<MemoryStorage>,
    supplier: &FakeSupplier,
    trouble: &Arc<Trouble>,
    clock: TokioClock,
    seed: u64,
) -> Engine {
    let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
    let supplier = Arc::new(Troubled { inner: supplier.clone(), trouble: Arc::clone(trouble) });
    let keys = VoucherKeys::new(&secret, &[]);
    Engine::builder(Arc::clone(storage), Arc::new(clock), Arc::new(SeededEntropy::new(seed)), keys)
        // No source is switched off by itself: these tests are about what the supplier does.
        .rules(Rules {
            health: HealthRules { min_tries: u32::MAX, ..HealthRules::default() },
            ..Rules::default()
        })
        .supplier(SupplierName::default(), supplier, true, 50)
        .build()
        .unwrap()
}

fn one_plan() -> Sku {
    let mut sku = sample::sku("tg");
    sku.policy.further_sms = Duration::ZERO;
    sku
}

fn silent() -> Line {
    Line { sms_after: None, ..Line::default() }
}

fn arrives_after(seconds: u64) -> Line {
    Line { sms_after: Some(Duration::from_secs(seconds)), ..Line::default() }
}

fn lasted(redemption: &Redemption) -> i64 {
    (redemption.updated_at - redemption.created_at).num_seconds()
}

#[tokio::test(start_paused = true)]
async fn clear_refusals_use_up_no_purchase_of_the_voucher() {
    let shop = Shop::open(one_plan(), 3).await;
    shop.supplier.stop_sales(Some(Stop::Key));
    for _ in 0..20 {
        shop.at_rest(shop.redeem(0).await).await;
    }
    shop.supplier.stop_sales(None);
    shop.supplier.stock("canada", "virtual4", Line { stock: 0, ..Line::default() });
    for _ in 0..20 {
        shop.at_rest(shop.redeem(1).await).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    shop.trouble.unreachable.store(u64::MAX, Ordering::SeqCst);
    for _ in 0..5 {
        let failed = shop.at_rest(shop.redeem(2).await).await;
        let Phase::Failed(failure) = failed.phase else { panic!("{:?}", failed.phase) };
        assert_eq!(failure.kind, FailureKind::TemporarilyUnavailable);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    shop.trouble.unreachable.store(0, Ordering::SeqCst);
    shop.supplier.stock("canada", "virtual4", Line::default());
    for voucher in 0..3 {
        let redemption = shop.at_rest(shop.redeem(voucher).await).await;
        assert_eq!(redemption.status(), Status::Delivered, "{:?}", redemption.phase);
    }
}

#[tokio::test(start_paused = true)]
async fn one_look_that_finds_no_order_gives_no_number_back() {
    let shop = Shop::open(one_plan(), 1).await;
    shop.supplier.stock("canada", "virtual4", arrives_after(20));
    let id = shop.redeem(0).await;
    shop.until(id, |now| now.status() == Status::WaitingSms).await;
    shop.trouble.lost_checks.store(1, Ordering::SeqCst);
    assert_eq!(shop.at_rest(id).await.status(), Status::Delivered);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_two_looks_in_a_row_do_not_find_is_gone() {
    let shop = Shop::open(one_plan(), 1).await;
    shop.supplier.stock("canada", "virtual4", silent());
    let id = shop.redeem(0).await;
    shop.until(id, |now| now.status() == Status::WaitingSms).await;
    shop.trouble.lost_checks.store(u64::MAX, Ordering::SeqCst);
    let gone = shop.at_rest(id).await;
    assert_eq!((gone.closed[0].outcome, gone.closed[0].order_end), (Outcome::NoSms, None));
    assert!(lasted(&gone) < 30);
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_holds_back_no_deadline_and_no_wish() {
    let shop = Shop::open(one_plan(), 3).await;
    shop.supplier.stock("canada", "virtual4", silent());
    let (waiting, giving_up) = (shop.redeem(0).await, shop.redeem(1).await);
    for id in [waiting, giving_up] {
        shop.until(id, |now| now.status() == Status::WaitingSms).await;
    }
    *shop.trouble.throttle_one_check.lock().unwrap() = Some(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let releasing = shop.redeemer.cancel(giving_up).await.unwrap();
    assert_eq!(releasing.status(), Status::Releasing);
    // A customer who comes now is told at once, since nothing can be bought before the deadline.
    let late = shop.redeem(2).await;
    let told = shop.until(late, Redemption::is_final).await;
    assert_eq!((lasted(&told), told.closed[0].outcome), (0, Outcome::Throttled));

    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(shop.now(waiting).await.status(), Status::Releasing);
    // Once the hold is over, both numbers go back.
    for id in [waiting, giving_up] {
        shop.at_rest(id).await;
    }
    assert_eq!((shop.supplier.orders().len(), shop.supplier.charged()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rush_of_customers_costs_no_purchase_its_window() {
    let shop = Shop::open(one_plan(), 800).await;
    shop.supplier.stock("canada", "virtual4", arrives_after(20));
    let mut ids = Vec::new();
    for voucher in 0..800 {
        ids.push(shop.redeem(voucher).await);
    }
    let mut outcomes = BTreeMap::<_, usize>::new();
    for id in ids {
        let redemption = shop.at_rest(id).await;
        *outcomes.entry((redemption.status().name(), redemption.attempts())).or_default() += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(("delivered", 1), 800)]));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_waits_does_not_keep_the_next_customer_from_buying() {
    let mut sku = one_plan();
    sku.policy.max_duration = Duration::from_mins(20);
    let shop = Shop::open(sku, 1_001).await;
    shop.supplier.stock("canada", "virtual4", silent());
    for voucher in 0..1_000 {
        shop.redeem(voucher).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    shop.supplier.stock("canada", "virtual4", silent());
    let next = shop.redeem(1_000).await;
    let waiting = shop.until(next, |now| now.status() == Status::WaitingSms).await;
    assert!(lasted(&waiting) <= 10, "the number came after {} s", lasted(&waiting));
    assert_eq!(waiting.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_supplier_that_asks_to_come_back_at_once_is_not_asked_in_a_circle() {
    let shop = Shop::open(one_plan(), 1).await;
    *shop.trouble.throttle_purchases.lock().unwrap() = Some(Duration::ZERO);
    let failed = shop.at_rest(shop.redeem(0).await).await;
    let sent = shop.trouble.purchases.load(Ordering::SeqCst);
    // The fifth refusal would be a ban.
    assert_eq!(sent, 4, "{sent} purchases in {} s", lasted(&failed));
}

#[tokio::test(start_paused = true)]
async fn looks_that_take_long_put_off_no_give_back() {
    let shop = Shop::open(one_plan(), 1).await;
    shop.supplier.stock("canada", "virtual4", silent());
    let id = shop.redeem(0).await;
    shop.until(id, |now| now.status() == Status::WaitingSms).await;
    *shop.trouble.check_takes.lock().unwrap() = Duration::from_secs(8);
    shop.trouble.lost_cancels.store(5, Ordering::SeqCst);
    let wished = shop.redeemer.cancel(id).await.unwrap();
    let ended = shop.at_rest(id).await;
    let took = (ended.updated_at - wished.created_at).num_seconds();
    assert!(took <= 90, "given back after {took} s");
    assert_eq!(shop.supplier.orders()[0].status, OrderStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_purchase_lost_in_a_crash_is_looked_for_however_late_the_restart_is() {
    let shop = Shop::open(one_plan(), 1).await;
    shop.supplier.stock("canada", "virtual4", silent());
    shop.trouble.silent_purchases.store(1, Ordering::SeqCst);
    let id = shop.redeem(0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.running.kill();
    tokio::time::sleep(Duration::from_secs(400)).await;
    let engine = engine(&shop.storage, &shop.supplier, &shop.trouble, shop.clock, 2);
    let shop = Shop { redeemer: engine.redeemer(), running: engine.start(), ..shop };
    let ended = shop.at_rest(id).await;
    assert_eq!((shop.supplier.orders().len(), shop.supplier.open()), (1, 0));
    assert_eq!((ended.status(), ended.tries_left()), (Status::Failed, 3));
}

#[tokio::test(start_paused = true)]
async fn a_supplier_whose_clock_is_off_is_not_bought_from_twice() {
    let shop = Shop::open(one_plan(), 1).await;
    *shop.trouble.clock_behind.lock().unwrap() = Duration::from_secs(30);
    shop.trouble.silent_purchases.store(1, Ordering::SeqCst);
    shop.supplier.stock("canada", "virtual4", silent());
    shop.at_rest(shop.redeem(0).await).await;
    assert_eq!(shop.supplier.orders().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_could_not_be_waited_for_is_not_bought() {
    let shop = Shop::open(one_plan(), 1).await;
    *shop.trouble.throttle_purchases.lock().unwrap() = Some(Duration::from_secs(298));
    let id = shop.redeem(0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    *shop.trouble.throttle_purchases.lock().unwrap() = None;
    let ended = shop.at_rest(id).await;
    assert_eq!((ended.tries_left(), shop.supplier.orders().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_never_succeeds_is_asked_ever_more_rarely() {
    let shop = Shop::open(one_plan(), 1).await;
    shop.trouble.lost_finishes.store(u64::MAX, Ordering::SeqCst);
    let id = shop.redeem(0).await;
    shop.until(id, Redemption::is_final).await;
    tokio::time::sleep(Duration::from_mins(12)).await;
    let version = shop.now(id).await.version;
    assert!(version < 60, "version {version} after twelve minutes");
}
