//! The long run of the torture.

use std::path::PathBuf;
use std::process::ExitCode;

use torture::{Error, Plan, torture};

const USAGE: &str =
    "usage: torture --binary FILE [--postgres-cluster FILE] [--kills N] [--stalls N] [--restarts N]
               [--redemptions N] [--seed N]";

fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan, Error> {
    let mut plan = Plan {
        binary: PathBuf::new(),
        cluster: None,
        seed: 1,
        kills: 100,
        stalls: 10,
        restarts: 3,
        redemptions: 1_000,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match &*name {
            "--binary" => plan.binary = value.into(),
            "--postgres-cluster" => plan.cluster = Some(value.into()),
            "--restarts" => plan.restarts = value.parse()?,
            "--kills" => plan.kills = value.parse()?,
            "--stalls" => plan.stalls = value.parse()?,
            "--redemptions" => plan.redemptions = value.parse()?,
            "--seed" => plan.seed = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    if plan.binary.as_os_str().is_empty() { Err(USAGE.into()) } else { Ok(plan) }
}

#[tokio::main]
async fn main() -> ExitCode {
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match torture(&plan).await {
        Ok(report) => {
            for (what, count) in &report.counts {
                println!("{count:>10}  {what}");
            }
            println!("{:>10}  seconds", report.took.as_secs());
            for violation in &report.violations {
                println!("{violation}");
            }
            for path in &report.kept {
                println!("kept: {}", path.display());
            }
            println!("{} violations", report.violations.len());
            if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
