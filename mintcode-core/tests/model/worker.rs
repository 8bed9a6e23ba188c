//! A worker of the model: decide with the real machine, commit, act, and take each outcome for the next event.

use chrono::{DateTime, Utc};
use mintcode_core::health::Outlook;
use mintcode_core::ports::Stop;
use mintcode_core::redemption::{
    Call, CallFailure, Effect, Event, Listing, NotBought, Phase, Redemption, step,
};

use crate::scene::Scene;
use crate::shared::Shared;
use crate::storage::{Refused, Write};
use crate::supplier::{Buyer, Flight, Reply, Request};
use crate::world::{Input, Slot, Stage, World};

/// How a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storing {
    /// It is answered.
    Sure,
    /// It happens, and its answer is lost: the worker finds it stored, and gets no permit.
    AnswerLost,
    /// Its answer is lost before it happens: the worker repeats it, and then the first one lands as well.
    LandsLate,
    /// It is refused because the worker is fenced, and the worker dies before it told what it knows.
    Forgets,
}

impl World {
    /// The worker decides about what it is told next. `None` where the action makes no difference to another one.
    pub(crate) fn hear(
        &mut self,
        scene: &Scene,
        worker: usize,
        redemption: usize,
        storing: Storing,
    ) -> Option<()> {
        let mut slot = self.slot(worker, redemption)?.clone();
        let input = match &slot.stage {
            Stage::Answered(event) => Input { event: event.clone(), item: None },
            _ if !slot.inputs.is_empty() => slot.inputs.remove(0),
            Stage::Idle(_) => Input { event: Event::Tick, item: None },
            Stage::Acting { .. } => return None,
        };
        let outlook = if scene.learns { self.storage.outlook() } else { Outlook::default() };
        let suppliers = scene.facts(self.storage.newest_order());
        let context = scene.context(&outlook, &suppliers);
        let Ok(decision) = step(&slot.copy, input.event.clone(), &context, self.now) else {
            if self.consume(scene, worker, redemption, &slot, &input) {
                self.rest(worker, redemption, slot, self.now);
            }
            return (storing == Storing::Sure).then_some(());
        };
        let Some(next) = decision.next else {
            if self.consume(scene, worker, redemption, &slot, &input) {
                self.go_on(worker, redemption, slot, decision.effect, false, decision.wake_at);
            }
            return (storing == Storing::Sure).then_some(());
        };
        let write = Write {
            writer: worker,
            redemption,
            before: Shared::clone(&slot.copy),
            next: Shared::new(*next),
            consumed: input.item,
        };
        match self.storage.commit(scene, &write, self.now) {
            Ok(stored) => {
                self.mark(&write, &input);
                let is_purchase = decision.effect == Some(Effect::Buy);
                match storing {
                    Storing::Sure => {}
                    // Without a purchase it makes no difference.
                    Storing::AnswerLost if is_purchase => self.left.odd_commits -= 1,
                    Storing::LandsLate => {
                        self.left.odd_commits -= 1;
                        self.late_write = Some(write);
                    }
                    Storing::AnswerLost | Storing::Forgets => return None,
                }
                let has_permit = is_purchase && storing != Storing::AnswerLost;
                let slot = Slot { copy: stored, ..slot };
                self.go_on(worker, redemption, slot, decision.effect, has_permit, decision.wake_at);
            }
            Err(refused @ (Refused::Claimed | Refused::VoucherMoved)) if storing == Storing::Sure => {
                self.marks.claim_lost |= refused == Refused::Claimed;
                self.marks.release_refused |= refused == Refused::VoucherMoved;
                if self.consume(scene, worker, redemption, &slot, &input) {
                    self.rest(worker, redemption, slot, self.now + scene.timing.poll_max);
                }
            }
            // The source is off for everybody else now, so the next choice is another one.
            Err(Refused::ProbeTaken) if storing == Storing::Sure => {
                slot.inputs.insert(0, input);
                self.rest(worker, redemption, slot, self.now);
            }
            Err(Refused::Fenced | Refused::Conflict | Refused::Corrupt)
                if matches!(storing, Storing::Sure | Storing::Forgets) =>
            {
                self.marks.fenced = true;
                self.put(worker, redemption, None);
                // What only the worker knows is told to whoever owns the redemption now.
                let is_news = matches!(input.event, Event::Bought { .. }) && input.item.is_none();
                match storing {
                    Storing::Sure if is_news => self.storage.tell(redemption, input.event),
                    Storing::Forgets if !is_news => return None,
                    _ => {}
                }
            }
            Err(_) => return None,
        }
        Some(())
    }

