//! The short run of the torture, over PostgreSQL: an API and three workers.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::{Path, PathBuf};

use torture::{Plan, torture};

#[tokio::test]
async fn an_api_and_three_workers_that_are_struck_again_and_again_lose_and_double_nothing() {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_mintcode"));
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mintcode-store/tests/postgres-cluster");
    let plan =
        Plan { binary, cluster: Some(cluster), seed: 2, kills: 30, stalls: 5, restarts: 2, redemptions: 200 };
    let report = torture(&plan).await.unwrap();
    println!("{report:?}");
    assert!(report.violations.is_empty(), "{report:#?}");
    let links = [
        "faults to the supplier",
        "faults to PostgreSQL",
        "delays on a link",
        "stalls on a link",
        "cuts of a link",
        "answers lost on a link",
        "links half closed",
    ];
    for what in
        ["delivered", "codes shown", "taken over", "faults struck", "found absent"].into_iter().chain(links)
    {
        assert!(report.counts[what] > 0, "nothing was {what}: {:?}", report.counts);
    }
    assert!(report.counts["redemptions"] >= 200, "{:?}", report.counts);
}
