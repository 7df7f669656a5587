use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tree::Tree;
use crate::invocation::Invocation;
use crate::process::{self, Ended};
use crate::threads;

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

/// What can be run by itself: a plan, a scenario or a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Which of the programs runs it.
    program: usize,
    /// The seed, the file or the name.
    name: String,
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

    /// Whether a file is newer than all of them, and than the plans among these runs.
    pub(super) fn are_older_than(&self, file: &Path, runs: &[Run]) -> bool {
        let time = |path: &Path| path.metadata().and_then(|it| it.modified());
        let Ok(written) = time(file) else {
            return false;
        };
        let programs = self.programs.iter().map(|program| program.path.as_path());
        let plans = runs.iter().filter(|_| self.means == Means::Simulation);
        let plans = plans.map(|run| Path::new(&run.name));
        let plans = plans.filter(|name| name.extension().is_some());
        let mut times = programs.chain(plans).map(time);
        times.all(|time| time.is_ok_and(|time| time < written))
    }

    /// All that there is to run: of the simulation the plans of the corpus, and so many seeds.
    ///
    /// # Errors
    ///
    /// If the corpus cannot be read or a program does not say what it has.
    pub(super) fn runs(&self, corpus: &Path, seeds: u64) -> Result<Vec<Run>> {
        let run = |program: usize, name: String| Run { program, name };
        if self.means == Means::Simulation {
            let mut names = Vec::new();
            for file in fs::read_dir(corpus)? {
                let path = file?.path();
                if path.extension().is_some_and(|ending| ending == "json") {
                    names.push(path.display().to_string());
                }
            }
            names.sort();
            names.extend((1..=seeds).map(|seed| seed.to_string()));
            return Ok(names.into_iter().map(|name| run(0, name)).collect());
        }
        let mut runs = Vec::new();
        for (number, program) in self.programs.iter().enumerate() {
            let mut command = Command::new(&program.path);
            command.current_dir(&program.folder).args(LIST);
            let listed = process::run(&mut command, Duration::from_secs(60))?;
            ensure!(listed.code == Some(0), "{command:?} fails");
            let names = listed.stdout.lines();
            let names = names.filter_map(|line| line.strip_suffix(": test"));
            let wanted =
                names.filter(|name| self.means == Means::Tests || threads::is_scenario(name));
            runs.extend(wanted.map(|name| run(number, name.to_owned())));
        }
        Ok(runs)
    }

    /// Runs these, one after the other, up to the first that fails, with this variable. Returns how it
    /// failed.
    ///
    /// # Errors
    ///
    /// If a program cannot be started, or the simulation says that it was not asked for what it can do.
    pub(super) fn run(&self, runs: &[&Run], how: &How) -> Result<Option<String>> {
        for (number, program) in self.programs.iter().enumerate() {
            let names = runs.iter().filter(|run| run.program == number);
            let names: Vec<_> = names.map(|run| &*run.name).collect();
            if names.is_empty() {
                continue;
            }
            let mut command = Command::new(&program.path);
            command.current_dir(&program.folder);
            command.env(how.variable.0, &how.variable.1);
            match self.means {
                Means::Simulation => {
                    let seconds = how.world.as_secs().to_string();
                    command.args(["trial", "--jobs", "1", "--timeout", &seconds]);
                }
                Means::Threads => {
                    command.args(["--exact", "--test-threads", "1"]);
                    command.env("LEASE_SCHEDULES", how.schedules.to_string());
                    command.env("LEASE_SEED", "1");
                    command.env("SHUTTLE_SILENCE_WARNINGS", "1");
                }
                Means::Tests => {
                    command.args(["--exact", "--test-threads", "2"]);
                    command.env("PROPTEST_CASES", "100");
                    command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
                    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
                }
            }
            command.args(names).env("RUST_BACKTRACE", "0");
            let ended = process::run(&mut process::limited(&command), how.patience)?;
            if let Some(failure) = failure(self.means, &ended)? {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }
}

/// How something is run.
pub(super) struct How {
    /// What chooses a mutant, or has what is reached written down.
    pub(super) variable: (&'static str, String),
    /// How many schedules a scenario runs under.
    pub(super) schedules: usize,
    /// How long a world may take, in real time.
    pub(super) world: Duration,
    /// How long one program may take.
    pub(super) patience: Duration,
}

const LIST: [&str; 3] = ["--list", "--format", "terse"];

// How it failed, if it has.
fn failure(means: Means, ended: &Ended) -> Result<Option<String>> {
    if ended.is_late {
        return Ok(Some("takes too long".to_owned()));
    }
    let failure = match (ended.code, means) {
        (Some(0), _) => return Ok(None),
        (Some(1), Means::Simulation) => {
            let line = ended.stdout.lines().last().unwrap_or_default();
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let word = |it: &Value| it.as_str().unwrap_or_default().to_owned();
            let violation = &line["violation"];
            let parts = [&line["plan"], &violation["property"], &violation["message"]];
            parts.map(word).join(": ")
        }
        // No mutant does that.
        (Some(2), Means::Simulation) => bail!("the simulation is not run: {}", ended.stderr),
        (code, Means::Simulation) => {
            let last = ended.stderr.lines().last().unwrap_or_default();
            format!("died: {code:?}: {last}")
        }
        (code, _) => {
            let mut lines = ended.stdout.lines();
            let failed = lines.find_map(|line| line.strip_suffix(" ... FAILED"));
            let failed = failed.map(str::to_owned);
            failed.unwrap_or_else(|| format!("died: {code:?}"))
        }
    };
    Ok(Some(failure))
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
