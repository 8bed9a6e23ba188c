//! A world from its seed to its audit: processes, customers and weather around one storage and one supplier.

use std::cell::Cell;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use chrono::TimeDelta;
use mintcode_core::engine::{Engine, Issuer, MintRequest};
use mintcode_core::ids::{BatchId, SupplierName};
use mintcode_core::money::Amount;
use mintcode_core::ports::{Catalogue, Orphans, Put, RedemptionSearch, Reports, Stop, Storage};
use mintcode_core::redemption::Redemption;
use mintcode_core::testing::{SeededEntropy, TokioClock};
use mintcode_core::voucher::{Shape, VoucherKeys, VoucherSecret};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::audit;
use super::books::BAN;
use super::customer::{Customer, Doors};
use super::cut::Cut;
use super::dice::Dice;
use super::ports::Ports;
use super::process::Process;
use super::report::Counts;
use super::setup::{Setup, rules};
use super::sim::Sim;
use super::supplier::SimSupplier;

/// What came of a seed.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) counts: Counts,
    pub(crate) lived: Duration,
    /// Of the supplier's books and of storage, as they are in the end.
    pub(crate) digest: u64,
}

/// Lives the world of `seed`, as `setup` makes it, with `cut` cut out of it.
pub(crate) fn live(
    seed: u64,
    setup: impl FnOnce(&Dice) -> Setup,
    cut: Option<Cut>,
    is_traced: bool,
) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    count_panics();
    let panics_before = PANICS.get();
    let mut outcome = runtime.block_on(async {
        let dice = Dice::new(seed);
        let setup = setup(&dice);
        World::new(Arc::new(Sim::new(dice, setup, cut, is_traced))).await.live().await
    });
    let panics = PANICS.get() - panics_before;
    if panics > 0 {
        outcome.violations.push(format!("{panics} tasks panicked"));
    }
    outcome
}

thread_local! {
    /// Panics on this thread so far: the engine survives those of its tasks, and goes on.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
}

struct World {
    sim: Arc<Sim>,
    doors: Doors,
    /// The process in each place, while there is one.
    processes: Arc<Vec<Mutex<Option<Arc<Process>>>>>,
    /// Asks the process in each place to stop.
    stops: Arc<Vec<Notify>>,
    keys: VoucherKeys,
    batch: BatchId,
    codes: Vec<String>,
}

impl World {
    async fn new(sim: Arc<Sim>) -> Self {
        let secret = VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap();
        let keys = VoucherKeys::new(&secret, &[]);
        let sku = sim.setup.sku.clone();
        sim.storage.put_sku(sku.clone(), Put::Create).await.unwrap();
        let (storage, entropy) = (Arc::clone(&sim.storage), SeededEntropy::new(sim.dice.number()));
        let issuer = Issuer::new(
            storage,
            Arc::new(TokioClock::default()),
            Arc::new(entropy),
            keys.clone(),
            Shape::default(),
        );
        let request = MintRequest {
            sku: &sku.id,
            count: sim.setup.vouchers,
            expires_in: None,
            note: None,
            minted_by: "simulation".to_owned(),
            idempotency: None,
        };
        let minted = issuer.mint(request).await.unwrap();
        let places = sim.setup.processes;
        Self {
            doors: Arc::new((0..places).map(|_| Mutex::default()).collect()),
            processes: Arc::new((0..places).map(|_| Mutex::default()).collect()),
            stops: Arc::new((0..places).map(|_| Notify::new()).collect()),
            sim,
            keys,
            batch: minted.batch.id,
            codes: minted.codes.map(|code| code.reveal()).collect(),
        }
    }

    async fn live(self) -> Outcome {
        let sim = &self.sim;
        for place in 0..sim.setup.processes {
            tokio::spawn(self.host(place));
        }
        tokio::spawn(self.weather());
        for (number, code) in self.codes.iter().enumerate() {
            let customer = Customer {
                sim: Arc::clone(sim),
                doors: Arc::clone(&self.doors),
                name: format!("customer {number}"),
                code: code.clone(),
            };
            tokio::spawn(customer.run());
        }
        tokio::time::sleep_until(sim.calm_from()).await;
        sim.calm_down();
        sim.books().calm_down();
        let quiet_from = self.quiet_from();
        self.come_to_rest(quiet_from + audit::rest_within(&sim.setup)).await;
        audit::audit(sim, self.batch, quiet_from).await;
        let digest = audit::digest(sim).await;
        Outcome { violations: sim.violations(), counts: sim.counts().clone(), lived: sim.uptime(), digest }
    }

    /// From when on nothing keeps redemptions from their ends: a ban outlasts the rest, and what the service made of it.
    fn quiet_from(&self) -> Instant {
        let ban = self
            .sim
            .books()
            .last_hit
            .map_or(TimeDelta::zero(), |hit| hit + BAN + TimeDelta::seconds(31) - TokioClock::epoch());
        let ban = ban.to_std().unwrap_or_default();
        let since = self.sim.uptime();
        self.sim.calm_from() + ban.saturating_sub(since)
    }

    /// Waits until nothing is left to do, here or at the supplier.
    async fn come_to_rest(&self, limit: Instant) {
        let sim = &self.sim;
        while Instant::now() < limit {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let redemptions = sim.storage.redemptions(RedemptionSearch::default(), u32::MAX).await.unwrap();
            let mut is_at_rest = true;
            for redemption in redemptions.iter().filter(|redemption| !redemption.is_at_rest()) {
                is_at_rest = false;
                // The operator looks after what no worker survived.
                if sim.storage.resume(redemption.id).await.unwrap() {
                    sim.count("quarantined");
                }
            }
            let orphans = sim.storage.open_orphans(&SupplierName::default(), 1).await.unwrap();
            if is_at_rest
                && orphans.is_empty()
                && sim.books().are_closed(sim.now())
                && self.is_everything_known(&redemptions)
            {
                return;
            }
        }
    }

