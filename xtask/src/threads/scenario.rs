use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::invocation::Invocation;

/// The unit tests of lease-core, built for the schedule explorer.
pub(super) struct Build {
    binary: PathBuf,
    failures: PathBuf,
}

/// What is to be fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Speed {
    /// For many schedules: three times as many a second.
    OfTheScenarios,
    /// For many builds: a quarter of the time.
    OfTheBuild,
}

/// Under which schedules a scenario runs.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) schedules: usize,
    pub(super) seed: u32,
    pub(super) replay: Option<PathBuf>,
}

/// What came of a scenario.
pub(super) struct Outcome {
    name: String,
    took: Duration,
    schedules: usize,
    failure: Option<Failure>,
}

struct Failure {
    message: String,
    schedule: String,
    // Where the schedule is.
    file: PathBuf,
}

impl Build {
    /// Builds them in the tree `root`.
    pub(super) fn make(root: &Path, target_dir: &Path, speed: Speed) -> Result<Self> {
        let target = target_dir.to_string_lossy();
        let mut words: Vec<&str> = BUILD_LINE.split_whitespace().collect();
        words.extend(["--target-dir", &target]);
        if speed == Speed::OfTheScenarios {
            words.extend(OPTIMIZED.split_whitespace());
        }
        let messages = Invocation::cargo(words).cfg("shuttle").output(root)?;
        let binary = messages.lines().find_map(executable);
        Ok(Self {
            binary: binary.context("cargo names no test program")?,
            failures: target_dir.join("schedules"),
        })
    }

    /// The names of the scenarios, those only that have `only` in them.
    pub(super) fn scenarios(&self, only: Option<&str>) -> Result<Vec<String>> {
        let listed = Command::new(&self.binary)
            .args(["--list", "--format", "terse"])
            .output()?;
        let listed = String::from_utf8(listed.stdout)?;
        let names = listed.lines().filter_map(|line| {
            let name = line.strip_suffix(": test")?;
            scenario_name(name)
        });
        Ok(names
            .filter(|name| only.is_none_or(|only| name.contains(only)))
            .collect())
    }

    /// The scenario of this name, without its file.
    pub(super) fn scenario(&self, name: &str) -> Result<String> {
        let is_it = |path: &String| path.rsplit("::").next() == Some(name);
        let found = self.scenarios(Some(name))?.into_iter().find(is_it);
        found.with_context(|| format!("no scenario is called {name}"))
    }

    pub(super) fn run(&self, name: &str, plan: &Plan) -> Result<Outcome> {
        let start = Instant::now();
        let mut command = Command::new(&self.binary);
        command
            .args(["--exact", &test_name(name), "--nocapture"])
            .env("LEASE_SCHEDULES", plan.schedules.to_string())
            .env("LEASE_SEED", plan.seed.to_string())
            .env("SHUTTLE_SILENCE_WARNINGS", "1")
            .env("RUST_BACKTRACE", "0");
        if let Some(replay) = &plan.replay {
            command.env("LEASE_REPLAY", replay);
        }
        let output = command.output().context("cannot start the scenario")?;
        let took = start.elapsed();
        let failure = if output.status.success() {
            None
        } else {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            Some(self.failure(name, &text)?)
        };
        Ok(Outcome {
            name: name.to_owned(),
            took,
            schedules: plan.schedules,
            failure,
        })
    }

    fn failure(&self, name: &str, text: &str) -> Result<Failure> {
        let schedule = schedule(text).unwrap_or_default();
        fs::create_dir_all(&self.failures)?;
        let file = self.failures.join(name.replace("::", "-"));
        fs::write(&file, &schedule)?;
        Ok(Failure {
            message: message(text),
            schedule,
            file,
        })
    }
}

impl Outcome {
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn secs(&self) -> f64 {
        self.took.as_secs_f64()
    }

    /// What it failed with, in one line.
    pub(super) fn headline(&self) -> Option<&str> {
        let failure = self.failure.as_ref()?;
        failure.message.lines().next()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replay {
            Some(file) => write!(f, "the schedule in {}", file.display()),
            None => write!(
                f,
                "{} schedules each; cargo xtask threads --schedules {} --seed {}",
                self.schedules, self.schedules, self.seed
            ),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let Some(failure) = &self.failure else {
            let rate = self.schedules as f64 / self.secs();
            return write!(f, "{name:48} {rate:7.0} schedules/s");
        };
        writeln!(f, "{name:48} FAILED")?;
        writeln!(f, "{}", failure.message)?;
        if failure.schedule.len() <= LONGEST_SHOWN {
            writeln!(f, "schedule: {}", failure.schedule)?;
        }
        write!(
            f,
            "to repeat it: cargo xtask threads --only {name} --replay {}",
            failure.file.display()
        )
    }
}

const BUILD_LINE: &str =
    "test --package lease-core --features async --lib --no-run --message-format json";

const OPTIMIZED: &str = "--config profile.dev.package.lease-core.opt-level=1 \
    --config profile.dev.package.lease-queue.opt-level=1";

/// Where the scenarios of the handle are.
const HANDLE: &str = "lessor::explore::";

/// Where those of the lock are, and what their names begin with.
const LOCK: (&str, &str) = ("sync::tests::", "sync::");

/// A longer schedule is only in its file.
const LONGEST_SHOWN: usize = 2000;

/// Whether a test is a scenario.
pub(crate) fn is_scenario(test: &str) -> bool {
    scenario_name(test).is_some()
}

fn scenario_name(test: &str) -> Option<String> {
    if let Some(name) = test.strip_prefix(HANDLE) {
        return Some(name.to_owned());
    }
    let (module, start) = LOCK;
    Some(format!("{start}{}", test.strip_prefix(module)?))
}

fn test_name(scenario: &str) -> String {
    let (module, start) = LOCK;
    match scenario.strip_prefix(start) {
        Some(name) => format!("{module}{name}"),
        None => format!("{HANDLE}{scenario}"),
    }
}

// The test program that a message of cargo's names.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let path = message["executable"].as_str()?;
    (is_test && message["target"]["name"] == "lease_core").then(|| path.into())
}

// The schedule is between two lines of one quotation mark.
fn schedule(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("failing schedule:\n\"\n")?;
    let (schedule, _) = rest.split_once("\n\"\n")?;
    Some(schedule.to_owned())
}

// What was panicked with, up to the hint at the variable for backtraces.
fn message(text: &str) -> String {
    let panicked = text.find("panicked at ").and_then(|at| {
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let (_, rest) = text[start..].split_once('\n')?;
        let end = rest.find("\nnote: ").or_else(|| rest.find("\nfailing "));
        Some(rest[..end.unwrap_or(rest.len())].to_owned())
    });
    panicked.unwrap_or_else(|| text.lines().last().unwrap_or("no message").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "test panicked in task 'host'\nfailing schedule:\n\"\n9103\n0024\n\"\npass \
        that\n\nthread 'x' (1) panicked at a.rs:1:2:\nINV-22: it is gone\nfrom here\nnote: run";

    #[test]
    fn a_failure_has_a_message_and_a_schedule() {
        assert_eq!(schedule(TEXT).as_deref(), Some("9103\n0024"));
        assert_eq!(message(TEXT), "INV-22: it is gone\nfrom here");
        assert_eq!(message("killed"), "killed");
        assert_eq!(schedule("killed"), None);
    }

    #[test]
    fn the_test_program_is_found() {
        let line =
            r#"{"target":{"name":"lease_core"},"profile":{"test":true},"executable":"/a/b"}"#;
        assert_eq!(executable(line), Some("/a/b".into()));
        assert_eq!(executable("{}"), None);
    }
}
