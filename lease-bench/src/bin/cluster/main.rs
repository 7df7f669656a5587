//! What a replicated lessor does: how many grants, renewals, revokes and expiries a second go through
//! a cluster of one and of three, and how long a failover takes with a million leases.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is a command line tool")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and runs threads"
)]

mod failover;
mod floor;
mod members;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

/// Measures a replicated lessor on loopback, all members on this machine.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// How many commands a second go through the log.
    Throughput {
        /// Of so many members.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
        members: Vec<u64>,
        /// How many callers there are, each of whom waits for his answer before he goes on.
        #[arg(long, default_value_t = 64)]
        callers: usize,
        /// For how long each is measured.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Where the files of the members are, in a folder that is deleted afterwards [default: a
        /// temporary folder]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// How long it takes until leases are renewed again when the process of the leader is killed.
    Failover {
        /// How many leases there are; one after the other, and nothing else differs.
        #[arg(short, value_delimiter = ',', default_values_t = [1, 1_000_000])]
        n: Vec<usize>,
        /// How often.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Where the files of the members are [default: a temporary folder]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// A member in a process of its own, which is killed in the end.
    #[command(hide = true)]
    Member { dir: PathBuf, address: String },
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match Args::parse().part {
        Part::Throughput {
            members,
            callers,
            seconds,
            dir,
        } => {
            ensure!(callers > 0 && seconds > 0, "there is nothing to measure");
            ensure!(members.iter().all(|n| *n > 0), "a cluster has a member");
            let dir = folder(dir)?;
            floor::report(dir.path())?;
            let span = Duration::from_secs(seconds);
            for count in members {
                runtime.block_on(throughput::run(dir.path(), count, callers, span))?;
            }
        }
        Part::Failover { n, rounds, dir } => {
            ensure!(n.iter().all(|n| *n > 0), "a lease has to be there");
            let dir = folder(dir)?;
            for leases in n {
                for round in 1..=rounds {
                    let dir = dir.path().join(format!("{leases}-{round}"));
                    runtime.block_on(failover::run(&dir, leases))?;
                }
            }
        }
        Part::Member { dir, address } => runtime.block_on(failover::serve(&dir, &address))?,
    }
    Ok(())
}

fn folder(dir: Option<PathBuf>) -> Result<tempfile::TempDir> {
    Ok(match dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    })
}
