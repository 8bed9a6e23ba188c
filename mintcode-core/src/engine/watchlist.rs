//! The orders of one account whose SMS this process awaits: small records, and when each is looked at next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::ids::RedemptionId;
use crate::order::{OrderId, Sight};
use crate::redemption::{KnownSight, Timing, Watch};

/// Orders that are looked at. Times are microseconds since 1970.
#[derive(Default)]
pub(super) struct Watchlist {
    records: Mutex<Records>,
    /// There is an order more to look at.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct Records {
    /// Where the record of each order is.
    places: HashMap<OrderId, u32>,
    kept: Vec<Option<Record>>,
    free: Vec<u32>,
    /// When which record is looked at next.
    due: BTreeSet<(i64, u32)>,
}

struct Record {
    order: OrderId,
    redemption: RedemptionId,
    since: i64,
    next_look: i64,
    known: KnownSight,
    is_taken_over: bool,
}

/// What a sight of an order means.
pub(super) enum Sighted {
    /// The order is not on the list.
    Foreign,
    /// Nothing new.
    Known,
    /// Nothing new, at the first look since this redemption was taken over.
    Outlived(RedemptionId),
    /// It seems to be over without a message: to be asked about by itself before that is believed.
    Doubtful,
    /// News for this redemption. The order is off the list.
    News(RedemptionId),
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this moment; `None` where nothing is waited for.
    Nothing(Option<DateTime<Utc>>),
    /// One order, to be looked at by itself. Its next look is planned already.
    One(OrderId),
    /// So many that reading the whole list takes fewer requests.
    Many,
}

impl Watchlist {
    /// Looks at the order from now on, for `redemption`; the first look tells that it was outlived if it was taken over.
    pub(super) fn add(
        &self,
        redemption: RedemptionId,
        watch: Watch,
        is_taken_over: bool,
        timing: &Timing,
        now: DateTime<Utc>,
    ) {
        self.lock().add(redemption, watch, is_taken_over, timing, now);
        self.changed.notify_one();
    }

    /// Looks at the order no more.
    pub(super) fn remove(&self, order: &OrderId) {
        self.lock().remove(order);
    }

    pub(super) fn clear(&self) {
        *self.lock() = Records::default();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// The oldest order that is looked at: no page behind it has to be read.
    pub(super) fn oldest(&self) -> Option<OrderId> {
        self.lock().places.keys().min().cloned()
    }

    /// What is due at `now`, where reading the whole list would take `pages` requests, if there is one.
    pub(super) fn due(&self, pages: Option<usize>, timing: &Timing, now: DateTime<Utc>) -> Due {
        self.lock().due(pages, timing, now)
    }

    /// How many orders were due at `at` and have not been seen since, up to `most`.
    pub(super) fn overdue(&self, at: DateTime<Utc>, most: usize) -> usize {
        self.lock().due.range(..=(at.timestamp_micros(), u32::MAX)).take(most).count()
    }

    /// The order was seen.
    pub(super) fn seen(
        &self,
        order: &OrderId,
        sight: &Sight,
        is_by_itself: bool,
        timing: &Timing,
        now: DateTime<Utc>,
    ) -> Sighted {
        self.lock().seen(order, sight, is_by_itself, timing, now)
    }

    /// The supplier did not know the order: news for its redemption, if it is on the list.
    pub(super) fn not_found(&self, order: &OrderId) -> Option<RedemptionId> {
        self.lock().remove(order)
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn add(
        &mut self,
        redemption: RedemptionId,
        watch: Watch,
        is_taken_over: bool,
        timing: &Timing,
        now: DateTime<Utc>,
    ) {
        self.remove(&watch.order);
        let record = Record {
            order: watch.order.clone(),
            redemption,
            since: watch.since.timestamp_micros(),
            next_look: 0,
            known: watch.known,
            is_taken_over,
        };
        let next_look = record.look_after(timing, now);
        let record = Record { next_look, ..record };
        let place = if let Some(place) = self.free.pop() {
            self.kept[place as usize] = Some(record);
            place
        } else {
            self.kept.push(Some(record));
            u32::try_from(self.kept.len() - 1).expect("an order takes more than a byte of memory")
        };
        self.places.insert(watch.order, place);
        self.due.insert((next_look, place));
    }

    fn remove(&mut self, order: &OrderId) -> Option<RedemptionId> {
        let place = self.places.remove(order)?;
        let record = self.kept[place as usize].take()?;
        self.due.remove(&(record.next_look, place));
        self.free.push(place);
        Some(record.redemption)
    }

    fn due(&mut self, pages: Option<usize>, timing: &Timing, now: DateTime<Utc>) -> Due {
        let Some((first, place)) = self.due.first().copied() else { return Due::Nothing(None) };
        let micros = now.timestamp_micros();
        if first > micros {
            return Due::Nothing(DateTime::from_timestamp_micros(first));
        }
        if let Some(pages) = pages
            && self.due.range(..=(micros, u32::MAX)).take(pages + 1).count() > pages
        {
            return Due::Many;
        }
        match self.look_again(place, timing, now) {
            Some(order) => Due::One(order),
            None => Due::Nothing(None),
        }
    }

    fn seen(
        &mut self,
        order: &OrderId,
        sight: &Sight,
        is_by_itself: bool,
        timing: &Timing,
        now: DateTime<Utc>,
    ) -> Sighted {
        let Some(place) = self.places.get(order).copied() else { return Sighted::Foreign };
        let Some(record) = &mut self.kept[place as usize] else { return Sighted::Foreign };
        if !record.known.is_news(sight) {
            let outlived = std::mem::take(&mut record.is_taken_over).then_some(record.redemption);
            if !is_by_itself {
                self.look_again(place, timing, now);
            }
            return outlived.map_or(Sighted::Known, Sighted::Outlived);
        }
        if !is_by_itself && sight.messages.is_empty() {
            self.plan(place, 0);
            return Sighted::Doubtful;
        }
        self.remove(order).map_or(Sighted::Foreign, Sighted::News)
    }

    /// Plans the next look after one at `now`, and returns the order.
    fn look_again(&mut self, place: u32, timing: &Timing, now: DateTime<Utc>) -> Option<OrderId> {
        let record = self.kept[place as usize].as_ref()?;
        let (order, next_look) = (record.order.clone(), record.look_after(timing, now));
        self.plan(place, next_look);
        Some(order)
    }

    fn plan(&mut self, place: u32, next_look: i64) {
        if let Some(record) = &mut self.kept[place as usize] {
            self.due.remove(&(record.next_look, place));
            record.next_look = next_look;
            self.due.insert((next_look, place));
        }
    }
}

impl Record {
    fn look_after(&self, timing: &Timing, now: DateTime<Utc>) -> i64 {
        let now = now.timestamp_micros();
        let age = Duration::from_micros(u64::try_from(now - self.since).unwrap_or_default());
        now.saturating_add(i64::try_from(timing.look_pause(age).as_micros()).unwrap_or(i64::MAX))
    }
}
