mod builder;
mod commands;
mod count;
mod driver;
mod expiry;
mod isolate;
mod journal;
mod recovery;
mod renew;
mod state;
mod surface;
mod wait;

pub use builder::{BackendLessorBuilder, CheckpointMode, Driver, Durability, ExpiryMode};
pub use wait::Wait;

use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender};

use count::StripedCount;
use driver::Threads;
use state::StateCell;

use crate::clock::Clock;
use crate::observer::Observer;
use crate::{
    Backend, Checkpointer, ExpiredBatch, LeaseRow, LessorConfig, LessorStats, RangeDeleter,
};

/// The lessor that people embed: the state machine behind a lock, over a [`Backend`].
///
/// It is made by [`BackendLessor::builder`] and used through the [`Lessor`](crate::Lessor) trait,
/// or through its own methods where they offer more. It is driven by a thread of its own that
/// sleeps until something is due, or by hand, see [`Driver`].
///
/// Commands may come from any number of threads. The lock is never held while a backend, a range
/// deleter, a checkpointer or an observer runs, nor for work in proportion to the number of leases.
///
/// ```
/// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// lessor.promote(Duration::ZERO);
/// let id = LeaseId::new(1).expect("not zero");
/// lessor.grant(id, 60)?;
/// assert_eq!(lessor.renew(id)?.as_secs(), 60);
/// lessor.revoke(id)?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
pub struct BackendLessor {
    shared: Arc<Shared>,
    threads: Threads,
}

/// What the handle and its threads share.
pub(crate) struct Shared {
    state: StateCell,
    // Held by whoever writes to the backend; taken before the state's lock.
    backend: Mutex<Arc<dyn Backend>>,
    // Held from begin to finish by a command whose row follows from what is there and that keeps no
    // other command away meanwhile: checkpoints, see `LessorCore::begin_checkpoints`, and epochs.
    updating: Mutex<()>,
    // The renewals that did not take the lock for themselves.
    renewed: StripedCount,
    hooks: Mutex<Hooks>,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
    options: Options,
    config: LessorConfig,
    expired: (Sender<ExpiredBatch>, Receiver<ExpiredBatch>),
    wakers: driver::Wakers,
}

/// The host's code that the lessor calls.
#[derive(Clone, Default)]
struct Hooks {
    range_deleter: Option<Arc<dyn RangeDeleter>>,
    checkpointer: Option<Arc<dyn Checkpointer>>,
}

/// What the builder has been told beside the core's configuration.
#[derive(Clone, Debug)]
struct Options {
    durability: Durability,
    driver: Driver,
    expiry: ExpiryMode,
    checkpoints: CheckpointMode,
    renew_timeout: std::time::Duration,
    checkpoint_timeout: std::time::Duration,
    stop_timeout: std::time::Duration,
}

impl BackendLessor {
    /// Starts making a lessor over `backend`.
    #[must_use]
    pub fn builder(backend: Arc<dyn Backend>) -> BackendLessorBuilder {
        BackendLessorBuilder::new(backend)
    }

    /// The counters. O(1).
    #[must_use]
    pub fn stats(&self) -> LessorStats {
        let mut stats = self.shared.state.read(|state| state.core.stats());
        stats.renewed += self.shared.renewed.sum();
        stats
    }

    /// Hands out no lease as expired until [`resume_expiry`](Self::resume_expiry): for a host that
    /// restores its state. A lease whose time is up meanwhile can still be renewed.
    pub fn suspend_expiry(&self) {
        self.shared.state.with(|state| state.core.suspend_expiry());
    }

    /// Ends what [`suspend_expiry`](Self::suspend_expiry), or a start with
    /// [`BackendLessorBuilder::suspend_expiry`], began.
    pub fn resume_expiry(&self) {
        self.shared.state.with(|state| state.core.resume_expiry());
        self.shared.wakers.wake_all();
    }

    /// The replicated part of every lease, by id: see
    /// [`LessorCore::rows`](crate::LessorCore::rows). O(n log n) under the lock.
    #[must_use]
    pub fn rows(&self) -> Vec<LeaseRow> {
        self.shared.state.read(|state| state.core.rows())
    }

    /// Checks every invariant of the state machine. O(n) under the lock: for tests and simulations.
    ///
    /// # Panics
    ///
    /// If one does not hold.
    pub fn check_invariants(&self) {
        self.shared.state.check_invariants();
    }
}

impl std::fmt::Debug for BackendLessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendLessor")
            .field("options", &self.shared.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Stops the lessor, see [`Lessor::stop`](crate::Lessor::stop); unless an invariant was found broken,
/// since then there is nothing left to rely on and a second panic would abort the process.
impl Drop for BackendLessor {
    fn drop(&mut self) {
        if !self.shared.state.is_poisoned() {
            self.stop_threads();
        }
    }
}
