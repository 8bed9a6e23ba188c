//! Samples: a test names only what it is about.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};

use super::{SeededEntropy, TokioClock};
use crate::ids::{BatchId, PlanId, SkuId, SupplierName};
use crate::money::Amount;
use crate::ports::{Entropy, NewBatch};
use crate::rules::Rules;
use crate::sku::{LocalizedName, Plan, Policy, Sku};
use crate::voucher::{
    BatchNonce, KeyId, Label, Mask, Shape, Voucher, VoucherHash, VoucherKeys, VoucherSecret, VoucherState,
};

/// The keys of a voucher secret that everybody knows.
///
/// # Panics
///
/// If the secret is too short, which would be a bug.
#[must_use]
pub fn keys() -> VoucherKeys {
    let secret = VoucherSecret::new("a secret for tests, known to everyone").expect("it is long enough");
    VoucherKeys::new(&secret, &[])
}

/// A plan's id.
///
/// # Panics
///
/// If `id` is no id.
#[must_use]
pub fn plan_id(id: &str) -> PlanId {
    PlanId::new(id).expect("the test gives a plan's id")
}

/// A plan that is switched on: expected to cost 0.12, and 0.20 at most.
#[must_use]
pub fn plan(id: &str, country: &str, operator: &str) -> Plan {
    Plan {
        id: plan_id(id),
        supplier: SupplierName::default(),
        country: country.to_owned(),
        operator: operator.to_owned(),
        expected_cost: Amount::from_micros(120_000),
        max_cost: Amount::from_micros(200_000),
        enabled: true,
        priority: 10,
    }
}

/// A SKU with the default policy and one plan, `A`.
///
/// # Panics
///
/// If `id` is no id.
#[must_use]
pub fn sku(id: &str) -> Sku {
    Sku {
        id: SkuId::new(id).expect("the test gives a SKU's id"),
        name: LocalizedName { en: "Telegram · Canada".to_owned(), zh: "Telegram · 加拿大".to_owned() },
        label: id.to_uppercase().parse::<Label>().expect("a SKU's id can be a label"),
        product: "telegram".to_owned(),
        delivery: crate::sku::DeliveryKind::SmsCode,
        price: Amount::from_micros(800_000),
        policy: Policy::default(),
        plans: vec![plan("A", "canada", "virtual4")],
        archived: false,
    }
}

/// An unsealed batch of `count` vouchers of `sku`, different from every other batch, minted when the clock begins.
///
/// # Panics
///
/// If a mask cannot be made, which would be a bug.
#[must_use]
pub fn batch(sku: &Sku, count: u32) -> (NewBatch, Vec<(VoucherHash, Mask)>) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEED: AtomicU64 = AtomicU64::new(1);

    let entropy = SeededEntropy::new(SEED.fetch_add(1, Ordering::Relaxed));
    let vouchers = (0..count).map(|_| {
        let mut hash = [0; 16];
        entropy.fill(&mut hash);
        (VoucherHash::from_bytes(hash), "ABCD****WXYZ".parse().expect("a mask"))
    });
    let vouchers = vouchers.collect();
    let batch = NewBatch {
        id: BatchId::draw(&entropy),
        sku: sku.id.clone(),
        label: sku.label.clone(),
        shape: Shape::default(),
        key_id: KeyId::from_bytes([1, 2, 3, 4]),
        nonce: Some(BatchNonce::fresh(|bytes| entropy.fill(bytes))),
        count,
        expires_at: None,
        note: None,
        minted_by: "test".to_owned(),
        minted_at: now(),
        idempotency: None,
        replaces: None,
    };
    (batch, vouchers)
}

/// A voucher of `sku` that nobody redeemed, different from every other one, and stored nowhere.
#[must_use]
pub fn voucher(sku: &Sku) -> Voucher {
    let (batch, vouchers) = batch(sku, 1);
    let (hash, mask) = vouchers[0];
    Voucher {
        hash,
        key_id: batch.key_id,
        mask,
        batch: batch.id,
        sku: batch.sku,
        state: VoucherState::Issued,
        tries: 0,
        buys: 0,
        expires_at: batch.expires_at,
        ready_at: None,
        start_behind: None,
        redemption: None,
        void: None,
        reset_wished: false,
        replaces: None,
    }
}

/// The rules that are built in. Made once, because patterns take a moment to read.
#[must_use]
pub fn rules() -> Arc<Rules> {
    static RULES: LazyLock<Arc<Rules>> = LazyLock::new(Arc::default);
    Arc::clone(&RULES)
}

/// When the clock begins.
#[must_use]
pub fn now() -> DateTime<Utc> {
    TokioClock::epoch()
}
