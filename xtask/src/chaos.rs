use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Kill processes at random moments, and look at what they leave behind.
///
/// Without `--local`: three members of a replicated lessor on loopback, each with a file, that are killed and
/// paused while clients work.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One lessor on a real file, with several threads.
    #[arg(long)]
    local: bool,
    /// How many rounds of kills and pauses, 200 by default; with --local how many kills, 500 by default.
    #[arg(long)]
    rounds: Option<u64>,
    /// What the rounds are drawn from; drawn itself, and printed, if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Plant bugs in the members, one after the other: each has to be found. A run with --local does that by
    /// itself.
    #[arg(long, conflicts_with_all = ["local", "rounds"])]
    prove: bool,
}

/// Builds the program and runs it.
///
/// # Errors
///
/// If the program cannot be built or started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.rounds == Some(0) {
        bail!("no round shows nothing");
    }
    let status = Invocation::cargo(words(args)).status(&workspace.root)?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn words(args: &Args) -> Vec<String> {
    let (package, profile, rounds) = if args.local {
        // Kills that come faster than the program works show nothing.
        ("lease-backend", "--release", 500)
    } else {
        // The members spend their time waiting, and look at themselves more closely.
        ("lease-raft", "--profile=dev", 200)
    };
    let mut words: Vec<String> = ["test", "--quiet", profile, "--all-features", "--test=chaos"]
        .map(str::to_owned)
        .into();
    words.extend([format!("--package={package}"), "--".to_owned()]);
    if args.prove {
        words.push("--prove".to_owned());
    } else {
        let rounds = args.rounds.unwrap_or(rounds);
        words.extend(["--rounds".to_owned(), rounds.to_string()]);
    }
    if let Some(seed) = args.seed {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words
}
