//! What runs a test under many schedules of its threads; `cargo xtask threads` says how many.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Runs a scenario under as many schedules as the environment says: half of them random throughout,
/// and half such in which threads change seldom, but where it matters.
pub(crate) fn explore(scenario: fn()) {
    if let Some(replay) = replay() {
        return run(replay, scenario);
    }
    let (schedules, seed) = (schedules(), seed());
    let random = schedules.div_ceil(2);
    run(RandomScheduler::new_from_seed(seed, random), scenario);
    run(
        PctScheduler::new_from_seed(seed, CHANGES, schedules - random),
        scenario,
    );
}

/// The same with one thread, where only the ends of its timeouts are drawn.
pub(crate) fn explore_alone(scenario: fn()) {
    if let Some(replay) = replay() {
        Runner::new(replay, Config::new()).run(scenario);
        return;
    }
    let random = RandomScheduler::new_from_seed(seed(), schedules());
    Runner::new(random, Config::new()).run(scenario);
}

/// The one schedule that is to be repeated, if one is.
fn replay() -> Option<ReplayScheduler> {
    let file = variable("LEASE_REPLAY")?;
    Some(ReplayScheduler::new_from_file(file).expect("a file with a schedule"))
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

fn schedules() -> usize {
    number("LEASE_SCHEDULES", 200)
}

fn seed() -> u64 {
    number("LEASE_SEED", 1) as u64
}

fn number(name: &str, default: usize) -> usize {
    variable(name).map_or(default, |number| number.parse().expect("a number"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask threads` tells a test what to do"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Bugs are of a small depth: most need the order of two or three things.
const CHANGES: usize = 3;

/// Of an unoptimized build.
const STACK: usize = 1 << 18;

/// More than any scenario needs; with so many something goes round in circles.
const MOST_STEPS: usize = 100_000;
