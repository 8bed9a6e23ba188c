//! Putting an engine together from its ports, and running it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::driver::Driver;
use super::guesses::Guesses;
use super::issuer::Issuer;
use super::journal::{Journal, persist};
use super::notices::Notices;
use super::post::Post;
use super::redeemer::{Inner, Labels, Redeemer};
use super::shift::Shifts;
use super::steady::SteadyClock;
use super::supplier_desk::{Chain, SupplierDesk};
use super::support::Support;
use super::worker::{Command, Orders};
use crate::guessing::LocalLimits;
use crate::ids::SupplierName;
use crate::money::Currency;
use crate::ports::{
    AlertSink, Alerts, Catalogue, Clock, Entropy, Limits, Orphans, Reports, Storage, Supplier, Vouchers,
    Workers,
};
use crate::redemption::Timing;
use crate::rules::Rules;
use crate::voucher::{Shape, VoucherKeys};

/// Commands that may wait for the worker.
const QUEUE: usize = 1024;

/// Everything that redeems and mints, over the ports it was given.
///
/// [`Engine::redeemer`] and [`Engine::issuer`] are what adapters call; [`Engine::start`] begins to drive redemptions.
pub struct Engine {
    redeemer: Redeemer,
    issuer: Issuer,
    support: Support,
    shifts: Shifts,
    commands: mpsc::Receiver<Command>,
    notices: Notices,
}

/// Collects the parts of an [`Engine`].
pub struct EngineBuilder {
    storage: Arc<dyn Storage>,
    catalogue: Arc<dyn Catalogue>,
    vouchers: Arc<dyn Vouchers>,
    reports: Arc<dyn Reports>,
    alerts: Arc<dyn Alerts>,
    workers: Arc<dyn Workers>,
    orphans: Arc<dyn Orphans>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: VoucherKeys,
    shape: Shape,
    timing: Timing,
    rules: Rules,
    sink: Option<Arc<dyn AlertSink>>,
    limits: Option<Arc<dyn Limits>>,
    is_alone: bool,
    suppliers: BTreeMap<SupplierName, Configured>,
}

/// A supplier as it was added.
struct Configured {
    supplier: Arc<dyn Supplier>,
    is_exclusive: bool,
    requests_per_second: u32,
}

/// Times or parts that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Without a supplier nothing can be bought.
    #[error("no supplier is configured")]
    NoSupplier,
    /// Without a rate, what a supplier charges cannot be compared with what vouchers earn.
    #[error("supplier {supplier} charges in {currency}, which has no rate in {selling}")]
    NoRate {
        /// The supplier.
        supplier: SupplierName,
        /// Its currency.
        currency: Currency,
        /// The selling currency.
        selling: Currency,
    },
    /// One time must be longer than another.
    #[error("{longer} must be longer than {shorter}")]
    Order {
        /// The name of the time that is too short.
        longer: &'static str,
        /// The name of the time it is compared with.
        shorter: &'static str,
    },
}

impl Engine {
    /// Begins with the ports and the voucher keys; [`EngineBuilder`] has the rest.
    pub fn builder<S>(
        storage: Arc<S>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        keys: VoucherKeys,
    ) -> EngineBuilder
    where
        S: Storage + Catalogue + Vouchers + Reports + Alerts + Workers + Orphans + 'static,
    {
        EngineBuilder {
            catalogue: Arc::<S>::clone(&storage),
            vouchers: Arc::<S>::clone(&storage),
            reports: Arc::<S>::clone(&storage),
            alerts: Arc::<S>::clone(&storage),
            workers: Arc::<S>::clone(&storage),
            orphans: Arc::<S>::clone(&storage),
            storage,
            clock,
            entropy,
            keys,
            shape: Shape::default(),
            timing: Timing::default(),
            rules: Rules::default(),
            sink: None,
            limits: None,
            is_alone: false,
            suppliers: BTreeMap::new(),
        }
    }

    /// What customers ask for.
    #[must_use]
    pub fn redeemer(&self) -> Redeemer {
        self.redeemer.clone()
    }

