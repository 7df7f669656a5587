//! Mutants of the lessor: one build that holds all of them, and one is chosen when it starts.

pub(crate) mod coverage;
mod means;
mod operators;
mod reach;
mod results;
mod rewrite;
mod scan;
mod site;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::workspace::Workspace;
use means::{How, Means, Programs};
use reach::Reach;
use results::{Outcome, Results};
use site::Site;
use tree::Tree;

/// Change the code in one place after the other, and see who notices
///
/// All mutants are in one build, which is told which of them is alive. Each is tried by plans of the corpus
/// and by seeds that come by its place, up to the first violation; if it lives on by scenarios of the
/// schedule explorer, and then by the tests of the three crates that do. What came of it is kept, so that
/// a run that was stopped goes on.
#[derive(clap::Parser)]
#[command(name = "mutants", bin_name = "cargo xtask sim mutants")]
pub(crate) struct Args {
    /// Take the mutants only whose line, as it is printed, has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Take so many of them, drawn by --seed
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// What the sample is drawn from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Of how many seeds it is known which places they reach
    #[arg(long, value_name = "N", default_value_t = 600)]
    seeds: u64,
    /// With how many plans a mutant is tried, of those that come by
    #[arg(long, value_name = "N", default_value_t = 400)]
    plans: usize,
    /// Try them by these only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MEANS")]
    by: Vec<Means>,
    /// How many mutants are tried at a time [default: all cores]
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// Try those again that lived on
    #[arg(long)]
    again: bool,
    /// Print the mutants, and try none
    #[arg(long)]
    list: bool,
}

/// Under how many schedules each scenario tries a mutant that comes by.
const SCHEDULES: usize = 64;

/// How many scenarios try it longer, those that come by the fewest places; and under how many schedules.
const CLOSEST: usize = 6;
const LONGER: usize = 400;

/// How long a program may take with a mutant.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a world may take with a mutant.
const WORLD_PATIENCE: Duration = Duration::from_secs(10);

/// Tries mutants.
///
/// # Errors
///
/// If the copy cannot be built, or something fails without a mutant.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let folder = workspace.root.join("target-sim/mutants");
    let by = match &*args.by {
        _ if args.list => &[],
        [] => &Means::ALL[..],
        chosen => chosen,
    };
    let mut lab = Lab::build(workspace, folder, by)?;
    let chosen = chosen(&lab.sites, args);
    ensure!(!chosen.is_empty(), "there is no such mutant");
    if args.list {
        for site in &chosen {
            println!("{site}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    lab.reach(args.seeds)?;
    let mut results = Results::open(&lab.folder.join("results.jsonl"))?;
    lab.try_all(&chosen, args, &mut results)?;
    report(&lab, &chosen, &results);
    Ok(ExitCode::SUCCESS)
}

/// The copy with its mutants, and the programs that are built from it.
struct Lab {
    folder: PathBuf,
    /// All that are compiled, in their order.
    sites: Vec<Site>,
    counts: (usize, usize),
    programs: Vec<Programs>,
    corpus: PathBuf,
    reached: BTreeMap<Means, Reach>,
}

impl Lab {
    fn build(workspace: &Workspace, folder: PathBuf, by: &[Means]) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut tree = Tree::scan(&workspace.root, &folder.join("tree"))?;
        let left_out = folder.join("left-out.json");
        tree.leave_out(&left_out)?;
        let programs = means::build(&mut tree, &folder, by);
        // What was found is worth keeping also if something else fails.
        tree.keep_left_out(&left_out)?;
        let programs = programs?;
        Ok(Self {
            folder,
            sites: tree.sites(),
            counts: tree.counts(),
            programs,
            corpus: workspace.root.join("lease-sim/corpus"),
            reached: BTreeMap::new(),
        })
    }

    /// Runs everything without a mutant, and notes what is reached.
    fn reach(&mut self, seeds: u64) -> Result<()> {
        for programs in &self.programs {
            println!("without a mutant: {:?}", programs.means);
            let file = format!("reached-by-{:?}-{seeds}", programs.means).to_lowercase();
            let runs = programs.runs(&self.corpus, seeds)?;
            let reached = Reach::of(programs, runs, &self.folder.join(file))?;
            self.reached.insert(programs.means, reached);
        }
        Ok(())
    }

    fn try_all(&self, chosen: &[Site], args: &Args, results: &mut Results) -> Result<()> {
        let is_open = |site: &&Site| match results.get(&site.to_string()) {
            None => true,
            Some(known) => args.again && known.noticed.is_none(),
        };
        let queue: VecDeque<&Site> = chosen.iter().filter(is_open).collect();
        let total = queue.len();
        println!("{total} to try");
        let (queue, results) = (Mutex::new(queue), Mutex::new(results));
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().expect("no panic").pop_front();
                let Some(site) = next else {
                    return Ok(());
                };
                let outcome = self.try_one(site, args.plans)?;
                let left = queue.lock().expect("no panic").len();
                println!("{left:5} left  {site}\n             {}", told(&outcome));
                results.lock().expect("no panic").add(outcome)?;
            }
        };
        thread::scope(|scope| {
            let jobs = args.jobs.unwrap_or_else(processors);
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let mut ends = workers.into_iter().map(|worker| worker.join());
            ends.try_for_each(|end| end.expect("a worker does not panic"))
        })
    }

    fn try_one(&self, site: &Site, plans: usize) -> Result<Outcome> {
        let start = Instant::now();
        let mut outcome = Outcome {
            mutant: site.to_string(),
            noticed: None,
            reached: Vec::new(),
            seconds: 0.0,
        };
        for programs in &self.programs {
            let means = programs.means;
            let reached = &self.reached[&means];
            let all = reached.by(site.number, usize::MAX);
            if all.is_empty() {
                continue;
            }
            outcome.reached.push(means);
            let tries = match means {
                Means::Simulation => vec![(reached.by(site.number, plans), SCHEDULES)],
                Means::Threads => {
                    let closest = reached.closest(site.number, CLOSEST);
                    vec![(all, SCHEDULES), (closest, LONGER)]
                }
                Means::Tests => vec![(all, SCHEDULES)],
            };
            for (runs, schedules) in tries {
                let how = How {
                    variable: ("LEASE_MUTANT", site.number.to_string()),
                    schedules,
                    world: WORLD_PATIENCE,
                    patience: PATIENCE,
                };
                if let Some(failure) = programs.run(&runs, &how)? {
                    outcome.noticed = Some((means, failure));
                    break;
                }
            }
            if outcome.noticed.is_some() {
                break;
            }
        }
        outcome.seconds = (start.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        Ok(outcome)
    }
}

