//! What a scene of deaths has to have seen.

use torture::points::Report;

/// Some of the points that every scene passes, whatever the database is.
const PASSED: [&str; 11] = [
    "migrations",
    "enlist",
    "begin",
    "beat",
    "lease_requests",
    "retire",
    "change begun to ordering, voucher buy",
    "change ordering to waiting",
    "change waiting to delivered, voucher deliver",
    "change waiting to releasing",
    "change releasing to ",
];

pub(crate) fn check(report: &Report) {
    println!("{report:#?}");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert!(report.missed.is_empty(), "nobody died at {:#?}", report.missed);
    assert!(!report.second_deaths.is_empty(), "nobody died twice");
    for name in PASSED {
        for side in ["before", "after"] {
            let is_passed = report.points.iter().any(|point| point.starts_with(&format!("{side} {name}")));
            assert!(is_passed, "nothing is committed as {name:?}");
        }
    }
}
