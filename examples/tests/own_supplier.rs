//! A supplier of one's own: a rack of SIM cards, each of which is lent to one customer at a time.
//!
//! A supplier implements [`Supplier`] and keeps three promises: it buys at most once for a permit, it says "no" only where
//! it is certain that nothing was bought, and it never uses an order's id twice. When to ask, what to try again and what to
//! give back is the engine's business.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mintcode_core::engine::{Engine, MintRequest, Proof, Redeemer, Running};
use mintcode_core::ids::SupplierName;
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::{
    BuyError, BuyPermit, CallError, Capabilities, Catalogue, Clock, Profile, Put, Supplier, Wanted,
};
use mintcode_core::redemption::{FailureKind, Phase, Redemption, Status};
use mintcode_core::testing::{MemoryStorage, SeededEntropy, TokioClock, sample};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};

/// A card in the rack, and what it can be bought as.
struct Card {
    phone: &'static str,
    country: &'static str,
    operator: &'static str,
}

const CARDS: [Card; 2] = [
    Card { phone: "+16045550100", country: "canada", operator: "virtual4" },
    Card { phone: "+447700900100", country: "england", operator: "virtual66" },
];
/// What lending a card costs.
const PRICE: Amount = Amount::from_micros(100_000);
/// How long a card is lent at most.
const LENT_FOR: Duration = Duration::from_mins(15);
/// Orders told at once.
const PAGE: usize = 50;

/// The rack. Clones share it.
#[derive(Clone)]
struct Rack {
    clock: Arc<dyn Clock>,
    /// Oldest first; an order is never forgotten, so its place makes a good id.
    orders: Arc<Mutex<Vec<ListedOrder>>>,
}

impl Rack {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, orders: Arc::default() }
    }

    /// The modem has received an SMS for `phone`: it belongs to whoever has the card now.
    fn receive(&self, phone: &str, text: &str) {
        let received_at = self.clock.now();
        let mut orders = self.orders.lock().unwrap();
        let lent = orders.iter_mut().find(|lent| lent.order.phone.reveal() == phone && lent.is_open());
        if let Some(lent) = lent {
            let (sender, text) = ("a modem".to_owned(), text.to_owned());
            // Without a code of the supplier's, the engine looks for one in the text.
            lent.sight.messages.push(Message { received_at, sender, text, code: None });
        }
    }

    /// Lends a card that is free, if there is one for the plan.
    fn lend(&self, wanted: &Wanted) -> Option<Order> {
        let mut orders = self.orders.lock().unwrap();
        let is_lent =
            |card: &Card| orders.iter().any(|lent| lent.is_open() && lent.order.phone.reveal() == card.phone);
        let fits = |card: &&Card| card.country == wanted.country && card.operator == wanted.operator;
        let card = CARDS.iter().filter(fits).find(|card| !is_lent(card))?;
        let created_at = self.clock.now();
        let order = Order {
            id: OrderId::new((orders.len() + 1).to_string()),
            phone: Phone::new(card.phone),
            price: PRICE,
            created_at,
            expires_at: created_at + LENT_FOR,
        };
        let Wanted { product, country, operator, max_cost: _ } = wanted.clone();
        let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
        orders.push(ListedOrder { order: order.clone(), product, country, operator, sight });
        Some(order)
    }

    /// What `change` makes of an order that is open, and else the order as it is.
    fn sight(
        &self,
        id: &OrderId,
        change: impl FnOnce(&Sight) -> Result<OrderStatus, CallError>,
    ) -> Result<Sight, CallError> {
        let now = self.clock.now();
        let mut orders = self.orders.lock().unwrap();
        let lent = orders.iter_mut().find(|lent| lent.order.id == *id).ok_or(CallError::NotFound)?;
        if lent.is_open() && lent.sight.messages.is_empty() && now >= lent.order.expires_at {
            lent.sight.status = OrderStatus::TimedOut;
        }
        lent.sight.status = change(&lent.sight)?;
        Ok(lent.sight.clone())
    }
}

trait IsOpen {
    fn is_open(&self) -> bool;
}

impl IsOpen for ListedOrder {
    fn is_open(&self) -> bool {
        !self.sight.status.is_closed()
    }
}

#[async_trait]
impl Supplier for Rack {
    fn capabilities(&self) -> Capabilities {
        // A list lets the engine find a purchase whose answer was lost.
        Capabilities { lists_orders: true, bans: false, minimum_cancel_age: Duration::ZERO }
    }

