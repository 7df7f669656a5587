use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Kill processes at random moments, and look at what they leave behind.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One lessor on a real file, with several threads.
    #[arg(long)]
    local: bool,
    /// How many kills.
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// What the rounds are drawn from; drawn itself, and printed, if it is not given.
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds the program and runs it.
///
/// # Errors
///
/// If nothing is chosen, or the program cannot be built or started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if !args.local {
        bail!("say what is to be killed: --local");
    }
    let mut words = vec![
        "test".to_owned(),
        "--quiet".to_owned(),
        "--release".to_owned(),
        "--package=lease-backend".to_owned(),
        "--all-features".to_owned(),
        "--test=chaos".to_owned(),
        "--".to_owned(),
        "--rounds".to_owned(),
        args.rounds.to_string(),
    ];
    if let Some(seed) = args.seed {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    let status = Invocation::cargo(words).status(&workspace.root)?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
