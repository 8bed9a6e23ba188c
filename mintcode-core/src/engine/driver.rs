//! Takes one redemption as far as it goes without waiting: decide, commit, act, and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::journal::{Journal, Lost, persist};
use super::pulse::Pulse;
use super::steady::SteadyClock;
use super::supplier_desk::{Bought, Chain, OrderCall, SupplierDesk};
use super::worker::Command;
use crate::health::Outlook;
use crate::ids::{RedemptionId, SupplierName, WorkerId};
use crate::order::OrderId;
use crate::ports::{BuyPermit, Clock, Entropy, Inbox, InboxItem, Orphans, StorageError, Workers};
use crate::redemption::{
    Call, CallFailure, Context, Decision, Effect, Event, Failure, Intent, Listing, NotBought, Phase,
    Redemption, SupplierFacts, Timing, Wish, WishAnswer, step, weigh_wish,
};
use crate::rules::Rules;
use crate::sku::Plan;

/// How long a redemption rests that may not buy just now.
const A_WHILE: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    pub(super) journal: Journal,
    pub(super) workers: Arc<dyn Workers>,
    pub(super) orphans: Arc<dyn Orphans>,
    pub(super) clock: Arc<SteadyClock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) suppliers: BTreeMap<SupplierName, Arc<SupplierDesk>>,
    pub(super) timing: Timing,
    pub(super) rules: Arc<Rules>,
    /// Purchases whose answer is late outlive the redemption's turn.
    pub(super) late_answers: TaskTracker,
    pub(super) commands: mpsc::Sender<Command>,
    /// Places in the line to a supplier: as many as get their turn well within the window of an intent.
    pub(super) purchases: Semaphore,
    /// Chores that a worker of this process surely has, by the uptime until which it does.
    pub(super) chores: Mutex<BTreeMap<String, (WorkerId, Duration)>>,
}

/// Where a turn ended.
pub(super) enum Advanced {
    /// Nothing more can be done now.
    Rests {
        /// The redemption as stored.
        redemption: Box<Redemption>,
        /// When to look again; `None` when nothing is left to do.
        wake_at: Option<DateTime<Utc>>,
    },
    /// What is stored is another version than the one that was driven: it has to be loaded again.
    Stale,
    /// It is not this worker's any more.
    Gone,
}

/// What the machine is told, and which inbox item that takes care of.
struct Input {
    event: Event,
    consumed: Option<i64>,
}

impl Driver {
    /// Takes `redemption` as far as it goes without waiting, beginning with its inbox if `look_inside` and then with
    /// `event`, for as long as the worker of `pulse` lives.
    pub(super) async fn advance(
        &self,
        pulse: &Pulse,
        redemption: Redemption,
        event: Event,
        look_inside: bool,
    ) -> Advanced {
        let mut current = redemption;
        let mut inputs = Vec::new();
        if look_inside {
            inputs = self.inbox(current.id).await;
        }
        inputs.push(Input { event, consumed: None });

        let mut wake_at = None;
        for input in inputs {
            let mut next = Some(input);
            while let Some(Input { event, consumed }) = next.take() {
                let turn = match self.turn(pulse, current, event, consumed).await {
                    Ok(turn) => turn,
                    Err(ended) => return ended,
                };
                current = turn.redemption;
                wake_at = turn.wake_at;
                next = turn.outcome.map(|event| Input { event, consumed: None });
            }
        }
        Advanced::Rests { redemption: Box::new(current), wake_at }
    }

    async fn turn(
        &self,
        pulse: &Pulse,
        current: Redemption,
        event: Event,
        consumed: Option<i64>,
    ) -> Result<Turn, Advanced> {
        // Taken before the intent is stored, so that its window is not spent in line.
        let begins = is_yet_to_buy(&current) && matches!(event, Event::Tick | Event::Recovered);
        let mut place = if begins { self.place(&current).await } else { None };
        loop {
            match self.try_turn(pulse, &current, event.clone(), consumed, place).await {
                Tried::Done(turn) => return Ok(*turn),
                Tried::Dropped(ended) => {
                    if consumed.is_none() {
                        self.keep_answer(current.id, event).await;
                    }
                    return Err(ended);
                }
                // Decided anew once there is one: what is known by then counts.
                Tried::NeedsPlace => place = self.place(&current).await,
                // The source is off for everybody else now, so the next choice is another one.
                Tried::ChooseAgain(kept) => place = kept,
            }
        }
    }

