//! The limit of looks: the same pages, fetched and read by the same client at the same pace, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use mintcode_core::ports::Supplier;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::machine::cpu;
use crate::{Error, Scenario};

/// Pages under way at once, as in the engine.
const AT_ONCE: usize = 8;

/// Microseconds of CPU per row, over `rounds` rounds of all `waiting` orders.
pub(crate) async fn micros_per_row(
    supplier: &Arc<dyn Supplier>,
    scenario: &Scenario,
    waiting: u32,
    rounds: u32,
) -> Result<f64, Error> {
    let before = cpu();
    let mut rows = 0;
    for _ in 0..rounds {
        rows += round(supplier, scenario, waiting).await?;
    }
    Ok(cpu().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(rows))
}

async fn round(supplier: &Arc<dyn Supplier>, scenario: &Scenario, waiting: u32) -> Result<u32, Error> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / scenario.per_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pages = JoinSet::new();
    let mut rows = 0;
    for skip in (0..u64::from(waiting)).step_by(scenario.page) {
        if pages.len() >= AT_ONCE {
            rows += read(pages.join_next().await)?;
        }
        pace.tick().await;
        let supplier = Arc::clone(supplier);
        pages.spawn(async move { supplier.recent_orders(skip).await.map(|page| page.len()) });
    }
    while let Some(page) = pages.join_next().await {
        rows += read(Some(page))?;
    }
    Ok(rows)
}

type Page = Result<Result<usize, mintcode_core::ports::CallError>, tokio::task::JoinError>;

fn read(page: Option<Page>) -> Result<u32, Error> {
    let rows = page.ok_or("no page is under way")???;
    Ok(u32::try_from(rows)?)
}
