use std::sync::Arc;
use std::time::Duration;

use crate::{
    Backend, BackendError, Checkpointer, Epoch, ExpiredBatch, ExpiredLeases, Lease, LeaseError,
    LeaseId, LeaseItem, RangeDeleter, Renewal, RequestedTtl, Revoked, TimeToLive, Timestamp, Ttl,
};

/// Owns leases: grants, revokes, renews and expires them. etcd's interface, and a little more.
///
/// It is object safe. [`BackendLessor`](crate::BackendLessor) implements it over a [`Backend`],
/// `FakeLessor` (feature `testing`) for tests of code that uses a lessor.
///
/// Beside the errors that a method names, any command may fail with [`LeaseError::Clock`], with
/// [`LeaseError::Reentrant`] if it is given from inside another one, and with
/// [`LeaseError::Backend`] if writes are batched, the backend is far behind and a commit fails.
///
/// ```
/// use lease_core::{Lessor, LeaseError, LeaseId};
/// use std::time::Duration;
/// # use lease_core::{BackendLessor, NullBackend};
///
/// /// Of a service that takes any lessor: a session ends with its client.
/// fn open_session(lessor: &dyn Lessor, name: &str) -> Result<LeaseId, LeaseError> {
///     let id = lessor.grant_new(Duration::from_secs(30))?.id();
///     lessor.attach(id, &[format!("sessions/{name}").into()])?;
///     Ok(id)
/// }
/// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
/// # let id = open_session(&lessor, "alice")?;
/// # assert_eq!(lessor.get_lease(b"sessions/alice"), Some(id));
/// # Ok::<(), LeaseError>(())
/// ```
pub trait Lessor: Send + Sync {
    /// Sets who deletes the items of a revoked lease. Without one only the lease itself is deleted.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend, Table, TableDeleter};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.set_range_deleter(Arc::new(TableDeleter::new(Table::new("kv"))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn set_range_deleter(&self, range_deleter: Arc<dyn RangeDeleter>);

    /// Sets who carries checkpoints through the host's log. Without one the lessor applies its
    /// checkpoints itself, as a host without consensus wants it.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, BoxError, Checkpoint, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let propose = |records: &[Checkpoint], timeout: Duration| -> Result<(), BoxError> {
    ///     // Here they go through the host's log, and are applied.
    ///     Ok(())
    /// };
    /// lessor.set_checkpointer(Arc::new(propose));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn set_checkpointer(&self, checkpointer: Arc<dyn Checkpointer>);

    /// Grants a lease, under an id of the lessor's making if there is `None`: what `grant` and
    /// `grant_new` of a lessor do, for code that is generic over lessors. These, of
    /// [`BackendLessor`](crate::BackendLessor::grant) and of `dyn Lessor`, take seconds or a [`Duration`]
    /// as they are, which a method of a trait object cannot.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseExists`], [`LeaseError::LeaseTtlTooLarge`],
    /// [`LeaseError::TooManyLeases`], [`LeaseError::Backend`], [`LeaseError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::time::Duration;
    /// /// Of a service that is generic over lessors.
    /// fn open_session(lessor: &impl Lessor) -> Result<LeaseId, LeaseError> {
    ///     Ok(lessor.grant_lease(None, Duration::from_secs(30).into())?.id())
    /// }
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// # assert!(lessor.lookup(open_session(&lessor)?).is_some());
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn grant_lease(&self, id: Option<LeaseId>, ttl: RequestedTtl) -> Result<Lease, LeaseError>;

    /// Revokes a lease: its items are deleted, in sorted order, and its row with them in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::RangeDeleter`], [`LeaseError::Backend`],
    /// [`LeaseError::Stopped`]. Except for the first the lease is as it was.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["a".into()])?;
    /// lessor.revoke(id)?;
    /// assert_eq!((lessor.lookup(id), lessor.get_lease(b"a")), (None, None));
    /// assert_eq!(lessor.revoke(id), Err(LeaseError::LeaseNotFound));
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn revoke(&self, id: LeaseId) -> Result<(), LeaseError>;

