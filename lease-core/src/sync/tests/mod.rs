//! Each of these runs in both builds: with the threads of the system, some times over, and under many
//! schedules of the explorer's threads, see `cargo xtask threads --only sync`.

mod lock;
mod poison;
mod threads;
mod waits;

#[cfg(shuttle)]
use crate::schedules::{explore as check, explore_alone as check_alone};

#[cfg(not(shuttle))]
fn check(test: fn()) {
    (0..100).for_each(|_| test());
}

#[cfg(not(shuttle))]
fn check_alone(test: fn()) {
    test();
}

/// Lets others go on until something is so.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        super::thread::yield_now();
    }
}