    /// What the worker was told changes nothing, and is done with. `false` where the worker turns out to have lost
    /// ownership, and drops the redemption.
    fn consume(
        &mut self,
        scene: &Scene,
        worker: usize,
        redemption: usize,
        slot: &Slot,
        input: &Input,
    ) -> bool {
        let is_owner = input.item.is_none_or(|item| self.storage.forget(scene, &slot.copy, item));
        if !is_owner {
            self.marks.fenced = true;
            self.put(worker, redemption, None);
        }
        is_owner
    }

    /// The decision is stored, or changed nothing: what is to be done comes next, or a pause.
    fn go_on(
        &mut self,
        worker: usize,
        redemption: usize,
        slot: Slot,
        effect: Option<Effect>,
        has_permit: bool,
        wake_at: Option<DateTime<Utc>>,
    ) {
        match (effect, wake_at) {
            (Some(effect), _) => {
                let stage = Stage::Acting { effect, has_permit };
                self.put(worker, redemption, Some(Slot { stage, ..slot }));
            }
            (None, Some(wake_at)) => self.rest(worker, redemption, slot, wake_at),
            (None, None) if slot.inputs.is_empty() => self.put(worker, redemption, None),
            (None, None) => self.rest(worker, redemption, slot, self.now),
        }
    }

    fn rest(&mut self, worker: usize, redemption: usize, slot: Slot, wake_at: DateTime<Utc>) {
        self.put(worker, redemption, Some(Slot { stage: Stage::Idle(wake_at), ..slot }));
    }

    fn mark(&mut self, write: &Write, input: &Input) {
        let (before, next) = (&write.before.phase, &write.next.phase);
        let was_searched = matches!(before, Phase::Uncertain(_));
        let is_taken = matches!(next, Phase::Waiting(_) | Phase::Releasing(_) | Phase::Delivered(_));
        let is_found = matches!(input.event, Event::Listed(_));
        self.marks.adopted |= was_searched && is_taken && is_found;
        self.marks.adopted_late |= was_searched && is_taken && input.item.is_some();
        self.marks.surplus |= matches!(input.event, Event::Bought { .. })
            && write.next.background.len() > write.before.background.len();
        self.marks.delivered_while_releasing |=
            matches!((before, next), (Phase::Releasing(_), Phase::Delivered(_)));
        self.marks.probed |= matches!(next, Phase::Ordering(intent) if intent.is_probe);
    }

    /// The replies that what the worker is about to do may get.
    pub(crate) fn replies(&self, slot: &Slot) -> Vec<Reply> {
        let Stage::Acting { effect, has_permit } = &slot.stage else { return Vec::new() };
        let (request, order) = match effect {
            Effect::Buy => {
                let is_late = matches!(&slot.copy.phase, Phase::Ordering(it) if self.now > it.send_by);
                return match (has_permit, is_late) {
                    (false, _) => vec![Reply::Plain],
                    (true, true) => vec![Reply::Plain, Reply::SentLate],
                    (true, false) => vec![
                        Reply::Plain,
                        Reply::OutOfStock,
                        Reply::Dear,
                        Reply::Throttled,
                        Reply::Stopped,
                        Reply::LostBefore,
                        Reply::LostAfter,
                        Reply::Late,
                    ],
                };
            }
            Effect::ListOrders(_) => {
                return vec![Reply::Plain, Reply::LostBefore, Reply::OldList, Reply::ShortList];
            }
            Effect::Check(_, order) => (Request::Check, order),
            Effect::Finish(_, order) => (Request::Finish, order),
            Effect::Cancel(_, order) => (Request::Cancel, order),
            Effect::Ban(_, order) => (Request::Ban, order),
        };
        self.supplier.replies(order, request)
    }

