//! Drives every live redemption of this process: queues of what is due, and a bounded number of turns at once.
//!
//! A redemption that waits for its SMS is a small record here and in its account's watchlist, not a task; it is loaded
//! again when there is news or something to do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::driver::{Advanced, Driver};
use super::journal::persist;
use super::pulse::Pulse;
use super::supplier_desk::Chain;
use crate::ids::RedemptionId;
use crate::ports::{Adopt, Clock, StorageError};
use crate::redemption::{Event, Phase, Redemption};

/// Turns at once that may end in a purchase: they wait in line, and nothing else is to wait behind them.
const MOST_BUYING: usize = 128;
/// Turns at once that look for a lost purchase: they wait for the list, and nothing else is to wait behind them.
const MOST_SEARCHING: usize = 256;
/// Other turns at once.
const MOST_OTHERS: usize = 256;
/// Redemptions taken over in one transaction.
const ADOPTED_AT_ONCE: u32 = 500;
/// Redemptions noted as outlived in one transaction.
const OUTLIVED_AT_ONCE: usize = 500;
/// How often a redemption may be taken over before anybody has driven it through a turn.
const MOST_TAKEOVERS: u32 = 5;
/// How long a stopping worker waits for the turns under way.
const GRACE: Duration = Duration::from_secs(10);
/// How long a redemption rests whose turn panicked.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// How long one rests whose stored version was another.
const A_WHILE: Duration = Duration::from_secs(1);

/// What the worker is told.
pub(super) enum Command {
    /// A redemption began.
    Start(Box<Redemption>),
    /// A redemption may have begun of which the worker does not know.
    Ensure(RedemptionId),
    /// There is something in a redemption's inbox.
    Look(RedemptionId),
    /// There is news about the order of a redemption.
    News {
        /// Whose order.
        redemption: RedemptionId,
        /// What was seen.
        event: Box<Event>,
    },
    /// A redemption that was taken over was looked at, and this worker lives.
    Outlived(RedemptionId),
    /// Redemptions that nobody drove were taken over by this worker.
    Adopted(Vec<Redemption>),
}

/// When which redemption is due, the next one first.
type DueQueue = BinaryHeap<Reverse<(DateTime<Utc>, RedemptionId)>>;

/// How a worker's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it was told, with nothing left under way.
    Stopped,
    /// It was not heard of, or struck off: others drive its redemptions now.
    Lost,
}

/// When a worker has to end.
#[derive(Clone)]
pub(super) struct Orders {
    /// Now.
    pub(super) stop: CancellationToken,
    /// Once nothing is left to drive; nothing is taken over any more.
    pub(super) drain: CancellationToken,
}

pub(super) struct Worker<'a> {
    driver: Arc<Driver>,
    pulse: Arc<Pulse>,
    commands: &'a mut mpsc::Receiver<Command>,
    drain: CancellationToken,
    live: BTreeMap<RedemptionId, Slot>,
    /// May hold entries that a later one of the same redemption has replaced.
    due: [DueQueue; Lane::ALL.len()],
    running: JoinSet<(RedemptionId, Advanced)>,
    /// Whose turn a task is, and of which lane.
    turns: BTreeMap<Id, (RedemptionId, Lane)>,
    /// Turns under way in each lane.
    busy: [usize; Lane::ALL.len()],
    /// Redemptions that were taken over and driven through a turn since.
    outlived: Vec<RedemptionId>,
    /// The look for work and wishes that is under way.
    looking: Option<AbortOnDropHandle<()>>,
}

/// Turns that may wait long stand in lines of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Others,
    Buying,
    Searching,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Others, Self::Searching, Self::Buying];

    fn of(redemption: &Redemption) -> Self {
        match redemption.phase {
            Phase::Queued | Phase::CoolingDown { .. } => Self::Buying,
            Phase::Uncertain(_) => Self::Searching,
            _ => Self::Others,
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Buying => MOST_BUYING,
            Self::Searching => MOST_SEARCHING,
            Self::Others => MOST_OTHERS,
        }
    }
}

enum Slot {
    /// Until its time comes.
    Idle(Box<Idle>),
    /// Its order is looked at; it is loaded again when there is news, or when its time comes.
    Watched { act_at: DateTime<Utc> },
    /// A turn is under way.
    Running { look_again: bool },
}

