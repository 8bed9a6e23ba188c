//! Takes one redemption as far as it goes without waiting: decide, commit, act, and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::task::TaskTracker;

use super::journal::{Journal, Lost, persist};
use super::supplier_desk::{Bought, Chain, OrderCall, SupplierDesk};
use super::worker::Command;
use crate::health::Outlook;
use crate::ids::{RedemptionId, SupplierName};
use crate::order::OrderId;
use crate::ports::{BuyPermit, Clock, Entropy, Inbox, InboxItem, StorageError};
use crate::redemption::{
    Call, CallFailure, Context, Decision, Effect, Event, Failure, Intent, Listing, NotBought, Phase,
    Redemption, SupplierFacts, Timing, Wish, WishAnswer, step, weigh_wish,
};
use crate::rules::Rules;
use crate::sku::Plan;

pub(super) struct Driver {
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) suppliers: BTreeMap<SupplierName, Arc<SupplierDesk>>,
    pub(super) timing: Timing,
    pub(super) rules: Arc<Rules>,
    /// Purchases whose answer is late outlive the redemption's turn.
    pub(super) late_answers: TaskTracker,
    pub(super) commands: mpsc::Sender<Command>,
    /// Places in the line to a supplier: as many as get their turn well within the window of an intent.
    pub(super) purchases: Semaphore,
}

/// Where a turn ended.
pub(super) struct Advanced {
    pub(super) redemption: Redemption,
    /// When to look again; `None` when nothing is left to do.
    pub(super) wake_at: Option<DateTime<Utc>>,
}

/// What the machine is told, and which inbox item that takes care of.
struct Input {
    event: Event,
    consumed: Option<i64>,
}

