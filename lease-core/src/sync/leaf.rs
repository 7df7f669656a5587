//! The lessor's lock is a leaf: who has it takes no other lock, and runs no code of the host's.
//!
//! A build with debug assertions checks it; in any other this is nothing.

#[cfg(any(debug_assertions, shuttle))]
use std::cell::Cell;

#[cfg(any(debug_assertions, shuttle))]
super::thread_local! {
    static IS_HELD: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread has taken the lessor's lock.
#[inline]
pub(super) fn enter() {
    #[cfg(any(debug_assertions, shuttle))]
    IS_HELD.with(|is_held| is_held.set(true));
}

/// Notes that this thread lets the lessor's lock go.
#[inline]
pub(super) fn leave() {
    #[cfg(any(debug_assertions, shuttle))]
    IS_HELD.with(|is_held| is_held.set(false));
}

/// Checks that this thread does not have the lessor's lock.
///
/// # Panics
///
/// If it has.
#[inline]
#[track_caller]
pub(crate) fn check(what: &str) {
    #[cfg(any(debug_assertions, shuttle))]
    assert!(
        !IS_HELD.with(Cell::get),
        "while the lessor's lock is held {what}"
    );
    #[cfg(not(any(debug_assertions, shuttle)))]
    let _ = what;
}