    /// What mints vouchers.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        self.issuer.clone()
    }

    /// What operators ask for beside minting.
    #[must_use]
    pub fn support(&self) -> Support {
        self.support.clone()
    }

    /// The time as the engine sees it: that of the storage, or of the wall when the engine was built, and steady since.
    /// Adapters use it so that what they show fits what the engine does.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shifts.driver.clock) as Arc<dyn Clock>
    }

    /// Takes over what nobody drives, and drives redemptions from now on.
    #[must_use]
    pub fn start(self) -> Running {
        let Self { shifts, commands, notices, .. } = self;
        let orders = Orders { stop: CancellationToken::new(), drain: CancellationToken::new() };
        let driver = Arc::clone(&shifts.driver);
        let following = follow(&driver, notices);
        let task = tokio::spawn(shifts.run(commands, orders.clone()));
        Running { orders, driver, task, _following: following }
    }

    /// Drives nothing: what begins here is driven by the workers of other processes, whose changes are passed on to whoever
    /// waits for them. For storage that several processes share.
    #[must_use]
    pub fn attend(self) -> Running {
        let Self { shifts, notices, .. } = self;
        let orders = Orders { stop: CancellationToken::new(), drain: CancellationToken::new() };
        let driver = Arc::clone(&shifts.driver);
        let following = follow(&driver, notices);
        let (attended, stop) = (Arc::clone(&driver), orders.stop.clone());
        let task = tokio::spawn(async move {
            let attending = async {
                // What is shown before anything begins goes by the storage's time as well.
                let agreed = || attended.clock.agree(&*attended.workers);
                if let Err(error) = persist("asking storage for its time", agreed).await {
                    tracing::error!(error = %Chain(&error), "storage does not tell its time");
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = attending => {}
            }
        });
        Running { orders, driver, task, _following: following }
    }
}

/// An engine at work.
pub struct Running {
    orders: Orders,
    driver: Arc<Driver>,
    task: JoinHandle<()>,
    _following: Option<AbortOnDropHandle<()>>,
}

/// Passes on what other processes store, where storage tells.
fn follow(driver: &Driver, notices: Notices) -> Option<AbortOnDropHandle<()>> {
    let news = driver.journal.storage().news()?;
    Some(AbortOnDropHandle::new(tokio::spawn(notices.follow(news))))
}

/// How many orders of an account wait for their SMS in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whose account.
    pub supplier: SupplierName,
    /// Orders that are looked at.
    pub orders: usize,
}

impl Running {
    /// Waits until the engine has ended, which without [`Running::stop`] means that it failed: nothing is driven any more,
    /// and the process had better end.
    pub async fn ended(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the worker ended badly");
        }
    }

    /// Takes no new turns, waits a few seconds for those under way, and ends. What is left is taken over at once by another
    /// worker, or by the next start.
    pub async fn stop(mut self) {
        self.orders.stop.cancel();
        self.ended().await;
    }

    /// Takes nothing over any more, drives what it has to its end for at most `patience`, and then stops. What begins
    /// meanwhile waits for another worker, or for the next start.
    pub async fn drain(mut self, patience: Duration) {
        self.orders.drain.cancel();
        if tokio::time::timeout(patience, self.ended()).await.is_err() {
            self.stop().await;
        }
    }

    /// How many orders wait for their SMS, by account.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        let desks = self.driver.suppliers.iter();
        desks.map(|(name, desk)| Waiting { supplier: name.clone(), orders: desk.watchlist.len() }).collect()
    }
}

#[cfg(feature = "testing")]
impl Running {
    /// Ends as a crash does: at once, in the middle of whatever it was doing.
    pub fn kill(&self) {
        self.task.abort();
    }
}

