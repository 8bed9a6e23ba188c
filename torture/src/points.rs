//! A death at each point around each commit: a scripted scene is played twice to learn the points it passes, and once more
//! for each of them, with a server that kills itself there and is started again. So many of the points that are only passed
//! by a server that was started after a death are died at as well, as the second death. After each scene the auditor looks.
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

use self::scene::{Played, Stage};
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
    /// Points that are passed after a death alone at which another server dies, at most. Which of them there are differs:
    /// each death leaves something else to be taken up.
    pub second_deaths: usize,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Report {
    /// The points that the undisturbed scene passes: those that it passed twice.
    pub points: BTreeSet<String>,
    /// Those that it passed once of two times; whether a server dies there is luck, too.
    pub points_by_luck: BTreeSet<String>,
    /// Points that were passed only after a death.
    pub points_after_death: BTreeSet<String>,
    /// Those of them at which another server died.
    pub second_deaths: BTreeSet<String>,
    /// Points of the undisturbed scene, but for those by luck, at which no server died, however often it was played.
    pub missed: BTreeSet<String>,
    /// What must not be, with the deaths after which it was seen.
    pub violations: Vec<String>,
    /// How often the scene was played.
    pub scenes: usize,
    /// How long it took.
    pub took: Duration,
}

/// Plays the scene, and once more for each point that it passes.
pub async fn die_at_each_point(plan: &Plan) -> Result<Report, Error> {
    let began = Instant::now();
    let stage = Arc::new(Stage::open(plan).await?);
    let (one, other) = tokio::try_join!(stage.play(0, &[]), stage.play(1, &[]))?;
    let mut report = Report {
        points: one.passed.intersection(&other.passed).cloned().collect(),
        points_by_luck: one.passed.symmetric_difference(&other.passed).cloned().collect(),
        violations: [one.violations, other.violations].concat(),
        scenes: 2,
        ..Report::default()
    };
    let places = Arc::new(Semaphore::new(plan.at_a_time));
    let mut scenes = JoinSet::new();
    let mut number = 0;
    let mut start = |scenes: &mut JoinSet<_>, deaths: Vec<String>| {
        number += TRIES;
        scenes.spawn(die(Arc::clone(&stage), Arc::clone(&places), number, deaths));
    };
    for point in report.points.union(&report.points_by_luck) {
        start(&mut scenes, vec![point.clone()]);
    }
    while let Some(ended) = scenes.join_next().await {
        let Ended { deaths, played, tries } = ended??;
        report.scenes += tries;
        report.violations.extend(played.violations.iter().map(|what| format!("{deaths:?}: {what}")));
        let [first] = &*deaths else {
            report.second_deaths.extend(deaths.last().filter(|_| played.is_over).cloned());
            continue;
        };
        if !played.is_over && report.points.contains(first) {
            report.missed.insert(first.clone());
        }
        for point in played.passed.difference(&report.points) {
            if report.points_by_luck.contains(point) {
                continue;
            }
            let is_new = report.points_after_death.insert(point.clone());
            if is_new && report.points_after_death.len() <= plan.second_deaths {
                start(&mut scenes, vec![first.clone(), point.clone()]);
            }
        }
    }
    report.took = began.elapsed();
    Ok(report)
}

struct Ended {
    deaths: Vec<String>,
    played: Played,
    tries: usize,
}

/// Plays the scene until the server dies all the `deaths`, or seems to pass those points no more.
async fn die(
    stage: Arc<Stage>,
    places: Arc<Semaphore>,
    number: usize,
    deaths: Vec<String>,
) -> Result<Ended, Error> {
    let _place = places.acquire().await?;
    let mut tries = 0;
    loop {
        let played = stage.play(number + tries, &deaths).await;
        let played = played.map_err(|error| format!("{deaths:?}: {error}"))?;
        tries += 1;
        if played.is_over || !played.violations.is_empty() || tries == TRIES {
            return Ok(Ended { deaths, played, tries });
        }
    }
}