    /// The worker performs what is stored, and the supplier replies.
    pub(crate) fn perform(
        &mut self,
        scene: &Scene,
        worker: usize,
        redemption: usize,
        reply: Reply,
    ) -> Option<()> {
        let slot = self.slot(worker, redemption)?.clone();
        let Stage::Acting { effect, has_permit } = &slot.stage else { return None };
        if let Some(budget) = reply.budget(&mut self.left) {
            *budget -= 1;
        }
        if reply.is_trouble() {
            self.note_trouble();
        }
        self.marks.zombie_acted |= self.is_stale(redemption, &slot);
        let event = match effect {
            Effect::Buy => self.buy(scene, worker, redemption, &slot.copy, *has_permit, reply)?,
            Effect::ListOrders(_) => self.list(redemption, &slot.copy, reply)?,
            Effect::Check(_, order) => self.ask(order, Request::Check, reply),
            Effect::Finish(_, order) => self.ask(order, Request::Finish, reply),
            Effect::Cancel(_, order) => self.ask(order, Request::Cancel, reply),
            Effect::Ban(_, order) => self.ask(order, Request::Ban, reply),
        };
        self.put(worker, redemption, Some(Slot { stage: Stage::Answered(event), ..slot }));
        Some(())
    }

    fn ask(&mut self, order: &mintcode_core::order::OrderId, request: Request, reply: Reply) -> Event {
        let call = if request == Request::Check { Call::Check } else { Call::Settle };
        match self.supplier.answer(order, request, reply, self.now) {
            Ok(sight) => Event::Seen { order: order.clone(), sight },
            Err(failure) => Event::CallFailed { order: order.clone(), call, failure },
        }
    }

    fn list(&mut self, redemption: usize, copy: &Redemption, reply: Reply) -> Option<Event> {
        let Phase::Uncertain(search) = &copy.phase else { return None };
        if reply == Reply::LostBefore {
            return Some(Event::ListFailed(CallFailure::Unclear));
        }
        let (orders, is_whole) = self.supplier.list(reply);
        let (claimed, other_send_window) = self.storage.claims(redemption, &search.intent.wanted);
        Some(Event::Listed(Listing { orders, is_whole, claimed, other_send_window }))
    }

    fn buy(
        &mut self,
        scene: &Scene,
        worker: usize,
        redemption: usize,
        copy: &Redemption,
        has_permit: bool,
        reply: Reply,
    ) -> Option<Event> {
        let Phase::Ordering(intent) = &copy.phase else { return None };
        let attempt = intent.number;
        let buyer = Buyer { redemption, attempt };
        let nothing = |why| Event::NotBought { attempt, why };
        let is_late = self.now > intent.send_by;
        if !has_permit || (is_late && reply != Reply::SentLate) {
            return Some(nothing(NotBought::NotSent));
        }
        self.marks.sent_late |= is_late;
        Some(match reply {
            Reply::OutOfStock => nothing(NotBought::OutOfStock),
            Reply::Throttled => nothing(NotBought::Throttled { retry_after_ms: None }),
            Reply::Stopped => nothing(NotBought::Stopped(Stop::Balance)),
            Reply::LostBefore => Event::BuyUnclear { attempt },
            Reply::LostAfter => {
                self.supplier.sell(buyer, &intent.wanted, false, self.now);
                Event::BuyUnclear { attempt }
            }
            Reply::Late => {
                let until = intent.send_by + scene.timing.late_max;
                let listener = Some(worker);
                self.supplier.flights.push(Flight { wanted: intent.wanted.clone(), buyer, until, listener });
                Event::BuyUnclear { attempt }
            }
            _ => {
                let order = self.supplier.sell(buyer, &intent.wanted, reply == Reply::Dear, self.now);
                Event::Bought { attempt, order }
            }
        })
    }

    /// A purchase takes effect late, and its answer goes to the inbox if anybody still listens.
    pub(crate) fn land(&mut self, flight: usize, reply: Reply) {
        let Flight { wanted, buyer, listener, .. } = self.supplier.flights.remove(flight);
        let attempt = buyer.attempt;
        let event = if reply == Reply::OutOfStock {
            Event::NotBought { attempt, why: NotBought::OutOfStock }
        } else {
            Event::Bought { attempt, order: self.supplier.sell(buyer, &wanted, false, self.now) }
        };
        if listener.is_some_and(|listener| self.is_awake(listener)) {
            self.storage.tell(buyer.redemption, event);
        }
    }
}