    /// A place in the line to a supplier, unless the redemption's time runs out before it gets one.
    async fn place(&self, redemption: &Redemption) -> Option<SemaphorePermit<'_>> {
        let left = (redemption.deadline - self.clock.now()).to_std().unwrap_or_default();
        tokio::time::timeout(left, self.purchases.acquire()).await.ok()?.ok()
    }

    async fn try_turn<'a>(
        &'a self,
        pulse: &Pulse,
        current: &Redemption,
        event: Event,
        consumed: Option<i64>,
        place: Option<SemaphorePermit<'a>>,
    ) -> Tried<'a> {
        // Whoever is not heard of any more leaves everything to others.
        if !pulse.is_alive() {
            return Tried::Dropped(Advanced::Gone);
        }
        let (plans, outlook) =
            if may_choose(current, &event) { self.outlook(current).await } else { Default::default() };
        let facts = self.facts();
        let context = Context {
            plans: &plans,
            outlook: &outlook,
            rules: &self.rules,
            suppliers: &facts,
            timing: &self.timing,
            jitter: self.jitter(),
        };
        let decision = match step(current, event, &context, self.clock.now()) {
            Ok(decision) => decision,
            Err(error) => {
                tracing::debug!(voucher = %current.mask, %error, "an event came too late");
                if let Err(ended) = self.discard(current, consumed).await {
                    return Tried::Dropped(ended);
                }
                let wake_at = Some(self.clock.now());
                return Tried::done(current.clone(), wake_at, None);
            }
        };

        if decision.effect == Some(Effect::Buy) && is_yet_to_buy(current) && !pulse.may_buy() {
            // It waits for its turn to buy, or for its deadline.
            return Tried::done(current.clone(), Some(self.clock.now() + A_WHILE), None);
        }
        // What came of an earlier purchase is stored without waiting for another one's place.
        if decision.effect == Some(Effect::Buy) && place.is_none() && !self.purchases.is_closed() {
            return Tried::NeedsPlace;
        }
        let Decision { next, effect, choice, wake_at } = decision;
        let Some(next) = next else {
            if let Err(ended) = self.discard(current, consumed).await {
                return Tried::Dropped(ended);
            }
            let outcome = match effect {
                Some(effect) => self.perform(pulse, effect, None, current, None).await,
                None => None,
            };
            return Tried::done(current.clone(), wake_at, outcome);
        };

        let told = consumed;
        let consumed = consumed.into_iter().collect();
        match self.journal.commit(current, *next, choice, effect.as_ref(), consumed).await {
            Ok(committed) => {
                report(current, &committed.redemption);
                let outcome = match effect {
                    Some(effect) => {
                        self.perform(pulse, effect, committed.permit, &committed.redemption, place).await
                    }
                    None => None,
                };
                Tried::done(committed.redemption, wake_at, outcome)
            }
            // Another attempt was faster: the look goes on, never a new purchase. Or what was withheld can no longer be
            // released.
            Err(lost @ (Lost::Claim | Lost::Voucher)) => {
                tracing::warn!(voucher = %current.mask, error = %lost, "an event came too late");
                if let Err(ended) = self.discard(current, told).await {
                    return Tried::Dropped(ended);
                }
                let wake_at = Some(self.clock.now() + self.timing.poll_max);
                Tried::done(current.clone(), wake_at, None)
            }
            Err(Lost::Probe) => Tried::ChooseAgain(place),
            Err(lost @ (Lost::Ownership(_) | Lost::Unreadable(_))) => {
                tracing::warn!(voucher = %current.mask, error = %Chain(&lost), "dropping a redemption");
                let is_stale =
                    matches!(lost, Lost::Ownership(StorageError::Conflict | StorageError::Unknown(_)));
                Tried::Dropped(if is_stale { Advanced::Stale } else { Advanced::Gone })
            }
        }
    }

    /// Performs `effect` for `redemption`, as stored, and tells what came of it. `place` is a purchase's in the line.
    async fn perform(
        &self,
        pulse: &Pulse,
        effect: Effect,
        permit: Option<BuyPermit>,
        redemption: &Redemption,
        place: Option<SemaphorePermit<'_>>,
    ) -> Option<Event> {
        if !pulse.is_alive() {
            // An intent that is stored already is taken for an uncertain purchase by whoever comes next.
            return None;
        }
        let place = place.filter(|_| effect == Effect::Buy);
        match effect {
            Effect::Buy => match &redemption.phase {
                Phase::Ordering(intent) => Some(self.buy(pulse, redemption.id, intent, permit, place).await),
                _ => None,
            },
            Effect::Check(supplier, order) => {
                Some(self.call(pulse, &supplier, order, OrderCall::Check).await)
            }
            Effect::Finish(supplier, order) => {
                Some(self.call(pulse, &supplier, order, OrderCall::Finish).await)
            }
            Effect::Cancel(supplier, order) => {
                Some(self.call(pulse, &supplier, order, OrderCall::Cancel).await)
            }
            Effect::Ban(supplier, order) => Some(self.call(pulse, &supplier, order, OrderCall::Ban).await),
            Effect::ListOrders(supplier) => match &redemption.phase {
                Phase::Uncertain(search) => Some(self.list(redemption.id, &supplier, &search.intent).await),
                _ => None,
            },
        }
    }

    async fn buy(
        &self,
        pulse: &Pulse,
        id: RedemptionId,
        intent: &Intent,
        permit: Option<BuyPermit>,
        place: Option<SemaphorePermit<'_>>,
    ) -> Event {
        let attempt = intent.number;
        let not_sent = Event::NotBought { attempt, why: NotBought::NotSent };
        // Without a permit the commit's answer was lost: nothing was sent, and nothing will be.
        let (Some(desk), Some(permit)) = (self.suppliers.get(&intent.supplier).cloned(), permit) else {
            return not_sent;
        };
        // A purchase that would come too late is not waited for, so that its place goes to the next.
        match tokio::time::timeout(self.timing.send_window / 2, desk.turn_to_buy()).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Event::NotBought { attempt, why },
            Err(_) => return not_sent,
        }
        // In line the worker may have been struck off, or its clock found to be off.
        if !pulse.may_buy() {
            return not_sent;
        }
        drop(place);
        let (answer, mut heard) = oneshot::channel();
        let (journal, commands) = (self.journal.clone(), self.commands.clone());
        // A task of its own: whatever becomes of this turn, an answer that comes is kept.
        self.late_answers.spawn(async move {
            if let Err(unheard) = answer.send(desk.buy(permit).await)
                && let Some(item) = late_answer(attempt, unheard)
            {
                append(&journal, id, item).await;
                drop(commands.send(Command::Look(id)).await);
            }
        });
        let bought = if let Ok(bought) = tokio::time::timeout(self.timing.buy_timeout, &mut heard).await {
            bought.ok()
        } else {
            // An answer that came in this very moment counts; a later one goes to the inbox.
            heard.close();
            heard.try_recv().ok()
        };
        match bought {
            Some(Bought::Order(order)) => Event::Bought { attempt, order },
            Some(Bought::Nothing(why)) => Event::NotBought { attempt, why },
            Some(Bought::Unclear) | None => Event::BuyUnclear { attempt },
        }
    }

    /// Whoever drives the redemption now is told what came of a purchase.
    async fn keep_answer(&self, id: RedemptionId, event: Event) {
        let item = match event {
            Event::Bought { attempt, order } => Inbox::OrderSeen { attempt, order },
            Event::NotBought { attempt, why } => Inbox::NotBought { attempt, why },
            _ => return,
        };
        append(&self.journal, id, item).await;
    }

    /// Whether this worker does the chore of that name for all, from now on or still; `term` is how long others leave it
    /// to this one.
    pub(super) async fn has_chore(&self, chore: &str, term: Duration, pulse: &Pulse) -> bool {
        let now = self.clock.uptime();
        let has_it = |chores: &BTreeMap<String, (WorkerId, Duration)>| {
            chores.get(chore).is_some_and(|(worker, sure_until)| *worker == pulse.worker && now < *sure_until)
        };
        if has_it(&self.chores.lock().unwrap_or_else(PoisonError::into_inner)) {
            return pulse.is_alive();
        }
        match self.workers.take_chore(chore, pulse.worker, term, self.clock.now()).await {
            Ok(true) => {
                let mut chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
                chores.insert(chore.to_owned(), (pulse.worker, now + term / 2));
                pulse.is_alive()
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(chore, error = %Chain(&error), "a chore could not be taken");
                false
            }
        }
    }

    async fn call(&self, pulse: &Pulse, supplier: &SupplierName, order: OrderId, which: OrderCall) -> Event {
        let call = match which {
            OrderCall::Check => Call::Check,
            OrderCall::Finish | OrderCall::Cancel | OrderCall::Ban => Call::Settle,
        };
        let Some(desk) = self.suppliers.get(supplier) else {
            return Event::CallFailed { order, call, failure: CallFailure::Unclear };
        };
        match desk.order(&order, which, pulse).await {
            Ok(sight) => Event::Seen { order, sight },
            Err(failure) => Event::CallFailed { order, call, failure },
        }
    }

    async fn list(&self, id: RedemptionId, supplier: &SupplierName, intent: &Intent) -> Event {
        let Some(desk) = self.suppliers.get(supplier) else { return Event::ListFailed(CallFailure::Unclear) };
        let (orders, is_whole) = match desk.orders_since(intent, self.timing.skew).await {
            Ok(read) => read,
            Err(failure) => return Event::ListFailed(failure),
        };
        let ids: Vec<_> = orders.iter().map(|listed| listed.order.id.clone()).collect();
        let storage = self.journal.storage();
        let claims = persist("reading claims", || storage.claims(supplier, &intent.wanted, &ids, id)).await;
        match claims {
            Ok(claims) => Event::Listed(Listing {
                orders,
                is_whole,
                claimed: claims.claimed,
                other_send_window: claims.other_send_window,
            }),
            Err(error) => {
                tracing::error!(error = %Chain(&error), "claims could not be read");
                Event::ListFailed(CallFailure::Unclear)
            }
        }
    }

    /// The redemption's order is not looked at any more until its turn is over.
    pub(super) fn stop_watching(&self, redemption: &Redemption) {
        let Some(watch) = redemption.watch(&self.timing) else { return };
        if let Some(desk) = self.suppliers.get(&watch.supplier) {
            desk.watchlist.remove(&watch.order);
        }
    }

    /// What granting `wish` to `redemption` as it stands would do.
    pub(super) async fn weigh(
        &self,
        redemption: &Redemption,
        wish: Wish,
    ) -> Result<WishAnswer, StorageError> {
        let known = self.journal.storage().outlook(&redemption.sku).await?;
        let (plans, outlook) = known.map(|(sku, outlook)| (sku.plans, outlook)).unwrap_or_default();
        let facts = self.facts();
        let context = Context {
            plans: &plans,
            outlook: &outlook,
            rules: &self.rules,
            suppliers: &facts,
            timing: &self.timing,
            jitter: 0,
        };
        Ok(weigh_wish(redemption, wish, &context, self.clock.now()))
    }

    async fn inbox(&self, id: RedemptionId) -> Vec<Input> {
        let items = persist("reading an inbox", || self.journal.storage().inbox(id)).await;
        let items = items.unwrap_or_else(|error| {
            tracing::error!(error = %Chain(&error), "an inbox could not be read");
            Vec::new()
        });
        items.into_iter().map(Input::from).collect()
    }

    /// Takes an item that changes nothing out of the inbox. Fails where the redemption is another worker's by now: the item
    /// is that one's.
    async fn discard(&self, redemption: &Redemption, consumed: Option<i64>) -> Result<(), Advanced> {
        let Some(item) = consumed else { return Ok(()) };
        let storage = self.journal.storage();
        let discarded = persist("discarding an inbox item", || {
            storage.discard_inbox(redemption.id, redemption.epoch, std::slice::from_ref(&item))
        });
        match discarded.await {
            Ok(()) => Ok(()),
            Err(StorageError::Fenced) => Err(Advanced::Gone),
            // It is met again.
            Err(error) => {
                tracing::error!(error = %Chain(&error), "an inbox item could not be discarded");
                Ok(())
            }
        }
    }

    async fn outlook(&self, redemption: &Redemption) -> (Vec<Plan>, Outlook) {
        let storage = self.journal.storage();
        let known = persist("reading a SKU", || storage.outlook(&redemption.sku)).await;
        match known {
            Ok(known) => known.map(|(sku, outlook)| (sku.plans, outlook)).unwrap_or_default(),
            Err(error) => {
                tracing::error!(error = %Chain(&error), sku = %redemption.sku, "a SKU could not be read");
                Default::default()
            }
        }
    }

    fn facts(&self) -> BTreeMap<SupplierName, SupplierFacts> {
        self.suppliers.iter().map(|(name, desk)| (name.clone(), desk.facts())).collect()
    }

    fn jitter(&self) -> u32 {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes) % 1000
    }
}