    /// Revokes leases, up to 1,024 in each transaction, and answers for each; one that is unknown
    /// does not stop the others.
    ///
    /// # Errors
    ///
    /// [`LeaseError::RangeDeleter`], [`LeaseError::Backend`], [`LeaseError::Stopped`]: then no
    /// lease is revoked. If such a failure comes when some are revoked, it is the answer of those
    /// that are not.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let [id, unknown] = [LeaseId::try_from(7)?, LeaseId::try_from(8)?];
    /// lessor.grant(id, 60)?;
    /// let answers = lessor.revoke_many(&[unknown, id])?;
    /// assert_eq!(answers, [Err(LeaseError::LeaseNotFound), Ok(())]);
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn revoke_many(&self, ids: &[LeaseId]) -> Result<Vec<Result<(), LeaseError>>, LeaseError>;

    /// Revokes the leases of an expired batch, as far as the fences still match.
    ///
    /// # Errors
    ///
    /// As [`revoke_many`](Self::revoke_many).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use lease_core::Revoked;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// # lessor.tick();
    /// // 10 seconds later:
    /// let batch = lessor.expired_leases().try_recv().expect("a lease is due");
    /// assert_eq!(lessor.revoke_expired(&batch)?, [Ok(Revoked::Done)]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn revoke_expired(
        &self,
        batch: &ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError>;

    /// Sets the remaining TTL, in seconds, that the lease starts from after a promotion; 0 is the
    /// whole TTL. The running time does not change. An unknown lease is ignored.
    ///
    /// # Errors
    ///
    /// [`LeaseError::RemainingTtlOutOfRange`], [`LeaseError::Backend`], [`LeaseError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.checkpoint(id, 20)?;
    /// lessor.promote(Duration::ZERO)?;
    /// let lease = lessor.lookup(id).expect("it is there");
    /// assert!(lease.remaining() <= Some(Duration::from_secs(21)), "not 60");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn checkpoint(&self, id: LeaseId, remaining: i64) -> Result<(), LeaseError>;

    /// Attaches items to a lease; an item of another lease is moved. All or nothing.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::TooManyItems`], [`LeaseError::ItemTooLong`],
    /// [`LeaseError::Stopped`], and [`LeaseError::Backend`] if the items are stored.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let [id, other] = [LeaseId::try_from(7)?, LeaseId::try_from(8)?];
    /// lessor.grant(id, 60)?;
    /// lessor.grant(other, 60)?;
    /// lessor.attach(id, &["a".into(), "b".into()])?;
    /// lessor.attach(other, &["b".into()])?;
    /// assert_eq!(lessor.get_lease(b"b"), Some(other), "it was moved");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn attach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError>;

    /// The lease that an item is attached to. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["services/web/1".into()])?;
    /// assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
    /// assert_eq!(lessor.get_lease(b"services/web/2"), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn get_lease(&self, item: &[u8]) -> Option<LeaseId>;

    /// Detaches items from a lease; items of another lease stay where they are.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::Stopped`], and [`LeaseError::Backend`] if the items
    /// are stored.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["a".into()])?;
    /// lessor.detach(id, &["a".into(), "unknown".into()])?;
    /// assert_eq!(lessor.get_lease(b"a"), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn detach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError>;

