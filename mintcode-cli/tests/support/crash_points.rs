//! What a scene of deaths has to have seen.

use torture::points::Report;

/// Some of the points that every scene passes, whatever the database is.
const PASSED: [&str; 10] = [
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
];

pub(crate) fn check(report: &Report) {
    println!("{report:#?}");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    // What is passed after a death alone may be passed by luck.
    let missed: Vec<_> = report.missed.intersection(&report.points).collect();
    assert!(missed.is_empty(), "nobody died at {missed:#?}");
    let after_death: Vec<_> = report.points_after_death.difference(&report.missed).collect();
    assert!(after_death.iter().any(|point| point.ends_with(" adopt")), "{after_death:#?}");
    for name in PASSED {
        for side in ["before", "after"] {
            let is_passed = report.points.iter().any(|point| point.starts_with(&format!("{side} {name}")));
            assert!(is_passed, "nothing is committed as {name:?}");
        }
    }
}
