use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use clap::Parser;

use crate::invocation::Invocation;
use crate::mutants::{self, coverage};
use crate::workspace::Workspace;

/// Run the simulation; every argument goes to its binary.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Arguments of the binary `lease-sim`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

/// Builds the simulation beside the ordinary build, runs it and passes its exit code on.
///
/// # Errors
///
/// If cargo cannot be started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    // These two build a copy of the tree before anything runs.
    match args.args.first().map(String::as_str) {
        Some("mutants") => return mutants::run(workspace, &mutants::Args::parse_from(&args.args)),
        Some("coverage") if args.args.iter().any(|it| it == "--code") => {
            return coverage::run(workspace, &coverage::Args::parse_from(&args.args));
        }
        _ => {}
    }
    // Paths among the arguments are the caller's.
    let here = std::env::current_dir()?;
    let status = invocation(&workspace.root, FAST, &args.args).status(&here)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What the simulation says. That it finds something is no error here.
///
/// # Errors
///
/// If cargo cannot be started, or the build fails.
pub(crate) fn output<S: AsRef<str>>(
    workspace: &Workspace,
    words: impl IntoIterator<Item = S>,
) -> Result<String> {
    let words: Vec<_> = words
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect();
    invocation(&workspace.root, SHARED, &words).said(&workspace.root, &[0, 1])
}

/// Runs the plans of past failures.
///
/// # Errors
///
/// If cargo cannot be started, the build fails or one of them fails again.
pub(crate) fn run_corpus(workspace: &Workspace) -> Result<()> {
    run_line(workspace, CORPUS_LINE)
}

/// Proves that the simulation can fail.
///
/// # Errors
///
/// If cargo cannot be started, the build fails or the planted bug is not found.
pub(crate) fn run_canary(workspace: &Workspace) -> Result<()> {
    run_line(workspace, CANARY_LINE)
}

/// Fuzzes for a short time.
///
/// # Errors
///
/// If cargo cannot be started, the build fails or the simulation finds something.
pub(crate) fn run_short(workspace: &Workspace) -> Result<()> {
    run_line(workspace, SHORT_RUN_LINE)
}

fn run_line(workspace: &Workspace, line: &str) -> Result<()> {
    let words: Vec<_> = line.split(' ').skip(SIM_WORDS).map(str::to_owned).collect();
    invocation(&workspace.root, SHARED, &words).run(&workspace.root)
}

/// Runs the tests of openraft in virtual time.
///
/// # Errors
///
/// If cargo cannot be started, the build fails or a test fails.
pub(crate) fn run_tests(workspace: &Workspace) -> Result<()> {
    run_cargo_line(workspace, TESTS_LINE)
}

/// The line that repeats [`run_tests`].
pub(crate) const TESTS_LINE: &str = "RUSTFLAGS='--cfg madsim' cargo test --release --package lease-raft \
    --no-default-features --features openraft --lib --test simulated --target-dir target-sim";

/// Lints what only the simulation's build compiles.
///
/// # Errors
///
/// If cargo cannot be started or there is a warning.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    run_cargo_line(workspace, LINT_LINE)
}

/// The same for openraft in virtual time.
///
/// # Errors
///
/// If cargo cannot be started or there is a warning.
pub(crate) fn lint_raft(workspace: &Workspace) -> Result<()> {
    run_cargo_line(workspace, RAFT_LINT_LINE)
}

/// The line that repeats [`lint_raft`].
pub(crate) const RAFT_LINT_LINE: &str = "RUSTFLAGS='--cfg madsim' cargo clippy --profile test --package \
    lease-raft --no-default-features --features openraft --lib --test simulated --target-dir target-sim \
    -- -D warnings";

/// The line that repeats [`lint`].
pub(crate) const LINT_LINE: &str = "RUSTFLAGS='--cfg madsim' cargo clippy --package lease-sim \
    --all-targets --target-dir target-sim -- -D warnings";

/// The line that repeats [`run_corpus`].
pub(crate) const CORPUS_LINE: &str = "cargo xtask sim corpus";

/// The line that repeats [`run_canary`].
pub(crate) const CANARY_LINE: &str = "cargo xtask sim canary";

/// The line that repeats [`run_short`]: as many seeds as owe every mark, if there is time.
pub(crate) const SHORT_RUN_LINE: &str = "cargo xtask sim --seeds 1000 --time 40";

// How many words of these lines are this tool's.
const SIM_WORDS: usize = 3;

// RUSTFLAGS='--cfg madsim' cargo
const CARGO_WORDS: usize = 3;

fn run_cargo_line(workspace: &Workspace, line: &str) -> Result<()> {
    let words = line.split_whitespace().skip(CARGO_WORDS);
    simulated(words.map(str::to_owned)).run(&workspace.root)
}

// The profile for many seeds: a build takes minutes of a core more.
const FAST: &str = "sim";

// That of `TESTS_LINE`, whose build all that `ci` runs shares: it runs too few seeds to be worth another one.
const SHARED: &str = "release";

// It can be run in any folder.
fn invocation(root: &Path, profile: &str, args: &[String]) -> Invocation {
    let at = |path: &str| root.join(path).display().to_string();
    let build = format!("run --profile {profile} --package lease-sim --bin lease-sim");
    let places = [
        ("--manifest-path", at("Cargo.toml")),
        ("--target-dir", at("target-sim")),
    ];
    let places = places
        .into_iter()
        .flat_map(|(flag, path)| [flag.to_owned(), path]);
    let words = build.split_whitespace().map(str::to_owned).chain(places);
    let rest = std::iter::once("--".to_owned()).chain(args.iter().cloned());
    simulated(words.chain(rest))
}

// Cargo with these arguments, in the simulation's build.
fn simulated(words: impl Iterator<Item = String>) -> Invocation {
    Invocation::cargo(words).cfg("madsim")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_call_the_simulation() {
        for line in [CORPUS_LINE, CANARY_LINE, SHORT_RUN_LINE] {
            let words: Vec<_> = line.split(' ').take(SIM_WORDS).collect();
            assert_eq!(words.join(" "), "cargo xtask sim");
        }
    }

    #[test]
    fn the_lines_that_repeat_are_what_is_run() {
        for line in [LINT_LINE, RAFT_LINT_LINE, TESTS_LINE] {
            let words: Vec<_> = line.split_whitespace().take(CARGO_WORDS).collect();
            assert_eq!(words.join(" "), "RUSTFLAGS='--cfg madsim' cargo");
        }
    }

    #[test]
    fn the_simulation_has_a_target_folder_of_its_own() {
        let args = ["--seed".to_owned(), "7".to_owned()];
        let line = invocation(Path::new("there"), FAST, &args).to_string();
        let places = "--manifest-path there/Cargo.toml --target-dir there/target-sim --";
        assert!(line.contains(places), "{line}");
        assert!(line.ends_with("-- --seed 7"), "{line}");
    }
}
