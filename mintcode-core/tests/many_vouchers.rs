//! Many vouchers, 100,000 random steps over the real machines and storage in memory: after every step every voucher is
//! counted where it is, the books balance, and no rule's limit is exceeded.
//!
//! `MINTCODE_STEPS` and `MINTCODE_SEED` change how many and which.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, SkuId, SupplierName};
use mintcode_core::ledger::{self, Book, Entry, Kind};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::{
    Begin, BeginBy, Begun, Capabilities, Catalogue, Commit, Entropy, PlanChange, Put, Reports, Stop, Storage,
    StorageError, Vouchers, Wanted,
};
use mintcode_core::redemption::{
    Call, CallFailure, Consequences, Context, Effect, Event, Holder, HolderKey, Listing, NotBought, Outcome,
    Phase, Redemption, SupplierFacts, Timing, Wish, step,
};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{MemoryStorage, SeededEntropy, sample};
use mintcode_core::velocity::{Cap, Caps};
use mintcode_core::voucher::{VoucherEvent, VoucherHash, VoucherState};

const VOUCHERS: u32 = 120;
const CUSTOMERS: u64 = 12;
const STEPS_IN_A_WORLD: u64 = 5_000;
const MINUTE: Duration = Duration::from_secs(60);

/// What the supplier itself knows of an order.
struct Sold {
    order: Order,
    wanted: Wanted,
    sight: Sight,
}

struct World {
    storage: MemoryStorage,
    entropy: SeededEntropy,
    rules: Arc<Rules>,
    suppliers: BTreeMap<SupplierName, SupplierFacts>,
    timing: Timing,
    skus: Vec<SkuId>,
    vouchers: Vec<VoucherHash>,
    now: DateTime<Utc>,
    /// What every redemption that is not at rest waits for.
    live: BTreeMap<RedemptionId, Option<Effect>>,
    all: Vec<RedemptionId>,
    sold: BTreeMap<OrderId, Sold>,
    /// Purchases whose answer was lost, by redemption and attempt.
    lost: Vec<(RedemptionId, u32, OrderId)>,
    begun: BTreeMap<String, Vec<DateTime<Utc>>>,
    seen: BTreeMap<&'static str, u64>,
}

fn sku(id: &str) -> Sku {
    let mut sku = sample::sku(id);
    sku.plans.push(sample::plan("B", "england", "virtual66"));
    sku.plans.push(sample::plan("C", "india", "virtual1"));
    sku.policy.max_plans_per_redemption = 2;
    sku.policy.max_buys = Some(7);
    sku.policy.cooldown = Duration::from_secs(20);
    sku
}

impl World {
    async fn new(seed: u64) -> Self {
        let storage = MemoryStorage::default();
        let caps = Cap { per_hour: 25, per_day: 200 };
        let health = HealthRules { give_backs: 12, ..HealthRules::default() };
        let sku_cap = Cap { per_hour: 120, per_day: 1_500 };
        let rules =
            Rules { caps: Caps { session: caps, address: caps, sku: sku_cap }, health, ..Rules::default() };
        let (mut skus, mut vouchers) = (Vec::new(), Vec::new());
        for id in ["tg", "wa"] {
            let sku = sku(id);
            let (batch, rows) = sample::batch(&sku, VOUCHERS / 2);
            skus.push(sku.id.clone());
            vouchers.extend(rows.iter().map(|(hash, _)| *hash));
            storage.put_sku(sku, Put::Create).await.unwrap();
            storage.insert_batch(batch, rows.into()).await.unwrap();
        }
        let facts = SupplierFacts {
            capabilities: Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO },
            is_exclusive: true,
            currency: Currency::USD,
            rate: Rate::ONE,
            newest_known: None,
        };
        Self {
            storage,
            entropy: SeededEntropy::new(seed),
            rules: Arc::new(rules),
            suppliers: BTreeMap::from([(SupplierName::default(), facts)]),
            timing: Timing::default(),
            skus,
            vouchers,
            now: sample::now(),
            live: BTreeMap::new(),
            all: Vec::new(),
            sold: BTreeMap::new(),
            lost: Vec::new(),
            begun: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    fn dice(&self, sides: u64) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes) % sides
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        let index = self.dice(u64::try_from(from.len()).unwrap().max(1));
        from.get(usize::try_from(index).unwrap())
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// One random step; the redemption and the voucher it was about.
    async fn step(&mut self) -> (Option<RedemptionId>, Option<VoucherHash>) {
        let live: Vec<_> = self.live.keys().copied().collect();
        match self.dice(100) {
            0..20 => self.post().await,
            20..75 => match self.pick(&live).copied() {
                Some(id) => (self.drive(id).await, None),
                None => self.post().await,
            },
            75..84 => {
                let seconds = match self.dice(6) {
                    0 => 30 + self.dice(400),
                    _ => 1 + self.dice(20),
                };
                self.now += Duration::from_secs(seconds);
                (None, None)
            }
            84..89 => (self.wish().await, None),
            89..92 => (self.late_answer().await, None),
            _ => (None, self.operate().await),
        }
    }

