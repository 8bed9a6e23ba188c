//! The server dies once before and once after each commit of a scene, on PostgreSQL. `torture/src/points.rs` plays it.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::{Path, PathBuf};

use torture::points::{Plan, die_at_each_point};

#[path = "support/crash_points.rs"]
mod crash_points;

#[tokio::test]
async fn a_server_that_dies_before_and_after_each_commit_loses_and_doubles_nothing() {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_mintcode"));
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mintcode-store/tests/postgres-cluster");
    let plan = Plan { binary, cluster: Some(cluster), at_a_time: 8, second_deaths: 8 };
    crash_points::check(&die_at_each_point(&plan).await.unwrap());
}
