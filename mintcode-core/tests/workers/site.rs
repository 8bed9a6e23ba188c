//! One storage and one supplier, and as many workers as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mintcode_core::alert::Alert;
use mintcode_core::engine::{Engine, EngineBuilder, Issuer, MintRequest, Proof, Redeemer, Running};
use mintcode_core::ids::{RedemptionId, SkuId, SupplierName};
use mintcode_core::ports::{Alerts, Catalogue, Clock, Put, Storage};
use mintcode_core::redemption::{Redemption, Timing};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Sku;
use mintcode_core::testing::{
    FakeSupplier, Faults, Faulty, MemoryStorage, RecordedAlerts, SeededEntropy, TokioClock, sample,
};
use mintcode_core::velocity::{Cap, Caps};
use mintcode_core::voucher::{VoucherKeys, VoucherSecret};

use crate::spy::Spy;

/// A clock whose wall and whose uptime can be set. Clones are one and the same.
#[derive(Clone)]
pub(crate) struct Hands {
    base: TokioClock,
    wall_ahead_ms: Arc<AtomicI64>,
    slept_ms: Arc<AtomicI64>,
}

impl Hands {
    fn over(base: TokioClock) -> Self {
        Self { base, wall_ahead_ms: Arc::default(), slept_ms: Arc::default() }
    }

    /// Sets the wall clock ahead, or back.
    pub(crate) fn set_ahead(&self, seconds: i64) {
        self.wall_ahead_ms.store(1000 * seconds, Ordering::Relaxed);
    }

    /// The machine has slept: everybody else's time went on.
    pub(crate) fn oversleep(&self, span: Duration) {
        self.slept_ms.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> DateTime<Utc> {
        self.base.now() + TimeDelta::milliseconds(self.wall_ahead_ms.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Duration {
        let slept = u64::try_from(self.slept_ms.load(Ordering::Relaxed)).unwrap();
        self.base.uptime() + Duration::from_millis(slept)
    }
}

pub(crate) struct Site {
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) spy: Spy,
    pub(crate) clock: TokioClock,
    pub(crate) timing: Timing,
    pub(crate) codes: Vec<String>,
    pub(crate) alerts: RecordedAlerts,
    pub(crate) requests_per_second: u32,
    pub(crate) is_exclusive: bool,
}

/// One worker process.
pub(crate) struct Process {
    pub(crate) redeemer: Redeemer,
    pub(crate) running: Running,
    pub(crate) clock: Hands,
    /// What stands between it and the storage, and between it and the supplier.
    pub(crate) link: Arc<Faults>,
    /// What it asked of the supplier, as it alone sees it.
    pub(crate) spy: Spy,
}

/// Hands over `base` that nobody has set yet.
pub(crate) fn hands(base: TokioClock) -> Hands {
    Hands::over(base)
}

fn rules() -> Rules {
    let many = Cap { per_hour: 1_000_000, per_day: 1_000_000 };
    Rules { caps: Caps { session: many, address: many, sku: many }, ..Rules::default() }
}

fn keys() -> VoucherKeys {
    VoucherKeys::new(&VoucherSecret::new("a secret of this test, 32 bytes or more").unwrap(), &[])
}

impl Site {
    pub(crate) async fn open(vouchers: u32) -> Self {
        Self::selling(sample::sku("tg"), vouchers, MemoryStorage::default(), TokioClock::default()).await
    }

    /// Sells `sku`, with that many vouchers minted.
    pub(crate) async fn selling(sku: Sku, vouchers: u32, storage: MemoryStorage, clock: TokioClock) -> Self {
        let storage = Arc::new(storage);
        let id = sku.id.clone();
        storage.put_sku(sku, Put::Create).await.unwrap();
        let spy = Spy::over(FakeSupplier::new(Arc::new(clock)));
        let mut site = Self {
            storage,
            spy,
            clock,
            timing: Timing::default(),
            codes: Vec::new(),
            alerts: RecordedAlerts::default(),
            requests_per_second: 50,
            is_exclusive: true,
        };
        let engine = site.builder(0, &Hands::over(clock), &Faults::none(), site.spy.clone()).build().unwrap();
        site.codes = mint(&engine.issuer(), &id, vouchers).await;
        site
    }

    pub(crate) fn builder(&self, seed: u64, clock: &Hands, link: &Arc<Faults>, spy: Spy) -> EngineBuilder {
        let ports = Arc::new(Faulty::new(Arc::clone(&self.storage), Arc::clone(link)));
        let entropy = Arc::new(SeededEntropy::new(seed));
        Engine::builder(ports, Arc::new(clock.clone()), entropy, keys())
            .timing(self.timing.clone())
            .rules(rules())
            .alerts(Arc::new(self.alerts.clone()))
            .supplier(SupplierName::default(), Arc::new(spy), self.is_exclusive, self.requests_per_second)
    }

    /// Starts a worker that shares storage and supplier with the others.
    pub(crate) fn start(&self, seed: u64) -> Process {
        let (clock, link) = (Hands::over(self.clock), Faults::none());
        let spy = Spy::over(self.spy.inner.clone());
        let engine = self.builder(seed, &clock, &link, spy.clone()).build().unwrap();
        Process { redeemer: engine.redeemer(), running: engine.start(), clock, link, spy }
    }

    pub(crate) async fn redeem(&self, process: &Process, voucher: usize) -> RedemptionId {
        let proof = Proof { session: Some("one customer"), ..Proof::default() };
        process.redeemer.redeem(&self.codes[voucher], proof).await.unwrap().redemption.id
    }

    /// The redemption as stored, past all links.
    pub(crate) async fn now(&self, id: RedemptionId) -> Redemption {
        self.storage.redemption(id).await.unwrap().unwrap()
    }

    /// Waits until `holds`, at most an hour.
    pub(crate) async fn until(&self, id: RedemptionId, holds: impl Fn(&Redemption) -> bool) -> Redemption {
        for _ in 0..360_000 {
            let redemption = self.now(id).await;
            if holds(&redemption) {
                return redemption;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to that: {:?}", self.now(id).await.phase)
    }

    pub(crate) async fn at_rest(&self, id: RedemptionId) -> Redemption {
        self.until(id, Redemption::is_at_rest).await
    }

    pub(crate) async fn open_alerts(&self) -> Vec<Alert> {
        self.storage.alerts(true, 100).await.unwrap().into_iter().map(|row| row.alert).collect()
    }
}

async fn mint(issuer: &Issuer, sku: &SkuId, count: u32) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let request = MintRequest {
        sku,
        count,
        expires_in: None,
        note: None,
        minted_by: "test".to_owned(),
        idempotency: None,
    };
    issuer.mint(request).await.unwrap().codes.map(|code| code.reveal()).collect()
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
