//! Who is hit when.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::cluster::Ending;
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
    /// Processes that ended though nobody killed them.
    pub(crate) ended: u32,
}

#[derive(Clone, Copy)]
enum Strike {
    Kill,
    Stall,
    Restart,
    Cut,
}

impl Struck {
    /// What is still to be done, each as often as it is to be done.
    fn left(self, plan: &Plan) -> Vec<Strike> {
        let restarts = if plan.cluster.is_some() { plan.restarts } else { 0 };
        let counts = [
            (Strike::Kill, plan.kills - self.kills),
            (Strike::Stall, plan.stalls - self.stalls),
            (Strike::Restart, restarts - self.restarts),
            (Strike::Cut, restarts - self.cuts),
        ];
        let left = counts.into_iter().flat_map(|(strike, left)| (0..left).map(move |_| strike));
        left.collect()
    }
}

/// Strikes every 0.2 to 3 s until everything was done as often as the plan says: a process is killed and started anew, or
/// stopped for longer than its life span; PostgreSQL ends and is started again, or loses all its connections. Ends once the
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
    loop {
        let left = struck.left(plan);
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..3_000))).await;
        let (place, strike) = (rng.random_range(0..processes.len()), left[rng.random_range(0..left.len())]);
        for (place, process) in processes.iter_mut().enumerate() {
            if process.has_ended()? {
                struck.ended += 1;
                *process = shop.serve(place).await?;
            }
        }
        match (strike, &shop.cluster) {
            (Strike::Stall, _) => {
                processes[place].stall(STALL).await?;
                struck.stalls += 1;
            }
            (Strike::Restart, Some(cluster)) => {
                let is_even = struck.restarts.is_multiple_of(2);
                cluster.restart(if is_even { Ending::Crash } else { Ending::Orderly }).await?;
                struck.restarts += 1;
            }
            (Strike::Cut, Some(cluster)) => {
                cluster.cut().await?;
                struck.cuts += 1;
            }
            (Strike::Kill, _) | (Strike::Restart | Strike::Cut, None) => {
                processes[place].kill().await?;
                struck.kills += 1;
                processes[place] = shop.serve(place).await?;
            }
        }
    }
    customers.enough().await;
    Ok((struck, processes))
}
