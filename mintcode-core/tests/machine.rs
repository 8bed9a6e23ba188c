//! Random walks through the machine: whatever happens in whatever order, what must never happen does not.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::{Capabilities, Stop};
use mintcode_core::redemption::{
    Call, CallFailure, Context, Effect, Event, Holder, Listing, NotBought, Phase, Redemption, SupplierFacts,
    Timing, Wish, step, voucher_event,
};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::{Admission, Request, Surroundings, Voucher, VoucherState, admit};
use proptest::prelude::*;

/// What may happen next, before it is known which order or attempt it is about.
#[derive(Clone, Debug)]
enum Happening {
    Time(u16),
    Crash,
    Answer(u8),
    LateAnswer(u8),
    Replace,
    Cancel,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1_u16..120).prop_map(Happening::Time),
        1 => Just(Happening::Crash),
        8 => any::<u8>().prop_map(Happening::Answer),
        1 => any::<u8>().prop_map(Happening::LateAnswer),
        1 => Just(Happening::Replace),
        1 => Just(Happening::Cancel),
    ]
}

struct Walk {
    sku: Sku,
    suppliers: BTreeMap<SupplierName, SupplierFacts>,
    timing: Timing,
    outlook: Outlook,
    rules: Rules,
    now: DateTime<Utc>,
    redemption: Redemption,
    voucher: Voucher,
    pending: Option<Effect>,
    next_order: u64,
    buys: u32,
}

impl Walk {
    fn new(is_exclusive: bool) -> Self {
        let mut sku = sample::sku("tg");
        sku.plans.push(sample::plan("B", "england", "virtual66"));
        sku.policy.max_buys = Some(5);
        let voucher = sample::voucher(&sku);
        let id = RedemptionId::draw(&SeededEntropy::new(7));
        let request = Request { holder: Holder::default(), id, again: None };
        let now = sample::now();
        let (outlook, rules) = (Outlook::default(), Rules::default());
        let around = Surroundings { outlook: &outlook, rules: &rules, begun: &[] };
        let begun = admit(voucher, &sku, None, request, &around, now);
        let Admission::Begin { voucher, redemption, .. } = begun else { panic!("a fresh voucher begins") };
        let capabilities =
            Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO };
        let facts = SupplierFacts {
            capabilities,
            is_exclusive,
            currency: Currency::USD,
            rate: Rate::ONE,
            newest_known: None,
        };
        Self {
            sku,
            suppliers: BTreeMap::from([(SupplierName::default(), facts)]),
            timing: Timing::default(),
            outlook,
            rules,
            now,
            redemption: *redemption,
            voucher: *voucher,
            pending: None,
            next_order: 1_000,
            buys: 0,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let attempt = self.redemption.attempts();
        match happening {
            Happening::Time(seconds) => {
                self.now += Duration::from_secs(u64::from(*seconds));
                if self.pending.is_none() {
                    self.take(Event::Tick);
                }
            }
            Happening::Crash => {
                self.pending = None;
                self.take(Event::Recovered);
            }
            Happening::Answer(choice) => match self.pending.take() {
                Some(effect) => {
                    let event = self.answer(&effect, *choice);
                    self.take(event);
                }
                None => self.take(Event::Tick),
            },
            Happening::LateAnswer(choice) if attempt > 0 => {
                let attempt = 1 + u32::from(*choice) % attempt;
                let order = self.order(*choice);
                self.take(Event::Bought { attempt, order });
            }
            Happening::LateAnswer(_) => {}
            Happening::Replace => self.take(Event::Wish(Wish::Replace { attempt })),
            Happening::Cancel => self.take(Event::Wish(Wish::Cancel)),
        }
    }

    fn order(&mut self, choice: u8) -> Order {
        self.next_order += 1;
        let price = if choice.is_multiple_of(7) { 300_000 } else { 120_000 };
        Order {
            id: OrderId::new(self.next_order.to_string()),
            phone: Phone::new("+12045550100"),
            price: Amount::from_micros(price),
            created_at: self.now,
            expires_at: self.now + Duration::from_mins(15),
        }
    }

