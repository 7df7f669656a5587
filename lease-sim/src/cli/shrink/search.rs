use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use anyhow::Result;
use lease_sim::{Bug, Plan, Report, Violation};

use super::super::console::Progress;
use super::super::job::{Job, NO_HANG, Runner, Work};
use super::{Edit, cut, numbers, parameters};

/// How much may be spent on a plan.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Budget {
    /// The real time; without a bound the result is the same in every run.
    pub(in crate::cli) time: Option<Duration>,
    /// With how many seeds of what is not planned each candidate is tried.
    pub(in crate::cli) noises: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            time: None,
            noises: 12,
        }
    }
}

/// A plan that was made small.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Shrunk {
    pub(in crate::cli) plan: Plan,
    /// What it violates, as the plan before it did.
    pub(in crate::cli) property: String,
    /// How many actions there were.
    pub(in crate::cli) before: usize,
    /// How many runs it took.
    pub(in crate::cli) runs: u64,
    pub(in crate::cli) elapsed: Duration,
    /// Whether no edit makes it smaller, or the time was over.
    pub(in crate::cli) is_minimal: bool,
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shrunk from {} actions to {} in {:.1} s and {} runs, which violate {:?}",
            self.before,
            self.plan.actions.len(),
            self.elapsed.as_secs_f64(),
            self.runs,
            self.property
        )?;
        if !self.is_minimal {
            write!(f, "; there was no time for more")?;
        }
        Ok(())
    }
}

/// Makes a plan small that violates a property, or any if none is named. `None` if it violates
/// nothing.
///
/// # Errors
///
/// If worlds cannot be run.
pub(in crate::cli) fn shrink(
    runner: &dyn Runner,
    plan: &Plan,
    bug: Option<&'static Bug>,
    property: Option<&str>,
    budget: Budget,
) -> Result<Option<Shrunk>> {
    let started = Instant::now();
    let mut search = Search {
        runner,
        bug,
        property: property.map(str::to_owned),
        deadline: budget.time.map(|time| started + time),
        noises: budget.noises.max(1),
        best: plan.clone(),
        failed_at_ms: 0,
        passed: BTreeSet::new(),
        runs: 0,
        progress: Progress::new(),
    };
    if search.try_all(vec![plan.clone()])?.is_none() {
        return Ok(None);
    }
    let is_minimal = search.run()?;
    Ok(Some(Shrunk {
        property: search.property.unwrap_or_default(),
        before: plan.actions.len(),
        plan: search.best,
        runs: search.runs,
        elapsed: started.elapsed(),
        is_minimal,
    }))
}

/// How long a world may take that is to end: many times what it takes on a busy machine.
fn hang_patience(plan: &Plan) -> Duration {
    HANG_PATIENCE + HANG_PATIENCE_PER_ACTION * u32::try_from(plan.actions.len()).unwrap_or(u32::MAX)
}

const HANG_PATIENCE: Duration = Duration::from_secs(1);

const HANG_PATIENCE_PER_ACTION: Duration = Duration::from_millis(5);

/// A candidate that was started when there was hardly any time gets so much.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// Of at most so many actions each pair is left out too.
const PAIRS: usize = 14;

struct Search<'a> {
    runner: &'a dyn Runner,
    bug: Option<&'static Bug>,
    /// What a candidate must violate; set by the first violation if it was not named.
    property: Option<String>,
    deadline: Option<Instant>,
    /// With how many noises a candidate is tried.
    noises: usize,
    /// The smallest plan that fails with its own noise.
    best: Plan,
    /// When it did, in virtual time.
    failed_at_ms: u64,
    /// The hashes of plans that did not fail.
    passed: BTreeSet<u64>,
    runs: u64,
    progress: Progress,
}

