use std::fmt::{self, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use lease_sim::{Plan, Report, Violation};

use super::console::say;
use super::job::{Job, Runner, run_all, run_one};
use super::shrink::{Budget, shrink};
use super::subject::{With, text_of};
use super::view;

/// A plan that has gone wrong, and how.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) plan: Plan,
    pub(super) violation: Violation,
}

/// The property of two runs of a plan that differ.
pub(super) const DETERMINISM: &str = "determinism";

/// Keeps failures, each in a folder.
pub(super) struct Folder<'a> {
    pub(super) failures: &'a Path,
    pub(super) with: With,
    pub(super) shrink_time: Duration,
}

impl Folder<'_> {
    /// Says what has gone wrong, makes its plan small, and writes down all that is known of it.
    ///
    /// # Errors
    ///
    /// If worlds cannot be run or files not be written.
    pub(super) fn keep(&self, runner: &dyn Runner, found: &Found) -> Result<()> {
        let seed = found.plan.seed;
        say(format_args!("seed {seed}: {}", sentence(&found.violation)));
        let folder = self.folder(seed);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        write(&folder, "plan.json", &text_of(&found.plan)?)?;
        let line = format!("cargo xtask sim --seed {seed}{}", self.with.options());
        if found.violation.property == DETERMINISM {
            write(&folder, "repeat.txt", &format!("{line}\n"))?;
            self.compare(runner, found, &folder)?;
        } else {
            let minimal = folder.join("minimal.json");
            let (minimal, bug) = (minimal.display(), self.with.bug_option());
            let replay = format!("cargo xtask sim replay {minimal} --trace{bug}");
            write(&folder, "repeat.txt", &format!("{line}\n{replay}\n"))?;
            self.explain(runner, found, &folder)?;
        }
        say(format_args!("    kept in {}", folder.display()));
        say(format_args!("    repeat: {line}"));
        Ok(())
    }

    fn folder(&self, seed: u64) -> PathBuf {
        self.failures.join(self.with.name_of(seed))
    }

    /// Writes the minimal plan and what happens in it.
    fn explain(&self, runner: &dyn Runner, found: &Found, folder: &Path) -> Result<()> {
        let minimal = self.minimal(runner, found)?;
        write(folder, "minimal.json", &text_of(&minimal)?)?;
        let job = Job::given(0, minimal.clone(), self.with.bug).traced();
        let report = run_one(runner, job)?;
        if report.violations.is_empty() {
            say("    the minimal plan passes when it is traced: the run does not repeat");
        }
        write(folder, "trace.txt", &trace_of(&minimal, &report))?;
        write(folder, "members.txt", &(report.members.join("\n") + "\n"))?;
        let page = view::page(&minimal, &report, &self.with.bug_option());
        write(folder, "timeline.html", &page)
    }

    fn minimal(&self, runner: &dyn Runner, found: &Found) -> Result<Plan> {
        if self.shrink_time.is_zero() {
            return Ok(found.plan.clone());
        }
        let budget = Budget {
            time: Some(self.shrink_time),
            ..Budget::default()
        };
        let property = Some(found.violation.property.as_str());
        let Some(shrunk) = shrink(runner, &found.plan, self.with.bug, property, budget)? else {
            say("    it does not repeat, so it cannot be made smaller");
            return Ok(found.plan.clone());
        };
        say(format_args!("    {shrunk}"));
        Ok(shrunk.plan)
    }

    /// Writes two traces of a plan that does not repeat, and says where they part.
    fn compare(&self, runner: &dyn Runner, found: &Found, folder: &Path) -> Result<()> {
        let job = || Job::given(0, found.plan.clone(), self.with.bug).traced();
        let reports = run_all(runner, vec![job().fresh(), job().fresh()], &mut |_| {})?;
        let traces: Vec<_> = reports
            .iter()
            .map(|report| trace_of(&found.plan, report))
            .collect();
        write(folder, "trace-1.txt", &traces[0])?;
        write(folder, "trace-2.txt", &traces[1])?;
        let lines = traces[0].lines().zip(traces[1].lines());
        match lines.enumerate().find(|(_, (one, other))| one != other) {
            Some((number, (one, other))) => {
                say(format_args!("    the traces part in line {}:", number + 1));
                say(format_args!("    {one}\n    {other}"));
            }
            None => say("    two traces of it are equal, as far as both go"),
        }
        Ok(())
    }
}

/// A violation in a line.
pub(super) fn sentence(violation: &Violation) -> String {
    let Violation {
        at_ms,
        property,
        message,
    } = violation;
    match at_ms {
        // Whoever is gone cannot say when.
        0 => format!("{property}: {message}"),
        _ => format!("{property}, at {at_ms} ms: {message}"),
    }
}

/// A line for each event, each action of the plan that came to pass, and each violation.
pub(super) fn trace_of(plan: &Plan, report: &Report) -> String {
    let last_ms = report.trace.last().map_or(0, |traced| traced.at_ms);
    let mut actions = plan.actions.iter().peekable();
    let mut text = String::new();
    for traced in &report.trace {
        while let Some(timed) = actions.next_if(|timed| timed.at_ms <= traced.at_ms) {
            line(
                &mut text,
                timed.at_ms,
                format_args!("PLAN {:?}", timed.action),
            );
        }
        line(&mut text, traced.at_ms, format_args!("{:?}", traced.event));
    }
    for violation in &report.violations {
        let at_ms = violation.at_ms.max(last_ms);
        line(
            &mut text,
            at_ms,
            format_args!("VIOLATED {}", sentence(violation)),
        );
    }
    text
}

fn line(text: &mut String, at_ms: u64, what: fmt::Arguments<'_>) {
    writeln!(text, "{at_ms:>8} {what}").expect("a string takes what is written");
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
