use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{
    Backend, BackendError, Checkpointer, Epoch, ExpiredBatch, ExpiredLeases, Lease, LeaseError,
    LeaseId, LeaseItem, Lessor, MAX_LEASE_TTL, RangeDeleter, Renewal, RequestedTtl, Revoked,
    Timestamp, Ttl,
};

/// A lessor that knows which leases there are and nothing else, for tests of code that uses one.
///
/// Every call succeeds. Grant and revoke change [`lease_set`](Self::lease_set); a lease never
/// expires; lookups answer a lease of 10 s, as etcd's fake does not answer at all.
///
/// ```
/// use lease_core::testing::FakeLessor;
/// use lease_core::{LeaseError, LeaseId, Lessor};
///
/// /// What is tested: it opens a session.
/// fn login(lessor: &dyn Lessor) -> Result<LeaseId, LeaseError> {
///     Ok(lessor.grant(LeaseId::try_from(7)?, 60)?.id())
/// }
///
/// let lessor = FakeLessor::default();
/// let id = login(&lessor)?;
/// assert!(lessor.lease_set().contains(&id));
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Debug, Default)]
pub struct FakeLessor {
    leases: Mutex<BTreeSet<LeaseId>>,
}

impl FakeLessor {
    /// The leases that there are, locked: a call of the lessor waits until the guard is dropped.
    ///
    /// ```
    /// # use lease_core::testing::FakeLessor;
    /// # use lease_core::{LeaseId, Lessor};
    /// let lessor = FakeLessor::default();
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// lessor.revoke(LeaseId::try_from(7)?)?;
    /// assert!(lessor.lease_set().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn lease_set(&self) -> MutexGuard<'_, BTreeSet<LeaseId>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the lease into [`lease_set`](Self::lease_set).
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// ```
    /// # use lease_core::testing::FakeLessor;
    /// # use lease_core::LeaseId;
    /// # use std::time::Duration;
    /// let lessor = FakeLessor::default();
    /// let lease = lessor.grant(LeaseId::try_from(7)?, Duration::from_secs(60))?;
    /// assert!(lessor.lease_set().contains(&lease.id()));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn grant(&self, id: LeaseId, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        self.grant_lease(Some(id), ttl.into())
    }

    /// As [`grant`](Self::grant), under the lowest positive id that is not in use.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// ```
    /// # use lease_core::testing::FakeLessor;
    /// let lessor = FakeLessor::default();
    /// assert_eq!(lessor.grant_new(60)?.id().get(), 1);
    /// assert_eq!(lessor.grant_new(60)?.id().get(), 2);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn grant_new(&self, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        self.grant_lease(None, ttl.into())
    }

    fn ttl() -> Ttl {
        Ttl::new(10).expect("in range")
    }
}

impl Lessor for FakeLessor {
    fn set_range_deleter(&self, _: Arc<dyn RangeDeleter>) {}

    fn set_checkpointer(&self, _: Arc<dyn Checkpointer>) {}

    fn grant_lease(&self, id: Option<LeaseId>, ttl: RequestedTtl) -> Result<Lease, LeaseError> {
        let mut leases = self.lease_set();
        let id = id.unwrap_or_else(|| {
            let mut ids = (1..).filter_map(LeaseId::new);
            let free = ids.find(|id| !leases.contains(id));
            free.expect("no set has them all")
        });
        leases.insert(id);
        let ttl = Ttl::new(ttl.as_secs().clamp(1, MAX_LEASE_TTL));
        Ok(Lease::new(id, ttl.expect("in range")))
    }

    fn revoke(&self, id: LeaseId) -> Result<(), LeaseError> {
        self.lease_set().remove(&id);
        Ok(())
    }

    fn revoke_many(&self, ids: &[LeaseId]) -> Result<Vec<Result<(), LeaseError>>, LeaseError> {
        Ok(ids.iter().map(|id| self.revoke(*id)).collect())
    }

    fn revoke_expired(
        &self,
        batch: &ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        let revoke = |id| self.revoke(id).map(|()| Revoked::Done);
        Ok(batch.leases.iter().map(|lease| revoke(lease.id)).collect())
    }

    fn checkpoint(&self, _: LeaseId, _: i64) -> Result<(), LeaseError> {
        Ok(())
    }

    fn attach(&self, _: LeaseId, _: &[LeaseItem]) -> Result<(), LeaseError> {
        Ok(())
    }

    fn get_lease(&self, _: &[u8]) -> Option<LeaseId> {
        None
    }

    fn detach(&self, _: LeaseId, _: &[LeaseItem]) -> Result<(), LeaseError> {
        Ok(())
    }

    fn promote(&self, _: Duration) -> Result<Epoch, LeaseError> {
        Ok(Epoch::ZERO)
    }

    fn demote(&self) {}

    fn renew(&self, _: LeaseId) -> Result<Ttl, LeaseError> {
        Ok(Self::ttl())
    }

    fn renew_timeout(&self, id: LeaseId, _: Duration) -> Result<Ttl, LeaseError> {
        self.renew(id)
    }

    fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError> {
        self.renew(id).map(Renewal::Renewed)
    }

    fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>> {
        ids.iter().map(|id| self.try_renew(*id)).collect()
    }

    fn lookup(&self, id: LeaseId) -> Option<Lease> {
        let is_there = self.lease_set().contains(&id);
        is_there.then(|| Lease::new(id, Self::ttl()))
    }

    fn leases(&self) -> Vec<Lease> {
        let leases = self.lease_set();
        leases
            .iter()
            .map(|id| Lease::new(*id, Self::ttl()))
            .collect()
    }

    fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        self.leases()
            .into_iter()
            .filter(|lease| after.is_none_or(|after| lease.id() > after))
            .take(limit)
            .collect()
    }

    fn expired_leases(&self) -> ExpiredLeases {
        ExpiredLeases::of_no_lessor()
    }

    fn recover(
        &self,
        _: Arc<dyn Backend>,
        _: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError> {
        Ok(())
    }

    fn tick(&self) -> Option<Timestamp> {
        None
    }

    fn next_wakeup(&self) -> Option<Timestamp> {
        None
    }

    fn flush(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn stop(&self) {}
}
