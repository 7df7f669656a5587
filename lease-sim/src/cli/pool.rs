use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};
use lease_sim::Report;

use super::job::{Job, NO_HANG, NO_PANIC, Runner, Work};
use super::process::{Answer, Recipe, Worker};

/// How worlds are run.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(skip)]
pub(super) struct Args {
    /// How many processes run worlds at a time [default: all cores]
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) patience: Patience,
}

/// When a world is given up.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(skip)]
pub(super) struct Patience {
    /// How many seconds of real time a world may take before it is taken for hanging
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: NonZeroUsize,
}

/// Runs worlds in processes of their own, several at a time, so that one that aborts or hangs is a
/// finding and not the end.
pub(super) struct Pool {
    threads: usize,
    // Whichever thread is idle takes the next job.
    jobs: Sender<Job>,
    results: Receiver<(Job, Result<Report>)>,
}

impl Pool {
    /// # Errors
    ///
    /// If the system does not say which program this is.
    pub(super) fn new(args: &Args) -> Result<Self> {
        let jobs = args.jobs.map_or_else(cores, NonZeroUsize::get);
        Self::of(jobs, &args.patience)
    }

    /// A pool with one process.
    ///
    /// # Errors
    ///
    /// If the system does not say which program this is.
    pub(super) fn serial(patience: &Patience) -> Result<Self> {
        Self::of(1, patience)
    }

    fn of(jobs: usize, patience: &Patience) -> Result<Self> {
        let recipe = Recipe::own().context("cannot tell which program this is")?;
        let patience = Duration::from_secs(patience.timeout.get() as u64);
        Ok(Self::start(jobs, &recipe, patience))
    }

    fn start(threads: usize, recipe: &Recipe, patience: Duration) -> Self {
        let (jobs, next_job) = unbounded::<Job>();
        let (result, results) = unbounded();
        for _ in 0..threads {
            let (next_job, result) = (next_job.clone(), result.clone());
            let mut slot = Slot {
                recipe: recipe.clone(),
                patience,
                worker: None,
            };
            thread::spawn(move || {
                for job in next_job {
                    let report = slot.run(&job);
                    if result.send((job, report)).is_err() {
                        return;
                    }
                }
            });
        }
        Self {
            threads,
            jobs,
            results,
        }
    }
}

impl Runner for Pool {
    fn run(&self, work: &mut dyn Work) -> Result<()> {
        let mut busy = 0;
        loop {
            // A job is drawn when there is a thread for it and not before: what has been found
            // meanwhile may change what is to be run.
            while busy < self.threads
                && let Some(job) = work.next()
            {
                let sent = self.jobs.send(job);
                sent.ok().context("the threads of the pool have ended")?;
                busy += 1;
            }
            if busy == 0 {
                return Ok(());
            }
            let result = self.results.recv();
            let (job, report) = result.context("the threads of the pool have ended")?;
            busy -= 1;
            work.done(job, report?);
        }
    }
}

/// A thread of the pool and its process.
struct Slot {
    recipe: Recipe,
    patience: Duration,
    worker: Option<Worker>,
}

impl Slot {
    fn run(&mut self, job: &Job) -> Result<Report> {
        let line = serde_json::to_string(job)?;
        let patience = job.patience.unwrap_or(self.patience).min(self.patience);
        let worker = match self.worker.take() {
            Some(worker) if !job.is_fresh => worker,
            _ => Worker::start(&self.recipe).context("cannot start a worker")?,
        };
        let worker = self.worker.insert(worker);
        match worker.ask(&line, patience) {
            Answer::Said(line) => serde_json::from_str(&line)
                .with_context(|| format!("a worker has answered what is no report: {line}")),
            Answer::Silent => {
                self.worker = None;
                let message = format!("no end after {} s of real time", patience.as_secs_f64());
                Ok(job.lost(NO_HANG, message))
            }
            Answer::Died(how) => {
                self.worker = None;
                Ok(job.lost(NO_PANIC, format!("the process died with {how}")))
            }
        }
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use lease_sim::{Engines, Profile};

    use super::super::job::run_all;
    use super::*;

    /// Workers that hang, die or answer, as the bug of the job says.
    fn pool(patience: Duration) -> Pool {
        let report = serde_json::to_string(&Report::default()).expect("plain data");
        let script = format!(
            "while read line; do case \"$line\" in *hang*) exec sleep 60;; *die*) exit 3;; \
             *) echo '{report}';; esac; done"
        );
        let recipe = Recipe {
            program: "sh".into(),
            args: vec!["-c".to_owned(), script],
        };
        Pool::start(2, &recipe, patience)
    }

    fn job(how: &str) -> Job {
        Job {
            bug: Some(how.to_owned()),
            ..Job::drawn(4, Profile::Lite, Engines::Both, None)
        }
    }

    #[test]
    fn a_world_that_hangs_or_dies_is_a_finding_and_the_others_go_on() {
        let pool = pool(Duration::from_millis(500));
        let jobs = ["live", "hang", "die", "live", "live", "die", "live"];
        let jobs = jobs.iter().map(|how| job(how)).collect();
        let reports = run_all(&pool, jobs, &mut |_| {}).expect("they run");
        let properties: Vec<_> = reports
            .iter()
            .map(|report| report.violations.first().map(|it| it.property.as_str()))
            .collect();
        let (hang, die) = (Some(NO_HANG), Some(NO_PANIC));
        assert_eq!(properties, [None, hang, die, None, None, die, None]);
        assert_eq!(reports[1].seed, 4);
    }

    #[test]
    fn an_answer_that_is_no_report_is_an_error() {
        let recipe = Recipe {
            program: "sh".into(),
            args: vec![
                "-c".to_owned(),
                "echo hello; read line; read line".to_owned(),
            ],
        };
        let pool = Pool::start(1, &recipe, Duration::from_secs(60));
        assert!(run_all(&pool, vec![job("live")], &mut |_| {}).is_err());
    }
}
