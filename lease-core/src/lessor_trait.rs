use std::sync::Arc;
use std::time::Duration;

use crate::{
    Backend, BackendError, Checkpointer, Epoch, ExpiredBatch, ExpiredLeases, Lease, LeaseError,
    LeaseId, LeaseItem, RangeDeleter, Renewal, Revoked, Timestamp, Ttl,
};

/// Owns leases: grants, revokes, renews and expires them. etcd's interface, and a little more.
///
/// It is object safe. [`BackendLessor`](crate::BackendLessor) implements it over a [`Backend`],
/// `FakeLessor` (feature `testing`) for tests of code that uses a lessor.
pub trait Lessor: Send + Sync {
    /// Sets who deletes the items of a revoked lease. Without one only the lease itself is deleted.
    fn set_range_deleter(&self, range_deleter: Arc<dyn RangeDeleter>);

    /// Sets who carries checkpoints through the host's log. Without one the lessor applies its
    /// checkpoints itself, as a host without consensus wants it.
    fn set_checkpointer(&self, checkpointer: Arc<dyn Checkpointer>);

    /// Grants a lease that expires at least `ttl` seconds from now. A TTL below the configured
    /// minimum, zero and negative ones included, is raised to it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseExists`], [`LeaseError::LeaseTtlTooLarge`],
    /// [`LeaseError::TooManyLeases`], [`LeaseError::Backend`], [`LeaseError::Stopped`].
    fn grant(&self, id: LeaseId, ttl: i64) -> Result<Lease, LeaseError>;

    /// Revokes a lease: its items are deleted, in sorted order, and its row with them in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::RangeDeleter`], [`LeaseError::Backend`],
    /// [`LeaseError::Stopped`]. Except for the first the lease is as it was.
    fn revoke(&self, id: LeaseId) -> Result<(), LeaseError>;

    /// Revokes leases in one transaction, and answers for each; one that is unknown does not stop
    /// the others.
    ///
    /// # Errors
    ///
    /// [`LeaseError::RangeDeleter`], [`LeaseError::Backend`], [`LeaseError::Stopped`]: then no
    /// lease is revoked.
    fn revoke_many(&self, ids: &[LeaseId]) -> Result<Vec<Result<(), LeaseError>>, LeaseError>;

    /// Revokes the leases of an expired batch in one transaction, as far as the fences still match.
    ///
    /// # Errors
    ///
    /// As [`revoke_many`](Self::revoke_many).
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
    fn checkpoint(&self, id: LeaseId, remaining: i64) -> Result<(), LeaseError>;

    /// Attaches items to a lease; an item of another lease is moved. All or nothing.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::TooManyItems`], [`LeaseError::ItemTooLong`],
    /// [`LeaseError::Stopped`].
    fn attach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError>;

    /// The lease that an item is attached to.
    fn get_lease(&self, item: &[u8]) -> Option<LeaseId>;

    /// Detaches items from a lease; items of another lease stay where they are.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`], [`LeaseError::Stopped`].
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
    fn promote(&self, extend: Duration) -> Result<Epoch, LeaseError>;

    /// Ceases to be the primary: no lease expires, waiting renewals are answered. O(1).
    fn demote(&self);

    /// Renews a lease and returns its TTL. For an expired lease it waits, a configured time at
    /// most, until that is revoked.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`], [`LeaseError::LeaseNotFound`], also when the wait ended in its
    /// revoke, [`LeaseError::DeadlineExceeded`], [`LeaseError::Checkpointer`] if a checkpoint had
    /// to be taken back and could not, [`LeaseError::Backend`], [`LeaseError::Stopped`].
    fn renew(&self, id: LeaseId) -> Result<Ttl, LeaseError>;

    /// As [`renew`](Self::renew), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`renew`](Self::renew).
    fn renew_timeout(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, LeaseError>;

    /// Renews a lease without waiting: answers [`Renewal::Expiring`] or [`Renewal::Reset`] where
    /// [`renew`](Self::renew) would wait.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`], [`LeaseError::LeaseNotFound`], [`LeaseError::Stopped`].
    fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError>;

    /// [`try_renew`](Self::try_renew) for each of the leases, cheaper than one by one.
    fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>>;

    /// The lease with this id.
    fn lookup(&self, id: LeaseId) -> Option<Lease>;

    /// All leases, those first that expire first. O(n log n), without holding a lock for all of it.
    fn leases(&self) -> Vec<Lease>;

    /// The next `limit` leases behind `after`, or the first ones, in a fixed scrambled order: a
    /// walk page by page sees every lease that is there the whole time once.
    fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease>;

    /// Where expired leases come from, in batches, until they are revoked or the lessor is demoted.
    ///
    /// Nothing is dropped because the host does not keep up. A lease is delivered again only when
    /// the retry interval has passed since the host took its last batch.
    fn expired_leases(&self) -> ExpiredLeases;

    /// Replaces the whole state by what is in `backend`, which the lessor writes to from then on,
    /// and the range deleter if there is one. The lessor is no primary afterwards. Items are
    /// attached again by the host.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] if what is pending cannot be committed to the old backend or the new
    /// one cannot be read, [`LeaseError::Stopped`]: then nothing was changed.
    fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError>;

    /// Does everything that is due, for a lessor that is driven by hand; does nothing for one with
    /// threads. Returns [`next_wakeup`](Self::next_wakeup).
    fn tick(&self) -> Option<Timestamp>;

    /// When [`tick`](Self::tick) has something to do, on the lessor's clock; `None` while nothing
    /// will ever be due. A command can bring it forward.
    fn next_wakeup(&self) -> Option<Timestamp>;

    /// Commits all pending writes.
    ///
    /// # Errors
    ///
    /// Those of the backend. What could not be committed stays pending.
    fn flush(&self) -> Result<(), BackendError>;

    /// Stops: answers waiting renewals, commits what is pending, ends the threads. Every command
    /// answers [`LeaseError::Stopped`] from then on. It may be called more than once, and ends in
    /// bounded time also while a thread is in the host's code.
    fn stop(&self);
}
