//! The real engine in a small world of its own: storage in memory, a supplier with books, paused time.

use std::sync::Arc;
use std::time::Duration;

use super::{FakeSupplier, Faults, Faulty, MemoryStorage, RecordedAlerts, SeededEntropy, TokioClock};
use crate::engine::{Engine, Issuer, MintRequest, Proof, RedeemError, Redeemer, Running, Support};
use crate::ids::{RedemptionId, SkuId, SupplierName};
use crate::money::Currency;
use crate::ports::{Catalogue, Put, Storage};
use crate::redemption::{Redemption, Timing};
use crate::rules::Rules;
use crate::sku::Sku;
use crate::voucher::{VoucherKeys, VoucherSecret};

/// An engine with one SKU, one voucher and one supplier. Wants paused time: nothing in it takes real time.
pub struct World {
    /// What the engine keeps, behind the faults.
    pub storage: Arc<MemoryStorage>,
    /// The supplier and its books, behind the faults.
    pub supplier: FakeSupplier,
    /// What customers ask for.
    pub redeemer: Redeemer,
    /// What operators ask for.
    pub support: Support,
    /// What the operator was told.
    pub alerts: RecordedAlerts,
    /// The voucher's code.
    pub code: String,
    sku: SkuId,
    issuer: Issuer,
    ports: Arc<Faulty<MemoryStorage>>,
    setup: WorldBuilder,
    clock: TokioClock,
    running: Running,
    starts: u64,
}

/// Collects what makes a [`World`] another one.
#[derive(Clone)]
pub struct WorldBuilder {
    sku: Sku,
    faults: Arc<Faults>,
    timing: Timing,
    is_exclusive: bool,
    rules: Rules,
    currency: Currency,
}

impl WorldBuilder {
    /// The faults that calls count under and fail by; none unless set.
    #[must_use]
    pub fn faults(mut self, faults: Arc<Faults>) -> Self {
        self.faults = faults;
        self
    }

    /// The engine's times; the default ones unless set.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The supplier's account is shared with others.
    #[must_use]
    pub fn shared_account(mut self) -> Self {
        self.is_exclusive = false;
        self
    }

    /// What the operator has set; the built-in rules unless set.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// The currency of the supplier; dollars unless set. Any other one wants a rate among the rules.
    #[must_use]
    pub fn supplier_currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// Mints one voucher and starts the engine. Calls count, and fail, from then on.
    ///
    /// # Panics
    ///
    /// If minting into an empty storage fails, which would be a bug.
    pub async fn start(self) -> World {
        let clock = TokioClock::default();
        let storage = Arc::new(MemoryStorage::default());
        let supplier = FakeSupplier::new(Arc::new(clock));
        supplier.charge_in(self.currency);
        let id = self.sku.id.clone();
        storage.put_sku(self.sku.clone(), Put::Create).await.expect("an empty catalogue takes any SKU");

        let direct = Faulty::new(Arc::clone(&storage), Faults::none());
        let without_faults = Self { faults: Faults::none(), ..self.clone() };
        let alerts = RecordedAlerts::default();
        let minting = assemble(Arc::new(direct), &supplier, &without_faults, clock, &alerts, 0);
        let issuer = minting.issuer();
        let code = mint(&issuer, &id).await;

        let ports = Arc::new(Faulty::new(Arc::clone(&storage), Arc::clone(&self.faults)));
        let engine = assemble(Arc::clone(&ports), &supplier, &self, clock, &alerts, 1);
        let (redeemer, support) = (engine.redeemer(), engine.support());
        let running = engine.start();
        World {
            storage,
            supplier,
            redeemer,
            support,
            alerts,
            code,
            sku: id,
            issuer,
            ports,
            setup: self,
            clock,
            running,
            starts: 1,
        }
    }
}

impl World {
    /// A world that sells `sku`, to be set up further.
    #[must_use]
    pub fn builder(sku: Sku) -> WorldBuilder {
        WorldBuilder {
            sku,
            faults: Faults::none(),
            timing: Timing::default(),
            is_exclusive: true,
            rules: Rules::default(),
            currency: Currency::USD,
        }
    }

    /// A world that sells `sku` and has minted one voucher of it. Calls count, and fail, from now on.
    ///
    /// # Panics
    ///
    /// As [`WorldBuilder::start`].
    pub async fn new(sku: Sku, faults: Arc<Faults>) -> Self {
        Self::builder(sku).faults(faults).start().await
    }

    /// The same with other times, or an account that is shared with others.
    ///
    /// # Panics
    ///
    /// As [`WorldBuilder::start`].
    pub async fn with(sku: Sku, faults: Arc<Faults>, timing: Timing, is_exclusive: bool) -> Self {
        let builder = Self::builder(sku).faults(faults).timing(timing);
        WorldBuilder { is_exclusive, ..builder }.start().await
    }

    /// Mints one more voucher, past the faults, and returns its code.
    ///
    /// # Panics
    ///
    /// If the SKU is off sale.
    pub async fn mint(&self) -> String {
        mint(&self.issuer, &self.sku).await
    }

