//! The short run of the torture, over SQLite. `torture/src/lib.rs` says how to make it long.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::PathBuf;

use torture::{Plan, torture};

#[tokio::test]
async fn a_server_that_is_killed_and_stalled_again_and_again_loses_and_doubles_nothing() {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_mintcode"));
    let plan = Plan { binary, cluster: None, seed: 1, kills: 30, stalls: 5, restarts: 0, redemptions: 200 };
    let report = torture(&plan).await.unwrap();
    println!("{report:?}");
    assert!(report.violations.is_empty(), "{report:#?}");
    let links = ["faults to the supplier", "cuts of a link", "answers lost on a link"];
    for what in
        ["delivered", "codes shown", "taken over", "faults struck", "found absent"].into_iter().chain(links)
    {
        assert!(report.counts[what] > 0, "nothing was {what}: {:?}", report.counts);
    }
    assert!(report.counts["redemptions"] >= 200, "{:?}", report.counts);
}