    fn answer(&mut self, effect: &Effect, choice: u8) -> Event {
        let attempt = self.redemption.attempts();
        match effect {
            Effect::Buy => match choice % 8 {
                0 => Event::NotBought { attempt, why: NotBought::OutOfStock },
                1 => Event::NotBought { attempt, why: NotBought::NotSent },
                2 => Event::NotBought { attempt, why: NotBought::Throttled { retry_after_ms: Some(9_000) } },
                3 if choice > 200 => Event::NotBought { attempt, why: NotBought::Stopped(Stop::Balance) },
                4 => Event::BuyUnclear { attempt },
                _ => Event::Bought { attempt, order: self.order(choice) },
            },
            Effect::Check(_, order) => self.about(order, Call::Check, choice),
            Effect::Finish(_, order) | Effect::Cancel(_, order) | Effect::Ban(_, order) => {
                self.about(order, Call::Settle, choice)
            }
            Effect::ListOrders(_) => {
                let Phase::Uncertain(search) = &self.redemption.phase else { return Event::Tick };
                let wanted = search.intent.wanted.clone();
                let created_at = search.intent.intended_at;
                let order = Order { created_at, ..self.order(choice) };
                let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
                let listed = ListedOrder {
                    order,
                    product: wanted.product,
                    country: wanted.country,
                    operator: wanted.operator,
                    sight,
                };
                let orders = if choice.is_multiple_of(3) { vec![listed] } else { Vec::new() };
                let is_whole = !choice.is_multiple_of(5);
                Event::Listed(Listing { orders, is_whole, claimed: [].into(), other_send_window: None })
            }
        }
    }

    fn about(&self, order: &OrderId, call: Call, choice: u8) -> Event {
        let order = order.clone();
        let failed = |failure| Event::CallFailed { order: order.clone(), call, failure };
        let seen = |status, with_message| {
            let message = Message {
                received_at: self.now,
                sender: String::new(),
                text: "code 12345".to_owned(),
                code: Some("12345".to_owned()),
            };
            let messages = if with_message { vec![message] } else { Vec::new() };
            Event::Seen { order: order.clone(), sight: Sight { status, messages } }
        };
        match choice % 12 {
            0 => failed(CallFailure::Unclear),
            1 => failed(CallFailure::NotFound),
            2 => failed(CallFailure::TooEarly),
            3 => failed(CallFailure::Conflict),
            4 => failed(CallFailure::Throttled { retry_after: Some(Duration::from_secs(5)) }),
            5 => seen(OrderStatus::TimedOut, false),
            6 if choice > 128 => seen(OrderStatus::Open, true),
            7 | 8 if call == Call::Settle => seen(OrderStatus::Cancelled, false),
            _ => seen(OrderStatus::Open, false),
        }
    }

    fn take(&mut self, event: Event) {
        // A clear no is no purchase.
        if matches!(event, Event::NotBought { .. }) {
            self.buys = self.buys.saturating_sub(1);
        }
        let context = Context {
            plans: &self.sku.plans,
            outlook: &self.outlook,
            rules: &self.rules,
            suppliers: &self.suppliers,
            timing: &self.timing,
            jitter: 500,
        };
        let Ok(decision) = step(&self.redemption, event, &context, self.now) else { return };
        let before = self.redemption.clone();
        if let Some(next) = decision.next {
            assert_eq!(next.version, before.version + 1);
            if let Some(event) = voucher_event(&before, &next) {
                self.voucher = self.voucher.clone().apply(event).expect("the voucher follows the redemption");
            }
            self.redemption = *next;
            self.check(&before);
        }
        if decision.effect == Some(Effect::Buy) {
            assert!(matches!(self.redemption.phase, Phase::Ordering(_)));
            assert!(self.redemption.version > before.version, "a purchase without a stored intent");
            self.buys += 1;
        }
        if decision.effect.is_none() && !self.redemption.is_at_rest() {
            assert!(decision.wake_at.is_some(), "nobody will look at {:?} again", self.redemption.phase);
        }
        if decision.effect.is_some() {
            self.pending = decision.effect;
        }
    }

