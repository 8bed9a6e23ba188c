//! What may happen in a state, and what it leads to.

use mintcode_core::order::OrderId;
use mintcode_core::redemption::{Effect, Event, Phase, Wish};
use mintcode_core::voucher::Admission;
use stateright::{Model, Property};

use crate::properties;
use crate::scene::{Cut, Scene, WORKERS};
use crate::storage::Claimant;
use crate::supplier::{Reply, Request};
use crate::worker::Storing;
use crate::world::{Slot, Stage, World};

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The holder posts the voucher.
    Begin { worker: usize },
    /// The holder, or the owner, wishes something of the latest redemption.
    Wish(Wish),
    /// A worker dies, and another process starts in its place.
    Crash { worker: usize },
    /// A worker stands still.
    Freeze { worker: usize },
    /// It goes on, as if nothing had happened.
    Wake { worker: usize },
    /// A worker takes over a redemption whose owner is dead or stands still.
    TakeOver { worker: usize, redemption: usize },
    /// The owner looks into the inbox.
    Look { worker: usize, redemption: usize },
    /// A worker fetches a redemption that nobody holds because something is in its inbox.
    Fetch { worker: usize, redemption: usize },
    /// A worker decides about what it is told next, and stores that.
    Hear { worker: usize, redemption: usize, storing: Storing },
    /// A worker does what it stored.
    Perform { worker: usize, redemption: usize, reply: Reply },
    /// A late purchase takes effect.
    Land { flight: usize, reply: Reply },
    /// A commit that was repeated lands as well.
    LandCommit,
    /// The sweeper claims an order that nobody claims.
    Sweep(OrderId),
    /// The sweeper gives back, or completes, an order that it claimed.
    Return { order: OrderId, reply: Reply },
    /// Time passes until the next moment at which anything happens by itself.
    Wait,
}

impl Scene {
    /// What may happen, and what must sooner or later.
    fn all_actions(&self, world: &World) -> Vec<Action> {
        let mut actions = self.must(world);
        for (worker, redemption, slot) in world.slots() {
            if world.is_awake(worker) && slot.hears(world.now) {
                actions.extend(self.oddities(world, redemption, slot).map(|storing| Action::Hear {
                    worker,
                    redemption,
                    storing,
                }));
            }
        }
        for worker in 0..WORKERS {
            let is_in_turn = world.workers[worker].slots.iter().flatten().any(is_in_turn);
            if world.left.crashes > 0 && (is_in_turn || world.supplier.is_heard_by(worker)) {
                actions.push(Action::Crash { worker });
            }
            if world.left.freezes > 0 && is_in_turn && world.is_awake(worker) {
                actions.push(Action::Freeze { worker });
            }
        }
        if let Some(latest) = world.storage.latest().filter(|_| world.left.wishes > 0) {
            if let (Phase::Waiting(_), Some(attempt)) = (&latest.phase, latest.snapshot().attempt) {
                actions.push(Action::Wish(Wish::Replace { attempt }));
            }
            if !latest.is_final() {
                actions.push(Action::Wish(Wish::Cancel));
            }
            if matches!(latest.phase, Phase::Withheld(_)) {
                actions.push(Action::Wish(Wish::Release));
            }
        }
        if world.left.begins > 0
            && world.storage.latest().is_none_or(|latest| latest.is_final())
            && matches!(world.storage.admission(self, world.now), Admission::Begin { .. })
        {
            // The request came to a process that drives redemptions itself.
            let awake = (0..WORKERS).find(|worker| world.is_awake(*worker));
            actions.extend(awake.map(|worker| Action::Begin { worker }));
        }
        actions
    }

    /// Odd ways in which the commit of a decision may go.
    fn oddities(&self, world: &World, redemption: usize, slot: &Slot) -> impl Iterator<Item = Storing> {
        let may_be_odd = world.left.odd_commits > 0;
        let knows_alone = matches!(slot.stage, Stage::Answered(Event::Bought { .. }));
        let odd = may_be_odd.then_some([Storing::AnswerLost, Storing::LandsLate]).into_iter().flatten();
        let is_fenced = self.has(Cut::Fence) && world.is_stale(redemption, slot) && knows_alone;
        odd.chain(is_fenced.then_some(Storing::Forgets))
    }

