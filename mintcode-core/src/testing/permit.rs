//! Leave to buy, for testing suppliers: made the only way there is, by storing an intent.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{MemoryStorage, SeededEntropy, TokioClock, sample};
use crate::engine::Notices;
use crate::engine::journal::Journal;
use crate::health::HealthRules;
use crate::ids::{RedemptionId, SupplierName};
use crate::money::{Currency, Rate};
use crate::ports::{Begin, BeginBy, Begun, BuyPermit, Catalogue, Clock, Put, Storage, Vouchers, Wanted};
use crate::redemption::{Effect, Holder, Intent, Phase, Redemption, Timing};

/// Stores an intent to buy `wanted` by `send_by` in a storage of its own, and returns the permit that comes of it; `clock`
/// tells how long it holds.
///
/// # Panics
///
/// If the in-memory storage refuses, which would be a bug of this crate.
pub async fn permit(wanted: Wanted, send_by: DateTime<Utc>, clock: Arc<dyn Clock>) -> BuyPermit {
    let storage = Arc::new(MemoryStorage::default());
    let sku = sample::sku("permit");
    let (batch, vouchers) = sample::batch(&sku, 1);
    let hash = vouchers[0].0;
    storage.put_sku(sku, Put::Create).await.expect("an empty catalogue takes any SKU");
    storage.insert_batch(batch, vouchers.into()).await.expect("an empty storage takes any batch");
    let begin = Begin {
        by: BeginBy::Code(vec![hash]),
        holder: Holder::default(),
        address: None,
        rules: sample::rules(),
        id: RedemptionId::draw(&SeededEntropy::new(1)),
        owner: None,
        now: TokioClock::epoch(),
    };
    let Ok(Begun::New(before)) = storage.begin(begin).await else {
        panic!("a fresh voucher can be redeemed")
    };
    let intent = Intent {
        number: 1,
        plan: sample::plan_id("A"),
        supplier: SupplierName::default(),
        wanted,
        reason: "a test".to_owned(),
        is_probe: false,
        currency: Currency::USD,
        rate: Rate::ONE,
        intended_at: TokioClock::epoch(),
        send_by,
        newest_known: None,
    };
    let next =
        Redemption { phase: Phase::Ordering(intent), version: before.version + 1, ..(*before).clone() };
    let rules = HealthRules::default();
    let journal = Journal::new(storage, clock, Notices::default(), rules, &Timing::default());
    let committed = journal.commit(&before, next, None, Some(&Effect::Buy), Vec::new()).await;
    committed.ok().and_then(|committed| committed.permit).expect("a stored intent gives a permit")
}
