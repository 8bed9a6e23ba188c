//! One redemption, driven through the real machine by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency, Rate};
use mintcode_core::order::{ListedOrder, Message, Order, OrderId, OrderStatus, Phone, Sight};
use mintcode_core::ports::Capabilities;
use mintcode_core::redemption::{
    Consequences, Context, Decision, Event, Holder, Illegal, Intent, Listing, Phase, Redemption,
    SupplierFacts, Timing, step,
};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::velocity::{Cap, Counter};
use mintcode_core::voucher::{Admission, Request, Surroundings, Voucher, admit};

/// How long a probe lasts in these tables.
pub(crate) const PROBE_LASTS: Duration = Duration::from_secs(45);

/// A redemption under way, and everything it depends on.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) sku: Sku,
    pub(crate) outlook: Outlook,
    pub(crate) rules: Rules,
    pub(crate) suppliers: BTreeMap<SupplierName, SupplierFacts>,
    pub(crate) timing: Timing,
    pub(crate) now: DateTime<Utc>,
    pub(crate) redemption: Redemption,
    pub(crate) voucher: Voucher,
}

/// A SKU with plan A in Canada and plan B in England.
pub(crate) fn two_plans() -> Sku {
    let mut sku = sample::sku("tg");
    sku.plans.push(mintcode_core::sku::Plan {
        expected_cost: Amount::from_micros(150_000),
        ..sample::plan("B", "england", "virtual66")
    });
    sku
}

pub(crate) fn order(price: i64, now: DateTime<Utc>) -> Order {
    Order {
        id: OrderId::new("1001"),
        phone: Phone::new("+12045550100"),
        price: Amount::from_micros(price),
        created_at: now,
        expires_at: now + Duration::from_mins(15),
    }
}

pub(crate) fn message(text: &str) -> Message {
    Message { received_at: sample::now(), sender: "Service".to_owned(), text: text.to_owned(), code: None }
}

pub(crate) fn sight(status: OrderStatus, texts: &[&str]) -> Sight {
    Sight { status, messages: texts.iter().map(|text| message(text)).collect() }
}

impl Run {
    /// A redemption of a fresh voucher of `sku` that has just begun.
    pub(crate) fn of(sku: Sku) -> Self {
        let voucher = sample::voucher(&sku);
        Self::with(sku, voucher)
    }

    pub(crate) fn with(sku: Sku, voucher: Voucher) -> Self {
        let id = RedemptionId::draw(&SeededEntropy::new(7));
        let (now, rules, outlook) = (sample::now(), Rules::default(), Outlook::default());
        let request = Request { holder: Holder::default(), id, again: None };
        let begun: [(Cap, Counter); 0] = [];
        let around = Surroundings { outlook: &outlook, rules: &rules, begun: &begun };
        let admitted = admit(voucher, &sku, None, request, &around, now);
        let Admission::Begin { voucher, redemption, .. } = admitted else { panic!("{admitted:?}") };
        let capabilities =
            Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO };
        let facts = SupplierFacts {
            capabilities,
            is_exclusive: true,
            currency: Currency::USD,
            rate: Rate::ONE,
            newest_known: Some(OrderId::new("1000")),
        };
        let suppliers = BTreeMap::from([(SupplierName::default(), facts)]);
        Self {
            sku,
            outlook,
            rules,
            suppliers,
            timing: Timing::default(),
            now,
            redemption: *redemption,
            voucher: *voucher,
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            plans: &self.sku.plans,
            outlook: &self.outlook,
            rules: &self.rules,
            suppliers: &self.suppliers,
            timing: &self.timing,
            jitter: 500,
        }
    }

    pub(crate) fn decide(&self, event: Event) -> Result<Decision, Illegal> {
        step(&self.redemption, event, &self.context(), self.now)
    }

    /// Takes `event` and stores what is decided: redemption and voucher.
    #[track_caller]
    pub(crate) fn take(&mut self, event: Event) -> Decision {
        let decision = self.decide(event).unwrap();
        if let Some(next) = decision.next.clone() {
            let means = Consequences::of(&self.redemption, &next, PROBE_LASTS);
            if let Some(event) = means.voucher {
                self.voucher = self.voucher.clone().apply(event).unwrap();
            }
            self.redemption = *next;
        }
        decision
    }

    /// The same, some time later.
    #[track_caller]
    pub(crate) fn then(mut self, after: Duration, event: Event) -> Self {
        self.now += after;
        self.take(event);
        self
    }

    #[track_caller]
    pub(crate) fn at_once(self, event: Event) -> Self {
        self.then(Duration::ZERO, event)
    }

    pub(crate) fn later(mut self, after: Duration) -> Self {
        self.now += after;
        self
    }

    /// A purchase is intended.
    pub(crate) fn ordering(self) -> Self {
        self.at_once(Event::Tick)
    }

    /// A number is there.
    pub(crate) fn waiting(self) -> Self {
        let run = self.ordering();
        let event = Event::Bought { attempt: run.redemption.attempts(), order: order(120_000, run.now) };
        run.at_once(event)
    }

    pub(crate) fn seen(&self, status: OrderStatus, texts: &[&str]) -> Event {
        Event::Seen { order: OrderId::new("1001"), sight: sight(status, texts) }
    }

    /// A list of orders with one that can be the purchase that is looked for.
    pub(crate) fn listing(&self, orders: Vec<ListedOrder>, is_whole: bool) -> Event {
        Event::Listed(Listing { orders, is_whole, claimed: [].into(), other_send_window: None })
    }

    pub(crate) fn listed(&self, price: i64, status: OrderStatus, texts: &[&str]) -> ListedOrder {
        let intent = self.intent();
        ListedOrder {
            order: Order { created_at: intent.intended_at, ..order(price, self.now) },
            product: intent.wanted.product.clone(),
            country: intent.wanted.country.clone(),
            operator: intent.wanted.operator.clone(),
            sight: sight(status, texts),
        }
    }

    pub(crate) fn intent(&self) -> &Intent {
        match &self.redemption.phase {
            Phase::Ordering(intent) => intent,
            Phase::Uncertain(search) => &search.intent,
            phase => panic!("no purchase is under way: {phase:?}"),
        }
    }
}
