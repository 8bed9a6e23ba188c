//! Who is hit when.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::customer::Served;
use crate::process::Process;
use crate::shop::Shop;
use crate::{Error, Plan};

/// Longer than a worker's life span.
const STALL: Duration = Duration::from_millis(4_500);

/// What was done.
#[derive(Clone, Copy, Default)]
pub(crate) struct Struck {
    pub(crate) kills: u32,
    pub(crate) stalls: u32,
    pub(crate) restarts: u32,
    pub(crate) cuts: u32,
}

/// Strikes every 0.2 to 3 s until everything was done as often as the plan says: a process is killed and started anew, or
/// stopped for longer than its life span; PostgreSQL is killed and started again, or loses all its connections. Ends once the
/// customers are served as well, with processes that run.
pub(crate) async fn rage(
    shop: &Shop,
    rng: &mut ChaCha8Rng,
    plan: &Plan,
    customers: Served,
) -> Result<(Struck, Vec<Process>), Error> {
    let mut struck = Struck::default();
    let mut processes = Vec::new();
    for place in 0..shop.places() {
        processes.push(shop.serve(place).await?);
    }
    let restarts = if shop.cluster.is_some() { plan.restarts } else { 0 };
    loop {
        let left = [
            plan.kills - struck.kills,
            plan.stalls - struck.stalls,
            restarts - struck.restarts,
            restarts - struck.cuts,
        ];
        let all: u32 = left.iter().sum();
        if all == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..3_000))).await;
        let place = rng.random_range(0..processes.len());
        let mut drawn = rng.random_range(0..all);
        let what = left.iter().position(|left| {
            let is_it = drawn < *left;
            drawn = drawn.saturating_sub(*left);
            is_it
        });
        match (what, &shop.cluster) {
            (Some(0), _) => {
                processes[place].kill().await?;
                struck.kills += 1;
                processes[place] = shop.serve(place).await?;
            }
            (Some(1), _) => {
                processes[place].stall(STALL).await?;
                struck.stalls += 1;
            }
            (Some(2), Some(cluster)) => {
                cluster.restart().await?;
                struck.restarts += 1;
            }
            (_, Some(cluster)) => {
                cluster.cut().await?;
                struck.cuts += 1;
            }
            (_, None) => return Err("there is no PostgreSQL to strike".into()),
        }
    }
    customers.enough().await;
    Ok((struck, processes))
}
