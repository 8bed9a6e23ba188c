//! Redemptions in every state, their orders paid in roubles and their sales in dollars.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mintcode_core::ids::{RedemptionId, SupplierName};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{Order, OrderId, OrderStatus, Phone};
use mintcode_core::ports::Wanted;
use mintcode_core::redemption::{
    AfterRelease, ClosedAttempt, Delivery, Failure, FailureKind, GiveBack, Held, Holder, Intent, Outcome,
    Phase, Redemption, Releasing, Settlement, Surplus,
};
use mintcode_core::testing::{SeededEntropy, sample};

pub(crate) const FAILED: Failure =
    Failure { kind: FailureKind::NoSms, stop: None, retry_at: DateTime::<Utc>::UNIX_EPOCH };

pub(crate) fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

/// A redemption that has just begun and sells at 0.80 USD.
pub(crate) fn redemption(seed: u64) -> Redemption {
    let sku = sample::sku("tg");
    let voucher = sample::voucher(&sku);
    let id = RedemptionId::draw(&SeededEntropy::new(seed));
    Redemption::queued(id, &voucher, &sku, Holder::default(), Currency::USD, sample::now())
}

/// An intent at a supplier that is paid in roubles, eighty to the dollar.
pub(crate) fn intent(number: u32) -> Intent {
    Intent {
        number,
        plan: sample::plan_id("A"),
        supplier: SupplierName::default(),
        wanted: Wanted {
            product: "telegram".to_owned(),
            country: "canada".to_owned(),
            operator: "virtual4".to_owned(),
            max_cost: amount("16"),
        },
        reason: String::new(),
        is_probe: false,
        currency: "RUB".parse().unwrap(),
        rate: "0.0125".parse().unwrap(),
        intended_at: sample::now(),
        send_by: sample::now(),
        newest_known: None,
    }
}

pub(crate) fn held(number: u32) -> Held {
    let order = Order {
        id: OrderId::new(format!("{number}00")),
        phone: Phone::new("+12045550100"),
        price: amount("12"),
        created_at: sample::now(),
        expires_at: sample::now(),
    };
    Held { intent: intent(number), order, messages: Vec::new(), unknown: 0, withheld: BTreeMap::new() }
}

pub(crate) fn closed(number: u32, outcome: Outcome, order_end: Option<OrderStatus>) -> ClosedAttempt {
    let Held { intent, order, .. } = held(number);
    ClosedAttempt { intent, order: Some(order), order_end, outcome, ended_at: sample::now() }
}

pub(crate) fn without_order(number: u32, outcome: Outcome) -> ClosedAttempt {
    ClosedAttempt { order: None, ..closed(number, outcome, None) }
}

pub(crate) fn surplus(number: u32) -> Surplus {
    Surplus { held: held(number), outcome: Outcome::Late, not_before: sample::now(), asked: 0 }
}

pub(crate) fn delivery(number: u32, settlement: Settlement) -> Delivery {
    Delivery { held: held(number), delivered_at: sample::now(), settlement, is_released: false }
}

pub(crate) fn open() -> Settlement {
    Settlement::Open { until: sample::now() }
}

pub(crate) fn settled(order_end: Option<OrderStatus>) -> Settlement {
    Settlement::Settled { order_end, at: sample::now() }
}

pub(crate) fn releasing(number: u32) -> Phase {
    Phase::Releasing(Releasing {
        held: held(number),
        by: GiveBack::Cancel,
        then: AfterRelease::NextPlan,
        not_before: sample::now(),
        asked: 1,
    })
}

pub(crate) fn standing(phase: Phase) -> Redemption {
    Redemption { phase, ..redemption(1) }
}