impl Search<'_> {
    /// Applies all edits until none helps; whether it came to that.
    fn run(&mut self) -> Result<bool> {
        let all = self.noises;
        // One noise is quick, and shows most of what does not matter.
        for noises in [1, all] {
            self.noises = noises;
            loop {
                let before = self.best.clone();
                self.cut()?;
                self.simplify()?;
                if self.is_late() {
                    return Ok(false);
                }
                if self.best == before {
                    break;
                }
            }
        }
        Ok(true)
    }

    fn cut(&mut self) -> Result<()> {
        self.sweep(vec![cut::after(self.failed_at_ms)])?;
        self.sweep(cut::kinds(&self.best))?;
        let mut size = self.best.actions.len().div_ceil(2);
        while size > 0 {
            self.sweep(cut::chunks(&self.best, size))?;
            size /= 2;
        }
        if self.best.actions.len() <= PAIRS {
            self.sweep(cut::pairs(&self.best))?;
        }
        Ok(())
    }

    fn simplify(&mut self) -> Result<()> {
        self.sweep(parameters::all_at_once())?;
        self.sweep(parameters::one_by_one(&self.best))?;
        self.sweep(numbers::whole(&self.best))?;
        self.sweep(numbers::one_by_one(&self.best))
    }

    /// Tries each edit on what the ones before it have left.
    fn sweep(&mut self, edits: Vec<Edit>) -> Result<()> {
        let mut from = 0;
        while from < edits.len() {
            let (places, candidates): (Vec<_>, Vec<_>) = (from..edits.len())
                .filter_map(|place| Some((place, edits[place](&self.best)?)))
                .filter(|(_, plan)| *plan != self.best && plan.check().is_ok())
                .unzip();
            match self.try_all(candidates)? {
                Some(candidate) => from = places[candidate] + 1,
                None => break,
            }
        }
        Ok(())
    }

    /// Runs candidates at the same time, and makes the first that fails the best plan. It does not
    /// depend on which run ends first.
    fn try_all(&mut self, candidates: Vec<Plan>) -> Result<Option<usize>> {
        let others = (0..).filter(|noise| *noise != self.best.noise);
        let noises: Vec<u64> = std::iter::once(self.best.noise)
            .chain(others.take(self.noises - 1))
            .collect();
        let mut trial = Trial {
            search: self,
            candidates: &candidates,
            noises: &noises,
            next: 0,
            failed: None,
        };
        let runner = trial.search.runner;
        runner.run(&mut trial)?;
        let Some((number, violation)) = trial.failed else {
            return Ok(None);
        };
        let place = number % candidates.len();
        self.best = trial_plan(&candidates, &noises, number);
        self.failed_at_ms = violation.at_ms;
        self.property.get_or_insert(violation.property);
        let (best, runs) = (&self.best, self.runs);
        let actions = best.actions.len();
        self.progress
            .show(|| format!("shrinking: {actions} actions after {runs} runs"));
        Ok(Some(place))
    }

    /// How long a candidate may take. One that hangs is no finding unless that is what is looked for,
    /// and must not take the time that is left.
    fn patience(&self) -> Option<Duration> {
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let usual = match (&self.property, left) {
            (Some(property), _) if property == NO_HANG => hang_patience(&self.best),
            // Another property's candidate, or a plan of which nothing is known, may only be slow.
            (Some(_), _) => 3 * hang_patience(&self.best),
            (None, Some(left)) => left / 3,
            (None, None) => return None,
        };
        Some(
            left.map_or(usual, |left| usual.min(left))
                .max(LEAST_PATIENCE),
        )
    }

    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The violation in a report that counts.
    fn violation(&self, report: Report) -> Option<Violation> {
        let counts = |it: &Violation| {
            let property = self.property.as_ref();
            property.is_none_or(|property| *property == it.property)
        };
        report.violations.into_iter().find(counts)
    }
}

/// The runs of some candidates: all of them with the first noise, then all with the next one.
struct Trial<'a, 'b> {
    search: &'a mut Search<'b>,
    candidates: &'a [Plan],
    noises: &'a [u64],
    next: usize,
    /// The first run that failed, by its number.
    failed: Option<(usize, Violation)>,
}

fn trial_plan(candidates: &[Plan], noises: &[u64], number: usize) -> Plan {
    Plan {
        noise: noises[number / candidates.len()],
        ..candidates[number % candidates.len()].clone()
    }
}

