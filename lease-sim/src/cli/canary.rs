use std::process::ExitCode;

use anyhow::Result;
use lease_sim::Bug;

use super::bugs::hunt;
use super::console::{Progress, say};
use super::pool::{self, Pool};
use super::status;
use super::subject::bug_named;

/// Prove that the simulation can fail: a planted bug must be found within a few seeds
#[derive(clap::Args)]
pub(super) struct Args {
    /// The bug
    #[arg(long, value_name = "NAME", value_parser = bug_named, default_value = "renew-expiring")]
    bug: &'static Bug,
    /// How many seeds it may take
    #[arg(long, value_name = "N", default_value_t = 200)]
    seeds: u64,
    #[command(flatten)]
    pool: pool::Args,
}

/// Looks for the canary's bug.
///
/// # Errors
///
/// If worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let pool = Pool::new(&args.pool)?;
    let hunted = hunt(&pool, args.bug, 1..args.seeds + 1, &mut Progress::new())?;
    let name = args.bug.name;
    match &hunted.found {
        Some(found) => say(format_args!(
            "the planted bug {name} was found after {} seeds: {}",
            hunted.seeds, found.violation.property
        )),
        None => say(format_args!(
            "the planted bug {name} was not found in {} seeds: the simulation is blind",
            hunted.seeds
        )),
    }
    Ok(status(hunted.found.is_some()))
}
