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
mod given_up;
mod heard;
mod history;
mod hosts;
mod model;
mod op;
mod parts;
mod receivers;
mod recoveries;
mod renewals;
mod roles;
mod stops;
mod store;
mod streams;
mod tasks;
mod witness;
mod world;

use shuttle::rand::{Rng, thread_rng};

use crate::schedules::explore;

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
