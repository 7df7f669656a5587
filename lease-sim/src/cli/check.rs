use std::process::ExitCode;

use anyhow::Result;
use lease_sim::Report;

use super::console::{Progress, counted, say};
use super::fuzz::difference;
use super::job::{Runner, run_all};
use super::pool::{self, Pool};
use super::status;
use super::subject::With;

/// Run each seed twice, one after the other in one process and several at a time in others, and
/// compare the hashes of all events
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    pool: pool::Args,
}

/// Compares runs.
///
/// # Errors
///
/// If worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let serial = reports(
        args,
        &Pool::serial(&args.pool.patience)?,
        "one after the other",
    )?;
    let parallel = reports(args, &Pool::new(&args.pool)?, "at the same time")?;
    let mut events = 0;
    let mut differing = 0;
    let mut hash = 0;
    for (one, other) in serial.iter().zip(&parallel) {
        events += one.events;
        hash ^= one.hash.rotate_left((one.seed % 64) as u32);
        if let Some(difference) = difference(one, other) {
            differing += 1;
            say(format_args!("seed {}: {difference}", one.seed));
        }
    }
    say(format_args!(
        "{}, {}, of which {differing} differ, hash of all {hash:016x}",
        counted(events, "event"),
        counted(serial.len() as u64, "seed"),
    ));
    if events == 0 {
        say("nothing was compared, which proves nothing");
    }
    Ok(status(differing == 0 && events > 0))
}

fn reports(args: &Args, runner: &dyn Runner, how: &str) -> Result<Vec<Report>> {
    let seeds = args.from..args.from.saturating_add(args.seeds);
    let jobs = seeds.map(|seed| args.with.drawn(seed));
    let mut progress = Progress::new();
    run_all(runner, jobs.collect(), &mut |done| {
        progress.show(|| format!("{done} of {} seeds {how}", args.seeds));
    })
}