impl Work for Trial<'_, '_> {
    fn next(&mut self) -> Option<Job> {
        let failed = self
            .failed
            .as_ref()
            .map_or(usize::MAX, |(number, _)| *number);
        let end = failed.min(self.candidates.len() * self.noises.len());
        while self.next < end && !self.search.is_late() {
            let number = self.next;
            self.next += 1;
            let plan = trial_plan(self.candidates, self.noises, number);
            if self.search.passed.contains(&hash(&plan)) {
                continue;
            }
            self.search.runs += 1;
            let job = Job::given(number as u64, plan, self.search.bug);
            let patience = self.search.patience();
            return Some(Job { patience, ..job });
        }
        None
    }

    fn done(&mut self, job: Job, report: Report) {
        let number = job.id as usize;
        match self.search.violation(report) {
            None => {
                self.search.passed.insert(hash(&job.plan()));
            }
            Some(violation) => {
                let is_first = |(first, _): &(usize, _)| number < *first;
                if self.failed.as_ref().is_none_or(is_first) {
                    self.failed = Some((number, violation));
                }
            }
        }
    }
}

fn hash(plan: &Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(plan)
        .expect("a plan is plain data")
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use lease_sim::{Action, Profile};

    use super::super::super::job::testing::Fake;
    use super::*;

    const NO_BUDGET: Budget = Budget {
        time: None,
        noises: 4,
    };

    fn smallest(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
        let runner = Fake(|plan: &Plan| fails(plan).then_some("it"));
        let shrunk = shrink(&runner, plan, None, None, NO_BUDGET).expect("it runs");
        let shrunk = shrunk.expect("the plan fails");
        assert!(shrunk.is_minimal);
        assert_eq!(shrunk.property, "it");
        assert_eq!(shrunk.before, plan.actions.len());
        assert_eq!(shrunk.plan.check(), Ok(()));
        shrunk.plan
    }

    fn drawn() -> Plan {
        // One with many actions.
        let plans = (0..50).map(|seed| Plan::draw(seed, Profile::Swarm));
        plans
            .max_by_key(|plan| plan.actions.len())
            .expect("there are 50")
    }

    fn count(plan: &Plan, of: impl Fn(&Action) -> bool) -> usize {
        plan.actions.iter().filter(|it| of(&it.action)).count()
    }

    #[test]
    fn nothing_is_left_of_a_plan_that_always_fails() {
        let plan = smallest(&drawn(), |_| true);
        assert_eq!(plan.actions, []);
        let parameters = plan.parameters;
        assert_eq!((parameters.nodes, parameters.lost_per_mille), (1, 0));
        assert!(parameters.faulty_ms < 10, "{parameters:?}");
        assert!(parameters.durable);
    }

    #[test]
    fn what_matters_is_left() {
        let plan = drawn();
        let is_client = Action::is_of_client;
        assert!(count(&plan, is_client) > 20);
        let small = smallest(&plan, |plan| count(plan, is_client) >= 3);
        assert_eq!(small.actions.len(), 3);
        let late = |plan: &Plan| plan.actions.iter().any(|timed| timed.at_ms >= 12_345);
        let small = smallest(&plan, late);
        assert_eq!(small.actions.len(), 1);
        assert!(small.actions[0].at_ms < 20_000, "{small:?}");
        assert_eq!(small.parameters.faulty_ms, small.actions[0].at_ms + 1);
    }

    #[test]
    fn a_parameter_that_matters_is_left() {
        let mut plan = drawn();
        plan.parameters.lost_per_mille = 100;
        plan.parameters.repeated_per_mille = 20;
        let small = smallest(&plan, |plan| plan.parameters.lost_per_mille > 0);
        assert_eq!(small.parameters.lost_per_mille, 100);
        assert_eq!(small.parameters.repeated_per_mille, 0);
    }

    #[test]
    fn other_noises_are_tried() {
        // Without an action only the noise 2 shows it.
        let fails = |plan: &Plan| plan.actions.len() > 5 || plan.noise == 2;
        assert_eq!(smallest(&drawn(), fails).actions, []);
    }

    #[test]
    fn another_property_does_not_count() {
        let runner = Fake(|plan: &Plan| {
            Some(if plan.actions.len() > 9 {
                "it"
            } else {
                "other"
            })
        });
        let shrunk = shrink(&runner, &drawn(), None, Some("it"), NO_BUDGET).expect("it runs");
        assert_eq!(shrunk.expect("it fails").plan.actions.len(), 10);
        let absent = shrink(&runner, &drawn(), None, Some("absent"), NO_BUDGET);
        assert!(absent.expect("it runs").is_none());
    }

    /// Hangs on plans with some property: takes the whole patience that the job has, in a time of its
    /// own that is short, and notes how long it was.
    struct Hanging<F> {
        hangs: F,
        waited: std::cell::Cell<Duration>,
    }

    impl<F: Fn(&Plan) -> bool> Runner for Hanging<F> {
        fn run(&self, work: &mut dyn Work) -> Result<()> {
            while let Some(job) = work.next() {
                let plan = job.plan();
                let report = if (self.hangs)(&plan) {
                    let patience = job.patience.expect("a candidate may not take for ever");
                    self.waited.set(self.waited.get() + patience);
                    std::thread::sleep(patience / 20);
                    job.lost(NO_HANG, String::new())
                } else {
                    Report::default()
                };
                work.done(job, report);
            }
            Ok(())
        }
    }

    #[test]
    fn a_hang_is_shrunk_and_no_candidate_outlives_the_time() {
        let runner = Hanging {
            hangs: |plan: &Plan| count(plan, Action::is_of_client) >= 2,
            waited: Default::default(),
        };
        let budget = Budget {
            time: Some(Duration::from_secs(2)),
            noises: 1,
        };
        let plan = drawn();
        let shrunk = shrink(&runner, &plan, None, Some(NO_HANG), budget).expect("it runs");
        let shrunk = shrunk.expect("it hangs");
        assert_eq!(shrunk.property, NO_HANG);
        assert!(
            shrunk.plan.actions.len() < plan.actions.len() / 4,
            "{shrunk}"
        );
        assert!(shrunk.elapsed < Duration::from_secs(4), "{shrunk}");
        assert!(runner.waited.get() > Duration::from_secs(3));
    }

    #[test]
    fn a_candidate_of_another_property_that_hangs_takes_no_more_than_the_time() {
        let search = |time| {
            Search {
                runner: &Fake(|_: &Plan| None),
                bug: None,
                property: Some("it".to_owned()),
                deadline: Some(Instant::now() + Duration::from_secs(time)),
                noises: 1,
                best: drawn(),
                failed_at_ms: 0,
                passed: BTreeSet::new(),
                runs: 0,
                progress: Progress::new(),
            }
            .patience()
        };
        assert!(search(1).is_some_and(|patience| patience <= Duration::from_secs(1)));
        assert!(search(100).is_some_and(|patience| patience < Duration::from_secs(20)));
        assert_eq!(search(0), Some(LEAST_PATIENCE));
    }

    #[test]
    fn a_plan_that_passes_cannot_be_shrunk() {
        let runner = Fake(|_: &Plan| None);
        let shrunk = shrink(&runner, &drawn(), None, None, NO_BUDGET).expect("it runs");
        assert!(shrunk.is_none());
    }

    #[test]
    fn the_order_in_which_runs_end_does_not_matter() {
        /// Ends the runs of a pool of three in another order.
        struct Backwards<R>(R);
        impl<R: Fn(&Plan) -> bool> Runner for Backwards<R> {
            fn run(&self, work: &mut dyn Work) -> Result<()> {
                loop {
                    let jobs: Vec<_> = std::iter::from_fn(|| work.next()).take(3).collect();
                    if jobs.is_empty() {
                        return Ok(());
                    }
                    for job in jobs.into_iter().rev() {
                        let fails = (self.0)(&job.plan());
                        let report = job.lost("it", String::new());
                        let report = if fails { report } else { Report::default() };
                        work.done(job, report);
                    }
                }
            }
        }
        let fails = |plan: &Plan| count(plan, |it| matches!(it, Action::Renew { .. })) >= 2;
        let plan = (0..99)
            .map(|seed| Plan::draw(seed, Profile::Swarm))
            .find(fails)
            .expect("some do");
        let backwards = shrink(&Backwards(fails), &plan, None, None, NO_BUDGET);
        let backwards = backwards.expect("it runs").expect("it fails").plan;
        assert_eq!(backwards, smallest(&plan, fails));
    }
}
