//! Deterministic worlds of lessors: members with the production lessor over simulated disks, a
//! hostile model of a consensus log, clients, and the judges over them, in virtual time.
//!
//! A [`Plan`] is drawn from a seed; `run_seed` runs it and returns a [`Report`]. The same seed
//! gives the same run, event by event. The world, and with it `run_seed`, exists only in a build
//! with `--cfg madsim`, which `cargo xtask sim` makes.

mod court;
mod judges;
mod plan;
mod wire;
#[cfg(madsim)]
mod world;

pub use court::{Court, Report, Violation};
pub use judges::{
    EarlyLoss, Event, Fencing, Judge, Liveness, Name, OnePrimary, RenewExcludesExpiry, SameState,
};
pub use plan::{Action, Parameters, Plan, Timed};
pub use wire::{Entry, Request};

/// Runs the plan of a seed. Blocks the thread, which must not have run another world before.
#[cfg(madsim)]
#[must_use]
pub fn run_seed(seed: u64) -> Report {
    let config = madsim::Config::default();
    let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, config);
    runtime.block_on(world::run(Plan::draw(seed)))
}
