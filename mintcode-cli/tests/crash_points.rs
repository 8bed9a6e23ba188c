//! The server dies once before and once after each commit of a scene, on SQLite. `torture/src/points.rs` plays it.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::PathBuf;
use std::process::Command;

use torture::points::{Plan, die_at_each_point};

#[path = "support/crash_points.rs"]
mod crash_points;

#[tokio::test]
async fn a_server_that_dies_before_and_after_each_commit_loses_and_doubles_nothing() {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_mintcode"));
    let plan = Plan { binary, cluster: None, at_a_time: 8, second_deaths: 8 };
    crash_points::check(&die_at_each_point(&plan).await.unwrap());
}

/// What `cargo tree` says of the features that `edges` bring to the storage.
fn features(edges: &str) -> String {
    let arguments =
        ["tree", "--offline", "--package", "mintcode-cli", "--invert", "mintcode-store", "--edges"];
    let ran = Command::new(env!("CARGO")).args(arguments).arg(edges).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn what_is_built_for_operators_has_no_crash_points() {
    let name = "feature \"crash-points\"";
    assert!(features("features,normal,dev").contains(name), "the name is another one by now");
    assert!(!features("features,normal").contains(name));
}
