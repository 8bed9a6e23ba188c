//! A redemption as the contract shows it to customers.

use chrono::{DateTime, Utc};
use mintcode_core::ids::RedemptionId;
use mintcode_core::order::{Order, Phone};
use mintcode_core::redemption::{Delivery, FailureView, Phase, Redemption, Snapshot, Status, find_code};
use mintcode_core::voucher::Mask;
use serde::Serialize;

use crate::app::Site;
use crate::lang::Lang;

/// Whole seconds from `now` until `moment`, rounded up; `None` once it has come.
pub(crate) fn seconds_until(moment: DateTime<Utc>, now: DateTime<Utc>) -> Option<u64> {
    let millis = u64::try_from((moment - now).num_milliseconds()).ok()?;
    Some(millis.div_ceil(1000)).filter(|seconds| *seconds > 0)
}

/// The contract's Redemption.
#[derive(Serialize)]
pub(crate) struct RedemptionView<'a> {
    id: RedemptionId,
    object: &'static str,
    version: u64,
    pub(crate) status: Status,
    voucher: Mask,
    sku: SkuView<'a>,
    pub(crate) phone: Option<&'a str>,
    phone_expires_at: Option<DateTime<Utc>>,
    pub(crate) code: Option<String>,
    pub(crate) text: Option<&'a str>,
    pub(crate) failure: Option<FailureBody>,
    pub(crate) redemptions_left: u32,
    pub(crate) resumes_at: Option<DateTime<Utc>>,
    deadline: DateTime<Utc>,
    next: Option<RedemptionId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct SkuView<'a> {
    name: &'a str,
}

/// How a redemption failed.
#[derive(Serialize)]
pub(crate) struct FailureBody {
    #[serde(rename = "type")]
    kind: &'static str,
    pub(crate) detail: String,
    pub(crate) retryable: bool,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl FailureBody {
    fn new(failure: FailureView, lang: Lang, site: &Site, now: DateTime<Utc>) -> Self {
        Self {
            kind: failure.kind.name(),
            detail: lang.failure(failure.kind, site),
            retryable: failure.retryable,
            retry_after: failure.retry_at.and_then(|at| seconds_until(at, now)),
        }
    }
}

impl<'a> RedemptionView<'a> {
    /// `redemption` as it is.
    pub(crate) fn now(redemption: &'a Redemption, lang: Lang, site: &Site, now: DateTime<Utc>) -> Self {
        Self::at(redemption, &redemption.snapshot(), lang, site, now)
    }

    /// `redemption` as it was at the version of `snapshot`. Number, code and text are taken from what is stored of it
    /// now, so that purging them covers every place.
    pub(crate) fn at(
        redemption: &'a Redemption,
        snapshot: &Snapshot,
        lang: Lang,
        site: &Site,
        now: DateTime<Utc>,
    ) -> Self {
        let Snapshot { version, status, attempt, failure, redemptions_left, resumes_at, updated_at } =
            *snapshot;
        let delivery = match &redemption.phase {
            Phase::Delivered(delivery) if status == Status::Delivered => Some(delivery),
            _ => None,
        };
        Self {
            id: redemption.id,
            object: "redemption",
            version,
            status,
            voucher: redemption.mask,
            sku: SkuView { name: lang.pick(&redemption.sku_name) },
            phone: attempt.and_then(|number| redemption.phone(number)).map(Phone::reveal),
            phone_expires_at: attempt
                .and_then(|number| order(redemption, number))
                .map(|order| order.expires_at),
            code: delivery.and_then(Delivery::code),
            text: delivery.and_then(|delivery| delivery.message()).map(|message| message.text.as_str()),
            failure: failure.map(|failure| FailureBody::new(failure, lang, site, now)),
            redemptions_left,
            resumes_at,
            deadline: redemption.deadline,
            next: redemption.next,
            created_at: redemption.created_at,
            updated_at,
        }
    }
}

/// The order whose number the customer had in attempt `number`.
fn order(redemption: &Redemption, number: u32) -> Option<&Order> {
    let held = redemption.held().filter(|held| held.intent.number == number).map(|held| &held.order);
    let closed = || {
        let attempt = redemption.closed.iter().find(|closed| closed.intent.number == number);
        attempt.and_then(|attempt| attempt.order.as_ref())
    };
    held.or_else(closed)
}

/// What was delivered.
#[derive(Serialize)]
pub(crate) struct ResultView<'a> {
    code: Option<String>,
    text: Option<&'a str>,
    phone: &'a str,
    received_at: Option<DateTime<Utc>>,
    messages: Vec<MessageView<'a>>,
}

