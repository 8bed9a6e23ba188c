//! The line of requests to one supplier account, as far as this process stands in it.
//!
//! Places come from the account's [budget](crate::budget), which all workers share; here they are handed to whoever
//! waits, by class, so that none of the classes starves.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::supplier_desk::Chain;
use crate::budget::{Class, Lease, LeaseWish};
use crate::ids::SupplierName;
use crate::ports::{Clock, Workers};

/// The longest the account is held for one asking.
const LONGEST_HOLD: Duration = Duration::from_hours(24);
/// How long it is held after the first refusal that names no pause.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after storage could not lease any places.
const AFTER_TROUBLE: Duration = Duration::from_millis(200);

/// The account is told to wait that long: the request is not to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held(pub(super) Duration);

/// Requests that wait for their place, and what is known of the account.
pub(super) struct Line {
    per_second: u32,
    /// How many workers share the budget, this one included.
    crowd: AtomicU32,
    /// The longest pause after a refusal that names none.
    longest_pause: Duration,
    state: Mutex<State>,
    /// Somebody waits, or the account is to be held.
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: [VecDeque<oneshot::Sender<Result<(), Held>>>; Class::ALL.len()],
    /// How much each class is owed.
    credit: [i64; Class::ALL.len()],
    held_until: Option<Instant>,
    /// Nothing but settling until then.
    settling_until: Option<Instant>,
    /// Refusals that storage is yet to be told of.
    hits: VecDeque<Duration>,
    /// How often in a row the supplier refused without naming a pause.
    unnamed: u32,
    /// The account is tried after a ban, and the request has not come back yet.
    is_trial: bool,
    /// It came back well, which storage is yet to be told.
    is_proved: bool,
}

/// Places that are leased and not used yet.
struct Places {
    next: Instant,
    left: u32,
    interval: Duration,
    /// From then on places may be another's.
    until: Instant,
}

impl Places {
    fn none() -> Self {
        let now = Instant::now();
        Self { next: now, left: 0, interval: Duration::ZERO, until: now }
    }

    /// The next place that has not lapsed: one that nobody used in its time is gone.
    fn upcoming(&mut self, now: Instant) -> Option<Instant> {
        while self.left > 0 && self.next + self.interval <= now {
            self.take();
        }
        (self.left > 0 && self.next < self.until && now < self.until).then_some(self.next)
    }

    fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.next += self.interval;
    }
}

