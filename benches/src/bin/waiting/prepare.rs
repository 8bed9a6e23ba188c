//! Fills an SQLite file with redemptions that wait for their SMS, through the ports.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use mintcode_core::ids::{RedemptionId, SupplierName, WorkerId};
use mintcode_core::money::{Currency, Rate};
use mintcode_core::ports::{Begin, BeginBy, Begun, Catalogue, Commit, Put, Storage, Vouchers};
use mintcode_core::redemption::{Consequences, Held, Holder, HolderKey, Intent, Phase, Redemption};
use mintcode_core::rules::Rules;
use mintcode_core::sku::Policy;
use mintcode_core::testing::{SeededEntropy, sample};
use mintcode_core::velocity::{Cap, Caps};
use mintcode_core::voucher::VoucherHash;
use mintcode_store::{Secrets, SqliteStore};

use crate::{Error, orders};

/// Redemptions under way at once: they share commits.
const AT_ONCE: usize = 512;
/// Long enough that none ends meanwhile.
const DURATION: Duration = Duration::from_hours(6);
/// How long a probe lasts; none is made.
const PROBE_LASTS: Duration = Duration::from_secs(45);

/// The built-in rules, but for caps on how many redemptions may begin.
pub(crate) fn rules() -> Rules {
    let endless = Cap { per_hour: u32::MAX, per_day: u32::MAX };
    Rules { caps: Caps { session: endless, address: endless, sku: endless }, ..Rules::default() }
}

/// Fills `file` in a process of its own, so that this one begins with clean memory.
pub(crate) fn in_a_process(file: &Path, count: u32) -> Result<(), Error> {
    let program = std::env::current_exe()?;
    let status = Command::new(program).arg("prepare").arg(file).arg(count.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(format!("the database was not filled: {status}").into()) }
}

/// Fills `file` with `count` redemptions.
pub(crate) fn run(file: &Path, count: &str) -> Result<(), Error> {
    let count = count.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(fill(file, count))
}

/// What opens the database of the benchmark.
pub(crate) fn secrets() -> Secrets {
    Secrets::new(sample::keys(), Arc::new(SeededEntropy::new(7)))
}

async fn fill(file: &Path, count: u32) -> Result<(), Error> {
    let store = SqliteStore::open(file, Some(&secrets()))?;
    // A number is kept open after its SMS, so that finishing it takes no requests while looks are measured.
    let policy = Policy { max_duration: DURATION, further_sms: DURATION, ..Policy::default() };
    let sku = mintcode_core::sku::Sku { policy, ..sample::sku("tg") };
    store.put_sku(sku.clone(), Put::Create).await?;
    let (batch, vouchers) = sample::batch(&sku, count);
    let hashes: Vec<VoucherHash> = vouchers.iter().map(|(hash, _)| *hash).collect();
    store.insert_batch(batch, vouchers.into()).await?;

    let entropy = SeededEntropy::new(1);
    // It drove them and is gone.
    let worker = WorkerId::draw(&entropy);
    let rules = Arc::new(rules());
    let begins = (1_u32..).zip(hashes).map(|(number, voucher)| {
        let session = HolderKey::new(&std::array::from_fn(|place| number.to_le_bytes()[place % 4]));
        let begin = Begin {
            by: BeginBy::Code(vec![voucher]),
            holder: Holder { session: Some(session), idempotency: None },
            address: None,
            rules: Arc::clone(&rules),
            id: RedemptionId::draw(&entropy),
            owner: Some(worker),
            now: orders::created_at(number),
        };
        (number, begin)
    });
    let waiting = stream::iter(begins).map(|(number, begin)| wait(&store, number, begin));
    waiting.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(store.close().await?)
}

/// Begins a redemption and takes it to its number.
async fn wait(store: &SqliteStore, number: u32, begin: Begin) -> Result<(), Error> {
    let Begun::New(queued) = store.begin(begin).await? else {
        return Err(format!("redemption {number} did not begin").into());
    };
    let intent = Intent {
        number: 1,
        plan: sample::plan_id("A"),
        supplier: SupplierName::default(),
        wanted: orders::wanted(),
        reason: "first by priority".to_owned(),
        is_probe: false,
        currency: Currency::USD,
        rate: Rate::ONE,
        intended_at: orders::created_at(number),
        send_by: orders::created_at(number) + Duration::from_secs(5),
        newest_known: None,
    };
    let ordering = next(&queued, Phase::Ordering(intent.clone()));
    store.commit(meant(&queued, ordering.clone())).await?;
    let order = orders::order(number);
    let held = Held { intent, order, messages: Vec::new(), unknown: 0, withheld: BTreeMap::new() };
    let waiting = Redemption { number_shown: true, ..next(&ordering, Phase::Waiting(held)) };
    Ok(store.commit(meant(&ordering, waiting)).await?)
}

fn next(before: &Redemption, phase: Phase) -> Redemption {
    Redemption { phase, version: before.version + 1, ..before.clone() }
}

/// `next` with everything that it means, as the engine stores it.
fn meant(before: &Redemption, next: Redemption) -> Commit {
    let Consequences { voucher, ledger, health, accounts, alerts } =
        Consequences::of(before, &next, PROBE_LASTS);
    let voucher = voucher.into_iter().collect();
    let rules = mintcode_core::health::HealthRules::default();
    Commit { next, voucher, consumed: Vec::new(), ledger, health, accounts, alerts, choice: None, rules }
}
