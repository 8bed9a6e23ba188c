//! One state of the model: storage, two workers, the supplier, and the time.

use chrono::{DateTime, Utc};
use mintcode_core::order::OrderId;
use mintcode_core::redemption::{Effect, Event, Phase, Redemption};
use mintcode_core::voucher::{Admission, Refusal};

use crate::scene::{Cut, Left, Scene, WORKERS};
use crate::shared::Shared;
use crate::storage::{Item, Storage, Write};
use crate::supplier::{Sold, Supplier};

/// What a worker holds of a redemption: lost when it dies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// The redemption as the worker knows it, which is stale once another worker took over.
    pub(crate) copy: Shared<Redemption>,
    /// What it is told next: inbox items, and then the event that this turn began with.
    pub(crate) inputs: Vec<Input>,
    pub(crate) stage: Stage,
}

impl Slot {
    /// Whether there is something for the worker to decide about.
    pub(crate) fn hears(&self, now: DateTime<Utc>) -> bool {
        match &self.stage {
            Stage::Answered(_) => true,
            Stage::Idle(wake_at) => !self.inputs.is_empty() || *wake_at <= now,
            Stage::Acting { .. } => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Input {
    pub(crate) event: Event,
    /// The inbox item behind it.
    pub(crate) item: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Nothing to do before this moment, if no input is left.
    Idle(DateTime<Utc>),
    /// The decision is stored; its effect is not performed yet.
    Acting {
        effect: Effect,
        /// Leave to buy: this very commit made the intent durable.
        has_permit: bool,
    },
    /// The effect is performed; its outcome is not decided about yet.
    Answered(Event),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    /// It stands still, and does not know.
    pub(crate) is_frozen: bool,
    /// By redemption.
    pub(crate) slots: Vec<Option<Slot>>,
}

/// What was met on the way, so that a run that never met it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(crate) struct Marks {
    /// A lost purchase was found in the list, and taken for its attempt.
    pub(crate) adopted: bool,
    /// A purchase's late answer came by the inbox while it was looked for, and was taken.
    pub(crate) adopted_late: bool,
    /// An order came to light when its attempt was over, and is given back unseen.
    pub(crate) surplus: bool,
    /// A worker that lost ownership was refused a write.
    pub(crate) fenced: bool,
    /// A worker that lost ownership performed what it had stored before.
    pub(crate) zombie_acted: bool,
    /// A purchase left after its `send_by`.
    pub(crate) sent_late: bool,
    /// The sweeper gave an order back.
    pub(crate) swept: bool,
    /// A code was delivered though its number was being given back.
    pub(crate) delivered_while_releasing: bool,
    /// An order was claimed by somebody else first.
    pub(crate) claim_lost: bool,
    /// What was withheld could not be released any more, since the voucher had gone on.
    pub(crate) release_refused: bool,
    /// A source was probed.
    pub(crate) probed: bool,
    /// A commit landed after its repetition, and was refused.
    pub(crate) commit_repeated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: DateTime<Utc>,
    /// Happenings since the clock last moved. With it, every action leads to a later state: time grows, or else this
    /// does, so that no path of the model ever comes back to where it was.
    pub(crate) happenings: u16,
    pub(crate) left: Left,
    pub(crate) storage: Storage,
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) supplier: Supplier,
    /// A commit that its worker repeated, and that is still under way.
    pub(crate) late_write: Option<Write>,
    /// When trouble last ended, where that is past the deadline of the latest redemption.
    pub(crate) calm_since: Option<DateTime<Utc>>,
    pub(crate) marks: Marks,
}

impl World {
    pub(crate) fn new(scene: &Scene) -> Self {
        Self {
            now: Scene::start(),
            happenings: 0,
            left: scene.left.clone(),
            storage: Storage::new(scene.voucher.clone()),
            workers: Default::default(),
            supplier: Supplier::default(),
            late_write: None,
            calm_since: None,
            marks: Marks::default(),
        }
    }

    pub(crate) fn slot(&self, worker: usize, redemption: usize) -> Option<&Slot> {
        self.workers[worker].slots.get(redemption)?.as_ref()
    }

    pub(crate) fn put(&mut self, worker: usize, redemption: usize, slot: Option<Slot>) {
        let slots = &mut self.workers[worker].slots;
        if slots.len() <= redemption {
            slots.resize(redemption + 1, None);
        }
        slots[redemption] = slot;
        while slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
    }

    pub(crate) fn is_awake(&self, worker: usize) -> bool {
        !self.workers[worker].is_frozen
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, usize, &Slot)> {
        self.workers.iter().enumerate().flat_map(|(worker, it)| {
            let held = it.slots.iter().enumerate();
            held.filter_map(move |(redemption, slot)| Some((worker, redemption, slot.as_ref()?)))
        })
    }

