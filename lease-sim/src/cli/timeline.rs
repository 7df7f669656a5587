use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::console::say;
use super::job::{Job, run_one};
use super::pool::{Patience, Pool};
use super::{subject, view};

/// Run one plan and write a page that shows what happened
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: subject::Args,
    /// Where the page is written
    #[arg(short, long, value_name = "FILE", default_value = "timeline.html")]
    output: PathBuf,
    #[command(flatten)]
    patience: Patience,
}

/// Runs a plan and writes its page.
///
/// # Errors
///
/// If there is no such plan, worlds cannot be run, or the page not be written.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let plan = args.subject.plan()?;
    let job = Job::given(0, plan.clone(), args.subject.with.bug).traced();
    let report = run_one(&Pool::serial(&args.patience)?, job)?;
    fs::write(
        &args.output,
        view::page(&plan, &report, &args.subject.with.bug_option()),
    )
    .with_context(|| format!("cannot write {}", args.output.display()))?;
    say(format_args!(
        "{} events, {} violations: {}",
        report.events,
        report.violations.len(),
        args.output.display()
    ));
    Ok(ExitCode::SUCCESS)
}
