//! What all parts of a world share: its dice, its true time, its storage, the supplier's books, and what is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use mintcode_core::testing::{MemoryStorage, TokioClock};
use tokio::time::Instant;

use super::books::Books;
use super::cut::Cut;
use super::dice::Dice;
use super::record::Record;
use super::report::Counts;
use super::setup::Setup;

pub(crate) struct Sim {
    pub(crate) dice: Dice,
    pub(crate) setup: Setup,
    pub(crate) storage: Arc<MemoryStorage>,
    /// What is cut out, to see whether it is missed.
    pub(crate) cut: Option<Cut>,
    start: Instant,
    books: Mutex<Books>,
    record: Mutex<Record>,
    counts: Mutex<Counts>,
    violations: Mutex<Vec<String>>,
    storage_is_down_until: Mutex<Instant>,
    is_calm: AtomicBool,
    is_traced: bool,
}

impl Sim {
    pub(crate) fn new(dice: Dice, setup: Setup, cut: Option<Cut>, is_traced: bool) -> Self {
        let start = Instant::now();
        let books = Mutex::new(Books::new(setup.temper));
        Self {
            dice,
            setup,
            storage: Arc::new(MemoryStorage::with_clock(Arc::new(TokioClock::default()))),
            cut,
            start,
            books,
            record: Mutex::default(),
            counts: Mutex::default(),
            violations: Mutex::default(),
            storage_is_down_until: Mutex::new(start),
            is_calm: AtomicBool::new(false),
            is_traced,
        }
    }

    /// The true time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        TokioClock::epoch() + self.start.elapsed()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// When everything stops going wrong.
    pub(crate) fn calm_from(&self) -> Instant {
        self.start + self.setup.troubled
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    pub(crate) fn calm_down(&self) {
        self.trace(|| "calm from now on".to_owned());
        self.is_calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn storage_is_down(&self) -> bool {
        !self.is_calm() && Instant::now() < *self.storage_is_down_until.lock().unwrap()
    }

    pub(crate) fn take_storage_down(&self, pause: Duration) {
        self.trace(|| format!("storage is down for {pause:?}"));
        self.count("storage outages");
        *self.storage_is_down_until.lock().unwrap() = Instant::now() + pause;
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }

    pub(crate) fn count(&self, what: &'static str) {
        self.counts().add(what, 1);
    }

    /// Something that must never be.
    pub(crate) fn violated(&self, what: String) {
        self.trace(|| format!("VIOLATED: {what}"));
        self.violations.lock().unwrap().push(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// A line for whoever replays the seed.
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.is_traced {
            eprintln!("{:>11.3} {}", self.start.elapsed().as_secs_f64(), line());
        }
    }
}
