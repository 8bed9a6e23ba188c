//! Drives every live redemption of this process: a queue of what is due, and a bounded number of turns at once.
//!
//! A waiting redemption is a record in the queue, not a task.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
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
use super::supplier_desk::Chain;
use crate::ids::{RedemptionId, WorkerId};
use crate::redemption::{Event, Redemption};

/// Turns at once.
const MOST_AT_ONCE: usize = 256;
/// Redemptions taken over in one transaction.
const ADOPTED_AT_ONCE: u32 = 500;
/// How long a stopping worker waits for the turns under way.
const GRACE: Duration = Duration::from_secs(10);
/// How long a redemption rests whose turn panicked.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// What the worker is told.
pub(super) enum Command {
    /// A redemption began.
    Start(Box<Redemption>),
    /// A redemption may have begun of which the worker does not know.
    Ensure(RedemptionId),
    /// There is something in a redemption's inbox.
    Look(RedemptionId),
}

pub(super) struct Worker {
    driver: Arc<Driver>,
    me: WorkerId,
    commands: mpsc::Receiver<Command>,
    live: HashMap<RedemptionId, Slot>,
    /// May hold entries that a later one of the same redemption has replaced.
    due: BinaryHeap<Reverse<(DateTime<Utc>, RedemptionId)>>,
    running: JoinSet<(RedemptionId, Option<Advanced>)>,
    turns: HashMap<Id, RedemptionId>,
    /// The look into the inboxes that is under way.
    inboxes: Option<AbortOnDropHandle<()>>,
}

enum Slot {
    Idle { redemption: Box<Redemption>, wake_at: DateTime<Utc>, event: Event, look: bool },
    Running { look_again: bool },
}

