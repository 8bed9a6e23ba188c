//! The `mintcode` command: serves, mints, redeems, and looks after SKUs and vouchers.
//!
//! Each command is a file of `commands`; [`args`] lists them, [`config`] reads what is configured, [`backend`] puts
//! storage and engine together, [`exit`] says how a command ends.

mod args;
mod atomic_file;
mod backend;
mod codes;
mod commands;
mod config;
mod exit;
mod logging;
mod money;
mod output;
mod server;
mod store;
mod system;
mod time;
mod toml_place;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;

/// Takes less memory than the system's allocator where many threads allocate and others free, as workers and storage do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Without a provider no HTTPS client can be made; an error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_arguments(&error),
    };
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
