use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use lease_sim::{Engines, MARKS, Plan, Profile, Report, Violation};
use serde::Serialize;

use super::console::{Progress, counted, say};
use super::failure::{self, DETERMINISM, Found};
use super::job::{Job, Runner, Work};
use super::places::of_project;
use super::pool::{self, Pool};
use super::replay;
use super::status;
use super::subject::With;
use super::totals::{GATE_SEEDS, Totals};

/// How to fuzz.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run this one seed and print its parameters first
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from", "time"])]
    seed: Option<u64>,
    /// Run this many seeds, however long it takes
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    /// Draw no seed after this many seconds [default: 20, without --seeds]
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    pool: pool::Args,
    /// Go on after a violation, and keep one failure of each property at the end
    #[arg(long)]
    keep_going: bool,
    /// How many seconds to spend on making a plan that fails small; with 0 it stays as it is
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shrink_time: u64,
    /// Where failures are kept
    #[arg(long, value_name = "FOLDER", default_value_os_t = of_project("target-sim/failures"))]
    failures: PathBuf,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

/// Fuzzes, and keeps what it finds.
///
/// # Errors
///
/// If worlds cannot be run, or a failure cannot be kept.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(seed) = args.seed {
        replay::introduce(&Plan::draw_with(seed, args.with.profile, args.with.engine));
    }
    let pool = Pool::new(&args.pool)?;
    let started = Instant::now();
    let mut fuzz = Fuzz::new(args, started);
    pool.run(&mut fuzz)?;
    let elapsed = started.elapsed();
    let Fuzz {
        totals,
        found,
        progress,
        ..
    } = fuzz;
    drop(progress);
    for found in chosen(&found) {
        let folder = failure::Folder {
            failures: &args.failures,
            with: args.with,
            shrink_time: Duration::from_secs(args.shrink_time),
        };
        folder.keep(&pool, found)?;
    }
    let is_well = found.is_empty() & summarize(args, &totals);
    let speed = totals.seeds as f64 / elapsed.as_secs_f64();
    say(format_args!(
        "{}, {}, {} s of virtual time, {}, {speed:.1} seeds a second, {} of {} marks",
        counted(totals.seeds, "seed"),
        counted(found.len() as u64, "violation"),
        totals.virtual_ms / 1000,
        counted(totals.events, "event"),
        totals.hit(),
        MARKS.len(),
    ));
    if args.json {
        let line = Line {
            seeds: totals.seeds,
            violations: found.len(),
            virtual_seconds: totals.virtual_ms / 1000,
            events: totals.events,
            seeds_per_second: (speed * 10.0).round() / 10.0,
            sometimes_hit: totals.hit(),
            sometimes_total: MARKS.len(),
        };
        say(serde_json::to_string(&line)?);
    }
    Ok(status(is_well))
}

/// What all came to, as a line of JSON.
#[derive(Serialize)]
struct Line {
    seeds: u64,
    violations: usize,
    virtual_seconds: u64,
    events: u64,
    seeds_per_second: f64,
    sometimes_hit: usize,
    sometimes_total: usize,
}

/// Of each property the lowest seed: what is kept.
fn chosen(found: &BTreeMap<u64, Found>) -> Vec<&Found> {
    let mut chosen: Vec<&Found> = Vec::new();
    for one in found.values() {
        let is_new = |it: &&Found| it.violation.property != one.violation.property;
        if chosen.iter().all(is_new) {
            chosen.push(one);
        }
    }
    chosen
}

/// Says what the runs have not reached; whether they have reached what they owe.
fn summarize(args: &Args, totals: &Totals) -> bool {
    if totals.is_empty() {
        say("nothing was compared, which proves nothing");
        return false;
    }
    let owes = args.with.bug.is_none()
        && args.with.profile != Profile::Lite
        && args.with.engine == Engines::Both
        && totals.seeds >= GATE_SEEDS;
    let missing = if owes { totals.missing() } else { Vec::new() };
    for mark in &missing {
        say(format_args!("gate: no seed has reached {mark:?}"));
    }
    missing.is_empty()
}

/// Of how many seeds one is run twice.
const TWICE: u64 = 20;

/// Draws seeds, runs some of them twice, and collects what goes wrong.
struct Fuzz {
    with: With,
    keep_going: bool,
    seeds: std::ops::Range<u64>,
    until: Option<Instant>,
    twice: u64,
    again: VecDeque<Job>,
    /// The reports of first runs, by seed, that wait for the second one.
    first: BTreeMap<u64, Report>,
    started: Instant,
    totals: Totals,
    found: BTreeMap<u64, Found>,
    progress: Progress,
}

impl Fuzz {
    fn new(args: &Args, started: Instant) -> Self {
        let (from, count) = match args.seed {
            Some(seed) => (seed, 1),
            None => (args.from, args.seeds.unwrap_or(u64::MAX)),
        };
        let time = args.time.or((count == u64::MAX).then_some(20));
        Self {
            with: args.with,
            keep_going: args.keep_going,
            seeds: from..from.saturating_add(count),
            until: time.map(|seconds| started + Duration::from_secs(seconds)),
            twice: if count == 1 { 1 } else { TWICE },
            again: VecDeque::new(),
            first: BTreeMap::new(),
            started,
            totals: Totals::default(),
            found: BTreeMap::new(),
            progress: Progress::new(),
        }
    }

