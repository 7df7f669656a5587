use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use lease_sim::{BUGS, Bug, Plan, Profile, Report};
use serde::Serialize;

use super::console::{Progress, say};
use super::failure::Found;
use super::job::{Job, Runner, Work};
use super::pool::{self, Pool};
use super::shrink::{Budget, shrink};
use super::status;
use super::subject::{Kept, bug_named};

/// Plant each bug in turn, and find it: the proof that the checkers can fail and the worlds reach it
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name the bugs and run nothing
    #[arg(long)]
    list: bool,
    /// Only this bug
    #[arg(long, value_name = "NAME", value_parser = bug_named)]
    only: Option<&'static Bug>,
    /// How many seeds each bug may take
    #[arg(long, value_name = "N", default_value_t = 3000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    from: u64,
    /// How many seconds to spend on making each plan small
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    shrink_time: u64,
    /// Write the small plans into this folder, each as the corpus takes it
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    pool: pool::Args,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

/// The largest median of what is left of a plan.
const MEDIAN_BOUND: usize = 8;

/// Looks for every bug.
///
/// # Errors
///
/// If worlds cannot be run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let bugs: Vec<&'static Bug> = BUGS
        .iter()
        .filter(|bug| args.only.is_none_or(|only| only == *bug))
        .collect();
    if args.list {
        for bug in bugs {
            say(format_args!("{:<34} {}", bug.name, bug.what));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let pool = Pool::new(&args.pool)?;
    say(row([
        "bug",
        "caught by",
        "seeds",
        "seconds",
        "actions",
        "shrunk",
    ]));
    let mut rows = Vec::new();
    for bug in bugs {
        let one = Row::of(&pool, bug, args)?;
        say(one.line());
        if let (Some(folder), Some(kept)) = (&args.keep, one.kept()) {
            kept.write(&folder.join(bug.name).with_extension("json"))?;
        }
        rows.push(one);
    }
    let is_well = conclude(&rows);
    if args.json {
        let bugs = rows.iter().map(Row::json).collect();
        say(serde_json::to_string(&Lines { bugs })?);
    }
    Ok(status(is_well))
}

fn conclude(rows: &[Row]) -> bool {
    let found = rows.iter().filter(|row| row.hunted.found.is_some()).count();
    let median = median(rows.iter().filter_map(Row::left).collect());
    let left = median.map_or_else(|| "none".to_owned(), |median| median.to_string());
    say(format_args!(
        "{found} of {} bugs found; the median shrunk plan has {left} actions, at most \
         {MEDIAN_BOUND} are good",
        rows.len()
    ));
    found == rows.len() && median.is_some_and(|median| median <= MEDIAN_BOUND)
}

/// The middle one; of two in the middle the larger.
fn median(mut sizes: Vec<usize>) -> Option<usize> {
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied()
}

/// What became of a bug.
struct Row {
    bug: &'static Bug,
    hunted: Hunted,
    /// What is left of the plan.
    shrunk: Option<Plan>,
}

impl Row {
    fn of(runner: &dyn Runner, bug: &'static Bug, args: &Args) -> Result<Self> {
        let seeds = args.from..args.from.saturating_add(args.seeds);
        let mut progress = Progress::new();
        let hunted = hunt(runner, bug, seeds, &mut progress)?;
        drop(progress);
        let shrunk = match &hunted.found {
            Some(found) => smallest(runner, found, bug, args)?,
            None => None,
        };
        Ok(Self {
            bug,
            hunted,
            shrunk,
        })
    }

    fn property(&self) -> Option<&str> {
        let found = self.hunted.found.as_ref()?;
        Some(&found.violation.property)
    }

    fn actions(&self) -> Option<usize> {
        let found = self.hunted.found.as_ref()?;
        Some(found.plan.actions.len())
    }

    fn kept(&self) -> Option<Kept> {
        Some(Kept {
            why: format!("{}: {}", self.property()?, self.bug.what),
            bug: Some(self.bug.name.to_owned()),
            plan: self.shrunk.clone()?,
        })
    }

    fn left(&self) -> Option<usize> {
        Some(self.shrunk.as_ref()?.actions.len())
    }

    fn line(&self) -> String {
        let number = |n: Option<usize>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        row([
            self.bug.name,
            self.property().unwrap_or("NOT FOUND"),
            &self.hunted.seeds.to_string(),
            &format!("{:.1}", self.hunted.elapsed.as_secs_f64()),
            &number(self.actions()),
            &number(self.left()),
        ])
    }

    fn json(&self) -> Line<'_> {
        Line {
            name: self.bug.name,
            found: self.hunted.found.is_some(),
            property: self.property(),
            seeds: self.hunted.seeds,
            seconds: (self.hunted.elapsed.as_secs_f64() * 10.0).round() / 10.0,
            events: self.actions(),
            shrunk: self.left(),
        }
    }
}

