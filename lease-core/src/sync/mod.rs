//! All that threads share and wait for: the handle takes its locks, atomics, waits and threads from
//! here and from nowhere else.
//!
//! A build with `--cfg shuttle` takes them from the crate `shuttle`, whose scheduler then decides at
//! each of them which thread goes on, at random and repeatably. There is no time in that build: a
//! wait with a timeout may end at any moment, see [`Deadline`](monitor::Deadline).
mod bell;
mod gate;
pub(crate) mod leaf;
mod monitor;
mod occupants;
mod queue;
mod shared_lock;
mod signal;
mod slot;
mod stripe;
#[cfg(test)]
mod tests;
pub(crate) mod thread;

pub(crate) use bell::Bell;
pub(crate) use monitor::Deadline;
pub(crate) use shared_lock::SharedLock;
pub(crate) use signal::Signal;
pub(crate) use slot::Slot;

// Counts references and nothing else: a schedule has no influence on it.
pub(crate) use std::sync::{Arc, PoisonError, Weak};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    hint,
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread_local,
};
#[cfg(not(shuttle))]
pub(crate) use std::{
    hint,
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread_local,
};

/// Takes a mutex. A panic under it is possible only in tests.
///
/// # Panics
///
/// In a debug build, if this thread has the lessor's lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    leaf::check("another lock is taken");
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