    /// Whether somebody knows of every order that cost something.
    fn is_everything_known(&self, redemptions: &[Redemption]) -> bool {
        let (books, record) = (self.sim.books(), self.sim.record());
        let mut charged = books.orders.iter().filter(|sold| sold.is_charged());
        charged.all(|sold| {
            record.swept.contains_key(&sold.phone) || redemptions.iter().any(|it| it.knows_order(&sold.id))
        })
    }

    /// Keeps a process running in its place: starts another one after each end.
    fn host(&self, place: usize) -> impl Future<Output = ()> + Send + 'static {
        let (sim, doors, processes) =
            (Arc::clone(&self.sim), Arc::clone(&self.doors), Arc::clone(&self.processes));
        let (stops, keys) = (Arc::clone(&self.stops), self.keys.clone());
        async move {
            for start in 0.. {
                let number = 1 + start * 10 + u64::try_from(place).unwrap();
                let process = Process::new(&sim, number, wall_error(&sim));
                sim.trace(|| format!("process {number} starts"));
                let engine = engine(&process, &keys);
                *doors[place].lock().unwrap() = Some(engine.redeemer());
                *processes[place].lock().unwrap() = Some(Arc::clone(&process));
                let running = engine.start();
                tokio::select! {
                    biased;
                    () = process.ended.notified() => {
                        sim.trace(|| format!("process {number} is dead"));
                        running.kill();
                    }
                    () = stops[place].notified() => {
                        sim.trace(|| format!("process {number} is stopped"));
                        sim.count("stops");
                        // One that stands still, or dies meanwhile, is not waited for.
                        if tokio::time::timeout(Duration::from_secs(30), running.stop()).await.is_err() {
                            process.crash();
                        }
                    }
                }
                *doors[place].lock().unwrap() = None;
                *processes[place].lock().unwrap() = None;
                tokio::time::sleep(sim.dice.millis(100, 8_000)).await;
            }
        }
    }

    /// What goes wrong by itself: stock and prices, outages, clocks, and processes that stop or stand still.
    fn weather(&self) -> impl Future<Output = ()> + Send + 'static {
        let (sim, processes, stops) =
            (Arc::clone(&self.sim), Arc::clone(&self.processes), Arc::clone(&self.stops));
        async move {
            loop {
                let storms = sim.setup.rates.storms;
                let pause = 60_u64.checked_div(storms);
                let pause = pause.map_or_else(|| sim.dice.secs(20, 60), |most| sim.dice.secs(5, most));
                tokio::time::sleep(pause).await;
                if sim.is_calm() {
                    return;
                }
                trade(&sim);
                if storms == 0 {
                    continue;
                }
                let place = usize::try_from(sim.dice.below(processes.len() as u64)).unwrap();
                let process = processes[place].lock().unwrap().clone();
                match sim.dice.below(9) {
                    0 => {
                        sim.count("supplier outages");
                        let until = sim.now() + sim.dice.secs(5, 90);
                        sim.books().is_away_until = Some(until);
                    }
                    1 => {
                        sim.count("supplier refusals");
                        let stop = *sim.dice.pick(&[Stop::Key, Stop::Balance]);
                        let until = sim.now() + sim.dice.secs(2, 15);
                        sim.books().refuses_until = Some((until, stop));
                    }
                    2 => sim.take_storage_down(sim.dice.secs(1, 15)),
                    3 => {
                        if let Some(process) = process {
                            process.set_wall(wall_error(&sim));
                        }
                    }
                    4 => stops[place].notify_one(),
                    5 | 6 => {
                        if let Some(process) = process {
                            process.stall();
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Stock comes and goes, and prices change.
fn trade(sim: &Sim) {
    let place = usize::try_from(sim.dice.below(3)).unwrap();
    let mut books = sim.books();
    let shelf = books.shelf(place);
    match sim.dice.below(8) {
        0 | 1 => shelf.stock = 0,
        2 => shelf.stock = 2,
        3 => shelf.price = Amount::from_micros(250_000),
        _ => (shelf.stock, shelf.price) = (1_000_000, super::books::USUAL_PRICE),
    }
}

/// How far a wall clock is off: mostly not at all.
fn wall_error(sim: &Sim) -> TimeDelta {
    if sim.is_calm() || sim.setup.rates.storms == 0 || sim.dice.chance(5_000) {
        return TimeDelta::zero();
    }
    TimeDelta::milliseconds(i64::try_from(sim.dice.below(600_001)).unwrap() - 300_000)
}

fn engine(process: &Arc<Process>, keys: &VoucherKeys) -> Engine {
    let supplier = SimSupplier { process: Arc::clone(process) };
    let entropy = SeededEntropy::new(process.sim.dice.number());
    let ports = Arc::new(Ports::new(Arc::clone(process)));
    Engine::builder(ports, Arc::clone(process) as _, Arc::new(entropy), keys.clone())
        .timing(process.sim.timing())
        .rules(rules(&process.sim.setup))
        .supplier(SupplierName::default(), Arc::new(supplier), true, process.sim.setup.temper.rate)
        .build()
        .unwrap()
}