struct Idle {
    redemption: Redemption,
    wake_at: DateTime<Utc>,
    event: Event,
    look: bool,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        driver: Arc<Driver>,
        pulse: Arc<Pulse>,
        commands: &'a mut mpsc::Receiver<Command>,
        drain: CancellationToken,
    ) -> Self {
        Self {
            driver,
            pulse,
            commands,
            drain,
            live: BTreeMap::new(),
            due: Default::default(),
            running: JoinSet::new(),
            turns: BTreeMap::new(),
            busy: [0; Lane::ALL.len()],
            outlived: Vec::new(),
            looking: None,
        }
    }

    /// Takes over what nobody drives, and drives everything until `orders` or the end of its pulse.
    pub(super) async fn run(mut self, orders: Orders) -> Ending {
        let mut looks = tokio::time::interval(self.driver.timing.inbox_look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pulse = Arc::clone(&self.pulse);
        loop {
            self.start_due_turns();
            let next_due = self.next_due();
            let is_draining = orders.drain.is_cancelled();
            if is_draining && self.live.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = orders.stop.cancelled() => break,
                () = pulse.ended() => return self.lost(),
                Some(ended) = self.running.join_next_with_id() => self.turn_ended(ended),
                Some(command) = self.commands.recv() => self.obey(command),
                () = orders.drain.cancelled(), if !is_draining => {}
                _ = looks.tick() => self.look_around(is_draining),
                () = sleep(next_due), if next_due.is_some() => {}
            }
        }
        self.wind_down().await;
        Ending::Stopped
    }

    /// Looks for redemptions that nobody drives, and for what others have told this worker's redemptions.
    fn look_around(&mut self, is_draining: bool) {
        // One look at a time, however long storage takes.
        if self.looking.as_ref().is_some_and(|looking| !looking.is_finished()) {
            return;
        }
        let (driver, pulse) = (Arc::clone(&self.driver), Arc::clone(&self.pulse));
        let worker = pulse.worker;
        let outlived = std::mem::take(&mut self.outlived);
        let commands = self.driver.commands.clone();
        self.looking = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let storage = driver.journal.storage();
            for some in outlived.chunks(OUTLIVED_AT_ONCE) {
                if let Err(error) = storage.outlived(worker, some).await {
                    tracing::warn!(error = %Chain(&error), "what was outlived could not be noted, trying again");
                    for id in some {
                        drop(commands.send(Command::Outlived(*id)).await);
                    }
                }
            }
            if !is_draining {
                adopt_all(&driver, &pulse).await;
            }
            match storage.inboxes(worker, ADOPTED_AT_ONCE).await {
                Ok(ids) => {
                    for id in ids {
                        drop(driver.commands.send(Command::Look(id)).await);
                    }
                }
                Err(error) => tracing::warn!(error = %Chain(&error), "inboxes could not be read"),
            }
        })));
    }

    fn obey(&mut self, command: Command) {
        let now = self.driver.clock.now();
        match command {
            Command::Start(redemption) => {
                // One that began while this worker did not live yet has another owner, or none.
                if redemption.owner == Some(self.pulse.worker) && !self.live.contains_key(&redemption.id) {
                    self.rest(*redemption, now, Event::Tick, false);
                }
            }
            Command::Adopted(redemptions) => {
                for redemption in redemptions {
                    if redemption.owner == Some(self.pulse.worker) {
                        self.adopted(redemption, now);
                    }
                }
            }
            Command::Outlived(id) => self.outlived.push(id),
            Command::Ensure(id) => {
                if !self.live.contains_key(&id) {
                    self.fetch(id, Duration::ZERO, Event::Tick);
                }
            }
            Command::Look(id) => match self.live.remove(&id) {
                Some(Slot::Idle(idle)) => self.rest_idle(Idle { wake_at: now, look: true, ..*idle }),
                Some(Slot::Watched { .. }) => self.load(id, Event::Tick, true),
                Some(Slot::Running { .. }) => {
                    self.live.insert(id, Slot::Running { look_again: true });
                }
                None => self.fetch(id, Duration::ZERO, Event::Tick),
            },
            Command::News { redemption, event } => {
                // In any other state a turn is under way, or was: it has the order watched again, or needs it no more.
                if let Some(Slot::Watched { .. }) = self.live.get(&redemption) {
                    self.load(redemption, *event, false);
                }
            }
        }
    }

    /// Goes on with what another worker left, and looks first at what was told meanwhile.
    fn adopted(&mut self, redemption: Redemption, now: DateTime<Utc>) {
        if let Some(Slot::Running { look_again }) = self.live.get_mut(&redemption.id) {
            *look_again = true;
            return;
        }
        match redemption.watch(&self.driver.timing) {
            // Nothing can have been under way, so the order is merely watched on. What is in its inbox is found by the
            // next look around.
            Some(watch) if watch.act_at > now && self.watch(&redemption, now) => {}
            _ => self.rest_idle(Idle { redemption, wake_at: now, event: Event::Recovered, look: true }),
        }
    }

    fn start_due_turns(&mut self) {
        let now = self.driver.clock.now();
        for lane in Lane::ALL {
            while self.busy[lane as usize] < lane.most() {
                let Some(Reverse((at, id))) = self.due[lane as usize].peek().copied() else { break };
                if at > now {
                    break;
                }
                self.due[lane as usize].pop();
                match self.live.get(&id) {
                    Some(Slot::Idle(idle)) if idle.wake_at == at => {}
                    Some(Slot::Watched { act_at }) if *act_at == at => {
                        self.load(id, Event::Tick, false);
                        continue;
                    }
                    _ => continue,
                }
                if let Some(Slot::Idle(idle)) = self.live.remove(&id) {
                    self.start(*idle, lane);
                }
            }
        }
    }

    /// How long until the next turn is due that has a place; entries that no longer hold are dropped on the way.
    fn next_due(&mut self) -> Option<Duration> {
        let now = self.driver.clock.now();
        let mut next: Option<DateTime<Utc>> = None;
        for lane in Lane::ALL {
            if self.busy[lane as usize] >= lane.most() {
                continue;
            }
            while let Some(Reverse((at, id))) = self.due[lane as usize].peek().copied() {
                let holds = match self.live.get(&id) {
                    Some(Slot::Idle(idle)) => idle.wake_at == at,
                    Some(Slot::Watched { act_at }) => *act_at == at,
                    Some(Slot::Running { .. }) | None => false,
                };
                if holds {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    break;
                }
                self.due[lane as usize].pop();
            }
        }
        next.map(|at| (at - now).to_std().unwrap_or_default())
    }

    /// Has the redemption's order looked at where nothing else is to be done, or puts it into its queue until `wake_at`.
    fn rest(&mut self, redemption: Redemption, wake_at: DateTime<Utc>, event: Event, look: bool) {
        let now = self.driver.clock.now();
        if !look && event == Event::Tick && self.watch(&redemption, now) {
            return;
        }
        self.rest_idle(Idle { redemption, wake_at, event, look });
    }

    fn rest_idle(&mut self, idle: Idle) {
        let id = idle.redemption.id;
        self.due[Lane::of(&idle.redemption) as usize].push(Reverse((idle.wake_at, id)));
        self.live.insert(id, Slot::Idle(Box::new(idle)));
    }

    fn watch(&mut self, redemption: &Redemption, now: DateTime<Utc>) -> bool {
        let timing = &self.driver.timing;
        let Some(watch) = redemption.watch(timing) else { return false };
        let Some(desk) = self.driver.suppliers.get(&watch.supplier) else { return false };
        let (id, act_at) = (redemption.id, watch.act_at);
        desk.watchlist.add(id, watch, redemption.takeovers > 0, timing, now);
        self.due[Lane::Others as usize].push(Reverse((act_at, id)));
        self.live.insert(id, Slot::Watched { act_at });
        true
    }

    fn start(&mut self, idle: Idle, lane: Lane) {
        let (driver, pulse) = (Arc::clone(&self.driver), Arc::clone(&self.pulse));
        let Idle { redemption, event, look, .. } = idle;
        self.spawn(redemption.id, lane, async move { driver.advance(&pulse, redemption, event, look).await });
    }

    /// Loads a redemption that is watched, and drives it on.
    fn load(&mut self, id: RedemptionId, event: Event, look: bool) {
        let (driver, pulse) = (Arc::clone(&self.driver), Arc::clone(&self.pulse));
        self.spawn(id, Lane::Others, async move {
            let storage = driver.journal.storage();
            match persist("loading a redemption", || storage.redemption(id)).await {
                // Whoever follows in this process may watch the order by now.
                Ok(Some(redemption)) if pulse.is_alive() && redemption.owner == Some(pulse.worker) => {
                    driver.stop_watching(&redemption);
                    driver.advance(&pulse, redemption, event, look).await
                }
                Ok(_) => Advanced::Gone,
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "a redemption could not be loaded");
                    Advanced::Gone
                }
            }
        });
    }

    /// Loads a redemption that is not in the queue, takes it over if nobody drives it, and goes on with it after `pause`. A
    /// draining worker takes nothing over.
    fn fetch(&mut self, id: RedemptionId, pause: Duration, event: Event) {
        let is_draining = self.drain.is_cancelled();
        let (driver, pulse) = (Arc::clone(&self.driver), Arc::clone(&self.pulse));
        self.spawn(id, Lane::Others, async move {
            tokio::time::sleep(pause).await;
            let storage = driver.journal.storage();
            let loaded = persist("taking over a redemption", || async {
                if is_draining {
                    let redemption = storage.redemption(id).await?;
                    return Ok(redemption.filter(|redemption| redemption.owner == Some(pulse.worker)));
                }
                storage.adopt_one(pulse.worker, id).await
            });
            match loaded.await {
                Ok(Some(redemption)) => driver.advance(&pulse, redemption, event, true).await,
                Ok(None) => Advanced::Gone,
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "a redemption could not be taken over");
                    Advanced::Gone
                }
            }
        });
    }

    fn spawn(&mut self, id: RedemptionId, lane: Lane, turn: impl Future<Output = Advanced> + Send + 'static) {
        self.live.insert(id, Slot::Running { look_again: false });
        let task = self.running.spawn(async move { (id, turn.await) });
        self.turns.insert(task.id(), (id, lane));
        self.busy[lane as usize] += 1;
    }

    fn turn_ended(&mut self, ended: Result<(Id, (RedemptionId, Advanced)), JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let Some((id, lane)) = self.turns.remove(&task) else { return };
        self.busy[lane as usize] -= 1;
        let slot = self.live.remove(&id);
        let must_look = matches!(slot, Some(Slot::Running { look_again: true }));
        match ended {
            Err(error) => {
                tracing::error!(%error, "a turn panicked; its redemption is loaded again");
                self.fetch(id, AFTER_PANIC, Event::Recovered);
            }
            // It may have been taken over while the turn found it to be another's.
            Ok((_, (_, Advanced::Gone))) if must_look => self.fetch(id, Duration::ZERO, Event::Recovered),
            Ok((_, (_, Advanced::Gone))) => {}
            Ok((_, (_, Advanced::Stale))) => self.fetch(id, A_WHILE, Event::Recovered),
            Ok((_, (_, Advanced::Rests { redemption, wake_at }))) => {
                if redemption.takeovers > 0 {
                    self.outlived.push(id);
                }
                let now = self.driver.clock.now();
                if must_look {
                    self.rest(*redemption, now, Event::Tick, true);
                } else if let Some(wake_at) = wake_at {
                    self.rest(*redemption, wake_at, Event::Tick, false);
                }
            }
        }
    }

    /// Starts nothing any more. Turns under way end by themselves: what they store is refused, and what a purchase
    /// brought them goes to the inbox.
    fn lost(mut self) -> Ending {
        self.running.detach_all();
        self.stop_watching();
        Ending::Lost
    }

    /// Waits for the turns under way, but not for ever: what is cut off is taken over by others.
    async fn wind_down(mut self) {
        let turns = async {
            while self.running.join_next().await.is_some() {}
            self.driver.late_answers.close();
            self.driver.late_answers.wait().await;
        };
        if tokio::time::timeout(GRACE, turns).await.is_err() {
            tracing::warn!("some turns did not end in time; they are taken over by whoever comes next");
        }
        self.pulse.end();
        self.stop_watching();
    }

    fn stop_watching(&self) {
        for desk in self.driver.suppliers.values() {
            desk.watchlist.clear();
        }
    }
}

/// Takes over everything that nobody drives, and hands it to this worker.
async fn adopt_all(driver: &Driver, pulse: &Pulse) {
    let worker = pulse.worker;
    while pulse.is_alive() {
        let now = driver.clock.now();
        let adopt = Adopt { worker, limit: ADOPTED_AT_ONCE, most_takeovers: MOST_TAKEOVERS, now };
        match driver.journal.storage().adopt(adopt).await {
            Ok(adopted) if adopted.is_empty() => return,
            Ok(adopted) => {
                tracing::info!(count = adopted.len(), "took over redemptions");
                // Some may be quarantined on the way.
                driver.journal.alerted().notify_one();
                drop(driver.commands.send(Command::Adopted(adopted)).await);
            }
            // Some may be this worker's now without its knowing which, so that another worker has to begin.
            Err(error @ StorageError::Unknown(_)) => {
                tracing::error!(error = %Chain(&error), "which redemptions were taken over is unknown");
                pulse.end();
                return;
            }
            Err(error) => {
                // Tried again by the next look.
                tracing::warn!(error = %Chain(&error), "redemptions could not be taken over");
                return;
            }
        }
    }
}

async fn sleep(pause: Option<Duration>) {
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
}
