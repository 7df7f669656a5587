use std::time::Duration;

use anyhow::Result;
use lease_sim::{Bug, Engines, Plan, Profile, Report, Violation};
use serde::{Deserialize, Serialize};

/// A run that is asked for. A worker gets it as a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    /// Tells whoever asked which one it is.
    pub(super) id: u64,
    pub(super) source: Source,
    /// The name of a planted bug.
    pub(super) bug: Option<String>,
    /// Whether the report has a trace.
    pub(super) trace: bool,
    /// Whether a process runs it that has run nothing before.
    #[serde(skip)]
    pub(super) is_fresh: bool,
    /// How long it may take in real time, if that is less than the pool allows.
    #[serde(skip)]
    pub(super) patience: Option<Duration>,
}

/// Where the plan comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// The worker draws it.
    Drawn {
        seed: u64,
        profile: Profile,
        engines: Engines,
    },
    Given(Box<Plan>),
}

/// Something that needs runs: it says which, and hears how they went, in any order.
pub(super) trait Work {
    /// The next run, or `None` if there is none for now.
    fn next(&mut self) -> Option<Job>;

    /// Hears of a run; may make for more.
    fn done(&mut self, job: Job, report: Report);
}

/// Something that runs worlds.
pub(super) trait Runner {
    /// Runs jobs until the work has no more.
    ///
    /// # Errors
    ///
    /// If worlds cannot be run at all; one that goes wrong has a report that says so.
    fn run(&self, work: &mut dyn Work) -> Result<()>;
}

impl Job {
    pub(super) fn drawn(seed: u64, profile: Profile, engines: Engines, bug: Option<&Bug>) -> Self {
        let source = Source::Drawn {
            seed,
            profile,
            engines,
        };
        Self::new(seed, source, bug)
    }

    pub(super) fn given(id: u64, plan: Plan, bug: Option<&Bug>) -> Self {
        Self::new(id, Source::Given(Box::new(plan)), bug)
    }

    fn new(id: u64, source: Source, bug: Option<&Bug>) -> Self {
        Self {
            id,
            source,
            bug: bug.map(|bug| bug.name.to_owned()),
            trace: false,
            is_fresh: false,
            patience: None,
        }
    }

    /// The same, with a trace.
    pub(super) fn traced(self) -> Self {
        Self {
            trace: true,
            ..self
        }
    }

    /// The same, in a process of its own.
    pub(super) fn fresh(self) -> Self {
        Self {
            is_fresh: true,
            ..self
        }
    }

    pub(super) fn seed(&self) -> u64 {
        match &self.source {
            Source::Drawn { seed, .. } => *seed,
            Source::Given(plan) => plan.seed,
        }
    }

    pub(super) fn plan(&self) -> Plan {
        match &self.source {
            Source::Drawn {
                seed,
                profile,
                engines,
            } => Plan::draw_with(*seed, *profile, *engines),
            Source::Given(plan) => (**plan).clone(),
        }
    }

    /// The report of a run that has left none.
    pub(super) fn lost(&self, property: &str, message: String) -> Report {
        Report {
            seed: self.seed(),
            violations: vec![Violation {
                at_ms: 0,
                property: property.to_owned(),
                message,
            }],
            ..Report::default()
        }
    }
}

/// The property that a panic violates.
pub(super) const NO_PANIC: &str = "INV-16 no panic";

/// The property that a run without an end violates.
pub(super) const NO_HANG: &str = "hang";

/// Runs jobs and returns their reports in the order of the jobs; tells `heard` how many are done.
///
/// # Errors
///
/// If worlds cannot be run at all.
pub(super) fn run_all(
    runner: &dyn Runner,
    jobs: Vec<Job>,
    heard: &mut dyn FnMut(usize),
) -> Result<Vec<Report>> {
    let mut batch = Batch {
        reports: vec![Report::default(); jobs.len()],
        jobs: jobs.into_iter().enumerate(),
        done: 0,
        heard,
    };
    runner.run(&mut batch)?;
    Ok(batch.reports)
}

/// Runs one job.
///
/// # Errors
///
/// If worlds cannot be run at all.
pub(super) fn run_one(runner: &dyn Runner, job: Job) -> Result<Report> {
    let mut reports = run_all(runner, vec![job], &mut |_| {})?;
    Ok(reports.remove(0))
}

struct Batch<'a> {
    jobs: std::iter::Enumerate<std::vec::IntoIter<Job>>,
    reports: Vec<Report>,
    done: usize,
    heard: &'a mut dyn FnMut(usize),
}

impl Work for Batch<'_> {
    fn next(&mut self) -> Option<Job> {
        let (place, job) = self.jobs.next()?;
        Some(Job {
            id: place as u64,
            ..job
        })
    }

    fn done(&mut self, job: Job, report: Report) {
        self.reports[job.id as usize] = report;
        self.done += 1;
        (self.heard)(self.done);
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Runs no world: says of a plan which property it violates, if any.
    pub(in crate::cli) struct Fake<F>(pub(in crate::cli) F);

    impl<F: Fn(&Plan) -> Option<&'static str>> Runner for Fake<F> {
        fn run(&self, work: &mut dyn Work) -> Result<()> {
            while let Some(job) = work.next() {
                let plan = job.plan();
                assert_eq!(plan.check(), Ok(()), "only sound plans are run");
                let report = match (self.0)(&plan) {
                    Some(property) => job.lost(property, String::new()),
                    None => Report::default(),
                };
                work.done(job, report);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Fake;
    use super::*;

    #[test]
    fn reports_come_in_the_order_of_the_jobs() {
        let runner = Fake(|plan: &Plan| (plan.seed == 6).then_some("six"));
        let jobs = (5..8).map(|seed| Job::drawn(seed, Profile::Lite, Engines::Both, None));
        let mut heard = 0;
        let reports = run_all(&runner, jobs.collect(), &mut |done| heard = done).expect("they run");
        let failed: Vec<_> = reports.iter().map(|one| one.violations.len()).collect();
        assert_eq!(failed, [0, 1, 0]);
        assert_eq!(heard, 3);
    }

    #[test]
    fn a_job_is_a_line() {
        let plan = Plan::draw(3, Profile::Lite);
        let job = Job::given(9, plan, Bug::named("renew-expiring")).traced();
        let line = serde_json::to_string(&job).expect("plain data");
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Job>(&line).expect("the same"), job);
    }
}
