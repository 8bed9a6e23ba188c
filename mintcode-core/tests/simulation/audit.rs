//! What must hold in the end: the supplier's books against what storage says. Knows nothing of what was cut out.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::ids::{BatchId, RedemptionId};
use mintcode_core::ledger::{Book, Kind};
use mintcode_core::order::OrderStatus;
use mintcode_core::ports::{Orphans, RedemptionSearch, Reports, Storage, Vouchers};
use mintcode_core::redemption::{AttemptRow, Outcome, Phase, Redemption};
use mintcode_core::testing::TokioClock;
use tokio::time::Instant;

use super::books::Sold;
use super::cut::real;
use super::matching::{Try, unmatched};
use super::setup::{CLOCK_OFF, Setup};
use super::sim::Sim;

/// Between a promised moment and the answer that keeps the promise.
const SLACK: Duration = Duration::from_secs(10);
/// What I11 grants beyond the deadline.
const GRACE: Duration = Duration::from_secs(60);

/// How long after the last trouble everything is at rest.
pub(crate) fn rest_within(setup: &Setup) -> Duration {
    setup.sku.policy.max_duration + GRACE + gone_within(setup) + SLACK
}

/// How long an order lives at most that nobody adopted.
fn gone_within(setup: &Setup) -> Duration {
    let timing = &setup.timing;
    let taken_over = timing.worker_ttl * 2 + timing.heartbeat;
    timing.orphan_age + timing.sweep_interval + taken_over + setup.temper.minimum_cancel_age + GRACE
}

/// One attempt as storage has it in the end, with whose it is.
struct Told<'a> {
    redemption: &'a Redemption,
    row: AttemptRow,
    phone: Option<String>,
}

struct Audit<'a> {
    sim: &'a Sim,
    quiet_from: DateTime<Utc>,
    redemptions: &'a [Redemption],
    attempts: Vec<Told<'a>>,
    sold: Vec<Sold>,
}

/// Looks for everything that must not be.
pub(crate) async fn audit(sim: &Sim, batch: BatchId, quiet_from: Instant) {
    sim.books().are_closed(sim.now());
    let redemptions = sim.storage.redemptions(RedemptionSearch::default(), u32::MAX).await.unwrap();
    let attempts = redemptions.iter().flat_map(|redemption| {
        redemption.attempt_rows().into_iter().map(move |row| {
            let phone = row.order.as_ref().and_then(|order| phone_of(redemption, order));
            Told { redemption, row, phone }
        })
    });
    let audit = Audit {
        sim,
        quiet_from: sim.now() - (Instant::now() - quiet_from),
        redemptions: &redemptions,
        attempts: attempts.collect(),
        sold: sim.books().orders.clone(),
    };
    sim.counts().add("redemptions", redemptions.len() as u64);
    audit.ends();
    audit.purchases();
    audit.adopted();
    audit.limits();
    audit.requests();
    audit.deliveries(batch).await;
    audit.money().await;
    audit.histories().await;
}

/// The number of an order, which no alias hides.
fn phone_of(redemption: &Redemption, order: &mintcode_core::order::OrderId) -> Option<String> {
    let held = redemption.held().map(|held| &held.order);
    let closed = redemption.closed.iter().filter_map(|closed| closed.order.as_ref());
    let background = redemption.background.iter().map(|surplus| &surplus.held.order);
    let mut all = closed.chain(background).chain(held);
    all.find(|it| it.id == *order).map(|it| it.phone.reveal().to_owned())
}

/// A digest of the supplier's books and of storage.
pub(crate) async fn digest(sim: &Sim) -> u64 {
    let mut hasher = DefaultHasher::new();
    for sold in &sim.books().orders {
        format!("{sold:?}").hash(&mut hasher);
    }
    sim.books().requests.hash(&mut hasher);
    for redemption in sim.storage.redemptions(RedemptionSearch::default(), u32::MAX).await.unwrap() {
        format!("{redemption:?}").hash(&mut hasher);
    }
    hasher.finish()
}

impl Told<'_> {
    /// Whether the order was the customer's, rather than one that is given back unseen.
    fn is_adopted(&self) -> bool {
        self.phone.is_some() && !matches!(self.row.outcome, Some(Outcome::TooDear | Outcome::Late))
    }
}

