use std::hash::BuildHasher;
use std::time::Duration;

use super::driver::Threads;
use super::errands::Bells;
use super::isolate::isolate;
use super::journal::Journal;
use super::new_ids::NewIds;
use super::options::{CheckpointMode, Driver, Durability, ExpiryMode, ItemMode, Options};
use super::outbox::Outbox;
use super::state::{State, StateCell};
use super::{BackendLessor, Shared};
use crate::clock::{Clock, SystemClock};
use crate::observer::Observer;
use crate::probe::planted;
use crate::sync::Arc;
use crate::{Backend, Checkpointer, LeaseError, LeaseIds, LessorConfig, LessorCore, RangeDeleter};

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
    ids: Option<LeaseIds>,
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
                tells_items: false,
                tells_attachments: false,
                stores_items: false,
                renew_timeout: Duration::from_secs(5),
                checkpoint_timeout: Duration::from_secs(5),
                stop_timeout: Duration::from_secs(5),
            },
            expired_capacity: 16,
            suspended: false,
            ids: None,
        }
    }

    /// How the lessor behaves. Default: etcd's settings.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, LessorConfig, NullBackend, Ttl};
    /// # use std::sync::Arc;
    /// let config = LessorConfig { min_ttl: Ttl::new(5)?, ..LessorConfig::default() };
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).config(config).build()?;
    /// assert_eq!(lessor.grant(LeaseId::try_from(7)?, 1)?.ttl().as_secs(), 5);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn config(mut self, config: LessorConfig) -> Self {
        self.config = config;
        self
    }

    /// When writes are safe. Default: [`Durability::EveryCommand`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Durability, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .durability(Durability::ETCD)
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Where the attached items are while the lessor does not run. Default: [`ItemMode::Replayed`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, ItemMode, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .items(ItemMode::Stored)
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn items(mut self, items: ItemMode) -> Self {
        self.options.stores_items = matches!(items, ItemMode::Stored);
        self
    }

    /// What makes time pass. Default: [`Driver::Threads`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .driver(Driver::Manual)
    ///     .build()?;
    /// assert_eq!(lessor.tick(), None, "the host calls it; nothing will ever be due");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn driver(mut self, driver: Driver) -> Self {
        self.options.driver = driver;
        self
    }

    /// Who revokes expired leases. Default: [`ExpiryMode::Deliver`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, ExpiryMode, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .expiry(ExpiryMode::AutoRevoke)
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn expiry(mut self, expiry: ExpiryMode) -> Self {
        self.options.expiry = expiry;
        self
    }

    /// Who brings checkpoints to the replicated state. Default: [`CheckpointMode::Local`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, CheckpointMode, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .checkpoints(CheckpointMode::Polled)
    ///     .build()?;
    /// assert_eq!(lessor.poll_checkpoints(), None, "none is due");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: CheckpointMode) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// let clock = Arc::new(ManualClock::default());
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .clock(clock.clone())
    ///     .build()?;
    /// lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// clock.advance(Duration::from_secs(20));
    /// let lease = lessor.lookup(LeaseId::try_from(7)?).expect("it is there");
    /// assert_eq!(lease.remaining(), Some(Duration::from_secs(40)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Who is told what happens. Default: nobody.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LessorEvent, NullBackend, Observer};
    /// # use std::sync::Arc;
    /// struct Log;
    ///
    /// impl Observer for Log {
    ///     fn observe(&self, event: &LessorEvent<'_>) {
    ///         println!("{event:?}");
    ///     }
    /// }
    ///
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).observer(Arc::new(Log)).build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// See [`Lessor::set_range_deleter`](crate::Lessor::set_range_deleter).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend, Table, TableDeleter};
    /// # use std::sync::Arc;
    /// // The host keeps its keys in a table of the lessor's backend.
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .range_deleter(Arc::new(TableDeleter::new(Table::new("kv"))))
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn range_deleter(mut self, range_deleter: Arc<dyn RangeDeleter>) -> Self {
        self.range_deleter = Some(range_deleter);
        self
    }

    /// [`CheckpointMode::Proposed`] through this one.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, BoxError, Checkpoint, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// let propose = |records: &[Checkpoint], timeout: Duration| -> Result<(), BoxError> {
    ///     // Here they go through the host's log, and are applied.
    ///     Ok(())
    /// };
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .checkpointer(Arc::new(propose))
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn checkpointer(mut self, checkpointer: Arc<dyn Checkpointer>) -> Self {
        self.checkpoints = CheckpointMode::Proposed(checkpointer);
        self
    }

    /// How long [`Lessor::renew`](crate::Lessor::renew) waits for the end of an expired lease.
    /// Default 5 s.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseError, LeaseId, Lessor, ManualClock};
    /// # use lease_core::NullBackend;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .renew_timeout(Duration::from_millis(1))
    /// #   .clock(clock.clone())
    /// #   .driver(Driver::Manual)
    ///     .build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// // 10 seconds later, and nobody revokes it:
    /// assert_eq!(lessor.renew(LeaseId::try_from(7)?), Err(LeaseError::DeadlineExceeded));
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub const fn renew_timeout(mut self, timeout: Duration) -> Self {
        self.options.renew_timeout = timeout;
        self
    }

    /// How long the checkpointer may take over due checkpoints. Default 5 s.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// // The host's log commits within a second, or has no leader.
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .checkpoint_timeout(Duration::from_secs(1))
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn checkpoint_timeout(mut self, timeout: Duration) -> Self {
        self.options.checkpoint_timeout = timeout;
        self
    }

    /// How long [`Lessor::stop`](crate::Lessor::stop) waits in all for threads that are in the host's
    /// or the backend's code before it leaves them alone. Default 5 s.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .stop_timeout(Duration::from_secs(1))
    ///     .build()?;
    /// lessor.stop();
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.options.stop_timeout = timeout;
        self
    }

    /// How many batches of expired leases may wait for the host. Default 16, as in etcd; 0 is taken
    /// as 1.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend};
    /// # use std::sync::Arc;
    /// // 64 batches of 500 leases may wait.
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .expired_capacity(64)
    ///     .build()?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn expired_capacity(mut self, batches: usize) -> Self {
        self.expired_capacity = batches;
        self
    }

    /// Where the ids of new leases come from, see [`BackendLessor::new_id`]. Default: they are counted in
    /// the lessor's epoch.
    ///
    /// A member of a cluster gives those [of a member](LeaseIds::of_member), which are etcd's; so does
    /// who runs several lessors whose ids are not to meet.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseIds, NullBackend};
    /// # use std::{sync::Arc, time::{Duration, SystemTime}};
    /// # let since_1970 = Duration::from_secs(1_700_000_000);
    /// // `since_1970` is from the host's clock.
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .ids(LeaseIds::of_member(7, since_1970))
    ///     .build()?;
    /// assert!(lessor.grant_new(60)?.id().to_string().starts_with("0007"));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn ids(mut self, ids: LeaseIds) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Starts with expiry suspended, see [`BackendLessor::suspend_expiry`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .suspend_expiry()
    ///     .build()?;
    /// lessor.promote(Duration::ZERO)?;
    /// // Here the host attaches its keys again: no lease expires before them.
    /// lessor.resume_expiry();
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn suspend_expiry(mut self) -> Self {
        self.suspended = true;
        self
    }

    /// Recovers the leases in the backend and starts. The lessor is not the primary yet. O(n) in
    /// the stored leases.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] if the backend cannot be read, [`LeaseError::Spawn`] if the system has
    /// no room for a thread.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// assert_eq!(lessor.primary_epoch(), None);
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn build(self) -> Result<BackendLessor, LeaseError> {
        let clock = self.clock;
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let mut config = self.config;
        if !planted!("lag-forgotten") {
            config.clock_lag = config.clock_lag.max(clock.lag());
        }
        // Who does not know the seed cannot choose ids or items that meet in the tables.
        config.hash_seed = Some(config.hash_seed.unwrap_or_else(random_seed));
        let mut core = LessorCore::new(config.clone());
        if self.suspended {
            core.suspend_expiry();
        }
        let mut options = self.options;
        if let Some(observer) = &self.observer {
            // One that panics wants nothing.
            let asked = |wants: &dyn Fn() -> bool| isolate("observer", wants).unwrap_or(false);
            options.tells_items = asked(&|| observer.wants_items());
            options.tells_attachments = match planted!("alone-attachments-go-with-items") {
                true => options.tells_items,
                false => asked(&|| observer.wants_attachments()),
            };
        }
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
        let mut state = State::new(
            core,
            Arc::clone(&self.backend),
            journal,
            Outbox::new(self.expired_capacity.max(1)),
            options.driver,
            self.checkpoints,
            self.range_deleter,
        );
        if let Some(ids) = self.ids {
            state.new_ids = NewIds::Given(ids);
        }
        let shared = Arc::new(Shared {
            state: StateCell::new(state, Bells::default()),
            clock,
            observer: self.observer,
            #[cfg(feature = "async")]
            feed: super::events::Feed::default(),
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
