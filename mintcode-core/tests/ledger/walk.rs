//! Random walks through the real machine, with a supplier that keeps books of its own: after every step both sides of
//! ours balance, and they tell what the supplier's tell.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ids::SupplierName;
use mintcode_core::ledger::{Account, Entry, check, due, implied};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::Capabilities;
use mintcode_core::redemption::{
    Call, CallFailure, Context, Effect, Event, Listing, NotBought, Phase, Redemption, SupplierFacts, Timing,
    Wish, step,
};
use mintcode_core::responsible::Screening;
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::sample;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::states::redemption;

/// What may happen next, before it is known which order or attempt it is about.
#[derive(Clone, Debug)]
enum Happening {
    Time(u16),
    Crash,
    Answer(u8, u8),
    LateAnswer(u8),
    Wish(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1_u16..90).prop_map(Happening::Time),
        1 => Just(Happening::Crash),
        9 => any::<(u8, u8)>().prop_map(|(answer, detail)| Happening::Answer(answer, detail)),
        1 => any::<u8>().prop_map(Happening::LateAnswer),
        1 => any::<u8>().prop_map(Happening::Wish),
    ]
}

/// An order as the supplier knows it.
#[derive(Clone)]
struct Sold {
    supplier: SupplierName,
    price: Amount,
    messages: Vec<Message>,
    status: OrderStatus,
    is_forgotten: bool,
}

struct Walk {
    sku: Sku,
    suppliers: BTreeMap<SupplierName, SupplierFacts>,
    rules: Rules,
    timing: Timing,
    now: DateTime<Utc>,
    redemption: Redemption,
    booked: Vec<Entry>,
    pending: Option<Effect>,
    sold: BTreeMap<OrderId, Sold>,
}

impl Walk {
    /// Plan A is paid in dollars and plan B in roubles, at two suppliers.
    fn new(is_exclusive: bool) -> Self {
        let second = SupplierName::new("second").unwrap();
        let mut sku = sample::sku("tg");
        let mut plan = sample::plan("B", "england", "virtual66");
        (plan.supplier, plan.priority) = (second.clone(), 20);
        (plan.expected_cost, plan.max_cost) = ("10".parse().unwrap(), "16".parse().unwrap());
        sku.plans.push(plan);
        let facts = |currency: &str, rate: Rate| SupplierFacts {
            capabilities: Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO },
            is_exclusive,
            currency: currency.parse().unwrap(),
            rate,
            newest_known: None,
        };
        let suppliers = BTreeMap::from([
            (SupplierName::default(), facts("USD", Rate::ONE)),
            (second, facts("RUB", "0.0125".parse().unwrap())),
        ]);
        let redemption = redemption(7);
        let booked = implied(&redemption);
        assert_eq!(booked, due(None, &redemption));
        Self {
            sku,
            suppliers,
            rules: Rules {
                screening: Screening::new(false, &["bank".to_owned()]).unwrap(),
                ..Rules::default()
            },
            timing: Timing::default(),
            now: sample::now(),
            redemption,
            booked,
            pending: None,
            sold: BTreeMap::new(),
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let attempt = self.redemption.attempts();
        match *happening {
            Happening::Time(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                if self.pending.is_none() {
                    self.take(Event::Tick);
                }
            }
            Happening::Crash => {
                self.pending = None;
                self.take(Event::Recovered);
            }
            Happening::Answer(answer, detail) => {
                let event = match self.pending.take() {
                    Some(effect) => self.answer(&effect, answer, detail),
                    None => Event::Tick,
                };
                self.take(event);
            }
            Happening::LateAnswer(choice) if attempt > 0 => {
                let attempt = 1 + u32::from(choice) % attempt;
                let order = self.sell(attempt, choice);
                self.take(Event::Bought { attempt, order });
            }
            Happening::LateAnswer(_) => {}
            Happening::Wish(choice) => {
                self.take(Event::Wish(match choice % 4 {
                    0 => Wish::Cancel,
                    1 => Wish::Replace { attempt },
                    _ => Wish::Release,
                }));
            }
        }
    }