/// One SMS.
#[derive(Serialize)]
pub(crate) struct MessageView<'a> {
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) text: &'a str,
    code: Option<String>,
}

impl<'a> ResultView<'a> {
    /// What `redemption` delivered, if it did.
    pub(crate) fn of(redemption: &'a Redemption) -> Option<Self> {
        let Phase::Delivered(delivery) = &redemption.phase else { return None };
        let message = delivery.message();
        Some(Self {
            code: delivery.code(),
            text: message.map(|message| message.text.as_str()),
            phone: delivery.held.order.phone.reveal(),
            received_at: message.map(|message| message.received_at),
            messages: messages(redemption),
        })
    }
}

/// All messages of what was delivered that may be shown, oldest first.
pub(crate) fn messages(redemption: &Redemption) -> Vec<MessageView<'_>> {
    let Phase::Delivered(delivery) = &redemption.phase else { return Vec::new() };
    let shown = delivery.held.shown().map(|message| MessageView {
        received_at: message.received_at,
        text: &message.text,
        code: message
            .code
            .clone()
            .filter(|code| !code.trim().is_empty())
            .or_else(|| find_code(&message.text)),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mintcode_core::money::{Amount, Currency, Rate};
    use mintcode_core::order::{Message, OrderId};
    use mintcode_core::ports::Wanted;
    use mintcode_core::redemption::{Held, Holder, Intent, Settlement};
    use mintcode_core::testing::sample;

    use super::*;

    /// A redemption that delivered `messages`, of which those at the places `withheld` may not be shown.
    fn delivered(messages: &[&str], withheld: &[usize]) -> Redemption {
        let (sku, now) = (sample::sku("tg"), sample::now());
        let plan = &sku.plans[0];
        let wanted = Wanted {
            product: sku.product.clone(),
            country: plan.country.clone(),
            operator: plan.operator.clone(),
            max_cost: plan.max_cost,
        };
        let intent = Intent {
            number: 1,
            plan: plan.id.clone(),
            supplier: plan.supplier.clone(),
            wanted,
            reason: String::new(),
            is_probe: false,
            currency: Currency::USD,
            rate: Rate::ONE,
            intended_at: now,
            send_by: now,
            newest_known: None,
        };
        let order = Order {
            id: OrderId::new("1"),
            phone: Phone::new("+12045550123"),
            price: Amount::ZERO,
            created_at: now,
            expires_at: now,
        };
        let messages = messages.iter().map(|text| Message {
            received_at: now,
            sender: String::new(),
            text: (*text).to_owned(),
            code: None,
        });
        let withheld: BTreeMap<_, _> = withheld.iter().map(|place| (*place, "pattern".to_owned())).collect();
        let held = Held { intent, order, messages: messages.collect(), unknown: 0, withheld };
        let settlement = Settlement::Settled { order_end: None, at: now };
        let id = "rdm_00000000000000000000000000".parse().unwrap();
        Redemption {
            number_shown: true,
            phase: Phase::Delivered(Delivery { held, delivered_at: now, settlement, is_released: false }),
            ..Redemption::queued(id, &sample::voucher(&sku), &sku, Holder::default(), Currency::USD, now)
        }
    }

    #[test]
    fn beside_a_code_that_is_shown_nothing_is_told_of_what_is_withheld() {
        let texts = ["Bank: your payment code is 7391", "Your code is 482915", "Bank: now it is 8402"];
        let redemption = delivered(&texts, &[0, 2]);
        let view = RedemptionView::now(&redemption, Lang::En, &Site::default(), sample::now());
        assert_eq!((view.code.as_deref(), view.text), (Some("482915"), Some(texts[1])));
        let result = ResultView::of(&redemption).unwrap();
        for json in [serde_json::to_string(&view).unwrap(), serde_json::to_string(&result).unwrap()] {
            assert!(json.contains("482915"), "{json}");
            for secret in ["Bank", "7391", "8402", "pattern"] {
                assert!(!json.contains(secret), "{secret} in {json}");
            }
        }
        assert_eq!(messages(&redemption).len(), 1);
        assert_eq!(messages(&delivered(&texts, &[])).len(), 3);
    }
}
