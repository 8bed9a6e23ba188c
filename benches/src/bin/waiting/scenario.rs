//! One run of the engine over everything that waits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::engine::{Engine, Redeemer, Running};
use mintcode_core::ids::{RedemptionId, SupplierName, WorkerId};
use mintcode_core::order::OrderId;
use mintcode_core::ports::{Clock, Storage, Supplier};
use mintcode_core::redemption::{Phase, Timing};
use mintcode_core::testing::{SeededEntropy, TokioClock, sample};
use mintcode_store::SqliteStore;
use mintcode_supplier::rest::RestSupplier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::machine::{Memory, cpu};
use crate::stub::Report;
use crate::stub_process::StubProcess;
use crate::{Error, orders, peer, prepare};

/// The longest that taking over, or a delivery, is waited for.
const PATIENCE: Duration = Duration::from_mins(3);
/// Redemptions asked about in one call.
const AT_ONCE: usize = 500;

/// How the engine is run.
pub(crate) struct Scenario {
    /// Rows on a page of the supplier's list.
    pub(crate) page: usize,
    /// The budget of requests.
    pub(crate) per_second: u32,
    /// How often an order is looked at, if the budget allows it.
    pub(crate) look_every: Duration,
    /// Times `look_every` that are measured.
    pub(crate) rounds: u32,
    /// Redemptions whose SMS comes.
    pub(crate) samples: u32,
}

/// What was measured.
pub(crate) struct Figures {
    /// Microseconds of CPU per row without an engine.
    pub(crate) peer: f64,
    /// From the start of the engine until everything is watched.
    pub(crate) taken_over_in: Duration,
    pub(crate) before: Memory,
    pub(crate) after: Memory,
    /// CPU of the rounds that were measured, and how long they took.
    pub(crate) cpu: Duration,
    pub(crate) lasted: Duration,
    /// What the stub was asked in these rounds.
    pub(crate) looks: Report,
    /// The same over the whole life of the engine.
    pub(crate) all: Report,
    /// From an SMS at the supplier to its code in storage, shortest first.
    pub(crate) delays: Vec<Duration>,
}

impl Scenario {
    /// Runs an engine over `file`, in which `waiting` redemptions wait. `number` tells runs over the same file apart.
    pub(crate) async fn run(
        &self,
        file: &Path,
        waiting: u32,
        clock: &Arc<TokioClock>,
        number: u64,
    ) -> Result<Figures, Error> {
        let store = Arc::new(SqliteStore::open_serving(file, &prepare::secrets())?);
        let stub = Arc::new(StubProcess::start(waiting).await?);
        let clock = || Arc::clone(clock) as Arc<dyn Clock>;
        let key = "key".to_owned().into();
        let supplier: Arc<dyn Supplier> = Arc::new(RestSupplier::builder(stub.url()?, key, clock()).build()?);
        stub.begin(self.page).await?;
        let peer = peer::micros_per_row(&supplier, self, waiting, 3).await?;
        let ids = self.fill_caches(&store, waiting).await?;

        let (keys, entropy) = (sample::keys(), Arc::new(SeededEntropy::new(100 + number)));
        let timing = Timing { poll_max: self.look_every, ..Timing::default() };
        let engine = Engine::builder(Arc::clone(&store), clock(), entropy, keys)
            .supplier(SupplierName::default(), supplier, true, self.per_second)
            .timing(timing)
            .rules(prepare::rules())
            .alone()
            .build()?;
        let redeemer = engine.redeemer();
        stub.begin(self.page).await?;
        let before = Memory::now()?;

        let started = Instant::now();
        let running = engine.start();
        until_watched(&running, waiting).await?;
        let taken_over_in = started.elapsed();
        // Everything was looked at since, several times.
        tokio::time::sleep(self.look_every * 3).await;

        stub.begin_window().await?;
        let (began, cpu_before) = (Instant::now(), cpu());
        tokio::time::sleep(self.look_every * self.rounds).await;
        let (cpu, lasted) = (cpu().saturating_sub(cpu_before), began.elapsed());
        let looks = stub.report().await?;
        let after = Memory::now()?;

        let interval = Duration::from_secs_f64(looks.interval.mean / 1e3);
        let delays = self.delays(&store, &stub, &redeemer, &ids, interval).await?;
        let all = stub.report().await?;
        running.stop().await;
        store.close().await?;
        Ok(Figures { peer, taken_over_in, before, after, cpu, lasted, looks, all, delays })
    }