impl Worker {
    pub(super) fn new(driver: Arc<Driver>, me: WorkerId, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            driver,
            me,
            commands,
            live: HashMap::new(),
            due: BinaryHeap::new(),
            running: JoinSet::new(),
            turns: HashMap::new(),
            inboxes: None,
        }
    }

    /// Takes over what nobody drives, and drives everything until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = self.adopt() => {}
            () = stop.cancelled() => return,
        }
        let mut inboxes = tokio::time::interval(self.driver.timing.inbox_look);
        inboxes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_due_turns();
            let has_room = self.running.len() < MOST_AT_ONCE;
            let next_due = self.next_due();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = inboxes.tick() => self.read_inboxes(),
                Some(ended) = self.running.join_next_with_id() => self.turn_ended(ended),
                Some(command) = self.commands.recv() => self.obey(command),
                () = until(next_due), if has_room && next_due.is_some() => {}
            }
        }
        self.wind_down().await;
    }

    async fn adopt(&mut self) {
        let driver = Arc::clone(&self.driver);
        let storage = driver.journal.storage();
        loop {
            let adopted =
                match persist("taking over redemptions", || storage.adopt(self.me, ADOPTED_AT_ONCE)).await {
                    Ok(adopted) => adopted,
                    Err(error) => {
                        tracing::error!(error = %Chain(&error), "redemptions could not be taken over");
                        break;
                    }
                };
            if adopted.is_empty() {
                break;
            }
            tracing::info!(count = adopted.len(), "took over redemptions");
            let now = self.driver.clock.now();
            for redemption in adopted {
                self.rest(Box::new(redemption), now, Event::Recovered, true);
            }
        }
    }

    fn is_reading_inboxes(&self) -> bool {
        self.inboxes.as_ref().is_some_and(|reading| !reading.is_finished())
    }

    /// Another process, or one before this, may have told a redemption something while nobody listened.
    fn read_inboxes(&mut self) {
        // One look at a time, however long storage takes.
        if self.is_reading_inboxes() {
            return;
        }
        let (driver, commands) = (Arc::clone(&self.driver), self.driver.commands.clone());
        self.inboxes = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            match driver.journal.storage().inboxes(ADOPTED_AT_ONCE).await {
                Ok(ids) => {
                    for id in ids {
                        drop(commands.send(Command::Look(id)).await);
                    }
                }
                Err(error) => tracing::warn!(error = %Chain(&error), "inboxes could not be read"),
            }
        })));
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start(redemption) => {
                if !self.live.contains_key(&redemption.id) {
                    let now = self.driver.clock.now();
                    self.rest(redemption, now, Event::Tick, false);
                }
            }
            Command::Ensure(id) => {
                if !self.live.contains_key(&id) {
                    self.fetch(id, Duration::ZERO, Event::Tick);
                }
            }
            Command::Look(id) => match self.live.remove(&id) {
                Some(Slot::Idle { redemption, event, .. }) => {
                    let now = self.driver.clock.now();
                    self.rest(redemption, now, event, true);
                }
                Some(Slot::Running { .. }) => {
                    self.live.insert(id, Slot::Running { look_again: true });
                }
                None => self.fetch(id, Duration::ZERO, Event::Tick),
            },
        }
    }

    fn start_due_turns(&mut self) {
        let now = self.driver.clock.now();
        while self.running.len() < MOST_AT_ONCE && self.next_due().is_some_and(|at| at.0 <= now) {
            let Some(Reverse((_, id))) = self.due.pop() else { return };
            if let Some(Slot::Idle { redemption, event, look, .. }) = self.live.remove(&id) {
                self.start(*redemption, event, look);
            }
        }
    }

    /// When the next turn is due, on both clocks; entries that no longer hold are dropped on the way.
    fn next_due(&mut self) -> Option<(DateTime<Utc>, Duration)> {
        while let Some(Reverse((at, id))) = self.due.peek().copied() {
            match self.live.get(&id) {
                Some(Slot::Idle { wake_at, .. }) if *wake_at == at => {
                    return Some((at, (at - self.driver.clock.now()).to_std().unwrap_or(Duration::ZERO)));
                }
                _ => drop(self.due.pop()),
            }
        }
        None
    }

    /// Puts a redemption into the queue until `wake_at`.
    fn rest(&mut self, redemption: Box<Redemption>, wake_at: DateTime<Utc>, event: Event, look: bool) {
        let id = redemption.id;
        self.due.push(Reverse((wake_at, id)));
        self.live.insert(id, Slot::Idle { redemption, wake_at, event, look });
    }

    fn start(&mut self, redemption: Redemption, event: Event, look: bool) {
        let (id, driver) = (redemption.id, Arc::clone(&self.driver));
        self.spawn(id, async move { driver.advance(redemption, event, look).await });
    }

    /// Loads a redemption that is not in the queue, takes it over if need be, and drives it after `pause`.
    fn fetch(&mut self, id: RedemptionId, pause: Duration, event: Event) {
        let (me, driver) = (self.me, Arc::clone(&self.driver));
        self.spawn(id, async move {
            tokio::time::sleep(pause).await;
            let storage = driver.journal.storage();
            match persist("taking over a redemption", || storage.adopt_one(me, id)).await {
                Ok(redemption) => driver.advance(redemption?, event, true).await,
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "a redemption could not be taken over");
                    None
                }
            }
        });
    }

    fn spawn(&mut self, id: RedemptionId, turn: impl Future<Output = Option<Advanced>> + Send + 'static) {
        self.live.insert(id, Slot::Running { look_again: false });
        let task = self.running.spawn(async move { (id, turn.await) });
        self.turns.insert(task.id(), id);
    }

    fn turn_ended(&mut self, ended: Result<(Id, (RedemptionId, Option<Advanced>)), JoinError>) {
        let (task, id, advanced) = match ended {
            Ok((task, (id, advanced))) => (task, id, advanced),
            Err(error) => {
                let Some(id) = self.turns.remove(&error.id()) else { return };
                tracing::error!(%error, "a turn panicked; its redemption is loaded again");
                self.fetch(id, AFTER_PANIC, Event::Recovered);
                return;
            }
        };
        self.turns.remove(&task);
        let slot = self.live.remove(&id);
        let Some(Advanced { redemption, wake_at }) = advanced else { return };
        if matches!(slot, Some(Slot::Running { look_again: true })) {
            self.start(redemption, Event::Tick, true);
        } else if let Some(wake_at) = wake_at {
            self.rest(Box::new(redemption), wake_at, Event::Tick, false);
        }
    }

    /// Waits for the turns under way, but not for ever: what is cut off is taken over at the next start.
    async fn wind_down(mut self) {
        let turns = async {
            while self.running.join_next().await.is_some() {}
            self.driver.late_answers.close();
            self.driver.late_answers.wait().await;
        };
        if tokio::time::timeout(GRACE, turns).await.is_err() {
            tracing::warn!("some turns did not end in time; they are taken over at the next start");
        }
    }
}

async fn until(next_due: Option<(DateTime<Utc>, Duration)>) {
    if let Some((_, pause)) = next_due {
        tokio::time::sleep(pause).await;
    }
}