    fn sell(&mut self, attempt: u32, choice: u8) -> Order {
        let intent = self.redemption.intent(attempt).unwrap();
        let id = OrderId::new((1_000 + self.sold.len()).to_string());
        // One in seven is dearer than its cap.
        let cap = intent.wanted.max_cost.micros();
        let price =
            Amount::from_micros(if choice.is_multiple_of(7) { cap + 1 } else { cap - i64::from(choice) });
        let sold = Sold {
            supplier: intent.supplier.clone(),
            price,
            messages: Vec::new(),
            status: OrderStatus::Open,
            is_forgotten: false,
        };
        self.sold.insert(id.clone(), sold);
        let (created_at, expires_at) = (self.now, self.now + Duration::from_mins(15));
        Order { id, phone: Phone::new("+12045550100"), price, created_at, expires_at }
    }

    fn answer(&mut self, effect: &Effect, answer: u8, detail: u8) -> Event {
        let attempt = self.redemption.attempts();
        match effect {
            Effect::Buy => match answer % 8 {
                0 | 1 => Event::NotBought { attempt, why: NotBought::OutOfStock },
                2 => Event::NotBought { attempt, why: NotBought::NotSent },
                3 => Event::BuyUnclear { attempt },
                _ => Event::Bought { attempt, order: self.sell(attempt, detail) },
            },
            Effect::Check(_, order) => self.look(order, Call::Check, None, answer, detail),
            Effect::Finish(_, order) => {
                self.look(order, Call::Settle, Some(OrderStatus::Finished), answer, detail)
            }
            Effect::Cancel(_, order) => {
                self.look(order, Call::Settle, Some(OrderStatus::Cancelled), answer, detail)
            }
            Effect::Ban(_, order) => {
                self.look(order, Call::Settle, Some(OrderStatus::Banned), answer, detail)
            }
            Effect::ListOrders(_) => self.list(answer, detail),
        }
    }

    fn list(&mut self, answer: u8, detail: u8) -> Event {
        let Phase::Uncertain(search) = &self.redemption.phase else { return Event::Tick };
        let (number, wanted, created_at) =
            (search.intent.number, search.intent.wanted.clone(), search.intent.intended_at);
        let mut orders = Vec::new();
        if answer.is_multiple_of(2) {
            let order = Order { created_at, ..self.sell(number, detail) };
            let sold = self.sold.get_mut(&order.id).unwrap();
            if answer.is_multiple_of(6) {
                sold.status = OrderStatus::TimedOut;
            }
            let sight = Sight { status: sold.status, messages: Vec::new() };
            let (product, country, operator) = (wanted.product, wanted.country, wanted.operator);
            orders.push(ListedOrder { order, product, country, operator, sight });
        }
        let is_whole = !answer.is_multiple_of(5);
        Event::Listed(Listing { orders, is_whole, claimed: BTreeSet::new(), other_send_window: None })
    }

    /// The supplier may fail, forget the order for ever, let it end, or take a message for it, also while it settles it.
    fn look(
        &mut self,
        id: &OrderId,
        call: Call,
        settled: Option<OrderStatus>,
        answer: u8,
        detail: u8,
    ) -> Event {
        let sold = self.sold.get_mut(id).unwrap();
        let failed = |failure| Event::CallFailed { order: id.clone(), call, failure };
        sold.is_forgotten |= answer.is_multiple_of(29);
        if sold.is_forgotten {
            return failed(CallFailure::NotFound);
        }
        if sold.status == OrderStatus::Open {
            if detail.is_multiple_of(5) {
                let text = if detail.is_multiple_of(2) { "bank code 12345" } else { "code 12345" };
                let (received_at, sender) = (self.now, String::new());
                sold.messages.push(Message { received_at, sender, text: text.to_owned(), code: None });
            }
            sold.status = match answer % 10 {
                0 => OrderStatus::TimedOut,
                // What the call asks for happens even where its answer is lost below, and even against the rules.
                1..=7 => settled.unwrap_or(OrderStatus::Open),
                8 if sold.messages.len() > 1 => OrderStatus::Finished,
                _ => OrderStatus::Open,
            };
        }
        match detail % 9 {
            0 => failed(CallFailure::Unclear),
            1 => failed(CallFailure::Conflict),
            2 => failed(CallFailure::TooEarly),
            _ => {
                let sight = Sight { status: sold.status, messages: sold.messages.clone() };
                Event::Seen { order: id.clone(), sight }
            }
        }
    }

