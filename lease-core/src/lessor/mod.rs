mod advance;
mod api;
mod bed;
mod bring;
mod builder;
mod carry_out;
mod checkpoints;
mod commands;
mod driver;
mod errands;
#[cfg(feature = "async")]
mod events;
mod expired_leases;
mod expiry;
#[cfg(all(test, shuttle, feature = "async"))]
mod explore;
mod grant;
mod hosted;
mod isolate;
mod job;
mod journal;
mod lifecycle;
mod line;
mod new_ids;
mod options;
mod outbox;
mod oversights;
mod own;
mod queries;
mod recovery;
mod renew;
mod resets;
mod road;
mod sleepers;
mod state;
mod stored_items;
#[cfg(feature = "async")]
mod tasks;
mod told;
mod turn;
mod wait;
mod waiting;
mod with_writes;

pub use builder::BackendLessorBuilder;
#[cfg(feature = "async")]
pub use events::{LeaseEvent, LeaseEvents};
pub use expired_leases::{ExpiredLeases, RecvError};
pub use options::{CheckpointMode, Driver, Durability, ExpiryMode, ItemMode};
pub use queries::Lookup;
#[cfg(feature = "async")]
pub use tasks::{AsyncLessor, ExpiredStream};
pub use wait::Wait;

use driver::Threads;
use options::Options;
use state::StateCell;

use crate::clock::Clock;
use crate::observer::Observer;
use crate::sync::Arc;
use crate::{Backend, LeaseRow, LessorConfig, LessorStats};

/// The lessor that people embed: the state machine behind a lock, over a [`Backend`].
///
/// It is made by [`BackendLessor::builder`] and used through the [`Lessor`](crate::Lessor) trait,
/// or through its own methods where they offer more. It is driven by threads of its own that sleep
/// until something is due, or by hand, see [`Driver`].
///
/// Commands may come from any number of threads. The lock is never held while code of the host's
/// runs, nor for work in proportion to the leases or items that there are. A single command is decided
/// under it as a whole, 250 ns for each item of an attach: who has very many gives them in parts.
///
/// # What blocks
///
/// | | may wait for |
/// |---|---|
/// | `get_lease`, `stats`, `try_renew`, `renew_many`, `wait`, `try_recv` | nothing |
/// | `new_id` | nothing; before the lessor has begun an epoch, one or two commits of the backend |
/// | `lookup`, `leases`, `page` | nothing; if a lease of more than 1,024 items changes again and again meanwhile, the command that is under way for it |
/// | `renew`, `renew_timeout` | the end of an expired lease, or the reset of a checkpoint, up to its timeout |
/// | `grant`, `grant_new`, `revoke`, `attach`, `detach`, `checkpoint`, `apply`, `write`, batched | the backend when it is far behind; another command of the same lease; a revoke also for the range deleter |
/// | the same, durable | one or two commits of the backend |
/// | `promote`, `flush`, `recover`, `recover_in_place` | the backend; all other commands wait until `promote` has written its epoch, and until a recovery is over |
/// | `stop`, and dropping the lessor | the lessor's threads, the backend and a stop that is under way, up to the stop timeout |
/// | `ExpiredLeases::recv` | the next expiry |
/// | `tick` | the backend, the range deleter and the checkpointer, as far as something is due |
///
/// A lessor that is driven by hand has no thread that could be left alone: `stop` commits what is
/// pending itself, and waits for that.
///
/// An async host uses `AsyncLessor` (feature `async`), which blocks nowhere; or, without it, `try_renew`
/// or [`renew_async`](BackendLessor::renew_async), and [`ExpiredLeases::recv_async`], and gives the commands
/// to a thread that may block.
///
/// ```
/// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// lessor.promote(Duration::ZERO)?;
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
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
    #[cfg(feature = "async")]
    feed: events::Feed,
    options: Options,
    config: LessorConfig,
}

impl BackendLessor {
    /// Starts making a lessor over `backend`.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// assert!(lessor.leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn builder(backend: Arc<dyn Backend>) -> BackendLessorBuilder {
        BackendLessorBuilder::new(backend)
    }

    /// A lessor for one machine, whose host has no log: it is the primary, revokes what has expired by
    /// itself, and stores the attached items, so that a restart finds them. For other settings beside
    /// these there is the [`builder`](Self::builder), with [`ExpiryMode::AutoRevoke`] and
    /// [`ItemMode::Stored`], and [`promote`](crate::Lessor::promote).
    ///
    /// # Errors
    ///
    /// Those of [`build`](BackendLessorBuilder::build) and of [`promote`](crate::Lessor::promote).
    ///
    /// ```
    /// # use lease_core::{Backend, BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # fn open() -> Arc<dyn Backend> { Arc::new(NullBackend) }
    /// let lessor = BackendLessor::standalone(open())?;
    /// let id = lessor.grant_new(60)?.id();
    /// lessor.attach(id, &["services/web/1".into()])?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn standalone(backend: Arc<dyn Backend>) -> Result<Self, crate::LeaseError> {
        let builder = Self::builder(backend).expiry(ExpiryMode::AutoRevoke);
        let lessor = builder.items(ItemMode::Stored).build()?;
        crate::Lessor::promote(&lessor, std::time::Duration::ZERO)?;
        Ok(lessor)
    }

    /// The counters. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// assert_eq!(lessor.stats().granted, 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> LessorStats {
        let mut stats = self.shared.state.read(|state| {
            let mut stats = state.core.stats();
            stats.waiting += state.road.waiting.len();
            (stats.grants_unpromoted, stats.batches_not_taken) = state.oversights.counts();
            stats
        });
        stats.renewed += self.shared.state.renewed();
        stats
    }

    /// The replicated part of every lease, by id: see
    /// [`LessorCore::rows`](crate::LessorCore::rows). O(n log n) under the lock.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, LeaseRow, Lessor, NullBackend, Ttl};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// assert_eq!(lessor.rows(), [LeaseRow::new(id, Ttl::new(60)?)]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn rows(&self) -> Vec<LeaseRow> {
        self.shared.state.read(|state| state.core.rows())
    }

    /// Checks every invariant of the state machine. O(n) under the lock: for tests and simulations.
    ///
    /// # Panics
    ///
    /// If one does not hold.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// lessor.check_invariants();
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
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