    fn currency(&self) -> Currency {
        Currency::USD
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        // The cards are ours: there is no balance that could run out.
        let balance = Amount::from_micros(1_000_000_000);
        Ok(Profile { id: "the rack".to_owned(), balance, currency: Currency::USD, rating_milli: None })
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        // The last moment before the purchase: one that comes later must not happen at all.
        if !permit.window().is_open() {
            return Err(BuyError::NotSent(None));
        }
        self.lend(permit.wanted()).ok_or(BuyError::OutOfStock)
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.sight(order, |sight| Ok(sight.status))
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.sight(order, |sight| match (sight.status, sight.messages.is_empty()) {
            (OrderStatus::Open, false) => Ok(OrderStatus::Finished),
            _ => Err(CallError::Conflict),
        })
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.sight(order, |sight| match (sight.status, sight.messages.is_empty()) {
            (OrderStatus::Open, true) => Ok(OrderStatus::Cancelled),
            // With a message, too: the engine looks again, and delivers it instead.
            _ => Err(CallError::Conflict),
        })
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.cancel(order).await
    }

    async fn listed_price(&self, _: &Wanted) -> Result<Option<Amount>, CallError> {
        Ok(Some(PRICE))
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Ok(self.orders.lock().unwrap().iter().rev().skip(skip).take(PAGE).cloned().collect())
    }
}

/// An engine over the rack, and codes of vouchers to redeem.
struct Shop {
    rack: Rack,
    redeemer: Redeemer,
    codes: Vec<String>,
    _running: Running,
}

impl Shop {
    async fn open() -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::default());
        let rack = Rack::new(Arc::clone(&clock));
        let mut sku = sample::sku("tg");
        sku.policy.further_sms = Duration::ZERO;
        storage.put_sku(sku.clone(), Put::Create).await.unwrap();
        let secret = VoucherSecret::new("only for this test, 32 bytes and more").unwrap();
        let entropy = Arc::new(SeededEntropy::new(1));
        let engine = Engine::builder(storage, clock, entropy, VoucherKeys::new(&secret, &[]))
            .supplier(SupplierName::default(), Arc::new(rack.clone()), true, 50)
            .build()
            .unwrap();
        let request = MintRequest {
            sku: &sku.id,
            count: 2,
            expires_in: None,
            note: None,
            minted_by: "test".to_owned(),
            idempotency: None,
        };
        let minted = engine.issuer().mint(request).await.unwrap();
        let codes = minted.codes.map(|code| code.reveal()).collect();
        Self { rack, redeemer: engine.redeemer(), codes, _running: engine.start() }
    }

    /// Redeems the voucher with that code until `done`.
    async fn redeem(&self, code: &str, done: impl Fn(&Redemption) -> bool) -> Redemption {
        let id = self.redeemer.redeem(code, Proof::default()).await.unwrap().redemption.id;
        self.until(id, done).await
    }

    async fn until(
        &self,
        id: mintcode_core::ids::RedemptionId,
        done: impl Fn(&Redemption) -> bool,
    ) -> Redemption {
        let mut changes = self.redeemer.subscribe(id);
        loop {
            let now = self.redeemer.redemption(id).await.unwrap().unwrap();
            if done(&now) {
                return now;
            }
            changes.changed().await.unwrap();
        }
    }

    fn ends(&self) -> Vec<OrderStatus> {
        self.rack.orders.lock().unwrap().iter().map(|lent| lent.sight.status).collect()
    }
}

fn is_waiting(redemption: &Redemption) -> bool {
    redemption.status() == Status::WaitingSms
}

#[tokio::test(start_paused = true)]
async fn a_card_is_lent_until_its_message_came_and_then_to_the_next_customer() {
    let shop = Shop::open().await;
    for (code, sent) in shop.codes.iter().zip(["482915", "73301"]) {
        let waiting = shop.redeem(code, is_waiting).await;
        shop.rack.receive("+16045550100", &format!("Your code is {sent}"));
        let redemption = shop.until(waiting.id, Redemption::is_at_rest).await;
        let Phase::Delivered(delivery) = &redemption.phase else { panic!("{:?}", redemption.phase) };
        assert_eq!(delivery.code().as_deref(), Some(sent));
    }
    assert_eq!(shop.ends(), [OrderStatus::Finished; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_card_is_never_lent_twice_at_a_time_and_comes_back_without_a_message() {
    let shop = Shop::open().await;
    let first = shop.redeem(&shop.codes[0], is_waiting).await;
    let second = shop.redeem(&shop.codes[1], Redemption::is_at_rest).await;
    let Phase::Failed(failure) = &second.phase else { panic!("{:?}", second.phase) };
    assert_eq!(failure.kind, FailureKind::OutOfStock);
    // The first one gives up at its deadline.
    let first = shop.until(first.id, Redemption::is_at_rest).await;
    assert_eq!((first.status(), shop.ends()), (Status::Failed, vec![OrderStatus::Cancelled]));
}
