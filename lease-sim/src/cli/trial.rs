use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use lease_sim::{Report, Violation};
use serde::Serialize;

use super::console::say;
use super::corpus::read_all;
use super::job::{Job, Runner, Work};
use super::places::of_project;
use super::pool::{self, Pool};
use super::status;
use super::subject::With;

/// Run the corpus, then seeds, up to the first violation, and keep nothing but a line of JSON
///
/// It is how `cargo xtask sim mutants` tries a mutant.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Draw no seed after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    time: u64,
    /// Draw this many seeds at most
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    /// Where the corpus is
    #[arg(long, value_name = "FOLDER", default_value_os_t = of_project("lease-sim/corpus"))]
    corpus: PathBuf,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    pool: pool::Args,
}

/// Runs plans until one violates something.
///
/// # Errors
///
/// If the corpus is of no use, or worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let kept = read_all(&args.corpus)?;
    let kept = kept.into_iter().map(|(_, kept)| kept.plan);
    let mut trial = Trial {
        with: args.with,
        kept: kept
            .map(|plan| Job::given(0, plan, args.with.bug))
            .collect(),
        seeds: args.from..args.from.saturating_add(args.seeds),
        time: Duration::from_secs(args.time),
        until: None,
        outcome: Outcome::default(),
    };
    Pool::new(&args.pool)?.run(&mut trial)?;
    say(serde_json::to_string(&trial.outcome)?);
    Ok(status(trial.outcome.violation.is_none()))
}

struct Trial {
    with: With,
    kept: VecDeque<Job>,
    seeds: std::ops::Range<u64>,
    time: Duration,
    // From the first seed on.
    until: Option<Instant>,
    outcome: Outcome,
}

/// What the line says.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    runs: u64,
    /// The seed, if it was none of the corpus.
    seed: Option<u64>,
    violation: Option<Violation>,
}

impl Work for Trial {
    fn next(&mut self) -> Option<Job> {
        if self.outcome.violation.is_some() {
            return None;
        }
        if let Some(job) = self.kept.pop_front() {
            return Some(job);
        }
        let now = Instant::now();
        let is_late = now >= *self.until.get_or_insert(now + self.time);
        let seed = self.seeds.next().filter(|_| !is_late)?;
        Some(self.with.drawn(seed))
    }

    fn done(&mut self, job: Job, report: Report) {
        self.outcome.runs += 1;
        let violation = report.violations.into_iter().next();
        if let (None, Some(violation)) = (&self.outcome.violation, violation) {
            self.outcome.seed = job.is_drawn().then(|| job.seed());
            self.outcome.violation = Some(violation);
        }
    }
}

#[cfg(test)]
mod tests {
    use lease_sim::{Engines, Plan, Profile};

    use super::super::job::testing::Fake;
    use super::*;

    fn trial(kept: &[u64], seconds: u64) -> Trial {
        let kept = kept.iter().map(|seed| Plan::draw(*seed, Profile::Lite));
        Trial {
            with: With {
                profile: Profile::Lite,
                engine: Engines::Both,
                bug: None,
            },
            kept: kept.map(|plan| Job::given(0, plan, None)).collect(),
            seeds: 1..40,
            time: Duration::from_secs(seconds),
            until: None,
            outcome: Outcome::default(),
        }
    }

    #[test]
    fn the_corpus_comes_first_and_the_first_violation_ends_it() {
        let runner = Fake(|plan: &Plan| (plan.seed >= 30).then_some("late"));
        let mut by_corpus = trial(&[2, 50, 3], 60);
        runner.run(&mut by_corpus).expect("it runs");
        assert_eq!((by_corpus.outcome.runs, by_corpus.outcome.seed), (2, None));
        let mut by_seed = trial(&[2], 60);
        runner.run(&mut by_seed).expect("it runs");
        assert_eq!((by_seed.outcome.runs, by_seed.outcome.seed), (31, Some(30)));
        assert!(by_seed.outcome.violation.is_some());
    }

    #[test]
    fn no_seed_is_drawn_when_the_time_is_over() {
        let runner = Fake(|_: &Plan| None);
        let mut short = trial(&[1, 2], 0);
        runner.run(&mut short).expect("it runs");
        assert_eq!(short.outcome.runs, 2);
        let mut long = trial(&[1, 2], 60);
        runner.run(&mut long).expect("it runs");
        assert_eq!(long.outcome.runs, 41);
    }
}
