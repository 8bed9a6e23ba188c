//! A death at each point around each commit: a scripted scene is played once to learn the points it passes, and once more
//! for each of them, with a server that kills itself there and is started again. After each scene the auditor looks.
//!
//! The binary has to be built with the points: feature `crash-points` of `mintcode-store`, which only the tests of the
//! binary switch on.

mod scene;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::scene::Stage;
use crate::Error;

/// How often the scene is played for a point that it does not always pass.
const TRIES: usize = 4;

/// What is played.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `mintcode` binary, with points.
    pub binary: PathBuf,
    /// Starts and ends a PostgreSQL server; without it the database is an SQLite file.
    pub cluster: Option<PathBuf>,
    /// Scenes at a time.
    pub at_a_time: usize,
}

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// The points that the scene passes.
    pub points: BTreeSet<String>,
    /// Those at which no server died, however often the scene was played.
    pub missed: Vec<String>,
    /// What must not be, with the point after which it was seen.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Plays the scene, and once more for each point that it passes.
pub async fn die_at_each_point(plan: &Plan) -> Result<Report, Error> {
    let began = Instant::now();
    let stage = Arc::new(Stage::open(plan).await?);
    let undisturbed = stage.play(0, None).await?;
    let mut report = Report {
        points: undisturbed.passed,
        missed: Vec::new(),
        violations: undisturbed.violations,
        took: Duration::ZERO,
    };
    let places = Arc::new(Semaphore::new(plan.at_a_time));
    let mut scenes = JoinSet::new();
    for (number, point) in (1..).zip(report.points.clone()) {
        let (stage, places) = (Arc::clone(&stage), Arc::clone(&places));
        scenes.spawn(async move {
            let _place = places.acquire().await?;
            for again in 0..TRIES {
                let played = stage.play(number * TRIES + again, Some(&point)).await;
                let played = played.map_err(|error| format!("{point}: {error}"))?;
                if played.is_killed || !played.violations.is_empty() {
                    return Ok::<_, Error>((point, Some(played.violations)));
                }
            }
            Ok((point, None))
        });
    }
    while let Some(played) = scenes.join_next().await {
        match played?? {
            (point, Some(violations)) => {
                report.violations.extend(violations.iter().map(|what| format!("{point}: {what}")));
            }
            (point, None) => report.missed.push(point),
        }
    }
    report.took = began.elapsed();
    Ok(report)
}
