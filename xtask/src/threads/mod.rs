//! The schedule explorer's scenarios of lease-core, and the races that are planted to prove that
//! they can fail.

mod races;
mod scenario;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use std::{env, thread};

use anyhow::{Result, ensure};

use crate::invocation::Invocation;
use crate::workspace::Workspace;
pub(crate) use scenario::is_scenario;
use scenario::{Build, Plan, Speed};

/// Run the handle of lease-core under many schedules of its threads.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many schedules each scenario runs under.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    schedules: usize,
    /// Run the scenarios only whose name has this in it.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// What the schedules are drawn from; drawn itself and printed if it is not given.
    #[arg(long)]
    seed: Option<u32>,
    /// Run one scenario under the schedule in this file.
    #[arg(long, value_name = "FILE", requires = "only")]
    replay: Option<PathBuf>,
    /// Plant the races of lease-core/races one after the other, and see whether each is found.
    #[arg(long, conflicts_with = "replay")]
    races: bool,
}

/// Runs what is asked for; the exit code says whether anything failed.
///
/// # Errors
///
/// If the build fails or a scenario cannot be started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(drawn_seed);
    let all_passed = if args.races {
        races::run(workspace, args.only.as_deref(), seed)?
    } else {
        let plan = Plan {
            schedules: args.schedules,
            seed,
            replay: args.replay.clone(),
        };
        explore(workspace, args.only.as_deref(), &plan)?
    };
    Ok(ExitCode::from(u8::from(!all_passed)))
}

/// Runs all scenarios for a short time.
///
/// # Errors
///
/// If the build fails or a scenario does.
pub(crate) fn run_short(workspace: &Workspace) -> Result<()> {
    let plan = Plan {
        schedules: 500,
        seed: 1,
        replay: None,
    };
    ensure!(explore(workspace, None, &plan)?, "a scenario fails");
    Ok(())
}

/// Checks that every planted race still fits the code, and compiles.
///
/// # Errors
///
/// If one does not.
pub(crate) fn check_races(workspace: &Workspace) -> Result<()> {
    races::check(workspace)
}

/// Lints what only the explorer's build compiles.
///
/// # Errors
///
/// If cargo cannot be started or there is a warning.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    Invocation::cargo_line(LINT)
        .cfg("shuttle")
        .run(&workspace.root)
}

/// The line that repeats [`lint`].
pub(crate) const LINT_LINE: &str = "RUSTFLAGS='--cfg shuttle' cargo clippy --package lease-core \
    --features async --lib --tests --target-dir target-threads -- -D warnings";

const LINT: &str = "clippy --package lease-core --features async --lib --tests --target-dir target-threads -- -D warnings";

/// The line that repeats [`run_short`].
pub(crate) const SHORT_RUN_LINE: &str = "cargo xtask threads --schedules 500 --seed 1";

/// The line that repeats what [`check_races`] checks, and more.
pub(crate) const RACES_LINE: &str = "cargo xtask threads --races";

fn drawn_seed() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).subsec_nanos()
}

/// Runs the scenarios, as many at a time as there are processors. Returns whether all passed.
fn explore(workspace: &Workspace, only: Option<&str>, plan: &Plan) -> Result<bool> {
    let build = Build::make(
        &workspace.root,
        &target_dir(workspace),
        Speed::OfTheScenarios,
    )?;
    let scenarios = build.scenarios(only)?;
    ensure!(!scenarios.is_empty(), "no scenario has such a name");
    println!("{plan}");
    let (next, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> Result<()> {
        while let Some(name) = scenarios.get(next.fetch_add(1, Relaxed)) {
            let outcome = build.run(name, plan)?;
            println!("{outcome}");
            failures.fetch_add(usize::from(outcome.has_failed()), Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors()).map(|_| scope.spawn(work)).collect();
        let mut ends = workers.into_iter().map(|worker| worker.join());
        ends.try_for_each(|end| end.expect("a worker does not panic"))
    })?;
    let failures = failures.into_inner();
    println!("{} scenarios, {failures} failed", scenarios.len());
    Ok(failures == 0)
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

// Beside the ordinary build, which would else be made anew each time.
fn target_dir(workspace: &Workspace) -> PathBuf {
    let chosen = env::var_os("LEASE_THREADS_TARGET_DIR").map(PathBuf::from);
    chosen.unwrap_or_else(|| workspace.root.join("target-threads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_lint_is_the_lint() {
        assert!(LINT_LINE.ends_with(&format!("cargo {LINT}")));
    }
}