    async fn post(&mut self) -> (Option<RedemptionId>, Option<VoucherHash>) {
        let hash = *self.pick(&self.vouchers).unwrap();
        let customer = u8::try_from(self.dice(CUSTOMERS)).unwrap();
        let id = RedemptionId::draw(&self.entropy);
        let begin = Begin {
            by: BeginBy::Code(vec![hash]),
            holder: Holder { session: Some(HolderKey::new(&[customer; 32])), idempotency: None },
            address: Some(HolderKey::new(&[customer / 2; 32])),
            rules: Arc::clone(&self.rules),
            id,
            owner: None,
            now: self.now,
        };
        let keys = begin.clone();
        match self.storage.begin(begin).await.unwrap() {
            Begun::New(redemption) => {
                for (key, _) in keys.counted_under(&redemption.sku) {
                    self.begun.entry(key).or_default().push(self.now);
                }
                self.live.insert(redemption.id, None);
                self.all.push(redemption.id);
                self.saw("begun");
                (Some(redemption.id), Some(hash))
            }
            Begun::Same(redemption) => (Some(redemption.id), Some(hash)),
            Begun::Refused(refusal) => {
                self.saw(match refusal {
                    mintcode_core::voucher::Refusal::Unavailable { .. } => "refused: all plans off",
                    mintcode_core::voucher::Refusal::TooMany { .. } => "refused: too many",
                    mintcode_core::voucher::Refusal::Exhausted => "refused: exhausted",
                    _ => "refused",
                });
                (None, Some(hash))
            }
        }
    }

    async fn drive(&mut self, id: RedemptionId) -> Option<RedemptionId> {
        let redemption = self.storage.redemption(id).await.unwrap().unwrap();
        let event = match self.live.get_mut(&id).and_then(Option::take) {
            // The worker died with its call under way.
            Some(_) if self.dice(25) == 0 => Event::Recovered,
            Some(effect) => self.answer(&redemption, &effect).await,
            None => Event::Tick,
        };
        self.take(redemption, event).await;
        Some(id)
    }

    async fn wish(&mut self) -> Option<RedemptionId> {
        let id = *self.pick(&self.all)?;
        let redemption = self.storage.redemption(id).await.unwrap()?;
        let wish = match self.dice(4) {
            0 => Wish::Cancel,
            1 => Wish::Replace { attempt: redemption.attempts() },
            _ => Wish::Release,
        };
        self.take(redemption, Event::Wish(wish)).await;
        Some(id)
    }

    async fn late_answer(&mut self) -> Option<RedemptionId> {
        let (id, attempt, order) = self.lost.pop()?;
        let redemption = self.storage.redemption(id).await.unwrap()?;
        let order = self.sold[&order].order.clone();
        self.saw("late answer");
        self.take(redemption, Event::Bought { attempt, order }).await;
        Some(id)
    }

