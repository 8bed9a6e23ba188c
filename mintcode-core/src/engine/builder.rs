//! Putting an engine together from its ports, and running it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::Driver;
use super::issuer::Issuer;
use super::journal::{Journal, persist};
use super::notices::Notices;
use super::redeemer::{Inner, Labels, Redeemer};
use super::supplier_desk::{Chain, SupplierDesk};
use super::worker::{Command, Worker};
use crate::ids::{SupplierName, WorkerId};
use crate::ports::{Catalogue, Clock, Entropy, Storage, Supplier, Vouchers};
use crate::redemption::Timing;
use crate::voucher::{Shape, VoucherKeys};

/// Commands that may wait for the worker.
const QUEUE: usize = 1024;
/// How often old batches are sealed.
const SEAL_EVERY: Duration = Duration::from_mins(10);

/// Everything that redeems and mints, over the ports it was given.
///
/// [`Engine::redeemer`] and [`Engine::issuer`] are what adapters call; [`Engine::start`] begins to drive redemptions.
pub struct Engine {
    redeemer: Redeemer,
    issuer: Issuer,
    driver: Arc<Driver>,
    worker: WorkerId,
    commands: mpsc::Receiver<Command>,
}

/// Collects the parts of an [`Engine`].
pub struct EngineBuilder {
    storage: Arc<dyn Storage>,
    catalogue: Arc<dyn Catalogue>,
    vouchers: Arc<dyn Vouchers>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: VoucherKeys,
    shape: Shape,
    timing: Timing,
    suppliers: BTreeMap<SupplierName, Arc<SupplierDesk>>,
}

/// Times or parts that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Without a supplier nothing can be bought.
    #[error("no supplier is configured")]
    NoSupplier,
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
        S: Storage + Catalogue + Vouchers + 'static,
    {
        EngineBuilder {
            catalogue: Arc::<S>::clone(&storage),
            vouchers: Arc::<S>::clone(&storage),
            storage,
            clock,
            entropy,
            keys,
            shape: Shape::default(),
            timing: Timing::default(),
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

    /// Takes over what an earlier process left, and drives redemptions from now on.
    #[must_use]
    pub fn start(self) -> Running {
        let stop = CancellationToken::new();
        let worker = Worker::new(Arc::clone(&self.driver), self.worker, self.commands);
        let (driver, issuer, stopped) = (self.driver, self.issuer, stop.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = learn_newest_orders(&driver) => {}
                () = stopped.cancelled() => return,
            }
            let sealing = tokio::spawn(seal_old_batches(issuer, stopped.clone()));
            worker.run(stopped).await;
            if let Err(error) = sealing.await {
                tracing::error!(%error, "the sealing of old batches ended badly");
            }
        });
        Running { stop, task }
    }
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

async fn seal_old_batches(issuer: Issuer, stop: CancellationToken) {
    let mut every = tokio::time::interval(SEAL_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => match issuer.seal_old().await {
                Ok(0) => {}
                Ok(sealed) => tracing::info!(sealed, "old batches are sealed"),
                Err(error) => tracing::warn!(error = %Chain(&error), "old batches could not be sealed"),
            },
        }
    }
}

/// An engine at work.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
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
        self.suppliers.insert(name, Arc::new(desk));
        self
    }

    /// Checks everything at once.
    pub fn build(self) -> Result<Engine, SetupError> {
        let Self { storage, catalogue, vouchers, clock, entropy, keys, shape, timing, suppliers } = self;
        if suppliers.is_empty() {
            return Err(SetupError::NoSupplier);
        }
        check(&timing)?;

        // Half an intent's window for the slowest supplier's line, the other half for storing and sending.
        let slowest = suppliers.values().map(|desk| desk.requests_within(timing.send_window / 2)).min();
        let places = slowest.unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
        let notices = Notices::default();
        let worker = WorkerId::draw(&*entropy);
        let (sender, commands) = mpsc::channel(QUEUE);
        let driver = Arc::new(Driver {
            journal: Journal::new(Arc::clone(&storage), notices.clone()),
            catalogue: Arc::clone(&catalogue),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            suppliers,
            timing,
            late_answers: TaskTracker::new(),
            commands: sender.clone(),
            purchases: Semaphore::new(places),
        });
        let redeemer = Redeemer::new(Inner {
            storage,
            vouchers: Arc::clone(&vouchers),
            keys: keys.clone(),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            driver: Arc::clone(&driver),
            notices,
            worker,
            commands: sender,
            labels: Mutex::new(Labels::default()),
        });
        let issuer = Issuer { vouchers, catalogue, keys, shape, clock, entropy };
        Ok(Engine { redeemer, issuer, driver, worker, commands })
    }
}

fn check(timing: &Timing) -> Result<(), SetupError> {
    let demand = |holds: bool, longer, shorter| {
        if holds { Ok(()) } else { Err(SetupError::Order { longer, shorter }) }
    };
    demand(timing.settle_time > timing.buy_timeout, "settle_time", "buy_timeout")?;
    demand(!timing.buy_timeout.is_zero(), "buy_timeout", "zero")?;
    demand(!timing.poll_min.is_zero(), "poll_min", "zero")?;
    demand(timing.poll_max >= timing.poll_min, "poll_max", "poll_min")?;
    demand(timing.backoff_max >= timing.backoff_min, "backoff_max", "backoff_min")
}