    fn find(&mut self, job: &Job, violation: Violation) {
        let plan = job.plan();
        let found = Found { plan, violation };
        self.found.entry(job.seed()).or_insert(found);
    }

    /// Compares the two runs of a seed.
    fn compare(&mut self, job: &Job, second: &Report) {
        let first = self.first.remove(&job.seed());
        if let Some(difference) = first.and_then(|first| difference(&first, second)) {
            let violation = Violation {
                at_ms: 0,
                property: DETERMINISM.to_owned(),
                message: difference,
            };
            self.find(job, violation);
        }
    }
}

impl Work for Fuzz {
    fn next(&mut self) -> Option<Job> {
        let is_over = !self.found.is_empty() && !self.keep_going;
        if is_over {
            return None;
        }
        if let Some(job) = self.again.pop_front() {
            return Some(job);
        }
        let is_late = self.until.is_some_and(|until| Instant::now() >= until);
        if is_late {
            return None;
        }
        let seed = self.seeds.next()?;
        Some(self.with.drawn(seed))
    }

    fn done(&mut self, job: Job, report: Report) {
        if job.is_fresh {
            self.compare(&job, &report);
            return;
        }
        self.totals.add(&report);
        if let Some(violation) = report.violations.first() {
            self.find(&job, violation.clone());
        } else if job.seed().is_multiple_of(self.twice) {
            self.again.push_back(job.clone().fresh());
            self.first.insert(job.seed(), report);
        }
        let (totals, started) = (&self.totals, self.started);
        let violations = self.found.len();
        self.progress.show(|| progress(totals, violations, started));
    }
}

fn progress(totals: &Totals, violations: usize, started: Instant) -> String {
    let seconds = started.elapsed().as_secs_f64();
    format!(
        "{seconds:.0} s: {}, {}, {} h of virtual time, {:.1} seeds a second, {} of {} marks",
        counted(totals.seeds, "seed"),
        counted(violations as u64, "violation"),
        totals.virtual_ms / 3_600_000,
        totals.seeds as f64 / seconds,
        totals.hit(),
        MARKS.len(),
    )
}

/// In what two runs of a plan differ, if they do.
pub(super) fn difference(one: &Report, other: &Report) -> Option<String> {
    let facts = |report: &Report| {
        let violation = report.violations.first();
        [
            ("hash", format!("{:016x}", report.hash)),
            ("events", report.events.to_string()),
            ("virtual time", format!("{} ms", report.virtual_ms)),
            ("violation", format!("{violation:?}")),
            ("marks", format!("{:?}", report.sometimes)),
        ]
    };
    let pairs = facts(one).into_iter().zip(facts(other));
    let differences = pairs
        .filter(|(one, other)| one != other)
        .map(|((what, one), (_, other))| format!("{what} {one} and {other}"))
        .collect::<Vec<_>>();
    let text = format!("two runs differ: {}", differences.join(", "));
    (!differences.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::job::testing::Fake;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn fuzz(line: &str) -> Fuzz {
        let words = ["sim"].into_iter().chain(line.split(' '));
        let args = Line::parse_from(words).args;
        Fuzz::new(&args, Instant::now())
    }

    #[test]
    fn the_first_violation_ends_it() {
        let runner = Fake(|plan: &Plan| (plan.seed >= 7).then_some("late"));
        let mut stopped = fuzz("--seeds 50 --profile lite");
        runner.run(&mut stopped).expect("it runs");
        assert_eq!(stopped.totals.seeds, 7);
        assert_eq!(stopped.found.keys().collect::<Vec<_>>(), [&7]);
        let mut whole = fuzz("--seeds 50 --profile lite --keep-going");
        runner.run(&mut whole).expect("it runs");
        assert_eq!(whole.totals.seeds, 50);
        assert_eq!(whole.found.len(), 44);
        assert_eq!(chosen(&whole.found).len(), 1);
    }

    #[test]
    fn one_seed_in_twenty_runs_twice_in_another_process() {
        let mut fuzz = fuzz("--seeds 100 --profile lite");
        let mut fresh = Vec::new();
        while let Some(job) = fuzz.next() {
            fresh.extend(job.is_fresh.then_some(job.seed()));
            // The second run of a seed is another one.
            let hash = u64::from(job.is_fresh && job.seed() == 60);
            let report = Report {
                hash,
                ..Report::default()
            };
            fuzz.done(job, report);
        }
        assert_eq!(fresh, [20, 40, 60]);
        let found = fuzz.found.get(&60).expect("it is seen");
        assert_eq!(found.violation.property, DETERMINISM);
        assert!(found.violation.message.contains("hash"));
    }

    #[test]
    fn nothing_proves_nothing() {
        let line = Line::parse_from(["sim", "--seeds", "5"]);
        assert!(!summarize(&line.args, &Totals::default()));
    }

    #[test]
    fn a_thousand_seeds_owe_every_mark() {
        let mut totals = Totals::default();
        let report = Report {
            events: 1,
            ..Report::default()
        };
        for _ in 0..GATE_SEEDS {
            totals.add(&report);
        }
        let is_well = |line: &str| {
            let words = ["sim"].into_iter().chain(line.split_whitespace());
            summarize(&Line::parse_from(words).args, &totals)
        };
        assert!(!is_well(""));
        assert!(is_well("--profile lite"));
        assert!(is_well("--bug renew-expiring"));
    }
}
