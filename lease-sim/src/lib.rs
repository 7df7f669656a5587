//! Deterministic worlds of lessors: members with the production lessor over simulated disks, a
//! hostile model of a consensus log, a network, clocks, clients, and the checkers over them, in
//! virtual time.
//!
//! A [`Plan`] is drawn from a seed; `run` runs it and returns a [`Report`]. The same plan gives the
//! same run, event by event. The world, and with it `run`, exists only in a build with
//! `--cfg madsim`, which `cargo xtask sim` makes.
#![forbid(unsafe_code)]

mod bugs;
pub mod checkers;
mod event;
#[cfg(any(madsim, test))]
mod history;
mod marks;
mod plan;
mod recorder;
#[cfg(any(madsim, test))]
mod spec;
#[cfg(any(madsim, test))]
mod wire;
#[cfg(madsim)]
mod world;

pub use bugs::{BUGS, Bug};
pub use checkers::Checker;
pub use event::{Came, Event, Exit, Glance, Name, OwnTime, Told};
pub use marks::{MARKS, RARE_MARKS};
pub use plan::{Action, Alone, End, Engine, Engines, Look, Parameters, Plan, Profile, Raft, Timed};
pub use recorder::{Recorder, Report, Traced, Violation, take_trace};

/// How a plan is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The bug that is planted into the production code or the host.
    pub bug: Option<&'static Bug>,
    /// Whether the report has the trace.
    pub trace: bool,
}

/// Runs a plan. Blocks the thread, which must not have run another world before.
///
/// # Panics
///
/// If the plan is not sound, see [`Plan::check`], or if the code under test panics.
#[cfg(madsim)]
#[must_use]
pub fn run(plan: &Plan, options: Options) -> Report {
    use std::num::{NonZeroU64, NonZeroUsize};

    plan.check().expect("the plan is sound");
    lease_core::probe::plant(options.bug.map(|bug| bug.name));
    let parameters = &plan.parameters;
    lease_core::probe::set_knobs(lease_core::probe::Knobs {
        piece: NonZeroUsize::new(parameters.piece).map_or(usize::MAX, NonZeroUsize::get),
        tags: NonZeroU64::new(parameters.tags).map_or(u64::MAX, NonZeroU64::get),
        ..lease_core::probe::Knobs::PRODUCTION
    });
    lease_raft::probe::set_remembered(NonZeroU64::new(parameters.remembered).map(NonZeroU64::get));
    let config = madsim::Config::default();
    let mut runtime = madsim::runtime::Runtime::with_seed_and_config(plan.noise, config);
    runtime.set_time_limit(std::time::Duration::from_secs(24 * 60 * 60));
    runtime.block_on(world::run(plan.clone(), options))
}