enum Tried<'a> {
    /// It would buy, and has no place in the line yet. Nothing was stored.
    NeedsPlace,
    Done(Box<Turn>),
    /// It was not stored, and cannot be from here.
    Dropped(Advanced),
    /// Nothing was stored, and the plan has to be chosen again.
    ChooseAgain(Option<SemaphorePermit<'a>>),
}

impl Tried<'_> {
    fn done(redemption: Redemption, wake_at: Option<DateTime<Utc>>, outcome: Option<Event>) -> Self {
        Self::Done(Box::new(Turn { redemption, wake_at, outcome }))
    }
}

struct Turn {
    redemption: Redemption,
    wake_at: Option<DateTime<Utc>>,
    outcome: Option<Event>,
}

fn late_answer(attempt: u32, bought: Bought) -> Option<Inbox> {
    match bought {
        Bought::Order(order) => Some(Inbox::OrderSeen { attempt, order }),
        Bought::Nothing(why) => Some(Inbox::NotBought { attempt, why }),
        Bought::Unclear => None,
    }
}

async fn append(journal: &Journal, id: RedemptionId, item: Inbox) {
    let storage = journal.storage();
    if let Err(error) = persist("storing a late answer", || storage.append_inbox(id, item.clone())).await {
        tracing::error!(error = %Chain(&error), "a late answer could not be stored");
    }
}

