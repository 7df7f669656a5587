//! Parity with etcd by machine: the same traces on etcd's own lessor and on ours.
//!
//! `cargo xtask interop` builds etcd's half, a Go program, and runs this one.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a command-line tool measures seconds and starts processes; the bans are for the libraries"
)]
#![expect(
    clippy::print_stdout,
    reason = "what a command-line tool has to say goes to standard output"
)]

mod http;
mod lessor;
mod ours;
mod peer;
mod shims;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Runs etcd's lease code and ours side by side")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Http(http::Args),
    Lessor(lessor::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Http(args) => http::run(&args),
        Command::Lessor(args) => lessor::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