    /// An operator's hand: on a voucher, or on a plan.
    async fn operate(&mut self) -> Option<VoucherHash> {
        if self.dice(3) == 0 {
            let sku = self.pick(&self.skus)?.clone();
            let plan = sample::plan_id(["A", "B", "C"][usize::try_from(self.dice(3)).unwrap()]);
            let change = PlanChange { enabled: Some(self.dice(5) > 0), ..PlanChange::default() };
            self.storage.change_plan(&sku, &plan, change).await.unwrap();
            return None;
        }
        let hash = *self.pick(&self.vouchers)?;
        let event = match self.dice(12) {
            0 => VoucherEvent::Void { reason: "lost".parse().unwrap() },
            1..4 => VoucherEvent::Extend { expires_at: self.now + MINUTE * 600 },
            4..10 => VoucherEvent::Reset,
            _ => {
                self.storage.expire_vouchers(self.now, 3).await.unwrap();
                return None;
            }
        };
        // Refused where the voucher stands; then nothing has changed, which the check sees.
        drop(self.storage.change_voucher(hash, event).await);
        Some(hash)
    }

    async fn take(&mut self, before: Redemption, event: Event) {
        let id = before.id;
        let (sku, outlook) = self.storage.outlook(&before.sku).await.unwrap().unwrap();
        let context = Context {
            plans: &sku.plans,
            outlook: &outlook,
            rules: &self.rules,
            suppliers: &self.suppliers,
            timing: &self.timing,
            jitter: u32::try_from(self.dice(1000)).unwrap(),
        };
        let Ok(decision) = step(&before, event, &context, self.now) else { return };
        let Some(next) = decision.next else {
            self.live.insert(id, decision.effect);
            return;
        };
        let means = Consequences::of(&before, &next, MINUTE);
        let is_probe = matches!(&next.phase, Phase::Ordering(intent) if intent.is_probe);
        let phase = if is_probe { "probing" } else { next.phase.name() };
        let at_rest = next.is_at_rest();
        let commit = Commit {
            next: *next,
            voucher: means.voucher.into_iter().collect(),
            consumed: Vec::new(),
            ledger: means.ledger,
            health: means.health,
            accounts: means.accounts,
            alerts: means.alerts,
            choice: decision.choice,
            rules: self.rules.health,
        };
        match self.storage.commit(commit).await {
            Ok(()) if at_rest => drop(self.live.remove(&id)),
            Ok(()) => drop(self.live.insert(id, decision.effect)),
            // Looked at again later, as the engine does.
            Err(StorageError::Claimed) => return self.saw("claimed by another"),
            Err(StorageError::VoucherMoved) => return self.saw("voucher moved"),
            Err(error) => {
                let trail = self.storage.trail(&[before.voucher]).await;
                panic!("{error}: {phase} {trail:#?} {before:#?}")
            }
        }
        self.saw(phase);
    }

    fn sell(&mut self, wanted: &Wanted) -> Order {
        let dear = self.dice(15) == 0;
        let price = if dear { 260_000 } else { 100_000 + i64::try_from(self.dice(50_000)).unwrap() };
        let order = Order {
            id: OrderId::new((1_000_000 + self.sold.len()).to_string()),
            phone: Phone::new("+12045550100"),
            price: Amount::from_micros(price),
            created_at: self.now,
            expires_at: self.now + 15 * MINUTE,
        };
        let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
        let sold = Sold { order: order.clone(), wanted: wanted.clone(), sight };
        self.sold.insert(order.id.clone(), sold);
        order
    }

    async fn answer(&mut self, redemption: &Redemption, effect: &Effect) -> Event {
        match effect {
            Effect::Buy => self.answer_purchase(redemption),
            Effect::Check(_, order) => self.answer_call(order, Call::Check, OrderStatus::Open),
            Effect::Finish(_, order) => self.answer_call(order, Call::Settle, OrderStatus::Finished),
            Effect::Cancel(_, order) => self.answer_call(order, Call::Settle, OrderStatus::Cancelled),
            Effect::Ban(_, order) => self.answer_call(order, Call::Settle, OrderStatus::Banned),
            Effect::ListOrders(supplier) => self.answer_list(redemption, supplier).await,
        }
    }

