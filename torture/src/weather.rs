//! Who is hit when.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::Error;
use crate::customer::Served;
use crate::process::Process;
use crate::shop::Shop;

/// Longer than a worker's life span.
const STALL: Duration = Duration::from_millis(4_500);

/// What was done.
#[derive(Clone, Copy, Default)]
pub(crate) struct Struck {
    pub(crate) kills: u32,
    pub(crate) stalls: u32,
}

/// Kills and stalls a server so often, every 0.2 to 3 s, and starts it anew after each kill. Ends once the customers are
/// served as well, with the last one.
pub(crate) async fn rage(
    shop: &Shop,
    rng: &mut ChaCha8Rng,
    kills: u32,
    stalls: u32,
    customers: Served,
) -> Result<(Struck, Process), Error> {
    let mut struck = Struck::default();
    let mut server = shop.serve().await?;
    while struck.kills < kills || struck.stalls < stalls {
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..3_000))).await;
        let (kills_left, stalls_left) = (kills - struck.kills, stalls - struck.stalls);
        if rng.random_range(0..kills_left + stalls_left) < stalls_left {
            server.stall(STALL).await?;
            struck.stalls += 1;
        } else {
            server.kill().await?;
            struck.kills += 1;
            server = shop.serve().await?;
        }
    }
    customers.enough().await;
    Ok((struck, server))
}
