use std::hash::BuildHasher;
use std::time::Duration;

use super::driver::Threads;
use super::errands::Bells;
use super::journal::Journal;
use super::options::{CheckpointMode, Driver, Durability, ExpiryMode, Options};
use super::outbox::Outbox;
use super::state::{State, StateCell};
use super::{BackendLessor, Shared};
use crate::clock::{Clock, SystemClock};
use crate::observer::Observer;
use crate::sync::Arc;
use crate::{Backend, Checkpointer, LeaseError, LessorConfig, LessorCore, RangeDeleter};

/// Makes a [`BackendLessor`].
///
/// ```
/// use lease_core::{BackendLessor, Driver, Durability, ExpiryMode, ManualClock, NullBackend};
/// use std::{sync::Arc, time::Duration};
///
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .durability(Durability::ETCD)
///     .driver(Driver::Manual)
///     .clock(Arc::new(ManualClock::default()))
///     .expiry(ExpiryMode::AutoRevoke)
///     .renew_timeout(Duration::from_secs(1))
///     .build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
pub struct BackendLessorBuilder {
    backend: Arc<dyn Backend>,
    config: LessorConfig,
    range_deleter: Option<Arc<dyn RangeDeleter>>,
    checkpoints: CheckpointMode,
    durability: Durability,
    // The system's if there is none: to make that takes time.
    clock: Option<Arc<dyn Clock>>,
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
            range_deleter: None,
            checkpoints: CheckpointMode::Local,
            durability: Durability::EveryCommand,
            clock: None,
            observer: None,
            options: Options {
                is_batched: false,
                flush_interval: Duration::ZERO,
                driver: Driver::Threads,
                expiry: ExpiryMode::Deliver,
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
        self.durability = durability;
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

    /// Who brings checkpoints to the replicated state. Default: [`CheckpointMode::Local`].
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: CheckpointMode) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
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
        self.range_deleter = Some(range_deleter);
        self
    }

    /// [`CheckpointMode::Proposed`] through this one.
    #[must_use]
    pub fn checkpointer(mut self, checkpointer: Arc<dyn Checkpointer>) -> Self {
        self.checkpoints = CheckpointMode::Proposed(checkpointer);
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

    /// How long [`Lessor::stop`](crate::Lessor::stop) waits in all for threads that are in the host's
    /// or the backend's code before it leaves them alone. Default 5 s.
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
    /// [`LeaseError::Backend`] if the backend cannot be read, [`LeaseError::Spawn`] if the system has
    /// no room for a thread.
    pub fn build(self) -> Result<BackendLessor, LeaseError> {
        let clock = self.clock;
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let mut config = self.config;
        config.clock_lag = config.clock_lag.max(clock.lag());
        // Who does not know the seed cannot choose ids or items that meet in the tables.
        config.hash_seed = Some(config.hash_seed.unwrap_or_else(random_seed));
        let mut core = LessorCore::new(config.clone());
        if self.suspended {
            core.suspend_expiry();
        }
        let mut options = self.options;
        let journal = match self.durability {
            Durability::EveryCommand => None,
            Durability::Batched {
                interval,
                max_writes,
            } => {
                options.is_batched = true;
                options.flush_interval = interval;
                Some(Journal::new(interval, max_writes))
            }
        };
        let state = State::new(
            core,
            Arc::clone(&self.backend),
            journal,
            Outbox::new(self.expired_capacity.max(1)),
            options.driver,
            self.checkpoints,
            self.range_deleter,
        );
        let shared = Arc::new(Shared {
            state: StateCell::new(state, Bells::default()),
            clock,
            observer: self.observer,
            options,
            config,
        });
        shared.recover(self.backend, None)?;
        let lessor = BackendLessor {
            shared,
            threads: Threads::default(),
        };
        lessor.threads.start(&lessor.shared)?;
        Ok(lessor)
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "nobody is to know the seed; a simulation, which is to know it, gives its own"
)]
fn random_seed() -> u64 {
    std::hash::RandomState::new().hash_one("lease")
}

impl std::fmt::Debug for BackendLessorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendLessorBuilder")
            .field("config", &self.config)
            .field("durability", &self.durability)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
