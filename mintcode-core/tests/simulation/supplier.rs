//! The supplier as one process sees it: a network that loses, delays and doubts, with the books behind it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mintcode_core::money::{Amount, Currency};
use mintcode_core::order::{ListedOrder, Order, OrderId, OrderStatus, Sight};
use mintcode_core::ports::{BuyError, BuyPermit, CallError, Capabilities, Profile, Stop, Supplier, Wanted};
use tokio::sync::oneshot;

use super::books::{Books, PRODUCT, Refused, Sale, USUAL_PRICE};
use super::cut::real;
use super::process::{Fate, Heat, Process};
use super::sim::Sim;

/// What a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct SimSupplier {
    pub(crate) process: Arc<Process>,
}

/// What became of a request on its way.
enum Reached {
    /// It arrived.
    There,
    /// Nobody answers: it may have arrived, or not.
    Silence,
}

impl SimSupplier {
    fn sim(&self) -> &Arc<Sim> {
        &self.process.sim
    }

    /// A lie told at random: how old the picture is that the supplier shows.
    fn then(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let sim = self.sim();
        let lag = sim.setup.temper.lag;
        if lag == 0 || sim.is_calm() || !sim.dice.chance(4_000) {
            return now;
        }
        sim.count("stale looks and lists");
        now - sim.dice.millis(1, lag)
    }

    fn is(&self, rate: u64) -> bool {
        !self.sim().is_calm() && self.sim().dice.chance(rate)
    }

    /// Sends a request: counts it, and lets the process crash or stand still before it leaves.
    async fn send(&self, heat: Heat, call: &'static str) -> Result<Reached, Option<Duration>> {
        let sim = self.sim();
        // What is called while the process stands still would be called one by one afterwards, so it counts as of now.
        sim.trace(|| format!("process {}: sends {call}", self.process.number));
        let is_throttled = self.is(sim.setup.temper.throttles);
        let asked = sim.books().request(is_throttled, sim.now(), &sim.dice);
        match self.process.fate(heat) {
            Fate::CrashesBefore | Fate::CrashesAfter => self.process.crash(),
            Fate::StallsBefore | Fate::StallsAfter => {
                sim.trace(|| format!("process {}: stands still before {call} leaves", self.process.number));
                self.process.stall();
            }
            Fate::Goes | Fate::Fails | Fate::LosesItsAnswer | Fate::SlowThere(_) | Fate::SlowBack(_) => {}
        }
        self.process.is_going().await;
        if let Err(pause) = asked {
            sim.count("throttled requests");
            tokio::time::sleep(sim.dice.millis(20, 100)).await;
            self.process.is_going().await;
            return Err(pause);
        }
        tokio::time::sleep(sim.dice.millis(20, 300)).await;
        let is_away = sim.books().is_away(sim.now());
        if is_away {
            sim.count("requests during an outage");
        }
        Ok(if is_away || self.is(sim.setup.temper.lost / 2) { Reached::Silence } else { Reached::There })
    }

    /// The way back of an answer.
    async fn back<T>(&self, answer: Result<T, CallError>) -> Result<T, CallError> {
        let sim = self.sim();
        tokio::time::sleep(sim.dice.millis(10, 200)).await;
        let is_lost = self.is(sim.setup.temper.lost / 2);
        if is_lost {
            sim.count("supplier's answers lost");
        }
        match self.process.fate(Heat::Idle) {
            Fate::CrashesBefore | Fate::CrashesAfter => self.process.crash(),
            Fate::StallsBefore | Fate::StallsAfter => self.process.stall(),
            Fate::Goes | Fate::Fails | Fate::LosesItsAnswer | Fate::SlowThere(_) | Fate::SlowBack(_) => {}
        }
        self.process.is_going().await;
        if is_lost { Err(silence()) } else { answer }
    }

    /// One call about an order or the account.
    async fn call<T>(
        &self,
        heat: Heat,
        call: &'static str,
        work: impl FnOnce(&mut Books, DateTime<Utc>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let sim = Arc::clone(self.sim());
        match self.send(heat, call).await {
            Err(retry_after) => Err(CallError::Throttled { retry_after }),
            Ok(Reached::Silence) => {
                tokio::time::sleep(sim.dice.millis(500, 10_000).min(PATIENCE)).await;
                self.process.is_going().await;
                Err(silence())
            }
            Ok(Reached::There) => {
                let answer = work(&mut sim.books(), sim.now());
                self.back(answer).await
            }
        }
    }

    /// One settlement of an order.
    async fn settle(
        &self,
        call: &'static str,
        order: &OrderId,
        work: impl FnOnce(&mut Books, &OrderId, DateTime<Utc>) -> Result<Sight, Refused>,
    ) -> Result<Sight, CallError> {
        self.sim().record().calls_about(self.process.number, call, order, self.sim());
        let id = real(order);
        let answer = self.call(Heat::Hot, call, |books, now| work(books, &id, now).map_err(refused)).await;
        self.heard(order, &answer);
        answer
    }

    fn heard(&self, order: &OrderId, answer: &Result<Sight, CallError>) {
        let heard = match answer {
            Ok(sight) if sight.status.is_closed() => "seen closed",
            Ok(sight) if sight.messages.is_empty() => "seen",
            Ok(_) => "seen with a message",
            Err(CallError::Throttled { .. }) => "call throttled",
            Err(CallError::Stopped(_)) => "call stopped",
            Err(CallError::NotFound) => "call not found",
            Err(CallError::TooEarly) => "call too early",
            Err(CallError::Conflict) => "call refused",
            Err(CallError::Unclear(_)) => "call unclear",
        };
        self.sim().trace(|| format!("process {}: order {order}: {heard}", self.process.number));
        self.sim().record().heard(order, heard);
    }
}

fn silence() -> CallError {
    CallError::Unclear("no answer".into())
}

fn refused(refused: Refused) -> CallError {
    match refused {
        Refused::NotFound => CallError::NotFound,
        Refused::TooEarly => CallError::TooEarly,
        Refused::Conflict => CallError::Conflict,
    }
}

#[async_trait]
impl Supplier for SimSupplier {
    fn capabilities(&self) -> Capabilities {
        let minimum_cancel_age = self.sim().setup.temper.minimum_cancel_age;
        Capabilities { lists_orders: true, bans: true, minimum_cancel_age }
    }

