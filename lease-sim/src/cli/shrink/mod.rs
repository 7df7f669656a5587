//! Makes a plan that goes wrong small: delta debugging over its actions, then fewer members,
//! a shorter time, and simpler parameters and actions.

mod cut;
mod numbers;
mod parameters;
mod search;

pub(super) use search::{Budget, shrink};

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use lease_sim::Plan;

use super::console::{note, say};
use super::pool::{self, Pool};
use super::{status, subject};

/// Make a plan that fails small: it must still violate the same property
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: subject::Args,
    /// Where the small plan is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Stop with what is there after this many seconds [default: no bound]
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// With how many seeds of what is not planned each candidate is tried
    #[arg(long, value_name = "N", default_value_t = Budget::default().noises)]
    noises: usize,
    #[command(flatten)]
    pool: pool::Args,
}

/// Makes a plan small and writes it.
///
/// # Errors
///
/// If there is no such plan, worlds cannot be run, or the result not be written.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let plan = args.subject.plan()?;
    let with = args.subject.with;
    let pool = Pool::new(&args.pool)?;
    let budget = Budget {
        time: args.time.map(Duration::from_secs),
        noises: args.noises,
    };
    let Some(shrunk) = shrink(&pool, &plan, with.bug, None, budget)? else {
        note("the plan violates nothing, so there is nothing to keep while it gets smaller");
        return Ok(status(false));
    };
    note(&shrunk);
    let text = subject::text_of(&shrunk.plan)?;
    match &args.output {
        None => say(text.trim_end()),
        Some(path) => {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            note(format_args!(
                "repeat: cargo xtask sim replay {}{}",
                path.display(),
                with.bug_option()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One way to make a plan smaller; `None` if there is nothing of the kind in the plan.
type Edit = Box<dyn Fn(&Plan) -> Option<Plan>>;
