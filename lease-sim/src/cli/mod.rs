//! The command line: one file a verb, and what they share.
#![expect(
    clippy::disallowed_methods,
    reason = "the tool itself runs in real time, outside of every world"
)]

mod bugs;
mod canary;
mod check;
mod console;
mod corpus;
mod coverage;
mod failure;
mod fuzz;
mod job;
mod places;
mod pool;
mod process;
mod replay;
mod shrink;
mod subject;
mod timeline;
mod totals;
mod trial;
mod view;
mod worker;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

/// Runs simulated worlds of lessors and checks them.
///
/// Without a command it fuzzes: it draws a plan from each seed, runs it in a world of its own and
/// lets the checkers look. At the first violation it stops, makes the plan small, and leaves a folder
/// with everything that is known of the failure.
#[derive(Parser)]
#[command(
    name = "lease-sim",
    bin_name = "cargo xtask sim",
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Commands",
    after_help = "Exit status: 0 if all is well, 1 if something was found or missed, 2 if the \
                  command makes no sense."
)]
struct Cli {
    #[command(flatten)]
    fuzz: fuzz::Args,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    Replay(replay::Args),
    Shrink(shrink::Args),
    View(timeline::Args),
    Check(check::Args),
    Bugs(bugs::Args),
    Canary(canary::Args),
    Coverage(coverage::Args),
    Corpus(corpus::Args),
    #[command(hide = true)]
    Trial(trial::Args),
    #[command(hide = true)]
    Worker,
}

/// Does what the arguments of the process say.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) if !help.use_stderr() => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            console::complain(first_paragraph(&error.to_string()));
            return ExitCode::from(2);
        }
    };
    run(&cli).unwrap_or_else(|error| {
        console::complain(&format!("error: {error:#}"));
        ExitCode::from(2)
    })
}

/// What is wrong, without the advice below it.
fn first_paragraph(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or(text)
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if cfg!(not(madsim)) {
        bail!("this build has no simulated world; run `cargo xtask sim`");
    }
    match &cli.verb {
        None => fuzz::run(&cli.fuzz),
        Some(Verb::Replay(args)) => replay::run(args),
        Some(Verb::Shrink(args)) => shrink::run(args),
        Some(Verb::View(args)) => timeline::run(args),
        Some(Verb::Check(args)) => check::run(args),
        Some(Verb::Bugs(args)) => bugs::run(args),
        Some(Verb::Canary(args)) => canary::run(args),
        Some(Verb::Coverage(args)) => coverage::run(args),
        Some(Verb::Corpus(args)) => corpus::run(args),
        Some(Verb::Trial(args)) => trial::run(args),
        Some(Verb::Worker) => worker::run(),
    }
}

/// The exit status of a verb that has found something, or has not.
fn status(is_well: bool) -> ExitCode {
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--jobs 0",
            "--bug no-such-bug",
            "--profile tiny",
            "--seed 1 --seeds 2",
            "--seeds 5 replay 7",
            "replay",
            "trial",
            "corpus --add plan.json",
        ] {
            let words = ["sim"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_paragraph() {
        for (line, what) in [
            ("replay", "SEED|PLAN.json"),
            ("--bug no-such-bug", "no-such-bug"),
            ("--jobs 0", "--jobs"),
        ] {
            let words = ["sim"].into_iter().chain(line.split(' '));
            let error = Cli::try_parse_from(words).map(|_| ()).expect_err(line);
            let text = error.to_string();
            assert!(first_paragraph(&text).contains(what), "{text}");
        }
    }

    #[test]
    fn every_verb_is_understood() {
        for line in [
            "--seeds 5 --jobs 3 --json --keep-going",
            "--seed 5 --bug renew-expiring",
            "replay 7 --trace",
            "replay plan.json --bug renew-expiring",
            "shrink 7 -o small.json",
            "view 7 --profile lite --shrink-time 0",
            "check --seeds 10",
            "bugs --only renew-expiring --json",
            "canary",
            "coverage",
            "corpus",
            "trial 3 plan.json 5 --jobs 1 --timeout 5",
            "corpus --add plan.json --why text",
        ] {
            let words = ["sim"].into_iter().chain(line.split(' '));
            let parsed = Cli::try_parse_from(words).map(|_| ());
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }
}
