//! What only the simulation's build has, see `probe` of lease-core: planted bugs, a number, and a look inside.
//!
//! In any other build `planted!` is `false` and `remembered!` the number itself.

/// Whether this bug is planted in the world that runs on this thread.
#[cfg(madsim)]
macro_rules! planted {
    ($bug:literal) => {
        lease_core::probe::is_planted($bug)
    };
}

#[cfg(not(madsim))]
macro_rules! planted {
    ($bug:literal) => {
        false
    };
}

/// For how many entries a session is remembered: in the simulation's build as the world wants, so that
/// one is forgotten in the time that a world has.
#[cfg(madsim)]
macro_rules! remembered {
    ($number:expr) => {
        $number.min($crate::probe::remembered_here())
    };
}

#[cfg(not(madsim))]
macro_rules! remembered {
    ($number:expr) => {
        $number
    };
}

pub(crate) use {planted, remembered};

#[cfg(madsim)]
std::thread_local! {
    static REMEMBERED: std::cell::Cell<u64> = const { std::cell::Cell::new(u64::MAX) };
}

/// For how many entries sessions are remembered in the worlds of this thread, if not for as many as in
/// production.
#[cfg(madsim)]
pub fn set_remembered(entries: Option<u64>) {
    REMEMBERED.set(entries.unwrap_or(u64::MAX));
}

#[cfg(madsim)]
pub(crate) fn remembered_here() -> u64 {
    REMEMBERED.get()
}

#[cfg(all(madsim, feature = "openraft"))]
pub use crate::raft::Witness;

/// A replica from the inside, which this does not keep alive.
#[cfg(madsim)]
#[derive(Clone)]
pub struct Inside(pub(crate) std::sync::Weak<crate::replica::Inner>);

#[cfg(madsim)]
impl Inside {
    /// Does something with its lessor, if it is there still.
    pub fn with<T>(&self, does: impl FnOnce(&lease_core::BackendLessor) -> T) -> Option<T> {
        let inner = self.0.upgrade()?;
        Some(does(&inner.lessor))
    }
}

#[cfg(madsim)]
impl crate::Replica {
    /// A look inside.
    #[must_use]
    pub fn inside(&self) -> Inside {
        Inside(std::sync::Arc::downgrade(&self.inner))
    }
}
