//! Putting an engine together from its ports, and running it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::driver::Driver;
use super::house::{keep_house, prove_books};
use super::issuer::Issuer;
use super::journal::{Journal, persist};
use super::notices::Notices;
use super::redeemer::{Inner, Labels, Redeemer};
use super::supplier_desk::{Chain, SupplierDesk};
use super::support::Support;
use super::teller::Teller;
use super::watch::{watch_accounts, watch_prices};
use super::worker::{Command, Worker};
use crate::ids::{SupplierName, WorkerId};
use crate::money::Currency;
use crate::ports::{AlertSink, Alerts, Catalogue, Clock, Entropy, Reports, Storage, Supplier, Vouchers};
use crate::redemption::Timing;
use crate::rules::Rules;
use crate::voucher::{Shape, VoucherKeys};

/// How long something beside the redemptions rests that panicked.
const AFTER_PANIC: Duration = Duration::from_secs(5);
/// Commands that may wait for the worker.
const QUEUE: usize = 1024;

/// Everything that redeems and mints, over the ports it was given.
///
/// [`Engine::redeemer`] and [`Engine::issuer`] are what adapters call; [`Engine::start`] begins to drive redemptions.
pub struct Engine {
    redeemer: Redeemer,
    issuer: Issuer,
    support: Support,
    alerts: Arc<dyn Alerts>,
    sink: Option<Arc<dyn AlertSink>>,
    reports: Arc<dyn Reports>,
    driver: Arc<Driver>,
    worker: WorkerId,
    commands: mpsc::Receiver<Command>,
}

/// Collects the parts of an [`Engine`].
pub struct EngineBuilder {
    storage: Arc<dyn Storage>,
    catalogue: Arc<dyn Catalogue>,
    vouchers: Arc<dyn Vouchers>,
    reports: Arc<dyn Reports>,
    alerts: Arc<dyn Alerts>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: VoucherKeys,
    shape: Shape,
    timing: Timing,
    rules: Rules,
    sink: Option<Arc<dyn AlertSink>>,
    suppliers: BTreeMap<SupplierName, SupplierDesk>,
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
        S: Storage + Catalogue + Vouchers + Reports + Alerts + 'static,
    {
        EngineBuilder {
            catalogue: Arc::<S>::clone(&storage),
            vouchers: Arc::<S>::clone(&storage),
            reports: Arc::<S>::clone(&storage),
            alerts: Arc::<S>::clone(&storage),
            storage,
            clock,
            entropy,
            keys,
            shape: Shape::default(),
            timing: Timing::default(),
            rules: Rules::default(),
            sink: None,
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

    /// Takes over what an earlier process left, and drives redemptions from now on.
    #[must_use]
    pub fn start(self) -> Running {
        let stop = CancellationToken::new();
        let worker = Worker::new(Arc::clone(&self.driver), self.worker, self.commands);
        let Self { driver, issuer, reports, alerts, sink, .. } = self;
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = learn_newest_orders(&driver) => {}
                () = stopped.cancelled() => return,
            }
            let teller =
                Arc::new(Teller::new(alerts, sink, Arc::clone(&driver.clock), driver.journal.alerted()));
            // What is done beside the redemptions may stop anywhere: the next start does it again.
            let (house, books) = (Arc::clone(&driver), (Arc::clone(&driver), Arc::clone(&reports)));
            let (accounts, prices) = (Arc::clone(&driver), (driver, reports));
            let _beside = [
                tend("telling alerts", move || Arc::clone(&teller).run()),
                tend("keeping house", move || keep_house(issuer.clone(), Arc::clone(&house))),
                tend("proving the books", move || prove_books(Arc::clone(&books.0), Arc::clone(&books.1))),
                tend("watching accounts", move || watch_accounts(Arc::clone(&accounts))),
                tend("watching prices", move || watch_prices(Arc::clone(&prices.0), Arc::clone(&prices.1))),
            ];
            worker.run(stopped).await;
        });
        Running { stop, task }
    }
}

/// Keeps `work` going in a task of its own for as long as the handle lives: a panic in it ends nothing else.
fn tend<F: Future<Output = ()> + Send + 'static>(
    what: &'static str,
    work: impl Fn() -> F + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Err(error) = AbortOnDropHandle::new(tokio::spawn(work())).await {
            tracing::error!(%error, "{what} ended badly, and begins again");
            tokio::time::sleep(AFTER_PANIC).await;
        }
    }))
}

async fn learn_newest_orders(driver: &Driver) {
    for (name, desk) in &driver.suppliers {
        let storage = driver.journal.storage();
        match persist("reading the newest order", || storage.newest_order(name)).await {
            Ok(newest) => newest.iter().for_each(|order| desk.know(order)),
            Err(error) => tracing::error!(error = %Chain(&error), "the newest order could not be read"),
        }
        desk.learn_newest().await;
    }
}

/// An engine at work.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits until the engine has ended, which without [`Running::stop`] means that it failed: nothing is driven any more,
    /// and the process had better end.
    pub async fn ended(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the worker ended badly");
        }
    }

    /// Takes no new turns, waits a few seconds for those under way, and ends. What is left is taken over at the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the worker ended badly");
        }
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
        let desk = SupplierDesk::new(supplier, is_exclusive, requests_per_second);
        self.suppliers.insert(name, desk);
        self
    }

    /// Checks everything at once.
    pub fn build(self) -> Result<Engine, SetupError> {
        if self.suppliers.is_empty() {
            return Err(SetupError::NoSupplier);
        }
        check(&self.timing)?;
        let suppliers = self.suppliers.into_iter().map(|(name, desk)| priced(name, desk, &self.rules));
        let suppliers = suppliers.collect::<Result<BTreeMap<_, _>, _>>()?;

        // Half an intent's window for the slowest supplier's line, the other half for storing and sending.
        let slowest = suppliers.values().map(|desk| desk.requests_within(self.timing.send_window / 2)).min();
        let places = slowest.unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
        let notices = Notices::default();
        let worker = WorkerId::draw(&*self.entropy);
        let (sender, commands) = mpsc::channel(QUEUE);
        let rules = Arc::new(self.rules);
        let driver = Arc::new(Driver {
            journal: Journal::new(Arc::clone(&self.storage), notices.clone(), rules.health, &self.timing),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            suppliers,
            timing: self.timing,
            rules: Arc::clone(&rules),
            late_answers: TaskTracker::new(),
            commands: sender.clone(),
            purchases: Semaphore::new(places),
        });
        let redeemer = Redeemer::new(Inner {
            storage: Arc::clone(&self.storage),
            vouchers: Arc::clone(&self.vouchers),
            keys: self.keys.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            driver: Arc::clone(&driver),
            notices,
            worker,
            commands: sender,
            labels: Mutex::new(Labels::default()),
        });
        let issuer = Issuer {
            vouchers: self.vouchers,
            catalogue: self.catalogue,
            keys: self.keys,
            shape: self.shape,
            clock: self.clock,
            entropy: self.entropy,
        };
        let (reports, alerts) = (self.reports, self.alerts);
        let support =
            Support::over(self.storage, Arc::clone(&reports), Arc::clone(&alerts), issuer.clone(), rules);
        Ok(Engine { redeemer, issuer, support, alerts, sink: self.sink, reports, driver, worker, commands })
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
    demand(timing.backoff_max >= timing.backoff_min, "backoff_max", "backoff_min")
}
