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
    let jobs = args.plans.iter().map(|subject| subject.job(&args.with));
    let mut trial = Trial {
        jobs: jobs.collect::<Result<_>>()?,
        violation: None,
    };
    Pool::new(&args.pool)?.run(&mut trial)?;
    let is_well = trial.violation.is_none();
    let outcome = Outcome {
        violation: trial.violation,
    };
    say(serde_json::to_string(&outcome)?);
    Ok(status(is_well))
}

struct Trial {
    jobs: VecDeque<Job>,
    violation: Option<Violation>,
}

/// What the line says.
#[derive(Serialize)]
struct Outcome {
    violation: Option<Violation>,
}

impl Work for Trial {
    fn next(&mut self) -> Option<Job> {
        match self.violation {
            Some(_) => None,
            None => self.jobs.pop_front(),
        }
    }

    fn done(&mut self, _: Job, report: Report) {
        let violation = report.violations.into_iter().next();
        self.violation = self.violation.take().or(violation);
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
        Trial {
            jobs: seeds.iter().map(|seed| with.drawn(*seed)).collect(),
            violation: None,
        }
    }

    #[test]
    fn the_first_violation_ends_it() {
        let runner = Fake(|plan: &Plan| (plan.seed >= 30).then_some("late"));
        let mut bad = trial(&[2, 50, 3]);
        runner.run(&mut bad).expect("it runs");
        assert!(bad.violation.is_some());
        assert_eq!(bad.jobs.len(), 1);
        let mut good = trial(&[2, 3]);
        runner.run(&mut good).expect("it runs");
        assert!(good.violation.is_none() && good.jobs.is_empty());
    }
}
