//! The real engine in a small world of its own: storage in memory, a supplier with books, paused time.

use std::sync::Arc;
use std::time::Duration;

use super::{FakeSupplier, Faults, Faulty, MemoryStorage, SeededEntropy, TokioClock};
use crate::engine::{Engine, MintRequest, Proof, RedeemError, Redeemer, Running};
use crate::ids::{RedemptionId, SupplierName};
use crate::ports::{Catalogue, Put, Storage};
use crate::redemption::{Redemption, Timing};
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
    /// The voucher's code.
    pub code: String,
    ports: Arc<Faulty<MemoryStorage>>,
    is_exclusive: bool,
    faults: Arc<Faults>,
    clock: TokioClock,
    timing: Timing,
    running: Running,
    starts: u64,
}

impl World {
    /// A world that sells `sku` and has minted one voucher of it. Calls count, and fail, from now on.
    ///
    /// # Panics
    ///
    /// If minting into an empty storage fails, which would be a bug.
    pub async fn new(sku: Sku, faults: Arc<Faults>) -> Self {
        Self::with(sku, faults, Timing::default(), true).await
    }

    /// The same with other times, or an account that is shared with others.
    ///
    /// # Panics
    ///
    /// As [`World::new`].
    pub async fn with(sku: Sku, faults: Arc<Faults>, timing: Timing, is_exclusive: bool) -> Self {
        let clock = TokioClock::default();
        let storage = Arc::new(MemoryStorage::default());
        let supplier = FakeSupplier::new(Arc::new(clock));
        let id = sku.id.clone();
        storage.put_sku(sku, Put::Create).await.expect("an empty catalogue takes any SKU");

        let direct = Faulty::new(Arc::clone(&storage), Faults::none());
        let minting = assemble(Arc::new(direct), &supplier, &Faults::none(), clock, &timing, is_exclusive, 0);
        let request = MintRequest {
            sku: &id,
            count: 1,
            expires_in: None,
            note: None,
            minted_by: "test".to_owned(),
            idempotency: None,
        };
        let mut minted = minting.issuer().mint(request).await.expect("an empty storage takes any batch");
        let code = minted.codes.next().expect("a batch of one has a code").reveal();

        let ports = Arc::new(Faulty::new(Arc::clone(&storage), Arc::clone(&faults)));
        let engine = assemble(Arc::clone(&ports), &supplier, &faults, clock, &timing, is_exclusive, 1);
        let redeemer = engine.redeemer();
        let running = engine.start();
        Self {
            storage,
            supplier,
            redeemer,
            code,
            ports,
            is_exclusive,
            faults,
            clock,
            timing,
            running,
            starts: 1,
        }
    }

    /// Posts the voucher, again and again while storage fails, as a patient customer with one idempotency key would.
    pub async fn redeem(&self) -> Result<Redemption, RedeemError> {
        let proof = Proof { session: None, idempotency: Some("one customer") };
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
            &self.faults,
            self.clock,
            &self.timing,
            self.is_exclusive,
            self.starts,
        );
        self.redeemer = engine.redeemer();
        self.running = engine.start();
        self
    }
}

fn assemble(
    ports: Arc<Faulty<MemoryStorage>>,
    supplier: &FakeSupplier,
    faults: &Arc<Faults>,
    clock: TokioClock,
    timing: &Timing,
    is_exclusive: bool,
    seed: u64,
) -> Engine {
    let secret =
        VoucherSecret::new("a secret of this test, 32 bytes or more").expect("the secret is long enough");
    let supplier = Arc::new(Faulty::new(Arc::new(supplier.clone()), Arc::clone(faults)));
    Engine::builder(
        ports,
        Arc::new(clock),
        Arc::new(SeededEntropy::new(seed)),
        VoucherKeys::new(&secret, &[]),
    )
    .timing(timing.clone())
    .supplier(SupplierName::default(), supplier, is_exclusive, 50)
    .build()
    .expect("the default times fit together")
}
