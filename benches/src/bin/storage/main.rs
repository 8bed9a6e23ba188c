//! P2, P3, P4, P6 and P13: what storage costs, against what the disk and the databases cannot do without.
//!
//! ```text
//! cargo build --release -p mintcode-cli                       the binary that mints
//! cargo run --release -p benches --bin storage mint           P2, P3: a million vouchers, and the memory that takes
//! cargo run --release -p benches --bin storage step           P4: durable steps against fdatasync, which is counted
//! cargo run --release -p benches --bin storage growth         P13: redemptions among 10³, 10⁵ and 10⁶ vouchers
//! cargo run --release -p benches --bin storage growth --large the same, and among 10⁷
//! cargo run --release -p benches --bin storage transitions    P6: PostgreSQL against pgbench
//! ```
//!
//! `MINTCODE_TEST_POSTGRES_URL` names a PostgreSQL server of this machine whose role may read files; without it, `mint`
//! leaves PostgreSQL out and `transitions` fails. Files lie in `TMPDIR`, which should be the disk that is meant.

mod growth;
mod minting;
mod peers;
mod stage;
mod step;
mod syncs;
mod table;
mod transitions;

use std::process::ExitCode;

use table::Table;

/// As the `mintcode` binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(Some(table)) => {
            print!("{table}");
            if table.is_reached() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Result<Option<Table>, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments {
        ["mint"] => runtime.block_on(minting::measure(1_000_000)).map(Some),
        ["mint", count] => runtime.block_on(minting::measure(count.parse()?)).map(Some),
        ["step"] => runtime.block_on(step::measure()).map(Some),
        ["growth"] => runtime.block_on(growth::measure(&[1_000, 100_000, 1_000_000])).map(Some),
        ["growth", "--large"] => {
            runtime.block_on(growth::measure(&[1_000, 100_000, 1_000_000, 10_000_000])).map(Some)
        }
        ["transitions"] => runtime.block_on(transitions::measure()).map(Some),
        // What is looked at by strace.
        ["synced", callers, steps] => {
            runtime.block_on(syncs::work(callers.parse()?, steps.parse()?)).map(|()| None)
        }
        ["synced-now-and-then", _, commits] => syncs::control(commits.parse()?).map(|()| None),
        _ => Err("usage: storage mint [COUNT] | step | growth [--large] | transitions".into()),
    }
}
