use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::count::StripedCount;
use super::driver::{Threads, Wakers};
use super::state::StateCell;
use super::{BackendLessor, Hooks, Options, Shared};
use crate::clock::{Clock, SystemClock};
use crate::observer::Observer;
use crate::{Backend, Checkpointer, LeaseError, LessorConfig, LessorCore, RangeDeleter};

/// When a command's writes are safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Driver {
    /// Threads of its own, which sleep until something is due.
    Threads,
    /// The host, which calls [`Lessor::tick`](crate::Lessor::tick) at
    /// [`Lessor::next_wakeup`](crate::Lessor::next_wakeup): for async hosts and simulations.
    Manual,
}

/// Who revokes expired leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ExpiryMode {
    /// The host, which takes them from
    /// [`Lessor::expired_leases`](crate::Lessor::expired_leases).
    Deliver,
    /// The lessor itself: for hosts without consensus.
    AutoRevoke,
}

/// Who brings due checkpoints to the replicated state, as long as no checkpointer is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CheckpointMode {
    /// The lessor applies them itself: for hosts without consensus.
    Local,
    /// The host, which takes them from [`BackendLessor::poll_checkpoints`]: for async hosts and
    /// simulations.
    Polled,
}

/// Makes a [`BackendLessor`].
pub struct BackendLessorBuilder {
    backend: Arc<dyn Backend>,
    config: LessorConfig,
    hooks: Hooks,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
    options: Options,
    expired_capacity: usize,
    suspended: bool,
}

impl BackendLessorBuilder {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            config: LessorConfig::default(),
            hooks: Hooks::default(),
            clock: Arc::new(SystemClock::default()),
            observer: None,
            options: Options {
                durability: Durability::EveryCommand,
                driver: Driver::Threads,
                expiry: ExpiryMode::Deliver,
                checkpoints: CheckpointMode::Local,
                renew_timeout: Duration::from_secs(5),
                checkpoint_timeout: Duration::from_secs(5),
                stop_timeout: Duration::from_secs(5),
            },
            expired_capacity: 16,
            suspended: false,
        }
    }

    /// How the lessor behaves. Default: etcd's settings.
    #[must_use]
    pub fn config(mut self, config: LessorConfig) -> Self {
        self.config = config;
        self
    }

    /// When writes are safe. Default: [`Durability::EveryCommand`].
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// What makes time pass. Default: [`Driver::Threads`].
    #[must_use]
    pub const fn driver(mut self, driver: Driver) -> Self {
        self.options.driver = driver;
        self
    }

    /// Who revokes expired leases. Default: [`ExpiryMode::Deliver`].
    #[must_use]
    pub const fn expiry(mut self, expiry: ExpiryMode) -> Self {
        self.options.expiry = expiry;
        self
    }

    /// Who checkpoints, as long as no checkpointer is set. Default: [`CheckpointMode::Local`].
    #[must_use]
    pub const fn checkpoints(mut self, checkpoints: CheckpointMode) -> Self {
        self.options.checkpoints = checkpoints;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who is told what happens. Default: nobody.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// See [`Lessor::set_range_deleter`](crate::Lessor::set_range_deleter).
    #[must_use]
    pub fn range_deleter(mut self, range_deleter: Arc<dyn RangeDeleter>) -> Self {
        self.hooks.range_deleter = Some(range_deleter);
        self
    }

    /// See [`Lessor::set_checkpointer`](crate::Lessor::set_checkpointer).
    #[must_use]
    pub fn checkpointer(mut self, checkpointer: Arc<dyn Checkpointer>) -> Self {
        self.hooks.checkpointer = Some(checkpointer);
        self
    }

    /// How long [`Lessor::renew`](crate::Lessor::renew) waits for the end of an expired lease.
    /// Default 5 s.
    #[must_use]
    pub const fn renew_timeout(mut self, timeout: Duration) -> Self {
        self.options.renew_timeout = timeout;
        self
    }

    /// How long the checkpointer may take over due checkpoints. Default 5 s.
    #[must_use]
    pub const fn checkpoint_timeout(mut self, timeout: Duration) -> Self {
        self.options.checkpoint_timeout = timeout;
        self
    }

    /// How long [`Lessor::stop`](crate::Lessor::stop) waits for threads that are in the host's or
    /// the backend's code before it leaves them alone. Default 5 s.
    #[must_use]
    pub const fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.options.stop_timeout = timeout;
        self
    }

    /// How many batches of expired leases may wait for the host. Default 16, as in etcd; 0 is taken
    /// as 1.
    #[must_use]
    pub const fn expired_capacity(mut self, batches: usize) -> Self {
        self.expired_capacity = batches;
        self
    }

    /// Starts with expiry suspended, see [`BackendLessor::suspend_expiry`].
    #[must_use]
    pub const fn suspend_expiry(mut self) -> Self {
        self.suspended = true;
        self
    }

    /// Recovers the leases in the backend and starts. The lessor is not the primary yet.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] if the backend cannot be read.
    pub fn build(self) -> Result<BackendLessor, LeaseError> {
        let mut config = self.config;
        config.clock_lag = config.clock_lag.max(self.clock.lag());
        let mut core = LessorCore::new(config.clone());
        if self.suspended {
            core.suspend_expiry();
        }
        let shared = Arc::new(Shared {
            state: StateCell::new(core),
            backend: Mutex::new(Arc::clone(&self.backend)),
            updating: Mutex::new(()),
            renewed: StripedCount::default(),
            hooks: Mutex::new(self.hooks),
            clock: self.clock,
            observer: self.observer,
            expired: crossbeam_channel::bounded(self.expired_capacity.max(1)),
            wakers: Wakers::default(),
            options: self.options,
            config,
        });
        shared.recover(self.backend, None)?;
        let threads = Threads::start(&shared);
        Ok(BackendLessor { shared, threads })
    }
}

impl std::fmt::Debug for BackendLessorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendLessorBuilder")
            .field("config", &self.config)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
