#![expect(clippy::print_stdout, reason = "this is a command line tool")]
#![expect(
    clippy::disallowed_methods,
    reason = "the tool itself runs in real time, outside of every world"
)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use lease_sim::{Report, run_seed};

/// Runs simulated worlds of lessors and judges them.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Options {
    /// Run this one seed and print what it did.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this many seeds, however long it takes.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Start no seed after this many seconds.
    #[arg(long, default_value_t = 20)]
    time: u64,
    /// How many seeds run at a time; all cores by default.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    events: u64,
    virtual_ms: u64,
    hash: u64,
    sometimes: BTreeMap<&'static str, u64>,
    failed: Vec<Report>,
}

pub(crate) fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let totals = match options.seed {
        Some(seed) => {
            let mut totals = Totals::default();
            totals.add(run(seed));
            totals
        }
        None => fuzz(&options, started),
    };
    print(&totals, started.elapsed());
    if totals.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn fuzz(options: &Options, started: Instant) -> Totals {
    let limit = Duration::from_secs(options.time);
    let next = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let jobs = options.jobs.map_or_else(
        || thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    );
    let work = || {
        while !has_failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_over = match options.seeds {
                Some(seeds) => number >= seeds,
                None => started.elapsed() >= limit,
            };
            if is_over {
                return;
            }
            let report = run(options.from + number);
            if !report.violations.is_empty() {
                has_failed.store(true, Ordering::Relaxed);
            }
            totals.lock().expect("adding does not panic").add(report);
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    totals.into_inner().expect("adding does not panic")
}

/// Runs a seed on a thread of its own: what the standard library draws at random once for each
/// thread would else differ between the first world of a thread and the next.
fn run(seed: u64) -> Report {
    let world = thread::spawn(move || run_seed(seed));
    world.join().unwrap_or_else(|_| {
        println!(
            "seed {seed}: the world paniced, see above; repeat: cargo xtask sim --seed {seed}"
        );
        std::process::exit(1)
    })
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.virtual_ms += report.virtual_ms;
        self.hash ^= report.hash;
        for (what, times) in &report.sometimes {
            *self.sometimes.entry(what).or_default() += times;
        }
        if !report.violations.is_empty() {
            self.failed.push(report);
        }
    }
}

fn print(totals: &Totals, elapsed: Duration) {
    for (what, times) in &totals.sometimes {
        println!("sometimes {what}: {times}");
    }
    for report in &totals.failed {
        for violation in &report.violations {
            println!(
                "seed {}: {} at {} ms: {}",
                report.seed, violation.property, violation.at_ms, violation.message
            );
        }
        println!("repeat: cargo xtask sim --seed {}", report.seed);
    }
    let violations: usize = totals
        .failed
        .iter()
        .map(|report| report.violations.len())
        .sum();
    println!(
        "{} seeds, {} s of virtual time, {} events, {violations} violations, hash {:016x}, \
         {:.1} seeds a second",
        totals.seeds,
        totals.virtual_ms / 1000,
        totals.events,
        totals.hash,
        totals.seeds as f64 / elapsed.as_secs_f64()
    );
}
