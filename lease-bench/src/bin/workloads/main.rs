//! Runs the workloads of the comparison with etcd's lessor and prints a line of JSON for each: the
//! operation, the number of leases, and nanoseconds. `cargo xtask bench` reads them.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is a command line tool")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and runs threads"
)]

mod expire;
mod floor;
mod http;
mod lessor;
mod mixed;
mod stopwatch;

use clap::{Parser, ValueEnum};

use stopwatch::Stopwatch;

/// Times the lessor's operations at one size.
#[derive(Parser)]
struct Args {
    /// How many leases.
    #[arg(short)]
    n: usize,
    /// Of what; of everything if it is not said.
    #[arg(long)]
    part: Option<Part>,
}

/// What the workloads are of.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The lessor's operations.
    Lessor,
    /// Renewals through HTTP.
    Http,
}

fn main() -> anyhow::Result<()> {
    let Args { n, part } = Args::parse();
    anyhow::ensure!(n >= 10, "-n must be at least 10");
    let watch = Stopwatch::new(n);
    if part != Some(Part::Http) {
        floor::run(&watch);
        lessor::run(&watch)?;
        lessor::grant_sequential(&watch)?;
        mixed::run(&watch)?;
        expire::run(&watch)?;
    }
    if part != Some(Part::Lessor) {
        http::run(&watch)?;
    }
    Ok(())
}
