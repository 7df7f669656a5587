//! Each of these runs in both builds: with the threads of the system, some times over, and with
//! shuttle's, under many schedules. To run the latter:
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle cargo test -p lease-core --lib sync
//! ```
//!
//! The schedule that failed is in the message; `shuttle::replay` repeats it.

mod lock;
mod poison;
mod threads;
mod waits;

/// Runs a test under a thousand schedules that are random throughout, and under as many in which
/// threads change seldom, but where it matters.
#[cfg(shuttle)]
fn check(test: fn()) {
    shuttle::check_random(test, 1000);
    shuttle::check_pct(test, 1000, 3);
}

#[cfg(not(shuttle))]
fn check(test: fn()) {
    (0..100).for_each(|_| test());
}

/// Runs a test of one thread; shuttle decides only about its timeouts.
fn check_alone(test: fn()) {
    #[cfg(shuttle)]
    shuttle::check_random(test, 1000);
    #[cfg(not(shuttle))]
    test();
}

/// Lets others go on until something is so.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        super::thread::yield_now();
    }
}