    /// What happens by itself if nothing else does. Where this is empty, everything has come to its end.
    pub(crate) fn must(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut is_urgent = world.late_write.is_some();
        for (worker, redemption, slot) in world.slots() {
            if !world.is_awake(worker) {
                continue;
            }
            if slot.hears(world.now) {
                actions.push(Action::Hear { worker, redemption, storing: Storing::Sure });
            }
            let left = |reply: &Reply| reply.is_left(&world.left);
            let replies = world.replies(slot).into_iter().filter(left);
            actions.extend(replies.map(|reply| Action::Perform { worker, redemption, reply }));
            let is_idle = matches!(slot.stage, Stage::Idle(_)) && slot.inputs.is_empty();
            if is_idle && world.storage.inbox(redemption).next().is_some() {
                actions.push(Action::Look { worker, redemption });
            }
        }
        actions.extend(self.fetches(world));
        is_urgent |= !actions.is_empty();
        actions.extend(self.takeovers(world));
        actions.extend(
            (0..WORKERS).filter(|worker| !world.is_awake(*worker)).map(|worker| Action::Wake { worker }),
        );
        for (flight, it) in world.supplier.flights.iter().enumerate() {
            let replies = [Reply::Plain, Reply::OutOfStock].into_iter();
            let replies = replies.filter(|reply| reply.is_left(&world.left));
            actions.extend(replies.map(|reply| Action::Land { flight, reply }));
            is_urgent |= it.until <= world.now;
        }
        if world.late_write.is_some() {
            actions.push(Action::LandCommit);
        }
        actions.extend(world.orphans(self).into_iter().map(Action::Sweep));
        for (order, claimant) in &world.storage.claims {
            let is_open = world.supplier.find(order).is_some_and(crate::supplier::Sold::is_open);
            if *claimant == Claimant::Sweeper && is_open {
                let replies = [Reply::Plain, Reply::Message].into_iter();
                let replies = replies.filter(|reply| reply.is_left(&world.left));
                actions.extend(replies.map(|reply| Action::Return { order: order.clone(), reply }));
            }
        }
        if !is_urgent && world.next_moment(self).is_some() {
            actions.push(Action::Wait);
        }
        actions
    }

    fn takeovers(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.has(Cut::TakeOver) {
            return actions;
        }
        for redemption in 0..world.storage.redemptions.len() {
            if world.is_forsaken(self, redemption) {
                let owner = world.owner(self, redemption);
                let workers = self.candidates(world, redemption).filter(|worker| Some(*worker) != owner);
                actions.extend(workers.map(|worker| Action::TakeOver { worker, redemption }));
            }
        }
        actions
    }

    fn fetches(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        for redemption in 0..world.storage.redemptions.len() {
            if world.storage.inbox(redemption).next().is_none() || world.is_forsaken(self, redemption) {
                continue;
            }
            let owner = world.owner(self, redemption).filter(|owner| world.is_awake(*owner));
            let is_held = owner.is_some_and(|owner| world.slot(owner, redemption).is_some());
            if !is_held {
                let mut workers = self.candidates(world, redemption);
                let worker = workers.find(|worker| owner.is_none_or(|owner| owner == *worker));
                actions.extend(worker.map(|worker| Action::Fetch { worker, redemption }));
            }
        }
        actions
    }

    /// Workers that may take over: of two that hold nothing at all, either is as good as the other.
    fn candidates(&self, world: &World, redemption: usize) -> impl Iterator<Item = usize> {
        let is_blank = |worker: usize| {
            let it = &world.workers[worker];
            it.slots.is_empty() && !it.is_frozen && !world.supplier.is_heard_by(worker)
        };
        let are_alike = (0..WORKERS).all(is_blank) && world.owner(self, redemption).is_none();
        let all = if are_alike { 1 } else { WORKERS };
        (0..all).filter(|worker| world.is_awake(*worker)).collect::<Vec<_>>().into_iter()
    }
}