    fn currency(&self) -> Currency {
        Currency::USD
    }

    async fn profile(&self) -> Result<Profile, CallError> {
        self.call(Heat::Idle, "profile", |books, now| match books.refuses_until {
            Some((until, Stop::Key)) if now < until => Err(CallError::Stopped(Stop::Key)),
            _ => Ok(Profile {
                id: "1".to_owned(),
                balance: Amount::from_micros(100_000_000),
                currency: Currency::USD,
                rating_milli: Some(96_000),
            }),
        })
        .await
    }

    async fn buy(&self, permit: BuyPermit) -> Result<Order, BuyError> {
        let (sim, asked_at) = (Arc::clone(self.sim()), self.sim().now());
        let wanted = permit.wanted().clone();
        // A client looks at its watch, and whatever holds it up afterwards makes it late.
        if !permit.window().is_open() {
            sim.count("purchases whose window had closed");
            return Err(BuyError::NotSent(None));
        }
        sim.trace(|| format!("process {}: buys at {}", self.process.number, wanted.country));
        sim.count("purchases");
        if self.is(sim.setup.rates.stall / 25) {
            sim.trace(|| format!("process {}: stands still before the purchase leaves", self.process.number));
            self.process.stall();
        }
        match self.send(Heat::Hot, "a purchase").await {
            Err(retry_after) => return Err(BuyError::Throttled { retry_after }),
            Ok(Reached::Silence) if sim.dice.chance(5_000) => return Err(BuyError::NotSent(None)),
            Ok(Reached::Silence) => {
                tokio::time::sleep(sim.dice.millis(100, 5_000)).await;
                self.process.is_going().await;
                return Err(BuyError::Unclear("no answer".into()));
            }
            Ok(Reached::There) => {}
        }
        // What has left arrives, whatever becomes of the process.
        let (told, answer) = oneshot::channel();
        let is_late = self.is(sim.setup.temper.late);
        tokio::spawn({
            let sim = Arc::clone(&sim);
            async move {
                if is_late {
                    sim.count("purchases that appeared late");
                    let most = sim.setup.timing.late_max.saturating_sub(Duration::from_millis(500));
                    tokio::time::sleep(sim.dice.millis(500, most.as_millis().try_into().unwrap())).await;
                }
                let sale = sim.books().buy(&wanted, asked_at, sim.now(), &sim.dice);
                if let Sale::Sold(order) = &sale {
                    sim.trace(|| format!("sold order {} at {}", order.id, wanted.country));
                }
                // The process may be gone.
                told.send(sale).ok();
            }
        });
        let sale = answer.await.map_err(|gone| BuyError::Unclear(gone.into()))?;
        tokio::time::sleep(sim.dice.millis(10, 200)).await;
        if self.is(sim.setup.temper.overdue) {
            sim.count("purchases answered too late");
            tokio::time::sleep(sim.dice.secs(3, 15)).await;
        }
        self.process.is_going().await;
        if self.is(sim.setup.temper.lost) {
            sim.count("purchases whose answer was lost");
            return Err(BuyError::Unclear("no answer".into()));
        }
        match sale {
            Sale::Sold(order) => Ok(order),
            Sale::OutOfStock => Err(BuyError::OutOfStock),
            Sale::Stopped(stop) => Err(BuyError::Stopped(stop)),
        }
    }

    async fn check(&self, order: &OrderId) -> Result<Sight, CallError> {
        let id = real(order);
        let is_forgotten = self.is(self.sim().setup.temper.forgetful) && self.sim().books().forget(&id);
        let answer = self
            .call(Heat::Idle, "check", |books, now| {
                if is_forgotten {
                    return Err(CallError::NotFound);
                }
                let then = self.then(now);
                // An order that is younger than the picture is looked up in the books.
                books.look(&id, then, now).or_else(|| books.look(&id, now, now)).ok_or(CallError::NotFound)
            })
            .await;
        self.heard(order, &answer);
        answer
    }

    async fn finish(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.settle("finish", order, Books::finish).await
    }

    async fn cancel(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.settle("cancel", order, |books, id, now| books.give_back(id, OrderStatus::Cancelled, now)).await
    }

    async fn ban(&self, order: &OrderId) -> Result<Sight, CallError> {
        self.settle("ban", order, |books, id, now| books.give_back(id, OrderStatus::Banned, now)).await
    }

    async fn listed_price(&self, wanted: &Wanted) -> Result<Option<Amount>, CallError> {
        assert_eq!(wanted.product, PRODUCT);
        self.call(Heat::Idle, "listed price", |_, _| Ok(Some(USUAL_PRICE))).await
    }

    async fn recent_orders(&self, skip: u64) -> Result<Vec<ListedOrder>, CallError> {
        self.call(Heat::Hot, "list", |books, now| {
            let then = self.then(now);
            // Behind its last row the list breaks off: it does not claim that there were no more.
            books.list(skip, then, now).ok_or_else(|| CallError::Unclear("the list breaks off".into()))
        })
        .await
    }
}
