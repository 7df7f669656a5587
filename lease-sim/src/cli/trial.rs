use std::collections::VecDeque;
use std::process::ExitCode;

use anyhow::Result;
use lease_sim::{Report, Violation};
use serde::Serialize;

use super::console::say;
use super::job::{Job, Runner, Work};
use super::pool::{self, Pool};
use super::status;
use super::subject::{Subject, With};

/// Run some plans, up to the first violation, and keep nothing but a line of JSON
///
/// It is how `cargo xtask sim mutants` tries a mutant.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Seeds, and files with plans
    #[arg(required = true, value_name = "SEED|PLAN.json")]
    plans: Vec<Subject>,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    pool: pool::Args,
}

/// Runs plans until one violates something.
///
/// # Errors
///
/// If a file is of no use, or worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut trial = Trial::default();
    for (place, subject) in args.plans.iter().enumerate() {
        let id = place as u64;
        let job = subject.job(&args.with)?;
        trial.jobs.push_back(Job { id, ..job });
    }
    Pool::new(&args.pool)?.run(&mut trial)?;
    let found = trial.found.as_ref();
    let outcome = Outcome {
        plan: found.map(|(place, _)| args.plans[*place].to_string()),
        violation: found.map(|(_, violation)| violation),
    };
    say(serde_json::to_string(&outcome)?);
    Ok(status(found.is_none()))
}

#[derive(Default)]
struct Trial {
    jobs: VecDeque<Job>,
    /// The first violation, with the place of its plan among the arguments.
    found: Option<(usize, Violation)>,
}

/// What the line says.
#[derive(Serialize)]
struct Outcome<'a> {
    plan: Option<String>,
    violation: Option<&'a Violation>,
}

impl Work for Trial {
    fn next(&mut self) -> Option<Job> {
        match self.found {
            Some(_) => None,
            None => self.jobs.pop_front(),
        }
    }

    fn done(&mut self, job: Job, report: Report) {
        let violation = report.violations.into_iter().next();
        let found = violation.map(|violation| (job.id as usize, violation));
        self.found = self.found.take().or(found);
    }
}

#[cfg(test)]
mod tests {
    use lease_sim::{Engines, Plan, Profile};

    use super::super::job::testing::Fake;
    use super::*;

    fn trial(seeds: &[u64]) -> Trial {
        let with = With {
            profile: Profile::Lite,
            engine: Engines::Both,
            bug: None,
        };
        let jobs = (0..).zip(seeds);
        let jobs = jobs.map(|(id, seed)| Job {
            id,
            ..with.drawn(*seed)
        });
        Trial {
            jobs: jobs.collect(),
            found: None,
        }
    }

    #[test]
    fn the_first_violation_ends_it() {
        let runner = Fake(|plan: &Plan| (plan.seed >= 30).then_some("late"));
        let mut bad = trial(&[2, 50, 3]);
        runner.run(&mut bad).expect("it runs");
        assert_eq!(bad.found.map(|(place, _)| place), Some(1));
        assert_eq!(bad.jobs.len(), 1);
        let mut good = trial(&[2, 3]);
        runner.run(&mut good).expect("it runs");
        assert!(good.found.is_none() && good.jobs.is_empty());
    }
}