impl Line {
    /// At most `per_second` requests in any second, over all workers together; `longest_pause` after a refusal for one too
    /// many where the supplier names no pause.
    pub(super) fn new(per_second: u32, longest_pause: Duration) -> Self {
        Self {
            per_second: per_second.max(1),
            crowd: AtomicU32::new(1),
            longest_pause,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// How many requests of `class` get their place in `window` while every class wants its share and no other worker any.
    pub(super) fn places_within(&self, class: Class, window: Duration) -> usize {
        let shares: u32 = Class::ALL.into_iter().map(Class::share).sum();
        let millis = window.as_millis() * u128::from(self.per_second) * u128::from(class.share());
        usize::try_from(millis / 1000 / u128::from(shares)).unwrap_or(usize::MAX)
    }

    /// So many workers share the budget.
    pub(super) fn set_crowd(&self, workers: usize) {
        self.crowd.store(u32::try_from(workers).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.crowd.load(Ordering::Relaxed) > 1
    }

    /// Waits for this request's place, but not for the end of a hold.
    pub(super) async fn turn(&self, class: Class) -> Result<(), Held> {
        let place = {
            let mut state = self.lock();
            state.may_send(class)?;
            let (sender, place) = oneshot::channel();
            state.waiting[class as usize].push_back(sender);
            place
        };
        self.changed.notify_one();
        // The line is gone only when the whole engine is.
        place.await.unwrap_or(Err(Held(AFTER_TROUBLE)))
    }

    /// The supplier refused a request for being one too many: no request goes out for `asked`.
    pub(super) fn hit(&self, asked: Option<Duration>) {
        {
            let mut state = self.lock();
            let pause = asked.unwrap_or_else(|| state.unnamed_pause().min(self.longest_pause));
            state.hold(pause);
            state.hits.push_back(pause);
            state.is_trial = false;
        }
        self.changed.notify_one();
    }

    /// A request came back, and the supplier did not find it one too many.
    pub(super) fn went_through(&self) {
        let mut state = self.lock();
        state.unnamed = 0;
        if std::mem::take(&mut state.is_trial) {
            state.is_proved = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// How long the account is still held.
    pub(super) fn held(&self) -> Option<Duration> {
        self.lock().held()
    }

    /// Leases places and hands them out, for as long as it is polled.
    pub(super) async fn keep(
        self: Arc<Self>,
        supplier: SupplierName,
        ports: Arc<dyn Workers>,
        clock: Arc<dyn Clock>,
    ) {
        let mut places = Places::none();
        let mut last_sent = None;
        let mut has_trouble = false;
        loop {
            self.tell_storage(&supplier, &*ports, &*clock).await;
            if !self.lock().is_wanted() {
                self.changed.notified().await;
                continue;
            }
            if let Some(left) = self.held() {
                places = Places::none();
                self.lock().refuse(&Class::ALL, left);
                continue;
            }
            if let Some(place) = places.upcoming(Instant::now()) {
                // A place used late must not crowd the next one.
                let at = last_sent.map_or(place, |last: Instant| place.max(last + places.interval));
                if at > Instant::now() {
                    tokio::select! {
                        biased;
                        () = self.changed.notified() => continue,
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                if self.lock().hand_out() {
                    last_sent = Some(Instant::now());
                    places.take();
                }
                continue;
            }
            let asked = Instant::now();
            match ports.lease_requests(&supplier, self.wish(), clock.now()).await {
                Ok(Lease::Places { wait, places: left, interval, settling_only, is_trial }) => {
                    has_trouble = false;
                    let now = Instant::now();
                    // They were leased at some moment since the asking: none is used before it has surely come, and none
                    // after it may be over.
                    let until = asked + wait + interval * left;
                    places = Places { next: now + wait, left, interval, until };
                    let mut state = self.lock();
                    state.settling_until = settling_only.map(|left| now + left.min(LONGEST_HOLD));
                    state.is_trial = is_trial;
                    if let Some(left) = settling_only {
                        state.refuse(&[Class::Buy, Class::Poll, Class::List], left);
                    }
                }
                Ok(Lease::Blocked { wait }) => self.lock().hold(wait),
                Err(error) => {
                    if !std::mem::replace(&mut has_trouble, true) {
                        tracing::warn!(%supplier, error = %Chain(&error), "no requests could be leased, trying again");
                    }
                    tokio::time::sleep(AFTER_TROUBLE).await;
                }
            }
        }
    }

    /// A second's worth, or half of what is one worker's share of it, so that nobody waits long for others.
    fn wish(&self) -> LeaseWish {
        let crowd = self.crowd.load(Ordering::Relaxed).max(1);
        let places = if crowd == 1 { self.per_second } else { self.per_second.div_ceil(2 * crowd) };
        LeaseWish { places, per_second: self.per_second }
    }

    async fn tell_storage(&self, supplier: &SupplierName, ports: &dyn Workers, clock: &dyn Clock) {
        loop {
            let (hit, is_proved) = {
                let mut state = self.lock();
                let hit = state.hits.pop_front();
                (hit, hit.is_none() && std::mem::take(&mut state.is_proved))
            };
            let told = match hit {
                Some(pause) => ports.note_hit(supplier, Some(pause), clock.now()).await,
                None if is_proved => ports.note_proof(supplier).await,
                None => return,
            };
            // The account is held here in any case, and the next refusal is told again.
            if let Err(error) = told {
                tracing::warn!(%supplier, error = %Chain(&error), "a refusal for too many requests could not be noted");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_send(&self, class: Class) -> Result<(), Held> {
        let settling = left(self.settling_until).filter(|_| class != Class::Settle);
        self.held().or(settling).map_or(Ok(()), |left| Err(Held(left)))
    }

    fn held(&self) -> Option<Duration> {
        left(self.held_until)
    }

    /// Three times as long for each refusal in a row.
    fn unnamed_pause(&mut self) -> Duration {
        // Those that were under way together are one refusal.
        if self.held().is_none() {
            self.unnamed += 1;
        }
        FIRST_PAUSE * 3_u32.saturating_pow(self.unnamed.saturating_sub(1).min(3))
    }

    fn hold(&mut self, pause: Duration) {
        let until = Instant::now() + pause.min(LONGEST_HOLD);
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    fn is_wanted(&mut self) -> bool {
        for waiting in &mut self.waiting {
            waiting.retain(|sender| !sender.is_closed());
        }
        self.waiting.iter().any(|waiting| !waiting.is_empty())
    }

    /// Tells everybody of `classes` who waits that the account is held for `left`.
    fn refuse(&mut self, classes: &[Class], left: Duration) {
        for class in classes {
            for sender in self.waiting[*class as usize].drain(..) {
                // Whoever does not wait any more need not be told.
                sender.send(Err(Held(left))).ok();
            }
        }
    }

    /// Gives one place to the class that is owed most. `false` if nobody took it.
    fn hand_out(&mut self) -> bool {
        loop {
            let wanting: Vec<Class> =
                Class::ALL.into_iter().filter(|class| !self.waiting[*class as usize].is_empty()).collect();
            let shares: i64 = wanting.iter().map(|class| i64::from(class.share())).sum();
            for class in &wanting {
                self.credit[*class as usize] += i64::from(class.share());
            }
            // The first of equals: settling before buying before looking.
            let owed = wanting.into_iter().rev().max_by_key(|class| self.credit[*class as usize]);
            let Some(class) = owed else { return false };
            self.credit[class as usize] -= shares;
            let Some(sender) = self.waiting[class as usize].pop_front() else { return false };
            if sender.send(Ok(())).is_ok() {
                return true;
            }
        }
    }
}

fn left(until: Option<Instant>) -> Option<Duration> {
    until.map(|until| until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}