    fn answer_purchase(&mut self, redemption: &Redemption) -> Event {
        let Phase::Ordering(intent) = &redemption.phase else { return Event::Tick };
        let attempt = intent.number;
        let not = |why| Event::NotBought { attempt, why };
        match self.dice(20) {
            0..5 => not(NotBought::OutOfStock),
            5 => not(NotBought::NotSent),
            6 => not(NotBought::Throttled { retry_after_ms: Some(8_000) }),
            7 if self.dice(4) == 0 => not(NotBought::Stopped(Stop::Balance)),
            8 => Event::BuyUnclear { attempt },
            9 => {
                let order = self.sell(&intent.wanted);
                self.lost.push((redemption.id, attempt, order.id));
                Event::BuyUnclear { attempt }
            }
            _ => Event::Bought { attempt, order: self.sell(&intent.wanted) },
        }
    }

    fn answer_call(&mut self, order: &OrderId, call: Call, wished: OrderStatus) -> Event {
        let failure = match self.dice(24) {
            0 => Some(CallFailure::Unclear),
            1 => Some(CallFailure::NotFound),
            2 => Some(CallFailure::TooEarly),
            3 => Some(CallFailure::Throttled { retry_after: Some(Duration::from_secs(3)) }),
            _ => None,
        };
        let (luck, bank) = (self.dice(3), self.dice(12) == 0);
        let now = self.now;
        let Sold { order: at_supplier, sight, .. } = self.sold.get_mut(order).unwrap();
        if sight.status == OrderStatus::Open && luck == 0 && sight.messages.len() < 3 {
            let text = if bank { "Sberbank: payment 500 RUB, card *1234" } else { "Your code is 482915" };
            let text = text.to_owned();
            sight.messages.push(Message { received_at: now, sender: "S".to_owned(), text, code: None });
        }
        if now >= at_supplier.expires_at && sight.status == OrderStatus::Open {
            let end = if sight.messages.is_empty() { OrderStatus::TimedOut } else { OrderStatus::Finished };
            sight.status = end;
        }
        if let Some(failure) = failure {
            return Event::CallFailed { order: order.clone(), call, failure };
        }
        if call == Call::Settle {
            let fits = (wished == OrderStatus::Finished) != sight.messages.is_empty();
            if sight.status != OrderStatus::Open || !fits {
                return Event::CallFailed { order: order.clone(), call, failure: CallFailure::Conflict };
            }
            sight.status = wished;
        }
        Event::Seen { order: order.clone(), sight: sight.clone() }
    }

    async fn answer_list(&mut self, redemption: &Redemption, supplier: &SupplierName) -> Event {
        let Phase::Uncertain(search) = &redemption.phase else { return Event::Tick };
        if self.dice(6) == 0 {
            return Event::ListFailed(CallFailure::Unclear);
        }
        let orders: Vec<_> = self.sold.values().rev().take(300).map(listed).collect();
        let ids: Vec<_> = orders.iter().map(|listed| listed.order.id.clone()).collect();
        let claims = self.storage.claims(supplier, &search.intent.wanted, &ids, redemption.id).await.unwrap();
        Event::Listed(Listing {
            orders,
            is_whole: self.dice(8) > 0,
            claimed: claims.claimed,
            other_send_window: claims.other_send_window,
        })
    }

    async fn booked(&self, id: RedemptionId) -> Vec<Entry> {
        let booked = self.storage.booked(id).await.unwrap();
        booked.into_iter().map(|booked| booked.entry).collect()
    }