impl From<InboxItem> for Input {
    fn from(item: InboxItem) -> Self {
        let event = match item.item {
            Inbox::Wish(wish) => Event::Wish(wish),
            Inbox::News { .. } => Event::Tick,
            Inbox::OrderSeen { attempt, order } => Event::Bought { attempt, order },
            Inbox::NotBought { attempt, why } => Event::NotBought { attempt, why },
        };
        Self { event, consumed: Some(item.id) }
    }
}

/// Whether nothing is under way that would have to be closed by the next purchase.
fn is_yet_to_buy(redemption: &Redemption) -> bool {
    matches!(redemption.phase, Phase::Queued | Phase::CoolingDown { .. })
}

/// Whether deciding on `event` may need the plans, so that a mere look at an order reads no SKU.
fn may_choose(redemption: &Redemption, event: &Event) -> bool {
    match &redemption.phase {
        Phase::Queued
        | Phase::Ordering(_)
        | Phase::Uncertain(_)
        | Phase::Releasing(_)
        | Phase::CoolingDown { .. } => true,
        Phase::Waiting(_) => matches!(event, Event::Wish(_)),
        Phase::Delivered(_) | Phase::Withheld(_) | Phase::Failed(_) | Phase::Cancelled => false,
    }
}

/// Says in the log what an operator wants to know of a move, without anything secret.
fn report(before: &Redemption, after: &Redemption) {
    let (voucher, sku, attempt) = (&after.mask, &after.sku, after.attempts());
    match &after.phase {
        Phase::Waiting(held) if !matches!(before.phase, Phase::Waiting(_)) => {
            tracing::info!(%voucher, %sku, attempt, plan = %held.intent.plan, order = %held.order.id,
                price = %held.order.price, "a number is bought");
        }
        Phase::Uncertain(search) if !matches!(before.phase, Phase::Uncertain(_)) => {
            tracing::warn!(%voucher, %sku, attempt, plan = %search.intent.plan, "a purchase is uncertain");
        }
        Phase::Delivered(_) if !before.is_final() => {
            let duration_ms = (after.updated_at - after.created_at).num_milliseconds();
            tracing::info!(%voucher, %sku, attempt, duration_ms, "a code is delivered");
        }
        Phase::Withheld(_) if !before.is_final() => {
            tracing::error!(%voucher, %sku, attempt, "a message is withheld: it reads like one of a bank or a payment service");
        }
        Phase::Delivered(_) if matches!(before.phase, Phase::Withheld(_)) => {
            tracing::warn!(%voucher, %sku, attempt, "a message that was withheld is released");
        }
        Phase::Failed(Failure { kind, stop: Some(stop), .. }) if !before.is_final() => {
            tracing::error!(%voucher, %sku, attempt, kind = kind.name(), ?stop, "a redemption stopped: the operator has to act");
        }
        Phase::Failed(Failure { kind, .. }) if !before.is_final() => {
            tracing::warn!(%voucher, %sku, attempt, kind = kind.name(), "a redemption failed");
        }
        Phase::Cancelled if !before.is_final() => {
            tracing::info!(%voucher, %sku, attempt, "a redemption is cancelled");
        }
        _ => {}
    }
}
