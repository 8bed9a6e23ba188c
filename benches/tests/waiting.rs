//! The bench of what waits, small and without goals on time and memory: it runs, holds its budget and finds every SMS.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::process::Command;

#[test]
fn every_sms_is_found_within_the_budget() {
    // It fails where the budget was not held, or an SMS was not found.
    let output = Command::new(env!("CARGO_BIN_EXE_waiting")).arg("--quick").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("p50 of 20 |"), "{table}");
}
