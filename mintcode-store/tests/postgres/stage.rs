//! What tests put into storage before they begin.

use chrono::Duration;
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, WorkerId};
use mintcode_core::ports::{Begin, BeginBy, Begun, Catalogue, Commit, Put, Storage, StorageError, Vouchers};
use mintcode_core::redemption::{Holder, Phase, Redemption};
use mintcode_core::testing::sample;
use mintcode_core::voucher::VoucherHash;
use mintcode_store::PostgresStore;

pub(crate) fn rdm(number: usize) -> RedemptionId {
    format!("rdm_{number:026}").parse().unwrap()
}

pub(crate) fn worker(number: usize) -> WorkerId {
    format!("wrk_{number:026}").parse().unwrap()
}

/// Stores a SKU with `count` vouchers.
pub(crate) async fn minted(store: &PostgresStore, count: u32) -> Vec<VoucherHash> {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await.unwrap();
    let (batch, vouchers) = sample::batch(&sku, count);
    let hashes = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, vouchers.into()).await.unwrap();
    hashes
}

/// The wish of somebody to begin redemption `number` of `voucher`.
pub(crate) fn wish(voucher: VoucherHash, number: usize) -> Begin {
    Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: rdm(number),
        owner: Some(worker(1)),
        // So far apart that no cap counts many of them.
        now: sample::now() + Duration::seconds(i64::try_from(number).unwrap() * 60),
    }
}

/// Begins redemption `number` of `voucher`.
pub(crate) async fn begun(
    store: &PostgresStore,
    voucher: VoucherHash,
    number: usize,
) -> Result<Redemption, StorageError> {
    match store.begin(wish(voucher, number)).await? {
        Begun::New(redemption) | Begun::Same(redemption) => Ok(*redemption),
        other @ Begun::Refused(_) => panic!("{other:?}"),
    }
}

/// A change that any queued redemption may make.
pub(crate) fn later(redemption: &Redemption) -> Commit {
    let until = redemption.updated_at + Duration::seconds(30);
    let phase = Phase::CoolingDown { until, plan: sample::plan_id("A") };
    let next = Redemption { phase, version: redemption.version + 1, ..redemption.clone() };
    Commit {
        next,
        voucher: Vec::new(),
        consumed: Vec::new(),
        ledger: Vec::new(),
        health: Vec::new(),
        accounts: Vec::new(),
        alerts: Vec::new(),
        choice: None,
        rules: HealthRules::default(),
    }
}