/// All rows, as a line of JSON.
#[derive(Serialize)]
struct Lines<'a> {
    bugs: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'static str,
    found: bool,
    property: Option<&'a str>,
    seeds: u64,
    seconds: f64,
    /// How many actions the plan has that found it.
    events: Option<usize>,
    /// How many are left of them.
    shrunk: Option<usize>,
}

fn smallest(
    runner: &dyn Runner,
    found: &Found,
    bug: &'static Bug,
    args: &Args,
) -> Result<Option<Plan>> {
    let budget = Budget {
        time: Some(Duration::from_secs(args.shrink_time)),
        ..Budget::default()
    };
    let property = Some(found.violation.property.as_str());
    let shrunk = shrink(runner, &found.plan, Some(bug), property, budget)?;
    Ok(shrunk.map(|shrunk| shrunk.plan))
}

fn row([name, property, seeds, seconds, actions, shrunk]: [&str; 6]) -> String {
    format!("{name:<34} {property:<30} {seeds:>6} {seconds:>8} {actions:>8} {shrunk:>7}")
}

/// How long a world with a planted bug may take: one of them hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What the search for a bug has come to.
pub(super) struct Hunted {
    /// The lowest seed that shows it, of those that were run.
    pub(super) found: Option<Found>,
    /// How many seeds were run.
    pub(super) seeds: u64,
    pub(super) elapsed: Duration,
}

/// Runs seeds with the bug planted until a checker objects.
///
/// # Errors
///
/// If worlds cannot be run.
pub(super) fn hunt(
    runner: &dyn Runner,
    bug: &'static Bug,
    seeds: Range<u64>,
    progress: &mut Progress,
) -> Result<Hunted> {
    let started = Instant::now();
    let mut hunt = Hunt {
        bug,
        seeds,
        done: 0,
        found: None,
        progress,
    };
    runner.run(&mut hunt)?;
    Ok(Hunted {
        found: hunt.found,
        seeds: hunt.done,
        elapsed: started.elapsed(),
    })
}

struct Hunt<'a> {
    bug: &'static Bug,
    seeds: Range<u64>,
    done: u64,
    found: Option<Found>,
    progress: &'a mut Progress,
}

impl Work for Hunt<'_> {
    fn next(&mut self) -> Option<Job> {
        if self.found.is_some() {
            return None;
        }
        let seed = self.seeds.next()?;
        let job = Job::drawn(seed, Profile::default(), self.bug.engines(), Some(self.bug));
        Some(Job {
            patience: Some(PATIENCE),
            ..job
        })
    }

    fn done(&mut self, job: Job, report: Report) {
        self.done += 1;
        let is_lower = |found: &Found| job.seed() < found.plan.seed;
        if let Some(violation) = report.violations.first()
            && self.found.as_ref().is_none_or(is_lower)
        {
            let (plan, violation) = (job.plan(), violation.clone());
            self.found = Some(Found { plan, violation });
        }
        let (name, done) = (self.bug.name, self.done);
        self.progress.show(|| format!("{name}: {done} seeds"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::testing::Fake;
    use super::*;

    #[test]
    fn a_hunt_ends_with_the_first_seed_that_shows_the_bug() {
        let runner = Fake(|plan: &Plan| (plan.seed >= 9).then_some("it"));
        let hunted = hunt(&runner, &BUGS[0], 1..100, &mut Progress::new()).expect("it runs");
        assert_eq!(hunted.seeds, 9);
        let found = hunted.found.expect("it is there");
        assert_eq!((found.plan.seed, &*found.violation.property), (9, "it"));
        let hunted = hunt(&runner, &BUGS[0], 1..9, &mut Progress::new()).expect("it runs");
        assert!(hunted.found.is_none());
        assert_eq!(hunted.seeds, 8);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![9]), Some(9));
        assert_eq!(median(vec![5, 1, 3]), Some(3));
        assert_eq!(median(vec![4, 1, 2, 8]), Some(4));
    }
}
