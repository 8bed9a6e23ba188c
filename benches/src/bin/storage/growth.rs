//! P13: what a redemption costs among few vouchers and among many.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use mintcode_core::testing::SeededEntropy;
use mintcode_core::voucher::VoucherHash;
use mintcode_store::SqliteStore;
use tokio::time::Instant;

use crate::table::{Table, median};
use crate::{Error, stage};

const ROUNDS: usize = 9;
/// Redemptions of a round; all rounds need fewer vouchers than the smallest storage has.
const REDEMPTIONS: usize = 96;
const AT_ONCE: usize = 16;
/// What a redemption stores after it began: intent, order, code, settlement.
const STEPS: u32 = 4;

/// Storage with vouchers that nobody redeemed yet.
struct Place {
    vouchers: u32,
    store: Arc<SqliteStore>,
    fresh: Vec<VoucherHash>,
    micros: Vec<f64>,
    _directory: tempfile::TempDir,
}

pub(crate) async fn measure(sizes: &[u32]) -> Result<Table, Error> {
    let mut places = Vec::new();
    for vouchers in sizes {
        let directory = tempfile::tempdir()?;
        let secrets = stage::secrets();
        let store = Arc::new(SqliteStore::open(directory.path().join("mintcode.db"), Some(&secrets))?);
        // As they were made, which is in no order of where they lie.
        let mut fresh = stage::minted(&*store, *vouchers).await?;
        let step = fresh.len() / (ROUNDS * REDEMPTIONS);
        fresh = fresh.into_iter().step_by(step.max(1)).collect();
        places.push(Place { vouchers: *vouchers, store, fresh, micros: Vec::new(), _directory: directory });
    }
    // In turn, so that a slow moment of the machine is one for all of them.
    for _ in 0..ROUNDS {
        for place in &mut places {
            let took = place.redeem().await?;
            place.micros.push(took.as_secs_f64() * 1e6 / f64::from(u32::try_from(REDEMPTIONS)?));
        }
    }
    let mut table = Table::default();
    let mut first = None;
    for place in places {
        let micros = median(place.micros);
        let name = format!("a redemption among {} vouchers", place.vouchers);
        table.tell(&name, format!("{micros:.0} µs"));
        let least = *first.get_or_insert(micros);
        table.at_most(format!("P13: {name} against the fewest"), micros / least, 1.3);
    }
    Ok(table)
}

impl Place {
    async fn redeem(&mut self) -> Result<Duration, Error> {
        let vouchers = self.fresh.split_off(self.fresh.len() - REDEMPTIONS);
        let seed = self.fresh.len() as u64;
        let started = Instant::now();
        let callers = vouchers.chunks(REDEMPTIONS / AT_ONCE).zip(seed..).map(|(some, seed)| {
            let (store, some) = (Arc::clone(&self.store), some.to_vec());
            tokio::spawn(async move {
                let (rules, entropy) = (stage::rules(), SeededEntropy::new(seed));
                for voucher in some {
                    let redemption = stage::begun(&*store, &rules, &entropy, voucher).await?;
                    stage::walk(&store, &mut [redemption], STEPS).await?;
                }
                Ok::<_, Error>(())
            })
        });
        for done in try_join_all(callers.collect::<Vec<_>>()).await? {
            done?;
        }
        Ok(started.elapsed())
    }
}