    /// Lets storage fill its caches, whose size does not grow with what waits, and picks the redemptions whose SMS will
    /// come.
    async fn fill_caches(
        &self,
        store: &SqliteStore,
        waiting: u32,
    ) -> Result<Vec<(u32, RedemptionId)>, Error> {
        let supplier = SupplierName::default();
        let numbers: Vec<u32> = (1..=waiting).collect();
        let (nobody, every) = (WorkerId::draw(&SeededEntropy::new(0)), waiting / self.samples);
        let mut picked = Vec::new();
        for some in numbers.chunks(AT_ONCE) {
            let wanted: Vec<OrderId> = some.iter().map(|number| orders::order(*number).id).collect();
            let holders = store.holders(&supplier, &wanted).await?;
            let ids: Vec<RedemptionId> = holders.iter().map(|(_, id)| *id).collect();
            store.outlived(nobody, &ids).await?;
            for (order, id) in holders {
                let number = order.as_str().parse().ok().and_then(orders::number).ok_or("a foreign order")?;
                if number.is_multiple_of(every) {
                    let redemption = store.redemption(id).await?.ok_or("a redemption is missing")?;
                    // One whose SMS came in an earlier run waits no more.
                    if matches!(redemption.phase, Phase::Waiting(_)) {
                        picked.push((number, id));
                    }
                }
            }
        }
        Ok(picked)
    }

    /// Lets SMS come, at even distances over four rounds that last `interval` each, so that every part of a round has its
    /// share of them.
    async fn delays(
        &self,
        store: &Arc<SqliteStore>,
        stub: &Arc<StubProcess>,
        redeemer: &Redeemer,
        redemptions: &[(u32, RedemptionId)],
        interval: Duration,
    ) -> Result<Vec<Duration>, Error> {
        let mut ticks = tokio::time::interval(interval * 4 / self.samples);
        let mut coming = JoinSet::new();
        for (number, id) in redemptions {
            ticks.tick().await;
            let (store, stub, redeemer) = (Arc::clone(store), Arc::clone(stub), redeemer.clone());
            let (number, id) = (*number, *id);
            coming.spawn(async move { delay(&store, &stub, &redeemer, number, id).await });
        }
        let mut delays = Vec::new();
        while let Some(delay) = coming.join_next().await {
            delays.push(delay??);
        }
        delays.sort_unstable();
        Ok(delays)
    }
}

/// How long it takes from an SMS at the supplier until storage has the redemption as delivered.
async fn delay(
    store: &SqliteStore,
    stub: &StubProcess,
    redeemer: &Redeemer,
    number: u32,
    id: RedemptionId,
) -> Result<Duration, Error> {
    let mut changes = redeemer.subscribe(id);
    let came = Instant::now();
    stub.receive(number).await?;
    loop {
        tokio::time::timeout(PATIENCE, changes.changed())
            .await
            .map_err(|_| format!("the SMS of order {number} was not found"))??;
        let redemption = store.redemption(id).await?.ok_or("a redemption is missing")?;
        if matches!(redemption.phase, Phase::Delivered(_)) {
            return Ok(came.elapsed());
        }
    }
}

async fn until_watched(running: &Running, waiting: u32) -> Result<(), Error> {
    let wanted = usize::try_from(waiting)?;
    let watched = async {
        while running.waiting().iter().map(|account| account.orders).sum::<usize>() < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, watched).await.map_err(|_| "not everything was taken over")?)
}