    /// What has to hold of everything that the step was about.
    async fn check(&self, redemption: Option<RedemptionId>, voucher: Option<VoucherHash>) {
        let mut hashes = BTreeSet::from_iter(voucher);
        if let Some(id) = redemption {
            let redemption = self.storage.redemption(id).await.unwrap().unwrap();
            let booked = self.booked(id).await;
            ledger::check([(&redemption, &booked[..])]).unwrap();
            self.check_costs(&booked);
            check_policy(&redemption);
            hashes.insert(redemption.voucher);
        }
        for hash in hashes {
            self.check_voucher(hash).await;
        }
    }

    /// The books say what the supplier's own books say.
    fn check_costs(&self, booked: &[Entry]) {
        for entry in booked.iter().filter(|entry| entry.book == Book::Cost) {
            let Some(order) = &entry.order else { continue };
            let sold = &self.sold[order];
            assert_eq!(entry.amount, sold.order.price, "{entry}");
            if entry.kind == Kind::Refund {
                let end = sold.sight.status;
                let is_refunded =
                    matches!(end, OrderStatus::Cancelled | OrderStatus::Banned | OrderStatus::TimedOut);
                assert!(is_refunded, "refunded: {entry}, but {end:?}");
            }
        }
    }

    async fn check_voucher(&self, hash: VoucherHash) {
        let trail = self.storage.trail(&[hash]).await.unwrap().unwrap();
        let voucher = trail.voucher;
        let summary = self.storage.batch(voucher.batch).await.unwrap().unwrap();
        assert_eq!(summary.counts.values().sum::<u64>(), u64::from(summary.batch.count));
        let delivered = trail.redemptions.iter().filter(|it| it.status.name() == "delivered").count();
        let live = trail.redemptions.iter().filter(|it| !it.status.is_final()).count();
        assert_eq!(usize::from(voucher.state == VoucherState::Fulfilled), delivered);
        let is_owned = matches!(voucher.state, VoucherState::Locked { .. } | VoucherState::Redeeming { .. });
        assert_eq!(usize::from(is_owned), live);
        assert!(voucher.tries <= 3, "{} tries", voucher.tries);
        assert!(voucher.buys <= 7, "{} purchases", voucher.buys);
        // Two delivered orders are never charged to one voucher.
        let used = trail.redemptions.iter().flat_map(|it| &it.attempts);
        assert!(used.filter(|attempt| attempt.outcome == Some(Outcome::Delivered)).count() <= 1);
    }

    /// Every voucher is in one state, and all of them are there.
    async fn check_counts(&self) {
        for summary in self.storage.batches(None, u32::MAX).await.unwrap() {
            let counted: u64 = summary.counts.values().sum();
            assert_eq!(counted, u64::from(summary.batch.count));
        }
    }

    /// No key began more than its cap in the window that its first redemption opened.
    fn check_velocity(&self) {
        for (key, times) in &self.begun {
            let cap = if key.starts_with("sku") { self.rules.caps.sku } else { self.rules.caps.session };
            for (window, cap) in [(60 * MINUTE, cap.per_hour), (24 * 60 * MINUTE, cap.per_day)] {
                let mut opened = None;
                let mut count = 0;
                for time in times {
                    if opened.is_none_or(|opened| *time >= opened + window) {
                        (opened, count) = (Some(*time), 0);
                    }
                    count += 1;
                    assert!(count <= cap, "{key}: {count} in one window");
                }
            }
        }
    }