impl Audit<'_> {
    fn violated(&self, what: String) {
        self.sim.violated(what);
    }

    fn by_voucher(&self) -> BTreeMap<impl Ord + std::fmt::Debug + Copy, Vec<&Redemption>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for redemption in self.redemptions {
            all.entry(redemption.voucher).or_default().push(redemption);
        }
        all
    }

    /// I11: everything comes to its end in time.
    fn ends(&self) {
        let record = self.sim.record();
        let minimum_age = self.sim.setup.temper.minimum_cancel_age;
        for redemption in self.redemptions {
            let id = redemption.id;
            let Some(ended) = record.ended.get(&id) else {
                self.violated(format!("I11: {id} has no end: {:?}", redemption.phase));
                continue;
            };
            let may_be_given_back =
                ended.number_since.map_or(redemption.deadline, |since| since + minimum_age);
            let due = redemption.deadline.max(self.quiet_from).max(may_be_given_back) + GRACE + SLACK;
            if ended.at > due {
                self.violated(format!("I11: {id} ended {} after it was due", ended.at - due));
            }
            if !redemption.is_at_rest() {
                self.violated(format!("I11: {id} is not at rest: {:?}", redemption.phase));
            }
        }
        for sold in &self.sold {
            let closed_at = sold.end.map(|(at, _)| at);
            if closed_at.is_none() {
                self.violated(format!("I3: order {} is open in the end", sold.id));
            }
            let is_ours = self.attempts.iter().any(|told| told.phone.as_ref() == Some(&sold.phone));
            // While it may be the purchase of an attempt that is still looked for, it is left alone.
            let looked_for = self.looked_for_until(sold).unwrap_or(sold.created_at);
            let due =
                sold.created_at.max(self.quiet_from).max(looked_for) + gone_within(&self.sim.setup) + SLACK;
            if !is_ours && closed_at.is_none_or(|at| at > due) {
                self.violated(format!(
                    "I1: order {}, which nobody adopted, lived on until {closed_at:?}",
                    sold.id
                ));
            }
            let is_known = is_ours || record.swept.contains_key(&sold.phone);
            if !is_known && sold.is_charged() {
                self.violated(format!("I3: order {} is charged and nobody knows of it", sold.id));
            }
        }
    }

    /// When the last attempt was given up whose purchase the order may have been.
    fn looked_for_until(&self, sold: &Sold) -> Option<DateTime<Utc>> {
        let given_up = self.attempts.iter().filter(|told| {
            let wanted = &told.row.wanted;
            let is_alike = (&wanted.country, &wanted.operator) == (&sold.shelf.0, &sold.shelf.1);
            is_alike && told.row.outcome == Some(Outcome::Unresolved)
        });
        given_up.filter_map(|told| told.row.ended_at).max()
    }

    /// I3: every order of the books has an intent of its own, which was not taken for done with.
    fn purchases(&self) {
        let timing = &self.sim.setup.timing;
        let tries: Vec<_> = self
            .attempts
            .iter()
            .filter_map(|told| {
                let intent = told.redemption.intent(told.row.number)?;
                let outcome = told.row.outcome;
                let is_certain = outcome.is_some_and(|outcome| !outcome.may_have_bought());
                (!is_certain).then(|| Try {
                    shelf: (intent.wanted.country.clone(), intent.wanted.operator.clone()),
                    // Orders of a plan are alike: one attempt may have taken another's, which came later than its own.
                    asked: intent.intended_at - CLOCK_OFF - timing.late_max..=intent.send_by + CLOCK_OFF,
                    // What is found absent may have been sent too late, but then only out of its time.
                    created_after: (outcome == Some(Outcome::Absent))
                        .then(|| intent.send_by + timing.late_max),
                    phone: told.phone.clone(),
                })
            })
            .collect();
        for place in unmatched(&self.sold, &tries) {
            let sold = &self.sold[place];
            self.violated(format!(
                "I3: order {}, asked for at {}, has no intent of its own, or one that was found absent",
                sold.id, sold.asked_at
            ));
        }
    }

    /// I1 and I7: an order is one redemption's, and a voucher has one at a time.
    fn adopted(&self) {
        let record = self.sim.record();
        let mut whose = BTreeMap::<&str, Vec<RedemptionId>>::new();
        for told in &self.attempts {
            if let Some(phone) = &told.phone {
                whose.entry(phone).or_default().push(told.redemption.id);
            }
        }
        for (phone, owners) in &whose {
            if owners.len() > 1 {
                self.violated(format!("I7: {phone} is claimed by {owners:?}"));
            }
            if record.swept.contains_key(*phone) {
                self.violated(format!("I7: {phone} is claimed by {owners:?} and swept"));
            }
        }
        for (phone, (_, owner)) in &record.claimed {
            if !whose.contains_key(phone.as_str()) {
                self.violated(format!("I8: {owner} has forgotten {phone}"));
            }
        }
        for (voucher, redemptions) in self.by_voucher() {
            let mut lives: Vec<_> = self
                .attempts
                .iter()
                .filter(|told| told.is_adopted() && redemptions.iter().any(|it| it.id == told.redemption.id))
                .filter_map(|told| {
                    let sold = self.sold.iter().find(|sold| Some(&sold.phone) == told.phone.as_ref())?;
                    let from = record.claimed.get(&sold.phone)?.0;
                    let until = sold.end.map_or(self.sim.now(), |(at, _)| at);
                    Some((from, until, &sold.id))
                })
                .collect();
            lives.sort();
            for pair in lives.windows(2) {
                if pair[1].0 < pair[0].1 {
                    let (one, other) = (pair[0].2, pair[1].2);
                    self.violated(format!("I1: voucher {voucher:?} has orders {one} and {other} at a time"));
                }
            }
        }
    }

    /// I6, as far as storage tells.
    fn limits(&self) {
        for (voucher, redemptions) in self.by_voucher() {
            let policy = &redemptions[0].policy;
            let tries = redemptions.iter().filter(|redemption| redemption.uses_a_try()).count();
            if tries > policy.max_redemptions as usize {
                self.violated(format!("I6: voucher {voucher:?} had {tries} tries"));
            }
            let bought = self.attempts.iter().filter(|told| {
                told.phone.is_some() && redemptions.iter().any(|it| it.id == told.redemption.id)
            });
            let bought = bought.count();
            if bought > policy.buys_allowed() as usize {
                self.violated(format!("I6: {bought} numbers were bought for voucher {voucher:?}"));
            }
            for redemption in redemptions {
                let plans: BTreeSet<_> = redemption.attempt_rows().into_iter().map(|row| row.plan).collect();
                if plans.len() > redemption.policy.max_plans_per_redemption as usize {
                    self.violated(format!("I6: {} tried {} plans", redemption.id, plans.len()));
                }
                let planned = redemption.deadline - redemption.created_at;
                if planned != chrono::TimeDelta::from_std(redemption.policy.max_duration).unwrap() {
                    self.violated(format!("I6: {} was given {planned}", redemption.id));
                }
                if let Some(ended) = self.sim.record().ended.get(&redemption.id)
                    && redemption.created_at > ended.at + CLOCK_OFF
                {
                    self.violated(format!("I6: {} began after its end", redemption.id));
                }
            }
        }
    }

    /// I6: no second had more requests than the rate allows.
    fn requests(&self) {
        let requests = self.sim.books().requests.clone();
        let second = chrono::TimeDelta::seconds(1);
        let mut worst = (0, self.sim.now());
        let mut from = 0;
        for (to, at) in requests.iter().enumerate() {
            while requests[from] + second <= *at {
                from += 1;
            }
            worst = worst.max((to + 1 - from, *at));
        }
        if worst.0 > self.sim.setup.temper.most_in_a_second() {
            self.violated(format!("I6: {} requests in the second before {}", worst.0, worst.1));
        }
    }

    /// I2 and I4: a voucher is fulfilled by one delivery, and what the supplier delivered is delivered.
    async fn deliveries(&self, batch: BatchId) {
        let summary = self.sim.storage.batch(batch).await.unwrap().unwrap();
        let counted: u64 = summary.counts.values().sum();
        if counted != u64::from(summary.batch.count) {
            self.violated(format!("I11: {counted} of {} vouchers are counted", summary.batch.count));
        }
        for (voucher, redemptions) in self.by_voucher() {
            let delivered: Vec<_> =
                redemptions.iter().filter(|it| matches!(it.phase, Phase::Delivered(_))).collect();
            let trail = self.sim.storage.trail(&[redemptions[0].voucher]).await.unwrap().unwrap();
            let is_fulfilled = trail.voucher.state.name() == "fulfilled";
            if delivered.len() != usize::from(is_fulfilled) {
                self.violated(format!(
                    "I2: voucher {voucher:?} is {}, with {} deliveries",
                    trail.voucher.state.name(),
                    delivered.len()
                ));
            }
            if matches!(trail.voucher.state.name(), "locked" | "redeeming") {
                self.violated(format!(
                    "I11: voucher {voucher:?} is {} in the end",
                    trail.voucher.state.name()
                ));
            }
            for redemption in delivered {
                let Phase::Delivered(delivery) = &redemption.phase else { continue };
                let phone = delivery.held.order.phone.reveal();
                let sold = self.sold.iter().find(|sold| sold.phone == phone);
                let text = delivery.message().map(|message| &message.text);
                if !sold.is_some_and(|sold| sold.messages.iter().any(|sent| Some(&sent.text) == text)) {
                    self.violated(format!("I2: {} delivered what nobody sent to {phone}", redemption.id));
                }
            }
        }
        for told in &self.attempts {
            let Some(sold) = self.sold.iter().find(|sold| Some(&sold.phone) == told.phone.as_ref()) else {
                continue;
            };
            let is_charged = sold.end.is_some_and(|(_, end)| end == OrderStatus::Finished);
            let is_lost =
                matches!(told.row.outcome, Some(Outcome::NoSms | Outcome::Replaced | Outcome::GivenUp));
            if is_charged && is_lost {
                self.violated(format!(
                    "I2: the code of order {} was not delivered: {:?}",
                    sold.id, told.row.outcome
                ));
            }
            if told.row.order_end.is_some() && told.row.order_end != sold.end.map(|(_, end)| end) {
                self.violated(format!(
                    "I3: order {} is {:?}, not {:?}",
                    sold.id, sold.end, told.row.order_end
                ));
            }
        }
    }

    /// I5: what the supplier charged is what is booked.
    async fn money(&self) {
        let mut booked = BTreeMap::<String, i64>::new();
        for redemption in self.redemptions {
            for entry in self.sim.storage.booked(redemption.id).await.unwrap() {
                let entry = entry.entry;
                let Some(order) = entry.order.filter(|_| entry.book == Book::Cost) else { continue };
                let sign = match entry.kind {
                    Kind::Charge => 1,
                    Kind::Refund => -1,
                    Kind::Hold | Kind::Capture | Kind::Release | Kind::Loss | Kind::Recovery => 0,
                };
                *booked.entry(real(&order).to_string()).or_default() += sign * entry.amount.micros();
            }
        }
        let (from, to) = (TokioClock::epoch(), self.sim.now() + Duration::from_secs(3_600));
        for loss in self.sim.storage.orphan_losses(from, to).await.unwrap() {
            *booked.entry(loss.order.id.to_string()).or_default() += loss.value.micros();
        }
        for sold in &self.sold {
            let charged = if sold.is_charged() { sold.price.micros() } else { 0 };
            let known = booked.remove(sold.id.as_str()).unwrap_or_default();
            if charged != known {
                self.violated(format!(
                    "I5: order {} cost {charged}, and {known} is booked: {:?}",
                    sold.id, sold.end
                ));
            }
        }
        if let Some((order, amount)) = booked.into_iter().find(|(_, amount)| *amount != 0) {
            self.violated(format!("I5: {amount} is booked for order {order}, which was never sold"));
        }
    }

    /// Every version of every redemption is told, without a gap.
    async fn histories(&self) {
        for redemption in self.redemptions {
            let history = self.sim.storage.history(redemption.id, 0, u32::MAX).await.unwrap();
            let is_gapless = history.iter().map(|snapshot| snapshot.version).eq(1..=redemption.version);
            if !is_gapless {
                self.violated(format!("the history of {} has gaps", redemption.id));
            }
        }
    }
}
