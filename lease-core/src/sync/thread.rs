//! Threads with names, of the system or of shuttle's scheduler.

use std::io;

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::thread::scope;
#[cfg(shuttle)]
pub(crate) use shuttle::thread::{Builder, JoinHandle, Thread, ThreadId, current, park, yield_now};
#[cfg(not(shuttle))]
pub(crate) use std::thread::{Builder, JoinHandle, Thread, ThreadId, current, park};
#[cfg(all(test, not(shuttle)))]
pub(crate) use std::thread::{scope, yield_now};

// Under shuttle all threads are one of the system's: while one of them unwinds, all of them seem to.
pub(crate) use std::thread::panicking;

/// Starts a thread.
///
/// # Errors
///
/// If the system has no room for one.
#[cfg_attr(
    not(shuttle),
    expect(
        clippy::disallowed_methods,
        reason = "the lessor's own threads start here"
    )
)]
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    #[cfg(all(test, shuttle))]
    if NO_ROOM_FOR.get() == Some(name) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    Builder::new().name(name.into()).spawn(run)
}

#[cfg(all(test, shuttle))]
std::thread_local! {
    static NO_ROOM_FOR: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Says that there is no room for threads of this name.
#[cfg(all(test, shuttle))]
pub(crate) fn refuse(name: Option<&'static str>) {
    NO_ROOM_FOR.set(name);
}