    /// The sum of what was charged and not given back is what the supplier kept, as far as the books know its orders.
    async fn check_totals(&self) {
        let mut known = BTreeMap::new();
        for id in &self.all {
            for entry in self.booked(*id).await {
                let Some(order) = entry.order.clone().filter(|_| entry.book == Book::Cost) else { continue };
                let net: &mut i64 = known.entry(order).or_default();
                match entry.kind {
                    Kind::Charge => *net += entry.amount.micros(),
                    Kind::Refund => *net -= entry.amount.micros(),
                    Kind::Hold | Kind::Capture | Kind::Release | Kind::Loss | Kind::Recovery => {}
                }
            }
        }
        for (id, net) in known {
            let Sold { order, sight, .. } = &self.sold[&id];
            match sight.status {
                OrderStatus::Finished | OrderStatus::Open => {
                    assert_eq!(net, order.price.micros(), "order {id}");
                }
                // Given back; or vanished as far as we were told, and then its cost is on hold.
                OrderStatus::Cancelled | OrderStatus::Banned | OrderStatus::TimedOut => {
                    assert!(net == 0 || net == order.price.micros(), "order {id}");
                }
            }
        }
    }
}

fn listed(sold: &Sold) -> ListedOrder {
    ListedOrder {
        order: sold.order.clone(),
        product: sold.wanted.product.clone(),
        country: sold.wanted.country.clone(),
        operator: sold.wanted.operator.clone(),
        sight: sold.sight.clone(),
    }
}

fn check_policy(redemption: &Redemption) {
    let rows = redemption.attempt_rows();
    let plans: BTreeSet<_> = rows.iter().map(|row| &row.plan).collect();
    assert!(plans.len() <= 2, "{} plans", plans.len());
    for row in &rows {
        let shown = matches!(row.outcome, Some(Outcome::NoSms | Outcome::Replaced | Outcome::GivenUp));
        assert!(!shown || row.price.is_some_and(|price| price <= row.wanted.max_cost), "{row:?}");
        assert!(row.started_at <= redemption.deadline, "bought past the deadline");
    }
    let orders: Vec<_> = rows.iter().filter_map(|row| row.order.as_ref()).collect();
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), orders.len(), "one order in two attempts");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

#[tokio::test]
async fn every_step_of_many_vouchers_keeps_the_counts_the_books_and_the_limits() {
    let (first, steps) = (setting("MINTCODE_SEED", 1), setting("MINTCODE_STEPS", 100_000));
    let mut seen = BTreeMap::<_, u64>::new();
    // Several worlds rather than one: in each, few enough vouchers to be counted after every step.
    for seed in first..first + steps.div_ceil(STEPS_IN_A_WORLD) {
        let mut world = World::new(seed).await;
        for number in 1..=STEPS_IN_A_WORLD {
            let (redemption, voucher) = world.step().await;
            world.check(redemption, voucher).await;
            if number % 1_000 == 0 {
                world.check_counts().await;
                world.check_totals().await;
                world.check_velocity();
                // Vouchers are used up, so new ones take their place.
                world.restock().await;
            }
        }
        for (what, count) in world.seen {
            *seen.entry(what).or_default() += count;
        }
    }
    for what in [
        "begun",
        "delivered",
        "withheld",
        "failed",
        "cancelled",
        "uncertain",
        "releasing",
        "cooling_down",
        "late answer",
        "refused: all plans off",
        "refused: too many",
        "refused: exhausted",
        "probing",
        "voucher moved",
    ] {
        assert!(seen.contains_key(what), "{what} never came up: {seen:#?}");
    }
}

impl World {
    /// Replaces the used-up vouchers that customers post by fresh ones; those stay where they are, and counted.
    async fn restock(&mut self) {
        for id in &self.skus {
            let sku = self.storage.sku(id).await.unwrap().unwrap();
            let mut used = Vec::new();
            for (index, hash) in self.vouchers.iter().enumerate() {
                let voucher = self.storage.trail(&[*hash]).await.unwrap().unwrap().voucher;
                let is_over = matches!(voucher.state, VoucherState::Fulfilled | VoucherState::Cancelled);
                if is_over && voucher.sku == *id {
                    used.push(index);
                }
            }
            let (batch, rows) = sample::batch(&sku, u32::try_from(used.len()).unwrap());
            for (index, (hash, _)) in used.into_iter().zip(&rows) {
                self.vouchers[index] = *hash;
            }
            self.storage.insert_batch(batch, rows.into()).await.unwrap();
        }
    }
}
