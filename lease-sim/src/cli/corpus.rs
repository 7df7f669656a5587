use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lease_sim::{Bug, Plan};

use super::bugs::PATIENCE;
use super::console::{Progress, counted, say};
use super::failure::sentence;
use super::job::{Job, Runner, run_all};
use super::places::of_project;
use super::pool::{self, Pool};
use super::status;
use super::subject::{Kept, bug_named};

/// Run the committed plans of past failures, which must not fail any more
///
/// A plan of a planted bug must pass without the bug and fail with it; `bugs --keep` writes such
/// plans.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Add this plan
    #[arg(long, value_name = "PLAN.json", requires = "why")]
    add: Option<PathBuf>,
    /// What the plan has found, in words
    #[arg(long, value_name = "TEXT", requires = "add")]
    why: Option<String>,
    /// The planted bug that the plan finds
    #[arg(long, value_name = "NAME", value_parser = bug_named, requires = "add")]
    bug: Option<&'static Bug>,
    /// The file that the plan is added as, without its ending [default: from the text]
    #[arg(long, value_name = "NAME", requires = "add")]
    name: Option<String>,
    /// Where the plans are
    #[arg(long, value_name = "FOLDER", default_value_os_t = of_project("lease-sim/corpus"))]
    folder: PathBuf,
    /// With how many seeds of what is not planned each plan runs
    #[arg(long, value_name = "N", default_value_t = 8)]
    noises: u64,
    #[command(flatten)]
    pool: pool::Args,
}

/// Runs the corpus, or adds to it.
///
/// # Errors
///
/// If a file is of no use, or worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match (&args.add, &args.why) {
        (Some(path), Some(why)) => add(args, path, why),
        _ => run_plans(args),
    }
}

fn add(args: &Args, path: &Path, why: &str) -> Result<ExitCode> {
    let kept = Kept::read(path)?;
    let kept = Kept {
        why: why.to_owned(),
        bug: args.bug.map(|bug| bug.name.to_owned()).or(kept.bug),
        plan: kept.plan,
    };
    let name = args.name.clone().unwrap_or_else(|| name_of(why));
    let target = args.folder.join(name).with_extension("json");
    if target.exists() {
        bail!("{} is there already; give a --name", target.display());
    }
    kept.write(&target)?;
    say(format_args!("added {}", target.display()));
    Ok(ExitCode::SUCCESS)
}

/// The first words of a text, as the name of a file.
fn name_of(why: &str) -> String {
    let words = why.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).take(6).collect();
    words.join("-").to_ascii_lowercase()
}

fn run_plans(args: &Args) -> Result<ExitCode> {
    let plans = read_all(&args.folder)?;
    let pool = Pool::new(&args.pool)?;
    let mut is_well = true;
    let mut runs = 0;
    let mut progress = Progress::new();
    for (name, kept) in &plans {
        let outcome = check(&pool, kept, args.noises)?;
        runs += outcome.runs;
        if let Some(objection) = outcome.objection {
            is_well = false;
            say(format_args!("{name}: {objection}"));
        }
        progress.show(|| format!("{runs} runs"));
    }
    drop(progress);
    say(format_args!(
        "{}, {}",
        counted(plans.len() as u64, "plan"),
        counted(runs as u64, "run")
    ));
    if runs == 0 {
        say("nothing was compared, which proves nothing");
    }
    Ok(status(is_well && runs > 0))
}

/// The plans of a folder, with the names of their files, in the order of these.
///
/// # Errors
///
/// If a file is of no use.
pub(super) fn read_all(folder: &Path) -> Result<Vec<(String, Kept)>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let kept = paths.iter().map(|path| {
        let kept = Kept::read(path)?;
        Ok((path.display().to_string(), kept))
    });
    kept.collect()
}

struct Outcome {
    runs: usize,
    objection: Option<String>,
}

/// Runs a plan with several noises: without a bug nothing may go wrong, and with the bug that it
/// is kept for something must.
fn check(runner: &dyn Runner, kept: &Kept, noises: u64) -> Result<Outcome> {
    let plain = run_all(runner, jobs(&kept.plan, None, noises), &mut |_| {})?;
    let mut runs = plain.len();
    let wrong = plain.iter().find_map(|report| report.violations.first());
    let mut objection = wrong.map(|violation| format!("fails: {}", sentence(violation)));
    if let Some(bug) = kept.bug.as_deref().and_then(Bug::named) {
        let mut jobs = jobs(&kept.plan, Some(bug), NOISES_FOR_A_BUG).into_iter();
        // The plan's own noise shows it, unless the world has changed since.
        let own = jobs.by_ref().take(1).collect();
        let is_found = finds(runner, own, &mut runs)? || finds(runner, jobs.collect(), &mut runs)?;
        let blind = format!("does not find the planted bug {} any more", bug.name);
        objection = objection.or((!is_found).then_some(blind));
    }
    Ok(Outcome { runs, objection })
}

/// With how many noises a planted bug is looked for.
const NOISES_FOR_A_BUG: u64 = 64;

/// Whether one of the runs violates something.
fn finds(runner: &dyn Runner, jobs: Vec<Job>, runs: &mut usize) -> Result<bool> {
    *runs += jobs.len();
    let reports = run_all(runner, jobs, &mut |_| {})?;
    Ok(reports.iter().any(|report| !report.violations.is_empty()))
}

/// The plan with its own noise and others.
fn jobs(plan: &Plan, bug: Option<&Bug>, noises: u64) -> Vec<Job> {
    let others = 0..noises.saturating_sub(1);
    std::iter::once(plan.noise)
        .chain(others)
        .map(|noise| {
            let plan = Plan {
                noise,
                ..plan.clone()
            };
            Job {
                patience: bug.map(|_| PATIENCE),
                ..Job::given(0, plan, bug)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use lease_sim::Profile;

    use super::super::job::testing::Fake;
    use super::*;

    fn kept(bug: Option<&str>) -> Kept {
        Kept {
            why: String::new(),
            bug: bug.map(str::to_owned),
            plan: Plan::draw(5, Profile::Lite),
        }
    }

    #[test]
    fn one_noise_is_enough_to_fail() {
        let runner = Fake(|plan: &Plan| (plan.noise == 2).then_some("it"));
        let outcome = check(&runner, &kept(None), 3).expect("it runs");
        assert!(outcome.objection.is_none());
        let outcome = check(&runner, &kept(None), 4).expect("it runs");
        assert!(outcome.objection.is_some());
        assert_eq!(outcome.runs, 4);
    }

    #[test]
    fn a_planted_bug_must_be_found() {
        let blind = Fake(|_: &Plan| None);
        let outcome = check(&blind, &kept(Some("renew-expiring")), 2).expect("it runs");
        assert!(outcome.objection.expect("it is blind").contains("any more"));
        assert_eq!(outcome.runs as u64, 2 + NOISES_FOR_A_BUG);
    }

    #[test]
    fn a_reason_makes_a_name() {
        let why = "INV-1: a lease, that was renewed twice, is lost early";
        assert_eq!(name_of(why), "inv-1-a-lease-that-was");
    }
}
