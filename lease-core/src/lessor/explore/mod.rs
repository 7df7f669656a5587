//! The handle under the schedule explorer: threads that do to one lessor what hosts do, under many
//! schedules, and what must hold under all of them.
//!
//! ```text
//! cargo xtask threads
//! ```
//!
//! runs each scenario and says how to replay one that fails. What a scenario does is drawn from the
//! schedule, so that each schedule is another program too.

mod alarms;
mod aside;
mod checkpoints;
mod commands;
mod history;
mod hosts;
mod model;
mod op;
mod receivers;
mod recoveries;
mod renewals;
mod roles;
mod stops;
mod store;
mod tasks;
mod witness;
mod world;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Runs a scenario under as many schedules as the environment says: half of them random throughout,
/// and half such in which threads change seldom, but where it matters.
fn explore(scenario: fn()) {
    if let Some(file) = variable("LEASE_REPLAY") {
        let replay = ReplayScheduler::new_from_file(file).expect("a file with a schedule");
        run(replay, scenario);
        return;
    }
    let number = |name, default| variable(name).map_or(default, |n| n.parse().expect("a number"));
    let schedules = number("LEASE_SCHEDULES", 200_usize);
    let seed = number("LEASE_SEED", 1_usize) as u64;
    let random = schedules.div_ceil(2);
    run(RandomScheduler::new_from_seed(seed, random), scenario);
    run(
        PctScheduler::new_from_seed(seed, CHANGES, schedules - random),
        scenario,
    );
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = true;
    Runner::new(scheduler, config).run(scenario);
}

#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask threads` tells a test what to do"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A number below `end`, drawn from the schedule.
fn draw(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// One of these, drawn from the schedule.
fn one_of<T: Copy>(choices: &[T]) -> T {
    choices[draw(choices.len())]
}

/// Fails as code of a host's that panics does, and without a word: a panic that is meant would print
/// the schedule.
fn panic_silently() -> ! {
    std::panic::resume_unwind(Box::new("the host panics"))
}

/// Bugs are of a small depth: most need the order of two or three things.
const CHANGES: usize = 3;

/// Of an unoptimized build.
const STACK: usize = 1 << 18;

/// More than any scenario needs; with so many something goes round in circles.
const MOST_STEPS: usize = 100_000;
