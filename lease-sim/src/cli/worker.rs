use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::panic::{self, PanicHookInfo};
use std::process::{self, ExitCode};
use std::thread;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, bounded};
use lease_sim::{Bug, Options, Plan, Report, take_trace};

use super::job::{Job, NO_PANIC};

/// Runs the jobs on standard input, each a line, and writes a line with the report of each.
///
/// # Errors
///
/// If a line is no job.
pub(super) fn run() -> Result<ExitCode> {
    panic::set_hook(Box::new(keep));
    for line in lines() {
        let job: Job = serde_json::from_str(&line).context("a line is no job")?;
        let report = serde_json::to_string(&world_of(job))?;
        writeln!(io::stdout(), "{report}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of standard input. Its end ends the process, in the midst of a world too: nobody is
/// there any more who waits for it.
fn lines() -> Receiver<String> {
    let (sender, lines) = bounded(16);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
        process::exit(0);
    });
    lines
}

/// Runs a world on a thread of its own: what the standard library draws at random once for each
/// thread would else differ between the first world of a thread and the next.
fn world_of(job: Job) -> Report {
    let bug = job.bug.as_deref().and_then(Bug::named);
    let trace = job.trace;
    let (plan, seed) = (job.plan(), job.seed());
    let world = thread::spawn(move || {
        let report = panic::catch_unwind(|| simulate(&plan, Options { bug, trace }));
        report.map_err(|_| (LAST_PANIC.take(), take_trace()))
    });
    match world.join() {
        Ok(Ok(report)) => Report { seed, ..report },
        Ok(Err((message, trace))) => Report {
            trace,
            ..job.lost(NO_PANIC, message)
        },
        Err(_) => job.lost(NO_PANIC, "a panic while the world was taken down".into()),
    }
}

#[cfg(madsim)]
fn simulate(plan: &Plan, options: Options) -> Report {
    lease_sim::run(plan, options)
}

#[cfg(not(madsim))]
fn simulate(_: &Plan, _: Options) -> Report {
    panic!("this build has no simulated world")
}

thread_local! {
    // What the first panic of the thread's world said; those after it follow from it.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what a panic says, in the place of printing it.
fn keep(info: &PanicHookInfo<'_>) {
    let text = info.payload_as_str().unwrap_or("of an unknown kind");
    let place = info.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".to_owned());
    LAST_PANIC.with_borrow_mut(|kept| {
        if kept.is_empty() {
            *kept = format!("{text} (at {place})");
        }
    });
}
