//! What is fixed while a model is checked: the SKU, the rules, the times, and how much trouble there may be.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::health::{HealthRules, Outlook};
use mintcode_core::ids::{RedemptionId, SupplierName, WorkerId};
use mintcode_core::money::{Currency, Rate};
use mintcode_core::order::OrderId;
use mintcode_core::ports::Capabilities;
use mintcode_core::redemption::{Context, Holder, HolderKey, SupplierFacts, Timing};
use mintcode_core::responsible::{DenyList, Screening};
use mintcode_core::rules::Rules;
use mintcode_core::sku::{OnNoSms, Sku};
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::voucher::Voucher;

/// The name that no customer may read.
pub(crate) const SUPPLIER: &str = "upstream-zq";
/// The workers of a model.
pub(crate) const WORKERS: usize = 2;

/// How often each kind of trouble, or of luck, may still happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    /// The holder posts the voucher.
    pub(crate) begins: u8,
    /// A worker dies with everything it holds.
    pub(crate) crashes: u8,
    /// A worker stands still and goes on later, perhaps as a zombie.
    pub(crate) freezes: u8,
    /// The answer of a call is lost, before the supplier did anything or after it.
    pub(crate) lost_answers: u8,
    /// A purchase takes effect late, up to `late_max` after `send_by`.
    pub(crate) late_buys: u8,
    /// A process that stood still sends its purchase after `send_by`.
    pub(crate) late_sends: u8,
    /// The answer of a commit is lost, or the commit lands after its repetition.
    pub(crate) odd_commits: u8,
    /// A number gets an SMS.
    pub(crate) messages: u8,
    /// A plan has nothing in stock.
    pub(crate) empties: u8,
    /// The supplier replies in one of its rarer ways, from a price above the cap to a list cut short.
    pub(crate) rarities: u8,
    /// The holder, or the owner, wishes something.
    pub(crate) wishes: u8,
}

/// What may be cut out of the model's world, so that the checker has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Storage takes a write whatever its epoch.
    Fence,
    /// Storage takes a write whatever its version.
    Compare,
    /// Storage lets two attempts claim one order.
    UniqueClaim,
    /// Storage says that an intent is stored, and forgets it.
    Intent,
    /// Storage lets a worker that lost ownership remove inbox items.
    FencedInbox,
    /// Nobody looks for orders that nobody claims.
    Sweeper,
    /// Nobody takes over what a dead worker left.
    TakeOver,
}

pub(crate) struct Scene {
    pub(crate) sku: Sku,
    pub(crate) rules: Rules,
    pub(crate) timing: Timing,
    pub(crate) voucher: Voucher,
    pub(crate) redemptions: Vec<RedemptionId>,
    pub(crate) workers: [WorkerId; WORKERS],
    pub(crate) holder: Holder,
    pub(crate) is_exclusive: bool,
    /// Whether sources and accounts are kept, so that breakers open.
    pub(crate) learns: bool,
    /// From this age on an order that nobody claims is given back.
    pub(crate) orphan_age: Duration,
    pub(crate) left: Left,
    pub(crate) cuts: &'static [Cut],
    /// What has to be met on the way, by the names of the properties.
    pub(crate) meets: &'static [&'static str],
}

impl Scene {
    /// A voucher of a SKU with two plans, at times so short that the model's clock has few moments.
    pub(crate) fn new(left: Left) -> Self {
        let secs = Duration::from_secs;
        let supplier = SupplierName::new(SUPPLIER).unwrap();
        let mut sku = sample::sku("tg");
        sku.plans.push(sample::plan("B", "england", "virtual66"));
        for plan in &mut sku.plans {
            plan.supplier = supplier.clone();
        }
        let policy = &mut sku.policy;
        (policy.max_redemptions, policy.max_plans_per_redemption, policy.max_buys) = (2, 2, Some(3));
        (policy.max_duration, policy.cooldown, policy.further_sms) = (secs(120), secs(30), secs(60));
        policy.on_no_sms = OnNoSms::Cancel;
        let timing = Timing {
            send_window: secs(10),
            settle_time: secs(40),
            late_max: secs(10),
            skew: secs(3),
            backoff_min: secs(40),
            backoff_max: secs(40),
            poll_min: secs(60),
            poll_max: secs(60),
            too_early_wait: secs(30),
            expiry_margin: secs(10),
            ..Timing::default()
        };
        let rules = Rules {
            health: HealthRules { min_tries: 2, off: secs(60), ..HealthRules::default() },
            deny: DenyList::empty(),
            screening: Screening::new(false, &["bank".to_owned()]).unwrap(),
            ..Rules::default()
        };
        let entropy = SeededEntropy::new(4);
        Self {
            voucher: sample::voucher(&sku),
            sku,
            rules,
            timing,
            redemptions: (0..left.begins).map(|_| RedemptionId::draw(&entropy)).collect(),
            workers: std::array::from_fn(|_| WorkerId::draw(&entropy)),
            holder: Holder { session: Some(HolderKey::new(&[7; 32])), idempotency: None },
            is_exclusive: true,
            learns: false,
            orphan_age: secs(80),
            left,
            cuts: &[],
            meets: &[],
        }
    }

    pub(crate) fn has(&self, part: Cut) -> bool {
        !self.cuts.contains(&part)
    }

    pub(crate) fn facts(&self, newest_known: Option<OrderId>) -> BTreeMap<SupplierName, SupplierFacts> {
        let facts = SupplierFacts {
            capabilities: Capabilities { lists_orders: true, bans: true, minimum_cancel_age: Duration::ZERO },
            is_exclusive: self.is_exclusive,
            currency: Currency::USD,
            rate: Rate::ONE,
            newest_known,
        };
        BTreeMap::from([(SupplierName::new(SUPPLIER).unwrap(), facts)])
    }

    pub(crate) fn context<'a>(
        &'a self,
        outlook: &'a Outlook,
        suppliers: &'a BTreeMap<SupplierName, SupplierFacts>,
    ) -> Context<'a> {
        Context {
            plans: &self.sku.plans,
            outlook,
            rules: &self.rules,
            suppliers,
            timing: &self.timing,
            jitter: 0,
        }
    }

    /// When the model's clock begins.
    pub(crate) fn start() -> DateTime<Utc> {
        sample::now()
    }
}