/// Whether the worker knows or is about to do something that nobody else does. One that waits, or is about to look, may
/// die or stand still as if it had done so in the turn before or after.
fn is_in_turn(slot: &Slot) -> bool {
    match &slot.stage {
        Stage::Idle(_) => false,
        Stage::Acting { effect, .. } => !matches!(effect, Effect::Check(..) | Effect::ListOrders(_)),
        Stage::Answered(_) => true,
    }
}

impl World {
    fn happen(&mut self, scene: &Scene, action: Action) -> Option<()> {
        self.happenings += 1;
        match action {
            Action::Begin { worker } => {
                let copy = self.storage.begin(scene, worker, self.now)?;
                self.left.begins -= 1;
                self.calm_since = None;
                let redemption = self.storage.redemptions.len() - 1;
                let slot = Slot { copy, inputs: Vec::new(), stage: Stage::Idle(self.now) };
                self.put(worker, redemption, Some(slot));
            }
            Action::Wish(wish) => {
                self.left.wishes -= 1;
                let latest = self.storage.redemptions.len() - 1;
                self.storage.tell(latest, Event::Wish(wish));
            }
            Action::Crash { worker } => {
                self.left.crashes -= 1;
                self.note_trouble();
                self.workers[worker] = crate::world::Worker::default();
                self.storage.bury(scene, worker);
                for flight in &mut self.supplier.flights {
                    flight.listener = flight.listener.filter(|listener| *listener != worker);
                }
            }
            Action::Freeze { worker } => {
                self.left.freezes -= 1;
                self.workers[worker].is_frozen = true;
            }
            Action::Wake { worker } => {
                self.note_trouble();
                self.workers[worker].is_frozen = false;
            }
            Action::TakeOver { worker, redemption } => {
                self.note_trouble();
                self.adopt(scene, worker, redemption, Event::Recovered);
            }
            Action::Fetch { worker, redemption } => self.adopt(scene, worker, redemption, Event::Tick),
            Action::Look { worker, redemption } => {
                let inputs = self.inputs(redemption, Event::Tick);
                let slot = self.slot(worker, redemption)?.clone();
                self.put(worker, redemption, Some(Slot { inputs, ..slot }));
            }
            Action::Hear { worker, redemption, storing } => {
                self.hear(scene, worker, redemption, storing)?;
            }
            Action::Perform { worker, redemption, reply } => {
                self.perform(scene, worker, redemption, reply)?;
            }
            Action::Land { flight, reply } => {
                if let Some(budget) = reply.budget(&mut self.left) {
                    *budget -= 1;
                }
                self.note_trouble();
                self.land(flight, reply);
            }
            Action::LandCommit => {
                let write = self.late_write.take()?;
                self.marks.commit_repeated |= self.storage.commit(scene, &write, self.now).is_err();
            }
            Action::Sweep(order) => self.storage.claims.push((order, Claimant::Sweeper)),
            Action::Return { order, reply } => self.give_back(&order, reply)?,
            Action::Wait => {
                self.now = self.next_moment(scene)?;
                self.happenings = 0;
            }
        }
        Some(())
    }

    fn adopt(&mut self, scene: &Scene, worker: usize, redemption: usize, event: Event) {
        let is_mine = self.owner(scene, redemption) == Some(worker);
        let copy = if is_mine {
            self.storage.stored(redemption).clone()
        } else {
            self.storage.take_over(scene, redemption, worker)
        };
        let inputs = self.inputs(redemption, event);
        self.put(worker, redemption, Some(Slot { copy, inputs, stage: Stage::Idle(self.now) }));
    }

    /// The sweeper ends an order that is its own by now: one with a message can only be completed.
    fn give_back(&mut self, order: &OrderId, reply: Reply) -> Option<()> {
        if let Some(budget) = reply.budget(&mut self.left) {
            *budget -= 1;
        }
        let has_message = reply == Reply::Message || !self.supplier.find(order)?.messages.is_empty();
        let request = if has_message { Request::Finish } else { Request::Cancel };
        self.marks.swept |= self.supplier.answer(order, request, reply, self.now).is_ok();
        Some(())
    }
}

impl Model for Scene {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(self.all_actions(world));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.happen(self, action)?;
        Some(next)
    }

    /// A worker that turns in a circle is found by then, and not followed any further.
    fn within_boundary(&self, world: &World) -> bool {
        world.happenings <= properties::MOST_AT_ONCE
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