    /// Posts the voucher, again and again while storage fails, as a patient customer with one idempotency key would.
    pub async fn redeem(&self) -> Result<Redemption, RedeemError> {
        let proof = Proof { idempotency: Some("one customer"), ..Proof::default() };
        loop {
            match self.redeemer.redeem(&self.code, proof).await {
                Err(RedeemError::Storage(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                answer => return answer.map(|redeemed| redeemed.redemption),
            }
        }
    }

    /// Waits until nothing is left to do for the redemption, at most an hour.
    ///
    /// # Panics
    ///
    /// If it takes longer: then something is stuck.
    pub async fn at_rest(&self, id: RedemptionId) -> Redemption {
        for _ in 0..3600 {
            let redemption = self.now(id).await;
            if redemption.is_at_rest() {
                return redemption;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the redemption is stuck: {:?}", self.now(id).await.phase)
    }

    /// Waits until `holds`, looking every 10 ms, at most an hour.
    ///
    /// # Panics
    ///
    /// If it never does.
    pub async fn until(&self, id: RedemptionId, holds: impl Fn(&Redemption) -> bool) -> Redemption {
        for _ in 0..360_000 {
            let redemption = self.now(id).await;
            if holds(&redemption) {
                return redemption;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came to that: {:?}", self.now(id).await.phase)
    }

    /// The redemption as stored, past the faults.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn now(&self, id: RedemptionId) -> Redemption {
        self.storage.redemption(id).await.ok().flatten().expect("the redemption is stored")
    }

    /// Kills the worker where it stands, without a word, and starts another on the same storage.
    #[must_use]
    pub fn crash_and_restart(mut self) -> Self {
        self.running.kill();
        self.starts += 1;
        let engine = assemble(
            Arc::clone(&self.ports),
            &self.supplier,
            &self.setup,
            self.clock,
            &self.alerts,
            self.starts,
        );
        self.redeemer = engine.redeemer();
        self.support = engine.support();
        self.running = engine.start();
        self
    }
}

async fn mint(issuer: &Issuer, sku: &SkuId) -> String {
    let request = MintRequest {
        sku,
        count: 1,
        expires_in: None,
        note: None,
        minted_by: "test".to_owned(),
        idempotency: None,
    };
    let mut minted =
        issuer.mint(request).await.expect("storage without faults takes any batch of a SKU on sale");
    minted.codes.next().expect("a batch of one has a code").reveal()
}

fn assemble(
    ports: Arc<Faulty<MemoryStorage>>,
    supplier: &FakeSupplier,
    setup: &WorldBuilder,
    clock: TokioClock,
    alerts: &RecordedAlerts,
    seed: u64,
) -> Engine {
    let secret =
        VoucherSecret::new("a secret of this test, 32 bytes or more").expect("the secret is long enough");
    let supplier = Arc::new(Faulty::new(Arc::new(supplier.clone()), Arc::clone(&setup.faults)));
    Engine::builder(
        ports,
        Arc::new(clock),
        Arc::new(SeededEntropy::new(seed)),
        VoucherKeys::new(&secret, &[]),
    )
    .timing(setup.timing.clone())
    .rules(setup.rules.clone())
    .alone()
    .alerts(Arc::new(alerts.clone()))
    .supplier(SupplierName::default(), supplier, setup.is_exclusive, 50)
    .build()
    .expect("the default times fit together, and the supplier's currency has a rate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Alert;
    use crate::money::{Amount, Rates};
    use crate::redemption::Phase;
    use crate::testing::{Line, sample};

    #[tokio::test(start_paused = true)]
    async fn an_alert_that_cannot_be_told_is_told_once_it_can() {
        let world = World::builder(sample::sku("tg")).start().await;
        world.alerts.set_broken(true);
        let redemption = world.redeem().await.unwrap();
        world.at_rest(redemption.id).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.alerts.told(), []);
        assert!(world.alerts.failed().len() > 1, "it was tried again");
        world.alerts.set_broken(false);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(world.alerts.told(), [Alert::NoPlanLeft { sku: redemption.sku }]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_supplier_charges_in_its_own_currency() {
        let roubles: Currency = "RUB".parse().unwrap();
        let rates = [(roubles, "0.0125".parse().unwrap())].into();
        let rules = Rules { rates: Rates { selling: Currency::USD, rates }, ..Rules::default() };
        let world = World::builder(sample::sku("tg")).rules(rules).supplier_currency(roubles).start().await;
        world.supplier.stock("canada", "virtual4", Line::default());
        let redemption = world.redeem().await.unwrap();
        let done = world.at_rest(redemption.id).await;
        assert!(matches!(done.phase, Phase::Delivered(_)), "{:?}", done.phase);
        let report =
            world.support.report(sample::now(), sample::now() + Duration::from_hours(24)).await.unwrap();
        // 0.12 roubles.
        assert_eq!(report.totals.cost, Amount::from_micros(1_500));
        assert_eq!((report.days.len(), report.skus.len(), report.plans.len()), (1, 1, 1));
        assert_eq!(report.plans[0].success_rate, Some(1.0));
        assert_eq!(report.plans[0].sums.margin, report.totals.margin);
        assert_ne!(world.mint().await, world.code);
    }
}