impl Driver {
    /// Takes `redemption` as far as it goes without waiting, beginning with its inbox if `look_inside` and then with
    /// `event`. `None` means that it is not this worker's any more.
    pub(super) async fn advance(
        &self,
        redemption: Redemption,
        event: Event,
        look_inside: bool,
    ) -> Option<Advanced> {
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
                let turn = self.turn(current, event, consumed).await?;
                current = turn.redemption;
                wake_at = turn.wake_at;
                next = turn.outcome.map(|event| Input { event, consumed: None });
            }
        }
        Some(Advanced { redemption: current, wake_at })
    }

    async fn turn(&self, current: Redemption, event: Event, consumed: Option<i64>) -> Option<Turn> {
        // Taken before the intent is stored, so that its window is not spent in line.
        let mut place = if may_buy(&current, &event) { self.purchases.acquire().await.ok() } else { None };
        loop {
            match self.try_turn(&current, event.clone(), consumed, place).await {
                Tried::Done(turn) => return Some(*turn),
                Tried::Dropped => return None,
                // The source is off for everybody else now, so the next choice is another one.
                Tried::ChooseAgain(kept) => place = kept,
            }
        }
    }

    async fn try_turn<'a>(
        &'a self,
        current: &Redemption,
        event: Event,
        consumed: Option<i64>,
        place: Option<SemaphorePermit<'a>>,
    ) -> Tried<'a> {
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
                self.discard(consumed).await;
                let wake_at = Some(self.clock.now());
                return Tried::done(current.clone(), wake_at, None);
            }
        };

        let Decision { next, effect, choice, wake_at } = decision;
        let Some(next) = next else {
            self.discard(consumed).await;
            let outcome = match effect {
                Some(effect) => self.perform(effect, None, current, None).await,
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
                        self.perform(effect, committed.permit, &committed.redemption, place).await
                    }
                    None => None,
                };
                Tried::done(committed.redemption, wake_at, outcome)
            }
            // Another attempt was faster: the look goes on, never a new purchase. Or what was withheld can no longer be
            // released.
            Err(lost @ (Lost::Claim | Lost::Voucher)) => {
                tracing::warn!(voucher = %current.mask, error = %lost, "an event came too late");
                self.discard(told).await;
                let wake_at = Some(self.clock.now() + self.timing.poll_max);
                Tried::done(current.clone(), wake_at, None)
            }
            Err(Lost::Probe) => Tried::ChooseAgain(place),
            Err(lost @ (Lost::Ownership(_) | Lost::Unreadable(_))) => {
                tracing::error!(voucher = %current.mask, error = %Chain(&lost), "dropping a redemption");
                Tried::Dropped
            }
        }
    }

    /// Performs `effect` for `redemption`, as stored, and tells what came of it. `place` is a purchase's in the line.
    async fn perform(
        &self,
        effect: Effect,
        permit: Option<BuyPermit>,
        redemption: &Redemption,
        place: Option<SemaphorePermit<'_>>,
    ) -> Option<Event> {
        let place = place.filter(|_| effect == Effect::Buy);
        match effect {
            Effect::Buy => match &redemption.phase {
                Phase::Ordering(intent) => Some(self.buy(redemption.id, intent, permit, place).await),
                _ => None,
            },
            Effect::Check(supplier, order) => Some(self.call(&supplier, order, OrderCall::Check).await),
            Effect::Finish(supplier, order) => Some(self.call(&supplier, order, OrderCall::Finish).await),
            Effect::Cancel(supplier, order) => Some(self.call(&supplier, order, OrderCall::Cancel).await),
            Effect::Ban(supplier, order) => Some(self.call(&supplier, order, OrderCall::Ban).await),
            Effect::ListOrders(supplier) => match &redemption.phase {
                Phase::Uncertain(search) => Some(self.list(redemption.id, &supplier, &search.intent).await),
                _ => None,
            },
        }
    }

    async fn buy(
        &self,
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
        if let Err(why) = desk.turn_to_buy().await {
            return Event::NotBought { attempt, why };
        }
        drop(place);
        let mut purchase = self.late_answers.spawn(async move { desk.buy(permit).await });
        match tokio::time::timeout(self.timing.buy_timeout, &mut purchase).await {
            Ok(Ok(Bought::Order(order))) => Event::Bought { attempt, order },
            Ok(Ok(Bought::Nothing(why))) => Event::NotBought { attempt, why },
            Ok(Ok(Bought::Unclear) | Err(_)) => Event::BuyUnclear { attempt },
            Err(_) => {
                self.await_late_answer(id, attempt, purchase);
                Event::BuyUnclear { attempt }
            }
        }
    }

    /// The answer may still come: it goes to the inbox then, so that nothing that reached us is lost.
    fn await_late_answer(&self, id: RedemptionId, attempt: u32, purchase: tokio::task::JoinHandle<Bought>) {
        let (journal, commands) = (self.journal.clone(), self.commands.clone());
        self.late_answers.spawn(async move {
            let item = match purchase.await {
                Ok(Bought::Order(order)) => Inbox::OrderSeen { attempt, order },
                Ok(Bought::Nothing(why)) => Inbox::NotBought { attempt, why },
                Ok(Bought::Unclear) | Err(_) => return,
            };
            let stored =
                persist("storing a late answer", || journal.storage().append_inbox(id, item.clone())).await;
            match stored {
                // A worker that is gone reads the inbox when it is back.
                Ok(()) => drop(commands.send(Command::Look(id)).await),
                Err(error) => tracing::error!(error = %Chain(&error), "a late answer could not be stored"),
            }
        });
    }

    async fn call(&self, supplier: &SupplierName, order: OrderId, which: OrderCall) -> Event {
        let call = match which {
            OrderCall::Check => Call::Check,
            OrderCall::Finish | OrderCall::Cancel | OrderCall::Ban => Call::Settle,
        };
        let Some(desk) = self.suppliers.get(supplier) else {
            return Event::CallFailed { order, call, failure: CallFailure::Unclear };
        };
        match desk.order(&order, which).await {
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

    async fn discard(&self, consumed: Option<i64>) {
        let Some(item) = consumed else { return };
        let storage = self.journal.storage();
        if let Err(error) =
            persist("discarding an inbox item", || storage.discard_inbox(std::slice::from_ref(&item))).await
        {
            tracing::error!(error = %Chain(&error), "an inbox item could not be discarded");
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
    Done(Box<Turn>),
    /// The redemption is not this worker's any more.
    Dropped,
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

impl From<InboxItem> for Input {
    fn from(item: InboxItem) -> Self {
        let event = match item.item {
            Inbox::Wish(wish) => Event::Wish(wish),
            Inbox::OrderSeen { attempt, order } => Event::Bought { attempt, order },
            Inbox::NotBought { attempt, why } => Event::NotBought { attempt, why },
        };
        Self { event, consumed: Some(item.id) }
    }
}

/// Whether deciding on `event` may end in a purchase.
fn may_buy(redemption: &Redemption, event: &Event) -> bool {
    match (&redemption.phase, event) {
        (Phase::Queued | Phase::CoolingDown { .. }, Event::Tick | Event::Recovered)
        | (Phase::Ordering(_), Event::Bought { .. } | Event::NotBought { .. })
        | (Phase::Uncertain(_), Event::Bought { .. } | Event::NotBought { .. } | Event::Listed(_))
        | (Phase::Releasing(_), Event::Seen { .. } | Event::CallFailed { .. }) => true,
        (
            Phase::Queued
            | Phase::CoolingDown { .. }
            | Phase::Ordering(_)
            | Phase::Uncertain(_)
            | Phase::Releasing(_)
            | Phase::Waiting(_)
            | Phase::Delivered(_)
            | Phase::Withheld(_)
            | Phase::Failed(_)
            | Phase::Cancelled,
            _,
        ) => false,
    }
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