impl EngineBuilder {
    /// The shape of codes minted from now on; 32 symbols with a tag of 6 at position 8 unless set.
    #[must_use]
    pub fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// The engine's times.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// What the operator has set for all SKUs.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Who tells the operator of alerts, beside the log.
    #[must_use]
    pub fn alerts(mut self, sink: Arc<dyn AlertSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Who counts wrong codes, where several processes serve; this process alone unless set.
    #[must_use]
    pub fn limits(mut self, limits: Arc<dyn Limits>) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Promises that no other engine works on the storage while this one does: what earlier ones left is taken over at once
    /// instead of after [`Timing::worker_ttl`].
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Adds a supplier under the name that plans give it. `is_exclusive` promises that nobody else buys on the account,
    /// so that a purchase whose answer was lost may be looked for and adopted.
    #[must_use]
    pub fn supplier(
        mut self,
        name: SupplierName,
        supplier: Arc<dyn Supplier>,
        is_exclusive: bool,
        requests_per_second: u32,
    ) -> Self {
        self.suppliers.insert(name, Configured { supplier, is_exclusive, requests_per_second });
        self
    }

    /// Checks everything at once.
    pub fn build(self) -> Result<Engine, SetupError> {
        if self.suppliers.is_empty() {
            return Err(SetupError::NoSupplier);
        }
        check(&self.timing)?;
        let longest_pause = self.timing.backoff_min;
        let suppliers = self.suppliers.into_iter().map(|(name, configured)| {
            let Configured { supplier, is_exclusive, requests_per_second } = configured;
            let desk = SupplierDesk::new(supplier, is_exclusive, requests_per_second, longest_pause);
            priced(name, desk, &self.rules)
        });
        let suppliers = suppliers.collect::<Result<BTreeMap<_, _>, _>>()?;

        // Half an intent's window for the slowest supplier's line, the other half for storing and sending.
        let slowest = suppliers.values().map(|desk| desk.purchases_within(self.timing.send_window / 2)).min();
        let places = slowest.unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
        let notices = Notices::default();
        let (clock, post) = (Arc::new(SteadyClock::new(self.clock)), Arc::new(Post::default()));
        let steady = Arc::clone(&clock) as Arc<dyn Clock>;
        let (sender, commands) = mpsc::channel(QUEUE);
        let rules = Arc::new(self.rules);
        let limits = self.limits.unwrap_or_else(|| Arc::new(LocalLimits::default()));
        let driver = Arc::new(Driver {
            journal: Journal::new(
                Arc::clone(&self.storage),
                Arc::clone(&steady),
                notices.clone(),
                rules.health,
                &self.timing,
            ),
            workers: self.workers,
            orphans: Arc::clone(&self.orphans),
            clock,
            entropy: Arc::clone(&self.entropy),
            suppliers,
            timing: self.timing,
            rules: Arc::clone(&rules),
            late_answers: TaskTracker::new(),
            commands: sender.clone(),
            purchases: Semaphore::new(places),
            chores: Mutex::default(),
        });
        let redeemer = Redeemer::new(Inner {
            storage: Arc::clone(&self.storage),
            vouchers: Arc::clone(&self.vouchers),
            keys: self.keys.clone(),
            clock: Arc::clone(&steady),
            entropy: Arc::clone(&self.entropy),
            driver: Arc::clone(&driver),
            notices: notices.clone(),
            post: Arc::clone(&post),
            commands: sender,
            labels: Mutex::new(Labels::default()),
            guesses: Guesses::new(limits, rules.guesses),
        });
        let issuer = Issuer {
            vouchers: self.vouchers,
            catalogue: self.catalogue,
            keys: self.keys,
            shape: self.shape,
            clock: steady,
            entropy: self.entropy,
        };
        let (reports, alerts) = (self.reports, self.alerts);
        let support = Support {
            storage: self.storage,
            reports: Arc::clone(&reports),
            alerts: Arc::clone(&alerts),
            orphans: Arc::clone(&self.orphans),
            issuer: issuer.clone(),
            rules,
        };
        let shifts = Shifts {
            driver,
            post,
            issuer: issuer.clone(),
            reports,
            alerts,
            sink: self.sink,
            is_alone: self.is_alone,
        };
        Ok(Engine { redeemer, issuer, support, shifts, commands, notices })
    }
}

/// The desk with what its supplier's currency is worth.
fn priced(
    name: SupplierName,
    desk: SupplierDesk,
    rules: &Rules,
) -> Result<(SupplierName, Arc<SupplierDesk>), SetupError> {
    let (currency, selling) = (desk.currency(), rules.rates.selling);
    match rules.rates.of(currency) {
        Some(rate) => Ok((name, Arc::new(desk.at_rate(rate)))),
        None => Err(SetupError::NoRate { supplier: name, currency, selling }),
    }
}

fn check(timing: &Timing) -> Result<(), SetupError> {
    let demand = |holds: bool, longer, shorter| {
        if holds { Ok(()) } else { Err(SetupError::Order { longer, shorter }) }
    };
    demand(timing.settle_time > timing.buy_timeout, "settle_time", "buy_timeout")?;
    demand(!timing.buy_timeout.is_zero(), "buy_timeout", "zero")?;
    demand(!timing.poll_min.is_zero(), "poll_min", "zero")?;
    demand(!timing.inbox_look.is_zero(), "inbox_look", "zero")?;
    demand(timing.poll_max >= timing.poll_min, "poll_max", "poll_min")?;
    demand(timing.backoff_max >= timing.backoff_min, "backoff_max", "backoff_min")?;
    demand(!timing.heartbeat.is_zero(), "heartbeat", "zero")?;
    demand(!timing.sweep_interval.is_zero(), "sweep_interval", "zero")?;
    demand(timing.worker_ttl >= timing.heartbeat * 2, "worker_ttl", "twice heartbeat")?;
    // A worker that was struck off must not send any more.
    demand(timing.worker_ttl / 6 >= timing.send_window, "worker_ttl", "six times send_window")?;
    demand(
        timing.orphan_age > timing.settle_time + timing.worker_ttl,
        "orphan_age",
        "settle_time and worker_ttl together",
    )
}
