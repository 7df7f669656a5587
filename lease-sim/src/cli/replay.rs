use std::process::ExitCode;

use anyhow::Result;
use lease_sim::{Plan, Report};

use super::console::{counted, say};
use super::failure::{sentence, trace_of};
use super::job::{Job, run_one};
use super::pool::{Patience, Pool};
use super::{status, subject};

/// Run one plan, and print its parameters, violations and marks
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    subject: subject::Args,
    /// Print every event, and the members at the end
    #[arg(long)]
    trace: bool,
    /// Seed what is not planned, as delays and losses of messages, with this in the plan's place
    #[arg(long, value_name = "N")]
    noise: Option<u64>,
    #[command(flatten)]
    patience: Patience,
}

/// Runs a plan and prints what it did.
///
/// # Errors
///
/// If there is no such plan, or worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut plan = args.subject.plan()?;
    plan.noise = args.noise.unwrap_or(plan.noise);
    introduce(&plan);
    if plan.actions.len() <= FEW {
        for timed in &plan.actions {
            say(format_args!("{:>8} {:?}", timed.at_ms, timed.action));
        }
    }
    let job = Job::given(0, plan.clone(), args.subject.with.bug);
    let job = Job {
        trace: args.trace,
        ..job
    };
    let report = run_one(&Pool::serial(&args.patience)?, job)?;
    print(&plan, &report, args.trace);
    Ok(status(report.violations.is_empty()))
}

/// So many actions are printed anyway.
const FEW: usize = 20;

/// Prints what holds for the whole run of a plan, before it runs.
pub(super) fn introduce(plan: &Plan) {
    say(format_args!(
        "seed {}, noise {}, {} actions",
        plan.seed,
        plan.noise,
        plan.actions.len()
    ));
    say(flat(&format!("{:#?}", plan.parameters)));
}

/// The debug output of a structure, with each list in one line.
fn flat(text: &str) -> String {
    let mut flat = String::new();
    let mut depth = 0;
    for line in text.lines() {
        let is_end = [")", "]"].iter().any(|end| line.trim().starts_with(end));
        if is_end {
            depth -= 1;
        }
        match depth {
            0 if is_end => flat.push_str(line.trim()),
            0 => flat.push_str(line),
            _ => {
                flat.push_str(line.trim());
                flat.push(' ');
            }
        }
        if line.ends_with(['(', '[']) {
            depth += 1;
        }
        if depth == 0 {
            flat.push('\n');
        }
    }
    flat.replace(", ]", "]")
        .replace(", )", ")")
        .trim_end()
        .to_owned()
}

fn print(plan: &Plan, report: &Report, is_traced: bool) {
    if is_traced {
        say(trace_of(plan, report).trim_end());
        report.members.iter().for_each(say);
    }
    for (mark, times) in &report.sometimes {
        say(format_args!("sometimes {mark}: {times}"));
    }
    for violation in &report.violations {
        say(format_args!("violated: {}", sentence(violation)));
    }
    say(format_args!(
        "{}, {}, {}.{:03} s of virtual time, hash {:016x}",
        counted(report.violations.len() as u64, "violation"),
        counted(report.events, "event"),
        report.virtual_ms / 1000,
        report.virtual_ms % 1000,
        report.hash
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_a_line() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "it is read by its debug output")]
        struct It {
            one: Vec<u8>,
            two: (u8, u8),
            three: u8,
        }
        let it = It {
            one: vec![1, 2],
            two: (3, 4),
            three: 5,
        };
        let expected = "It {\n    one: [1, 2],\n    two: (3, 4),\n    three: 5,\n}";
        assert_eq!(flat(&format!("{it:#?}")), expected);
    }
}
