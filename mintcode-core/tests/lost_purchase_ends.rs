//! A lost purchase is looked for until a minute after the deadline and no longer, whatever the supplier's list shows.
//!
//! Found by the model (`tests/model`): an order that nobody claims and that fits in all but time kept the search going, in
//! steps that ran past its end.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::Capabilities;
use mintcode_core::redemption::{
    Context, Effect, Event, Holder, Listing, NotBought, Phase, Redemption, SupplierFacts, Timing, step,
};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{SeededEntropy, sample};

struct Run {
    sku: Sku,
    suppliers: BTreeMap<SupplierName, SupplierFacts>,
    redemption: Redemption,
    now: DateTime<Utc>,
    wake_at: Option<DateTime<Utc>>,
}

impl Run {
    fn new() -> Self {
        let sku = sample::sku("tg");
        let facts = SupplierFacts {
            capabilities: Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO },
            is_exclusive: true,
            currency: Currency::USD,
            rate: Rate::ONE,
            newest_known: None,
        };
        let id = RedemptionId::draw(&SeededEntropy::new(1));
        let (voucher, now) = (sample::voucher(&sku), sample::now());
        let redemption = Redemption::queued(id, &voucher, &sku, Holder::default(), Currency::USD, now);
        let suppliers = BTreeMap::from([(SupplierName::default(), facts)]);
        Self { sku, suppliers, redemption, now, wake_at: Some(now) }
    }

    fn take(&mut self, event: Event) -> Option<Effect> {
        let (outlook, rules, timing) = (Outlook::default(), Rules::default(), Timing::default());
        let context = Context {
            plans: &self.sku.plans,
            outlook: &outlook,
            rules: &rules,
            suppliers: &self.suppliers,
            timing: &timing,
            jitter: 0,
        };
        let decision = step(&self.redemption, event, &context, self.now).unwrap();
        if let Some(next) = decision.next {
            self.redemption = *next;
        }
        self.wake_at = decision.wake_at;
        decision.effect
    }

    /// Waits for as long as the machine says, and then ticks.
    fn tick(&mut self) -> Option<Effect> {
        self.now = self.wake_at.unwrap();
        self.take(Event::Tick)
    }

    /// The supplier's list with an open order of the same plan that came long after the purchase had to be sent.
    fn doubtful(&self) -> Event {
        let Phase::Uncertain(search) = &self.redemption.phase else { panic!("nothing is looked for") };
        let (wanted, created_at) = (&search.intent.wanted, search.intent.send_by + Duration::from_secs(25));
        let order = Order {
            id: OrderId::new("51"),
            phone: Phone::new("+12045550100"),
            price: Amount::from_micros(120_000),
            created_at,
            expires_at: created_at + Duration::from_mins(15),
        };
        let listed = ListedOrder {
            order,
            product: wanted.product.clone(),
            country: wanted.country.clone(),
            operator: wanted.operator.clone(),
            sight: Sight { status: OrderStatus::Open, messages: Vec::new() },
        };
        Event::Listed(Listing {
            orders: vec![listed],
            is_whole: true,
            claimed: [].into(),
            other_send_window: None,
        })
    }

    /// Looks for the purchase for as long as it is looked for, and tells how long after the deadline that ended.
    fn search(&mut self) -> Duration {
        while matches!(self.redemption.phase, Phase::Uncertain(_)) {
            if let Some(Effect::ListOrders(_)) = self.tick() {
                self.take(self.doubtful());
            }
        }
        assert!(matches!(self.redemption.phase, Phase::Failed(_)), "{:?}", self.redemption.phase);
        (self.now - self.redemption.deadline).to_std().unwrap()
    }
}

#[test]
fn a_search_that_stays_unclear_ends_a_minute_after_the_deadline() {
    let mut run = Run::new();
    assert_eq!(run.tick(), Some(Effect::Buy));
    // Looks that are counted from here on would not come upon the end of the search by chance.
    run.now += Duration::from_secs(2);
    run.take(Event::BuyUnclear { attempt: 1 });
    assert_eq!(run.search(), Duration::from_mins(1));
}

#[test]
fn a_search_for_a_late_purchase_ends_no_later() {
    let mut run = Run::new();
    assert_eq!(run.tick(), Some(Effect::Buy));
    run.take(Event::NotBought { attempt: 1, why: NotBought::NotSent });
    run.wake_at = Some(run.redemption.deadline - Duration::from_secs(16));
    assert_eq!(run.tick(), Some(Effect::Buy));
    run.take(Event::BuyUnclear { attempt: 2 });
    assert_eq!(run.search(), Duration::from_mins(1));
}

#[test]
fn absence_is_proved_as_soon_as_it_can_be() {
    let mut run = Run::new();
    assert_eq!(run.tick(), Some(Effect::Buy));
    run.take(Event::BuyUnclear { attempt: 1 });
    let nothing = || {
        Event::Listed(Listing {
            orders: Vec::new(),
            is_whole: true,
            claimed: [].into(),
            other_send_window: None,
        })
    };
    assert!(matches!(run.tick(), Some(Effect::ListOrders(_))));
    run.take(nothing());
    // Somebody looks in between, which proves nothing and puts nothing off.
    let proof = run.wake_at;
    run.now += Duration::from_secs(4);
    assert!(matches!(run.take(Event::Tick), Some(Effect::ListOrders(_))));
    run.take(nothing());
    assert_eq!(run.wake_at, proof);
    assert!(matches!(run.tick(), Some(Effect::ListOrders(_))));
    assert_eq!(run.take(nothing()), Some(Effect::Buy));
}