    /// Becomes the primary, in an epoch that the lessor counts and stores first: every lease expires
    /// after `extend` and what remains of its TTL. On a primary it starts anew. Returns the epoch.
    ///
    /// The epoch is written durably, also if writes are batched; beside that it is O(1).
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] if the epoch could not be stored, [`LeaseError::EpochOutOfRange`] if
    /// there is none left, [`LeaseError::Stopped`]: then the role is what it was.
    /// [`LeaseError::NotPrimary`] if another thread has demoted it at once.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// assert_eq!(lessor.lookup(id).map(|lease| lease.demoted()), Some(true));
    /// let first = lessor.promote(Duration::ZERO)?;
    /// let left = lessor.lookup(id).and_then(|lease| lease.remaining());
    /// assert!(left.is_some_and(|left| left.as_secs() <= 60));
    /// assert!(lessor.promote(Duration::ZERO)? > first, "it starts anew");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn promote(&self, extend: Duration) -> Result<Epoch, LeaseError>;

    /// Ceases to be the primary: no lease expires, waiting renewals are answered. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.demote();
    /// assert_eq!(lessor.renew(id), Err(LeaseError::NotPrimary));
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn demote(&self);

    /// Renews a lease and returns its TTL. For an expired lease it waits, a configured time at
    /// most, until that is revoked.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`], [`LeaseError::LeaseNotFound`], also when the wait ended in its
    /// revoke, [`LeaseError::DeadlineExceeded`], [`LeaseError::Checkpointer`] if a checkpoint had
    /// to be taken back and could not, [`LeaseError::Backend`], [`LeaseError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// assert_eq!(lessor.renew(id)?.as_secs(), 60);
    /// lessor.revoke(id)?;
    /// assert_eq!(lessor.renew(id), Err(LeaseError::LeaseNotFound));
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn renew(&self, id: LeaseId) -> Result<Ttl, LeaseError>;

    /// As [`renew`](Self::renew), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`renew`](Self::renew).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseError, LeaseId, Lessor, ManualClock};
    /// # use lease_core::NullBackend;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// // 10 seconds later, and nobody revokes it:
    /// let renewed = lessor.renew_timeout(id, Duration::from_millis(1));
    /// assert_eq!(renewed, Err(LeaseError::DeadlineExceeded));
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn renew_timeout(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, LeaseError>;

    /// Renews a lease without waiting: answers [`Renewal::Expiring`] or [`Renewal::Reset`] where
    /// [`renew`](Self::renew) would wait.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`], [`LeaseError::LeaseNotFound`], [`LeaseError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use lease_core::Renewal;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 10)?;
    /// assert!(matches!(lessor.try_renew(id)?, Renewal::Renewed(_)));
    /// # clock.advance(Duration::from_secs(10));
    /// // 10 seconds later:
    /// assert_eq!(lessor.try_renew(id)?, Renewal::Expiring);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError>;

    /// [`try_renew`](Self::try_renew) for each of the leases, in their order; cheaper than one by
    /// one.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend, Renewal, Ttl};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// let [id, unknown] = [LeaseId::try_from(7)?, LeaseId::try_from(8)?];
    /// lessor.grant(id, 60)?;
    /// let renewed = Renewal::Renewed(Ttl::new(60)?);
    /// let answers = lessor.renew_many(&[unknown, id]);
    /// assert_eq!(answers, [Err(LeaseError::LeaseNotFound), Ok(renewed)]);
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>>;

    /// The lease with this id. O(1), and O(k log k) in its items.
    ///
    /// # Panics
    ///
    /// If the host's clock does.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["b".into(), "a".into()])?;
    /// let lease = lessor.lookup(id).expect("it is there");
    /// assert_eq!(lease.keys(), ["a".into(), "b".into()]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn lookup(&self, id: LeaseId) -> Option<Lease>;

    /// How long the lease with this id has left, without a copy of its items: the question of etcd's
    /// `LeaseTimeToLive` without keys. O(1).
    ///
    /// # Panics
    ///
    /// If the host's clock does.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone()).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// clock.advance(Duration::from_secs(20));
    /// let left = lessor.time_to_live(id).expect("it is there");
    /// assert_eq!((left.ttl().as_secs(), left.remaining()), (60, Some(Duration::from_secs(40))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn time_to_live(&self, id: LeaseId) -> Option<TimeToLive> {
        self.lookup(id).map(|lease| lease.time_to_live())
    }

    /// All leases, those first that expire first. O(n log n), without holding a lock for all of it.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// for (number, secs) in [(1, 60), (2, 10)] {
    ///     lessor.grant(LeaseId::try_from(number)?, secs)?;
    /// }
    /// let ids: Vec<_> = lessor.leases().iter().map(|lease| lease.id().get()).collect();
    /// assert_eq!(ids, [2, 1]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn leases(&self) -> Vec<Lease>;

    /// The next `limit` leases behind `after`, or the first ones, in a fixed scrambled order: a
    /// walk page by page sees every lease that is there the whole time once.
    /// O(n / 256 + limit log limit).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// # for number in 1..=100 {
    /// #     lessor.grant(LeaseId::try_from(number)?, 60)?;
    /// # }
    /// let (mut seen, mut after) = (0, None);
    /// loop {
    ///     let page = lessor.page(after, 30);
    ///     let Some(last) = page.last() else { break };
    ///     after = Some(last.id());
    ///     seen += page.len();
    /// }
    /// assert_eq!(seen, 100);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease>;

    /// Where expired leases come from, in batches, until they are revoked or the lessor is demoted.
    ///
    /// Nothing is dropped because the host does not keep up. A lease is delivered again only when
    /// the retry interval has passed since the host took its last batch.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// # lessor.tick();
    /// // 10 seconds later:
    /// let batch = lessor.expired_leases().try_recv().expect("a lease is due");
    /// assert_eq!(batch.leases[0].id.get(), 7);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn expired_leases(&self) -> ExpiredLeases;

    /// Replaces the whole state by what is in `backend`, which the lessor writes to from then on,
    /// and the range deleter if there is one. The lessor is no primary afterwards. Items are
    /// attached again by the host. If what is in the lessor's own backend is to be replaced, as by a snapshot,
    /// there is [`recover_in_place`](crate::BackendLessor::recover_in_place).
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] if what is pending cannot be committed to the old backend or the new
    /// one cannot be read, [`LeaseError::Stopped`]: then nothing was changed.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// // What a snapshot brought, here without a lease.
    /// lessor.recover(Arc::new(NullBackend), None)?;
    /// assert!(lessor.leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError>;

    /// Does everything that is due, for a lessor that is driven by hand; does nothing for one with
    /// threads. Returns [`next_wakeup`](Self::next_wakeup).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use lease_core::Timestamp;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// // 10 seconds later:
    /// let next = lessor.tick();
    /// assert!(!lessor.expired_leases().is_empty());
    /// assert!(next.is_none_or(|next| next > Timestamp::from_secs(10)), "it has done all");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn tick(&self) -> Option<Timestamp>;

    /// When [`tick`](Self::tick) has something to do, on the lessor's clock; `None` while nothing
    /// will ever be due. A command can bring it forward.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use lease_core::Timestamp;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// assert_eq!(lessor.tick(), None);
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// assert!(lessor.next_wakeup().is_some_and(|due| due <= Timestamp::from_secs(10)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn next_wakeup(&self) -> Option<Timestamp>;

    /// Commits all pending writes.
    ///
    /// # Errors
    ///
    /// Those of the backend. What could not be committed stays pending.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Durability, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend))
    ///     .durability(Durability::ETCD)
    ///     .build()?;
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// lessor.flush().expect("the disk works"); // now a crash cannot take it back
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn flush(&self) -> Result<(), BackendError>;

    /// Stops: answers waiting renewals, commits what is pending, ends the threads. Every command
    /// answers [`LeaseError::Stopped`] from then on. It may be called more than once, and ends in
    /// bounded time also while a thread is in the host's code.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// lessor.stop();
    /// assert_eq!(lessor.grant(LeaseId::try_from(7)?, 60), Err(LeaseError::Stopped));
    /// # Ok::<(), LeaseError>(())
    /// ```
    fn stop(&self);
}

/// Granting through a trait object.
impl dyn Lessor + '_ {
    /// Grants a lease that expires no earlier than `ttl` from now: seconds, or a [`Duration`], see
    /// [`RequestedTtl`]. A TTL below the lessor's minimum is raised to it.
    ///
    /// # Errors
    ///
    /// Those of [`grant_lease`](Lessor::grant_lease).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let lessor: Arc<dyn Lessor> = Arc::new(lessor);
    /// lessor.grant(LeaseId::try_from(7)?, Duration::from_secs(60))?;
    /// lessor.grant(LeaseId::try_from(8)?, 60)?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn grant(&self, id: LeaseId, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        self.grant_lease(Some(id), ttl.into())
    }

    /// As [`grant`](#method.grant), under an id that the lessor makes.
    ///
    /// # Errors
    ///
    /// Those of [`grant_lease`](Lessor::grant_lease).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let lessor: Arc<dyn Lessor> = Arc::new(lessor);
    /// let id = lessor.grant_new(Duration::from_secs(60))?.id();
    /// lessor.attach(id, &["services/web/1".into()])?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn grant_new(&self, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        self.grant_lease(None, ttl.into())
    }
}
