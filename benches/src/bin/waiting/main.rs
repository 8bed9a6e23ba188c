//! P7 and P8: what a redemption that waits for its SMS costs, in memory and in looks.
//!
//! ```text
//! cargo run --release -p benches --bin waiting            100,000 waiting, six minutes or so
//! cargo run --release -p benches --bin waiting -- --quick 5,000 waiting, no goals on time and memory
//! waiting prepare FILE COUNT; waiting measure FILE COUNT  the two halves of it, for a profiler
//! ```
//!
//! The real engine works over an SQLite file with that many redemptions, and looks at their orders through the real REST
//! client. What answers the client is a [`stub`] in a process of its own, and the file is filled by another one
//! ([`prepare`]), so that the CPU and the memory of this process are the engine's, its client's and its storage's.
//!
//! - Memory: the anonymous resident memory of the process once everything was looked at for several rounds, less that
//!   before the engine started. Before, the [`peer`] has fetched as many pages at once as the engine does and storage has
//!   filled its caches, so that the difference is what waits.
//! - CPU: user and system time of the process over whole rounds, divided by the rows that the stub gave out.
//! - The budget: the stub notes when each request came.
//! - Delay: the stub shows an SMS at a known time; it ends when storage has the redemption as delivered.

mod machine;
mod orders;
mod peer;
mod prepare;
mod scenario;
mod stub;
mod stub_process;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mintcode_core::testing::TokioClock;
use scenario::Scenario;
use table::Table;

/// As the `mintcode` binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
struct Extent {
    waiting: u32,
    /// Whether memory and time are held against their goals.
    is_judged: bool,
    scenarios: Vec<Scenario>,
}

impl Extent {
    fn whole() -> Self {
        let secs = Duration::from_secs;
        let large = Scenario { page: 1_000, per_second: 50, look_every: secs(5), rounds: 12, samples: 500 };
        // A thousand pages take ten seconds at that rate.
        let small = Scenario { page: 100, per_second: 100, look_every: secs(5), rounds: 8, samples: 300 };
        Self { waiting: 100_000, is_judged: true, scenarios: vec![large, small] }
    }

    fn quick() -> Self {
        let look_every = Duration::from_secs(1);
        // Fifty pages take more than two seconds at that rate, so that the budget is what holds looks back.
        let small = Scenario { page: 100, per_second: 20, look_every, rounds: 3, samples: 20 };
        Self { waiting: 5_000, is_judged: false, scenarios: vec![small] }
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => prepare_and_measure(&Extent::whole()),
        ["--quick"] => prepare_and_measure(&Extent::quick()),
        ["prepare", file, count] => prepare::run(Path::new(file), count).map(|()| true),
        ["measure", file, count] => count
            .parse()
            .map_err(Error::from)
            .and_then(|waiting| measure(&Extent { waiting, ..Extent::whole() }, Path::new(file))),
        ["stub", count] => stub::run(count).map(|()| true),
        _ => Err("usage: waiting [--quick]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn prepare_and_measure(extent: &Extent) -> Result<bool, Error> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("waiting.db");
    prepare::in_a_process(&file, extent.waiting)?;
    measure(extent, &file)
}

/// Measures, prints, and tells whether every goal was reached. The file is for one use: its times are those of the clock
/// that begins here.
fn measure(extent: &Extent, file: &Path) -> Result<bool, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = runtime.block_on(async {
        let mut table = Table::new(extent.is_judged);
        let clock = Arc::new(TokioClock::default());
        for (number, scenario) in (1..).zip(&extent.scenarios) {
            let figures = scenario.run(file, extent.waiting, &clock, number).await?;
            table.add(scenario, extent.waiting, &figures, number == 1);
        }
        Ok::<_, Error>(table)
    })?;
    print!("{table}");
    Ok(table.is_reached())
}