    /// The living owner of a redemption.
    pub(crate) fn owner(&self, scene: &Scene, redemption: usize) -> Option<usize> {
        let owner = self.storage.stored(redemption).owner?;
        scene.workers.iter().position(|worker| *worker == owner)
    }

    /// Whether `worker` knows less than is stored: another one took over.
    pub(crate) fn is_stale(&self, redemption: usize, slot: &Slot) -> bool {
        slot.copy.epoch != self.storage.stored(redemption).epoch
    }

    /// Inbox items of a redemption, as inputs of a turn that ends with `event`.
    pub(crate) fn inputs(&self, redemption: usize, event: Event) -> Vec<Input> {
        let items = self.storage.inbox(redemption);
        let told = items.map(|Item { id, event, .. }| Input { event: event.clone(), item: Some(*id) });
        told.chain([Input { event, item: None }]).collect()
    }

    /// Trouble that ends now puts off the moment by which a redemption has to be over.
    pub(crate) fn note_trouble(&mut self) {
        if self.storage.latest().is_some_and(|latest| self.now > latest.deadline) {
            self.calm_since = Some(self.now);
        }
    }

    /// Whether the redemption is without anybody who could drive it now.
    pub(crate) fn is_forsaken(&self, scene: &Scene, redemption: usize) -> bool {
        !self.storage.stored(redemption).is_at_rest()
            && self.owner(scene, redemption).is_none_or(|owner| !self.is_awake(owner))
    }

    /// The orders that the sweeper may claim now.
    pub(crate) fn orphans(&self, scene: &Scene) -> Vec<OrderId> {
        if !scene.has(Cut::Sweeper) || !scene.is_exclusive {
            return Vec::new();
        }
        let old = self.unclaimed().filter(|(_, since)| *since + scene.orphan_age <= self.now);
        old.map(|(order, _)| order.clone()).collect()
    }

    /// Open orders that nobody claims and no unresolved attempt may turn out to have bought, with their age.
    fn unclaimed(&self) -> impl Iterator<Item = (&OrderId, DateTime<Utc>)> {
        let may_be_wanted = |country: &str| {
            self.storage.all().any(|redemption| match &redemption.phase {
                Phase::Ordering(intent) => intent.wanted.country == country,
                Phase::Uncertain(search) => search.intent.wanted.country == country,
                _ => false,
            })
        };
        let orphans = self.supplier.orders.iter().filter(move |sold| {
            sold.is_open() && !self.storage.is_claimed(&sold.order.id) && !may_be_wanted(&sold.wanted.country)
        });
        orphans.map(|sold| (&sold.order.id, sold.order.created_at))
    }

    /// The next moment at which anything may happen by itself; `None` where nothing ever will.
    pub(crate) fn next_moment(&self, scene: &Scene) -> Option<DateTime<Utc>> {
        let mut moments = Vec::new();
        for (worker, _, slot) in self.slots() {
            if let (true, Stage::Idle(wake_at)) = (self.is_awake(worker), &slot.stage) {
                moments.push(*wake_at);
            }
        }
        moments.extend(self.supplier.flights.iter().map(|flight| flight.until));
        if scene.has(Cut::Sweeper) && scene.is_exclusive {
            moments.extend(self.unclaimed().map(|(_, since)| since + scene.orphan_age));
        }
        moments.extend(self.may_begin_at(scene));
        for index in 0..self.storage.redemptions.len() {
            let redemption = self.storage.stored(index);
            if !self.is_forsaken(scene, index) {
                continue;
            }
            // Nobody knows how long nobody looks: until any moment at which something else would have been decided.
            if let Phase::Ordering(intent) = &redemption.phase {
                moments.push(intent.send_by + scene.timing.late_max);
            }
            moments.push(redemption.deadline);
        }
        moments.into_iter().filter(|moment| *moment > self.now).min()
    }

    /// When the holder may try again, where it is not now.
    fn may_begin_at(&self, scene: &Scene) -> Option<DateTime<Utc>> {
        if self.left.begins == 0 || !self.storage.latest()?.is_final() {
            return None;
        }
        match self.storage.admission(scene, self.now) {
            Admission::Refused(Refusal::CoolingDown { until }) => Some(until),
            Admission::Refused(Refusal::Unavailable { until }) => until,
            Admission::Begin { .. } | Admission::Same | Admission::Expired(_) | Admission::Refused(_) => None,
        }
    }

    /// Whether everything has come to its end: no redemption under way, and no order open at the supplier. On an account
    /// that others use as well, nobody can tell whose an order is that no attempt claims: such an order is left to its
    /// own end.
    pub(crate) fn is_settled(&self, scene: &Scene) -> bool {
        let is_left_open =
            |sold: &Sold| sold.is_open() && (scene.is_exclusive || self.storage.is_claimed(&sold.order.id));
        self.storage.latest().is_some()
            && self.storage.all().all(Redemption::is_at_rest)
            && self.supplier.flights.is_empty()
            && !self.supplier.orders.iter().any(is_left_open)
    }
}