    fn take(&mut self, event: Event) {
        let outlook = Outlook::default();
        let context = Context {
            plans: &self.sku.plans,
            outlook: &outlook,
            rules: &self.rules,
            suppliers: &self.suppliers,
            timing: &self.timing,
            jitter: 500,
        };
        let Ok(decision) = step(&self.redemption, event, &context, self.now) else { return };
        if let Some(next) = decision.next {
            self.booked.extend(due(Some(&self.redemption), &next));
            self.redemption = *next;
            self.check();
        }
        if decision.effect.is_some() {
            self.pending = decision.effect;
        }
    }

    fn check(&self) {
        let balance = check([(&self.redemption, &*self.booked)]).unwrap();
        for (supplier, facts) in &self.suppliers {
            let known = self
                .sold
                .iter()
                .filter(|(id, sold)| sold.supplier == *supplier && self.redemption.knows_order(id));
            let charged = Amount::checked_sum(known.map(|(_, sold)| sold.price)).unwrap();
            let account = balance.accounts.get(&(supplier.clone(), facts.currency));
            assert_eq!(account.copied().unwrap_or_default().charged, charged);
        }
        let paid: HashSet<_> = self.booked.iter().map(|entry| entry.currency).collect();
        assert!(paid.is_subset(&["USD", "RUB"].map(|code| code.parse::<Currency>().unwrap()).into()));
    }

    /// Once everything is settled, what was refunded is what the supplier gave back, and nothing is open.
    fn check_settled(&self) {
        let balance = check([(&self.redemption, &*self.booked)]).unwrap();
        for (supplier, facts) in &self.suppliers {
            let account = balance.accounts.get(&(supplier.clone(), facts.currency)).copied();
            let account: Account = account.unwrap_or_default();
            assert_eq!(account.open, Amount::ZERO);
            let gave_back = self.sold.iter().filter(|(id, sold)| {
                let is_given_back = !matches!(sold.status, OrderStatus::Open | OrderStatus::Finished);
                let is_known = self.redemption.knows_order(id) && sold.supplier == *supplier;
                // Nobody hears of what became of an order that the supplier forgot.
                is_known && is_given_back && !sold.is_forgotten
            });
            assert_eq!(account.refunded, Amount::checked_sum(gave_back.map(|(_, sold)| sold.price)).unwrap());
        }
    }
}

/// Walks, and then lets everything come to rest: the supplier sells nothing more, and tells what it knows.
fn walk(is_exclusive: bool, happenings: &[Happening]) -> Walk {
    let mut walk = Walk::new(is_exclusive);
    walk.take(Event::Tick);
    for happening in happenings {
        walk.happen(happening);
    }
    for _ in 0..2_000 {
        if walk.redemption.is_at_rest() {
            break;
        }
        match walk.pending.take() {
            Some(Effect::Buy) => {
                let attempt = walk.redemption.attempts();
                walk.take(Event::NotBought { attempt, why: NotBought::OutOfStock });
            }
            Some(Effect::ListOrders(_)) => {
                let event = walk.list(1, 0);
                walk.take(event);
            }
            Some(effect) => {
                let event = walk.answer(&effect, 1, 3);
                walk.take(event);
            }
            None => walk.happen(&Happening::Time(1)),
        }
    }
    walk
}

#[test]
fn after_every_step_the_books_balance() {
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let seen = RefCell::new(BTreeMap::<_, u32>::new());
    let walks = (any::<bool>(), proptest::collection::vec(happening(), 1..60));
    let result = runner.run(&walks, |(is_exclusive, happenings)| {
        let walk = walk(is_exclusive, &happenings);
        prop_assert!(walk.redemption.is_at_rest(), "still {:?}", walk.redemption.phase);
        walk.check_settled();
        for entry in walk.booked {
            *seen
                .borrow_mut()
                .entry((entry.book.name(), entry.kind.name(), entry.order.is_some()))
                .or_default() += 1;
        }
        Ok(())
    });
    result.unwrap();
    // A walk that never met what it is about would prove nothing.
    let expected = [
        ("cost", "charge", true),
        ("cost", "hold", false),
        ("cost", "hold", true),
        ("cost", "loss", true),
        ("cost", "recovery", true),
        ("cost", "refund", true),
        ("cost", "release", false),
        ("sale", "capture", false),
        // What was withheld and then released was sold anew, for its order.
        ("sale", "capture", true),
        ("sale", "hold", false),
        ("sale", "hold", true),
        ("sale", "release", false),
    ];
    assert!(seen.borrow().keys().eq(&expected), "{seen:?}");
}
