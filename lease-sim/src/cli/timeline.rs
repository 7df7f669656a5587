use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use lease_sim::{Plan, Report};

use super::console::{counted, note, say};
use super::job::{Job, Runner, run_one};
use super::places::of_project;
use super::pool::{self, Pool};
use super::shrink::{Budget, shrink};
use super::{subject, view};

/// Run one plan and write a page that shows what happened
///
/// A plan that fails is made small first, and the page shows the small one.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: subject::Args,
    /// Where the page is written [default: target-sim/views/NAME.html in the project]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How many seconds to spend on making a plan that fails small; with 0 it is shown as it is
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shrink_time: u64,
    #[command(flatten)]
    pool: pool::Args,
}

/// Runs a plan and writes its page.
///
/// # Errors
///
/// If there is no such plan, worlds cannot be run, or the page not be written.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let pool = Pool::new(&args.pool)?;
    let (plan, report) = shown(args, &pool)?;
    let path = args.output.clone().unwrap_or_else(|| {
        let name = args.subject.name();
        of_project(&format!("target-sim/views/{name}.html"))
    });
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    let page = view::page(&plan, &report, &args.subject.with.bug_option());
    fs::write(&path, page).with_context(cannot)?;
    say(format_args!(
        "{}, {}: {}",
        counted(report.events, "event"),
        counted(report.violations.len() as u64, "violation"),
        path.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The plan that the page is about, and its traced run.
fn shown(args: &Args, runner: &dyn Runner) -> Result<(Plan, Report)> {
    let (plan, bug) = (args.subject.plan()?, args.subject.with.bug);
    let traced = |plan: &Plan| run_one(runner, Job::given(0, plan.clone(), bug).traced());
    let report = traced(&plan)?;
    let Some(violation) = report.violations.first().filter(|_| args.shrink_time > 0) else {
        return Ok((plan, report));
    };
    let budget = Budget {
        time: Some(Duration::from_secs(args.shrink_time)),
        ..Budget::default()
    };
    let Some(shrunk) = shrink(runner, &plan, bug, Some(&violation.property), budget)? else {
        return Ok((plan, report));
    };
    note(&shrunk);
    let report = traced(&shrunk.plan)?;
    Ok((shrunk.plan, report))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::job::testing::Fake;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn actions(line: &str) -> usize {
        let args = Line::parse_from(["sim"].into_iter().chain(line.split(' '))).args;
        let runner = Fake(|plan: &Plan| (!plan.actions.is_empty()).then_some("late"));
        shown(&args, &runner).expect("it runs").0.actions.len()
    }

    #[test]
    fn a_plan_that_fails_is_shown_small() {
        let drawn = actions("7 --profile lite --shrink-time 0");
        assert!(drawn > 1, "{drawn}");
        assert_eq!(actions("7 --profile lite"), 1);
    }
}