    fn check(&self, before: &Redemption) {
        let now = &self.redemption;
        assert!(self.buys < 6, "more purchases than allowed");
        let live = usize::from(now.held().is_some_and(|_| !matches!(now.phase, Phase::Delivered(_))));
        assert!(live <= 1);
        let mut orders: Vec<_> = now.attempt_rows().into_iter().filter_map(|row| row.order).collect();
        let known = orders.len();
        orders.dedup();
        assert_eq!(orders.len(), known, "one order in two attempts");
        // No order that was ever known is forgotten.
        for row in before.attempt_rows() {
            if let Some(order) = row.order {
                assert!(now.knows_order(&order), "order {order} is lost");
            }
        }
        if before.is_final() {
            assert_eq!(before.status(), now.status(), "a final redemption changed its mind");
        }
        assert_eq!(matches!(now.phase, Phase::Delivered(_)), self.voucher.state == VoucherState::Fulfilled);
        let held_by_run =
            matches!(self.voucher.state, VoucherState::Locked { .. } | VoucherState::Redeeming { .. });
        assert_eq!(held_by_run, !now.is_final(), "{:?} with {:?}", self.voucher.state, now.phase);
        let may_have_order = matches!(
            now.phase,
            Phase::Ordering(_) | Phase::Uncertain(_) | Phase::Waiting(_) | Phase::Releasing(_)
        );
        assert_eq!(may_have_order, matches!(self.voucher.state, VoucherState::Redeeming { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_happens_nothing_is_lost_or_doubled(
        is_exclusive: bool,
        happenings in proptest::collection::vec(happening(), 1..60),
    ) {
        let mut walk = Walk::new(is_exclusive);
        walk.take(Event::Tick);
        for happening in &happenings {
            walk.happen(happening);
        }
    }

    /// Once faults stop, every run comes to an end, and soon after its deadline.
    #[test]
    fn every_redemption_ends(
        is_exclusive: bool,
        happenings in proptest::collection::vec(happening(), 1..40),
    ) {
        let mut walk = Walk::new(is_exclusive);
        walk.take(Event::Tick);
        for happening in &happenings {
            walk.happen(happening);
        }
        let calm_from = walk.now;
        for _ in 0..2_000 {
            match walk.pending.take() {
                Some(Effect::Buy) => {
                    let attempt = walk.redemption.attempts();
                    walk.take(Event::NotBought { attempt, why: NotBought::OutOfStock });
                }
                Some(Effect::ListOrders(_)) => walk.take(Event::Listed(Listing {
                    orders: Vec::new(),
                    is_whole: true,
                    claimed: [].into(),
                    other_send_window: None,
                })),
                Some(Effect::Check(_, order)) => {
                    let sight = Sight { status: OrderStatus::Open, messages: Vec::new() };
                    walk.take(Event::Seen { order, sight });
                }
                Some(Effect::Cancel(_, order) | Effect::Ban(_, order)) => {
                    let sight = Sight { status: OrderStatus::Cancelled, messages: Vec::new() };
                    walk.take(Event::Seen { order, sight });
                }
                Some(Effect::Finish(_, order)) => {
                    let sight = Sight { status: OrderStatus::Finished, messages: Vec::new() };
                    walk.take(Event::Seen { order, sight });
                }
                None => {
                    walk.now += Duration::from_secs(1);
                    walk.take(Event::Tick);
                }
            }
            if walk.redemption.is_at_rest() {
                break;
            }
        }
        prop_assert!(walk.redemption.is_at_rest(), "still {:?}", walk.redemption.phase);
        let latest = walk.redemption.deadline.max(calm_from) + Duration::from_secs(61);
        let is_open_for_more = matches!(walk.redemption.phase, Phase::Delivered(_));
        prop_assert!(walk.now <= latest || is_open_for_more, "{:?} at {}", walk.redemption.phase, walk.now);
    }
}