fn told(outcome: &Outcome) -> String {
    let secs = outcome.seconds;
    match &outcome.noticed {
        Some((means, failure)) => format!("{means:?} in {secs} s: {failure}"),
        None if outcome.reached.is_empty() => "UNREACHED".to_owned(),
        None => format!("LIVES after {secs} s, reached by {:?}", outcome.reached),
    }
}

fn chosen(sites: &[Site], args: &Args) -> Vec<Site> {
    let mutants = sites.iter().filter(|site| site.is_mutant());
    let is_wanted = |site: &&Site| {
        let only = args.only.as_ref();
        only.is_none_or(|only| site.to_string().contains(only.as_str()))
    };
    let mut chosen: Vec<_> = mutants.filter(is_wanted).collect();
    if let Some(size) = args.sample {
        chosen.sort_by_key(|site| drawn(args.seed, &site.to_string()));
        // They are tried in the order in which they were drawn: so is a part of them, if the run is stopped.
        chosen.truncate(size);
    }
    chosen.into_iter().cloned().collect()
}

// The same for the same mutant, whatever others there are.
fn drawn(seed: u64, mutant: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, mutant).hash(&mut hasher);
    hasher.finish()
}

fn report(lab: &Lab, chosen: &[Site], results: &Results) {
    let outcomes = chosen
        .iter()
        .filter_map(|site| results.get(&site.to_string()));
    let mut by: BTreeMap<Means, usize> = BTreeMap::new();
    let mut alive = Vec::new();
    for outcome in outcomes {
        match &outcome.noticed {
            Some((means, _)) => *by.entry(*means).or_default() += 1,
            None => alive.push(outcome),
        }
    }
    alive.sort_by(|one, other| one.mutant.cmp(&other.mutant));
    for outcome in &alive {
        println!("{}\n             {}", outcome.mutant, told(outcome));
    }
    let (all, left_out) = lab.counts;
    println!(
        "{all} mutants, {left_out} do not compile, {} tried",
        chosen.len()
    );
    for (means, count) in &by {
        let share = 100.0 * *count as f64 / chosen.len() as f64;
        println!("{count:6} noticed by {means:?}, {share:.1} %");
    }
    let unreached = alive.iter().filter(|it| it.reached.is_empty()).count();
    println!("{:6} live on, {unreached} of them unreached", alive.len());
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}
