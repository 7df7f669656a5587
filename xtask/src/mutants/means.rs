use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::{self, Ended};
use super::tree::Tree;
use crate::invocation::Invocation;

/// What may notice a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Means {
    Simulation,
    Threads,
    Tests,
}

/// The programs of a means, built from the copy.
pub(super) struct Programs {
    pub(super) means: Means,
    programs: Vec<Program>,
}

struct Program {
    path: PathBuf,
    folder: PathBuf,
}

impl Means {
    pub(super) const ALL: [Self; 3] = [Self::Simulation, Self::Threads, Self::Tests];

    fn line(self, target: &Path) -> Invocation {
        let (line, name) = match self {
            Self::Simulation => (SIMULATION, "simulation"),
            Self::Threads => (THREADS, "threads"),
            Self::Tests => (TESTS, "tests"),
        };
        let target = target.join(name).to_string_lossy().into_owned();
        let line = Invocation::cargo_line(line).arg("--target-dir").arg(target);
        match self {
            Self::Simulation => line.cfg("madsim"),
            Self::Threads => line.cfg("shuttle"),
            Self::Tests => line,
        }
    }
}

const SIMULATION: &str =
    "build --release --package lease-sim --bin lease-sim --message-format json";

const THREADS: &str = "test --package lease-core --features async --lib --no-run \
    --message-format json --config profile.dev.package.lease-core.opt-level=1";

const TESTS: &str = "test --package lease-queue --package lease-core --package lease-backend \
    --all-features --lib --tests --no-run --message-format json";

/// Builds these means until all of them compile with the same mutants.
///
/// # Errors
///
/// If one cannot be built for another reason than a mutant.
pub(super) fn build(tree: &mut Tree, target: &Path, means: &[Means]) -> Result<Vec<Programs>> {
    loop {
        let mut built = Vec::new();
        let mut has_changed = false;
        // The simulation takes longest, so it comes when the others have left out what they must.
        for &means in means.iter().rev() {
            println!("building: {means:?}");
            let (messages, has_dropped) = tree.build(&means.line(target))?;
            has_changed |= has_dropped && !built.is_empty();
            built.push(Programs::of(means, &tree.root, &messages)?);
        }
        if !has_changed {
            built.reverse();
            return Ok(built);
        }
    }
}

impl Programs {
    fn of(means: Means, root: &Path, messages: &str) -> Result<Self> {
        let programs: Vec<_> = messages
            .lines()
            .filter_map(|line| program(root, line))
            .collect();
        if programs.is_empty() {
            bail!("cargo names no program of {means:?}");
        }
        Ok(Self { means, programs })
    }

    fn are_older_than(&self, file: &Path) -> bool {
        let time = |path: &Path| path.metadata().and_then(|it| it.modified());
        let Ok(written) = time(file) else {
            return false;
        };
        let mut times = self.programs.iter().map(|program| time(&program.path));
        times.all(|time| time.is_ok_and(|time| time < written))
    }

    /// Runs them, up to the first that fails, with these variables. Returns how it failed.
    ///
    /// # Errors
    ///
    /// If one cannot be started.
    pub(super) fn run(&self, how: &How) -> Result<Option<String>> {
        for program in &self.programs {
            let mut command = Command::new(&program.path);
            command.current_dir(&program.folder);
            command.env(how.variable.0, &how.variable.1);
            let limit = match self.means {
                Means::Simulation => {
                    command.args(SIMULATION_ARGS.split_whitespace());
                    command.arg(how.world_seconds.to_string());
                    command.args(["--time", &how.seconds.to_string()]);
                    command.args(["--seeds", &how.seeds.to_string()]);
                    command.args(["--jobs", &how.jobs.to_string()]);
                    Duration::from_secs(how.seconds.saturating_add(60))
                }
                Means::Threads => {
                    command.args(THREADS_ARGS.split_whitespace());
                    command.env("LEASE_SCHEDULES", "200").env("LEASE_SEED", "1");
                    command.env("SHUTTLE_SILENCE_WARNINGS", "1");
                    how.patience
                }
                Means::Tests => {
                    command.args(TESTS_ARGS.split_whitespace());
                    command.env("PROPTEST_CASES", "100");
                    command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
                    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
                    how.patience
                }
            };
            command.env("RUST_BACKTRACE", "0");
            let ended = process::run(&mut command, limit)?;
            if let Some(failure) = failure(self.means, &ended) {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }
}

/// How programs are run.
pub(super) struct How {
    /// What chooses a mutant, or has what is reached written down.
    pub(super) variable: (&'static str, String),
    /// How long seeds are drawn.
    pub(super) seconds: u64,
    pub(super) seeds: u64,
    /// How many worlds run at a time.
    pub(super) jobs: usize,
    /// How many seconds of real time a world may take.
    pub(super) world_seconds: u64,
    /// How long one program of tests may take.
    pub(super) patience: Duration,
}

const SIMULATION_ARGS: &str = "trial --timeout";
const THREADS_ARGS: &str = "lessor::explore:: --test-threads 1";
const TESTS_ARGS: &str = "--test-threads 4";

fn failure(means: Means, ended: &Ended) -> Option<String> {
    if ended.is_late {
        return Some("takes too long".to_owned());
    }
    match (ended.code, means) {
        (Some(0), _) => None,
        (Some(1), Means::Simulation) => {
            let line = ended.stdout.lines().last().unwrap_or_default();
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let violation = &line["violation"];
            let word = |name: &str| violation[name].as_str().unwrap_or_default().to_owned();
            let seed = line["seed"].as_u64();
            let by = seed.map_or("corpus".to_owned(), |seed| format!("seed {seed}"));
            Some(format!("{by}: {}: {}", word("property"), word("message")))
        }
        (code, Means::Simulation) => {
            let last = ended.stderr.lines().last().unwrap_or_default();
            Some(format!("died: {code:?}: {last}"))
        }
        (code, _) => {
            let mut lines = ended.stdout.lines();
            let failed = lines.find_map(|line| line.strip_suffix(" ... FAILED"));
            let failed = failed.map(str::to_owned);
            Some(failed.unwrap_or_else(|| format!("died: {code:?}")))
        }
    }
}

// What a message of cargo's says that was built, if it can be run.
fn program(root: &Path, line: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message["executable"].as_str()?);
    let target = &message["target"];
    let is_wanted = message["profile"]["test"] == true || target["name"] == "lease-sim";
    // It kills its own process, at length.
    let is_chaos = target["name"] == "chaos";
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let folder = manifest.parent().unwrap_or(root).to_owned();
    (is_wanted && !is_chaos).then_some(Program { path, folder })
}

/// The numbers of the places that these programs reach. They are written to `file`, which is read again
/// as long as the programs are the same.
///
/// # Errors
///
/// If something is wrong without a mutant, or nothing is reached.
pub(super) fn reached(programs: &Programs, file: &Path, how: How) -> Result<BTreeSet<u32>> {
    if !programs.are_older_than(file) {
        let fresh = file.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let how = How {
            variable: ("LEASE_REACHED", fresh.to_string_lossy().into_owned()),
            ..how
        };
        if let Some(failure) = programs.run(&how)? {
            bail!("{:?} fails without a mutant: {failure}", programs.means);
        }
        fs::rename(&fresh, file).context("nothing was reached")?;
    }
    let text = fs::read_to_string(file)?;
    Ok(text.lines().map(str::parse).collect::<Result<_, _>>()?)
}
