use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::Checkpointer;
use crate::sync::Arc;

/// When a command's writes are safe.
///
/// ```
/// # use lease_core::{BackendLessor, Durability, LeaseId, Lessor, NullBackend};
/// # use std::{num::NonZeroUsize, sync::Arc, time::Duration};
/// let batched = Durability::Batched {
///     interval: Duration::from_millis(10),
///     max_writes: NonZeroUsize::new(1_000).expect("not zero"),
/// };
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).durability(batched).build()?;
/// lessor.grant(LeaseId::try_from(7)?, 60)?; // does not wait for the disk
/// lessor.flush()?; // does
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Durability {
    /// When the command returns. Commands of several threads share a commit. A command whose commit
    /// fails has had no effect.
    EveryCommand,
    /// Within `interval`, or when `max_writes` have gathered: for hosts whose log is the truth, or
    /// that can lose the last moment. A commit that fails is tried again; nothing is dropped.
    Batched {
        /// The longest time that a write waits. etcd's is 100 ms.
        interval: Duration,
        /// The number of writes that start a commit before that. etcd's is 10,000. While a commit
        /// runs more may gather: the next one takes them all, and beyond 16 times this number
        /// commands wait for it.
        max_writes: NonZeroUsize,
    },
}

impl Durability {
    /// Batched as in etcd: 100 ms, 10,000 writes.
    pub const ETCD: Self = Self::Batched {
        interval: Duration::from_millis(100),
        max_writes: NonZeroUsize::new(10_000).expect("not zero"),
    };
}

/// What makes time pass for the lessor.
///
/// ```
/// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
/// # use std::{sync::Arc, time::Duration};
/// let clock = Arc::new(ManualClock::default());
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .clock(clock.clone())
///     .driver(Driver::Manual)
///     .build()?;
/// lessor.promote(Duration::ZERO)?;
/// lessor.grant(LeaseId::try_from(7)?, 10)?;
/// clock.advance(Duration::from_secs(10));
/// assert!(lessor.expired_leases().is_empty(), "nothing happens by itself");
/// lessor.tick();
/// assert!(!lessor.expired_leases().is_empty());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Driver {
    /// Threads of its own, which sleep until something is due.
    Threads,
    /// The host, which calls [`Lessor::tick`](crate::Lessor::tick) at
    /// [`Lessor::next_wakeup`](crate::Lessor::next_wakeup), for async hosts and simulations.
    /// [`BackendLessor::wakeup_moved`](crate::BackendLessor::wakeup_moved) tells when that has come
    /// closer.
    Manual,
}

/// Who revokes expired leases.
///
/// ```
/// # use lease_core::{BackendLessor, Driver, ExpiryMode, LeaseId, Lessor, ManualClock};
/// # use lease_core::NullBackend;
/// # use std::{sync::Arc, time::Duration};
/// # let clock = Arc::new(ManualClock::default());
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .expiry(ExpiryMode::AutoRevoke)
/// #   .clock(clock.clone())
/// #   .driver(Driver::Manual)
///     .build()?;
/// # lessor.promote(Duration::ZERO)?;
/// lessor.grant(LeaseId::try_from(7)?, 10)?;
/// # clock.advance(Duration::from_secs(10));
/// # lessor.tick();
/// // 10 seconds later:
/// assert!(lessor.leases().is_empty());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ExpiryMode {
    /// The host, which takes them from
    /// [`Lessor::expired_leases`](crate::Lessor::expired_leases).
    Deliver,
    /// The lessor itself: for hosts without consensus.
    AutoRevoke,
}

/// Where the attached items are while the lessor does not run.
///
/// ```
/// # use lease_core::{BackendLessor, ItemMode, NullBackend};
/// # use std::sync::Arc;
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).items(ItemMode::Stored).build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ItemMode {
    /// With the host, which attaches them again after a recovery, from its own rows or its log: as in
    /// etcd. A store in which items are [stored](Self::Stored) is refused.
    Replayed,
    /// In the table `lease_items` of the backend, written with the commands that change them, and read
    /// by a recovery. The table is the lessor's. A command of items then costs a row for each, and goes
    /// all the way to the backend.
    ///
    /// A store that holds stored items is refused in the other mode, with
    /// [`BackendError::Foreign`](crate::BackendError::Foreign): they would stay in the table when their lease
    /// is revoked, for the next one that is granted under its id. Whoever wants to change the mode deletes
    /// the rows of the table before.
    Stored,
}

/// Who brings due checkpoints, and the resets that renewals need, to the replicated state.
///
/// ```
/// # use lease_core::{BackendLessor, BoxError, Checkpoint, CheckpointMode, NullBackend};
/// # use std::{sync::Arc, time::Duration};
/// // A host with a log.
/// let propose = |records: &[Checkpoint], timeout: Duration| -> Result<(), BoxError> {
///     // Here they go through the log, and are applied.
///     Ok(())
/// };
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .checkpoints(CheckpointMode::Proposed(Arc::new(propose)))
///     .build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum CheckpointMode {
    /// The lessor applies them itself: for hosts without consensus.
    Local,
    /// The host, which takes them from
    /// [`BackendLessor::poll_checkpoints`](crate::BackendLessor::poll_checkpoints) and renews with
    /// [`Lessor::try_renew`](crate::Lessor::try_renew): for async hosts and simulations.
    Polled,
    /// The lessor proposes them through this; see
    /// [`Lessor::set_checkpointer`](crate::Lessor::set_checkpointer).
    Proposed(Arc<dyn Checkpointer>),
}

impl fmt::Debug for CheckpointMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "Local",
            Self::Polled => "Polled",
            Self::Proposed(_) => "Proposed",
        })
    }
}

/// What the builder has been told beside the core's configuration.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) is_batched: bool,
    pub(super) flush_interval: Duration,
    pub(super) driver: Driver,
    pub(super) expiry: ExpiryMode,
    /// Whether the observer is told the items of what has expired or is revoked.
    pub(super) tells_items: bool,
    /// Whether the observer is told what is attached and detached.
    pub(super) tells_attachments: bool,
    /// Whether the items are in the store.
    pub(super) stores_items: bool,
    pub(super) renew_timeout: Duration,
    pub(super) checkpoint_timeout: Duration,
    pub(super) stop_timeout: Duration,
}
