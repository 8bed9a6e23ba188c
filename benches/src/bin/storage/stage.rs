//! Storage with redemptions in it, and steps they can take for ever.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use mintcode_core::health::HealthRules;
use mintcode_core::ids::{RedemptionId, WorkerId};
use mintcode_core::ports::{Begin, BeginBy, Begun, Catalogue, Commit, Put, Storage, Vouchers};
use mintcode_core::redemption::{Holder, Phase, Redemption};
use mintcode_core::rules::Rules;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::velocity::{Cap, Caps};
use mintcode_core::voucher::VoucherHash;
use mintcode_store::Secrets;
use tokio::time::Instant;

use crate::Error;

/// What a storage needs to be measured.
pub(crate) trait Measured: Storage + Vouchers + Catalogue {}
impl<T: Storage + Vouchers + Catalogue> Measured for T {}

/// What opens the databases of the benchmark.
pub(crate) fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(7)))
}

/// The built-in rules, but for caps on how many redemptions may begin.
pub(crate) fn rules() -> Arc<Rules> {
    let endless = Cap { per_hour: u32::MAX, per_day: u32::MAX };
    let caps = Caps { session: endless, address: endless, sku: endless };
    Arc::new(Rules { caps, ..Rules::default() })
}

/// Stores `count` vouchers, a million to a batch.
pub(crate) async fn minted(store: &dyn Measured, count: u32) -> Result<Vec<VoucherHash>, Error> {
    let sku = sample::sku("tg");
    store.put_sku(sku.clone(), Put::Apply).await?;
    let mut hashes = Vec::new();
    let mut left = count;
    while left > 0 {
        let (batch, vouchers) = sample::batch(&sku, left.min(1_000_000));
        left -= batch.count;
        hashes.extend(vouchers.iter().map(|(hash, _)| *hash));
        store.insert_batch(batch, vouchers.into()).await?;
    }
    Ok(hashes)
}

/// Begins a redemption of `voucher`.
pub(crate) async fn begun(
    store: &dyn Measured,
    rules: &Arc<Rules>,
    entropy: &SeededEntropy,
    voucher: VoucherHash,
) -> Result<Redemption, Error> {
    let begin = Begin {
        by: BeginBy::Code(vec![voucher]),
        holder: Holder::default(),
        address: None,
        rules: Arc::clone(rules),
        id: RedemptionId::draw(entropy),
        owner: Some(WorkerId::draw(&SeededEntropy::new(1))),
        now: sample::now(),
    };
    match store.begin(begin).await? {
        Begun::New(redemption) => Ok(*redemption),
        other => Err(format!("no redemption began: {other:?}").into()),
    }
}

/// The smallest step that is stored: another moment to go on at, and its place in the history.
pub(crate) fn step(redemption: &Redemption) -> Commit {
    let until = redemption.updated_at + Duration::from_secs(30);
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

/// Every one of `redemptions` takes `steps` steps, one after the other, all at once; how long that took.
pub(crate) async fn walk<S: Measured + 'static>(
    store: &Arc<S>,
    redemptions: &mut [Redemption],
    steps: u32,
) -> Result<Duration, Error> {
    let started = Instant::now();
    let walks = redemptions.iter().map(|redemption| {
        let (store, mut redemption) = (Arc::clone(store), redemption.clone());
        tokio::spawn(async move {
            for _ in 0..steps {
                let commit = step(&redemption);
                redemption = commit.next.clone();
                store.commit(commit).await?;
            }
            Ok::<_, Error>(redemption)
        })
    });
    let walked = try_join_all(walks.collect::<Vec<_>>()).await?;
    let took = started.elapsed();
    for (redemption, walked) in redemptions.iter_mut().zip(walked) {
        *redemption = walked?;
    }
    Ok(took)
}
