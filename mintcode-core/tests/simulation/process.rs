//! One process of the service: it may crash or stand still at every call it makes, and its wall clock may be wrong.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::ports::{Clock, StorageError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::setup::LONGEST_STALL;
use super::sim::Sim;

/// How much hangs on a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heat {
    /// Something changes, or is decided by it: trouble is worth its while.
    Hot,
    /// One of many calls that mostly bring nothing.
    Idle,
}

/// Whether a lost answer leaves a doubt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Goes,
    Fails,
    LosesItsAnswer,
    SlowThere(Duration),
    SlowBack(Duration),
    CrashesBefore,
    CrashesAfter,
    StallsBefore,
    StallsAfter,
}

/// A process from its start to its end.
pub(crate) struct Process {
    /// The how manieth it is.
    pub(crate) number: u64,
    pub(crate) sim: Arc<Sim>,
    state: Mutex<State>,
    /// Woken by its end.
    pub(crate) ended: Notify,
}

struct State {
    is_dead: bool,
    stands_still_until: Option<Instant>,
    /// How far its wall clock is ahead.
    ahead: TimeDelta,
}

impl Process {
    pub(crate) fn new(sim: &Arc<Sim>, number: u64, ahead: TimeDelta) -> Arc<Self> {
        let state = Mutex::new(State { is_dead: false, stands_still_until: None, ahead });
        Arc::new(Self { number, sim: Arc::clone(sim), state, ended: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Nothing that it does counts any more.
    pub(crate) fn crash(&self) {
        self.lock().is_dead = true;
        self.sim.count("crashes");
        self.ended.notify_one();
    }

    /// Nothing that it does gets out for a while, and nothing gets in.
    pub(crate) fn stall(&self) {
        let pause = match self.sim.dice.below(3) {
            0 => self.sim.dice.millis(200, 3_000),
            _ => self.sim.dice.secs(3, LONGEST_STALL),
        };
        self.sim.count("stalls");
        let until = (Instant::now() + pause).min(self.sim.calm_from());
        let mut state = self.lock();
        state.stands_still_until = state.stands_still_until.max(Some(until));
    }

    /// Somebody sets its wall clock.
    pub(crate) fn set_wall(&self, ahead: TimeDelta) {
        self.sim.count("wall clock jumps");
        self.lock().ahead = ahead;
    }

    /// Waits for as long as it stands still; for ever once it is dead.
    pub(crate) async fn is_going(&self) {
        loop {
            let until = {
                let state = self.lock();
                match state.stands_still_until {
                    _ if state.is_dead => None,
                    Some(until) if Instant::now() < until => Some(until),
                    _ => return,
                }
            };
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Decides what becomes of a call.
    pub(crate) fn fate(&self, heat: Heat) -> Fate {
        let sim = &self.sim;
        if sim.is_calm() {
            return Fate::Goes;
        }
        let rates = sim.setup.rates;
        let sides = match heat {
            Heat::Hot => 1_000_000,
            Heat::Idle => 20_000_000,
        };
        let roll = sim.dice.below(sides);
        let mut edge = 0;
        let mut falls = |rate: u64| {
            edge += rate;
            roll < edge
        };
        let is_first = || sim.dice.chance(5_000);
        if falls(rates.crash) {
            if is_first() { Fate::CrashesBefore } else { Fate::CrashesAfter }
        } else if falls(rates.stall) {
            if is_first() { Fate::StallsBefore } else { Fate::StallsAfter }
        } else if falls(rates.fail) {
            Fate::Fails
        } else if falls(rates.lose) {
            Fate::LosesItsAnswer
        } else if falls(rates.slow) {
            let pause = if sim.dice.chance(500) { sim.dice.secs(1, 4) } else { sim.dice.millis(1, 200) };
            if is_first() { Fate::SlowThere(pause) } else { Fate::SlowBack(pause) }
        } else {
            Fate::Goes
        }
    }

    /// One call of storage, with what becomes of it.
    pub(crate) async fn around<T>(
        &self,
        heat: Heat,
        mode: Mode,
        call: &'static str,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        self.is_going().await;
        if self.sim.storage_is_down() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.is_going().await;
            self.sim.count("calls while storage was down");
            return Err(unavailable());
        }
        let fate = self.fate(heat);
        if fate != Fate::Goes {
            self.sim.trace(|| format!("process {}: {call} {fate:?}", self.number));
        }
        let answer = match fate {
            Fate::Goes => work.await,
            Fate::Fails => {
                self.sim.count("storage calls that failed");
                Err(unavailable())
            }
            Fate::LosesItsAnswer => {
                self.sim.count("storage answers lost");
                drop(work.await);
                Err(match mode {
                    Mode::Read => unavailable(),
                    Mode::Write => StorageError::Unknown("the answer was lost".into()),
                })
            }
            Fate::SlowThere(pause) => {
                self.sim.count("slow storage calls");
                tokio::time::sleep(pause).await;
                work.await
            }
            Fate::SlowBack(pause) => {
                self.sim.count("slow storage calls");
                let answer = work.await;
                tokio::time::sleep(pause).await;
                answer
            }
            Fate::CrashesBefore => {
                self.crash();
                return std::future::pending().await;
            }
            Fate::CrashesAfter => {
                drop(work.await);
                self.crash();
                return std::future::pending().await;
            }
            Fate::StallsBefore => {
                self.stall();
                self.is_going().await;
                work.await
            }
            Fate::StallsAfter => {
                let answer = work.await;
                self.stall();
                answer
            }
        };
        self.is_going().await;
        answer
    }
}

fn unavailable() -> StorageError {
    StorageError::Unavailable("storage is away".into())
}

impl Clock for Process {
    fn now(&self) -> DateTime<Utc> {
        self.sim.now() + self.lock().ahead
    }

    fn uptime(&self) -> Duration {
        // Every machine has been up for a while of its own.
        self.sim.uptime() + Duration::from_secs(1_000 * self.number)
    }
}
