use super::BackendLessor;
use super::new_ids::NewId;
use super::state::State;
#[cfg(doc)]
use crate::LeaseIds;
#[cfg(doc)]
use crate::Lessor;
use crate::lease::Remaining;
use crate::probe::planted;
use crate::{Grant, Incarnation, Lease, LeaseError, LeaseId, RequestedTtl, Ttl, WriteBatch};

/// Granting.
impl BackendLessor {
    /// Grants a lease that expires no earlier than `ttl` from now: seconds, or a
    /// [`Duration`](std::time::Duration), see [`RequestedTtl`]. A TTL below the configured minimum, zero
    /// and negative ones included, is raised to it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseExists`], [`LeaseError::LeaseTtlTooLarge`],
    /// [`LeaseError::TooManyLeases`], [`LeaseError::Backend`], [`LeaseError::Stopped`], and those that
    /// [`Lessor`] names for all commands.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, NullBackend};
    /// # use std::time::Duration;
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// assert_eq!(lessor.grant(id, Duration::from_secs(60))?.ttl().as_secs(), 60);
    /// assert_eq!(lessor.grant(id, 60), Err(LeaseError::LeaseExists));
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn grant(&self, id: LeaseId, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        self.grant_with(id, ttl, WriteBatch::default())
    }

    /// As [`grant`](Self::grant), together with writes of the host's: the lease and they come to be
    /// together, or neither does.
    ///
    /// # Errors
    ///
    /// Those of [`grant`](Self::grant) and [`LeaseError::ReservedRows`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("sessions"), "7", "alice");
    /// lessor.grant_with(LeaseId::try_from(7)?, 60, writes)?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn grant_with(
        &self,
        id: LeaseId,
        ttl: impl Into<RequestedTtl>,
        writes: WriteBatch,
    ) -> Result<Lease, LeaseError> {
        let ttl = self.admit_ttl(ttl)?;
        self.grant_admitted(id, ttl, writes)
    }

    /// As [`grant`](Self::grant), under an id that the lessor makes, see [`new_id`](Self::new_id): etcd's
    /// server does so for a grant of id 0.
    ///
    /// # Errors
    ///
    /// Those of [`grant`](Self::grant) but for [`LeaseError::LeaseExists`], and those of
    /// [`new_id`](Self::new_id).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// let lease = lessor.grant_new(Duration::from_secs(60))?;
    /// lessor.attach(lease.id(), &["services/web/1".into()])?;
    /// assert!(lessor.grant_new(60)?.id() > lease.id());
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn grant_new(&self, ttl: impl Into<RequestedTtl>) -> Result<Lease, LeaseError> {
        let ttl = self.admit_ttl(ttl)?;
        self.grant_new_admitted(ttl)
    }

    /// An id that no lease has: for a grant whose id is to be known before, such as one with a row of
    /// the host's that names it. Ids grow. O(1).
    ///
    /// By default they are counted in the lessor's epoch ([`LeaseIds::of_epoch`]), which is stored when
    /// it begins: none comes twice, over restarts and crashes too, so that a client that still has the
    /// id of a lease that is gone does not meet another one's. A lessor that has begun no epoch since
    /// its start, which a [`promote`](Lessor::promote) does, begins one here, which waits for the
    /// backend. Who has chosen an id of his own may have chosen one of these; what is in use is
    /// passed over.
    ///
    /// With a log a host gives [`ids`](crate::BackendLessorBuilder::ids) of its own, or makes them
    /// itself with [`LeaseIds`]. Without them ids come again when it becomes the primary of the same epoch
    /// after a restart ([`promote_to`](Self::promote_to)); and an epoch that is begun here is later than
    /// that of the log.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Stopped`], and if an epoch has to be begun those of
    /// [`promote`](Lessor::promote).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let id = lessor.new_id()?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("sessions"), "alice", id.get().to_be_bytes());
    /// lessor.grant_with(id, 60, writes)?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn new_id(&self) -> Result<LeaseId, LeaseError> {
        loop {
            match self.shared.state.with(State::new_id)? {
                NewId::Free(id) => return Ok(id),
                NewId::InUse => {}
                NewId::NoEpoch(next) => drop(self.shared.begin_epoch(next)?),
            }
        }
    }

    fn grant_new_admitted(&self, ttl: Ttl) -> Result<Lease, LeaseError> {
        loop {
            let granted = self.grant_admitted(self.new_id()?, ttl, WriteBatch::default());
            // Else somebody else has granted the id meanwhile.
            if granted != Err(LeaseError::LeaseExists) {
                return granted;
            }
        }
    }

    fn grant_admitted(
        &self,
        id: LeaseId,
        ttl: Ttl,
        writes: WriteBatch,
    ) -> Result<Lease, LeaseError> {
        let (incarnation, runs) = self.shared.grant(&Grant::new(id, ttl), writes)?;
        Ok(Lease::granted(id, ttl, incarnation, runs))
    }
}

impl Lease {
    /// As it is when it has just been granted; `runs` says whether its time runs, on the primary.
    pub(super) fn granted(id: LeaseId, ttl: Ttl, incarnation: Incarnation, runs: bool) -> Self {
        let mut lease = Self::new(id, ttl);
        lease.incarnation = incarnation;
        if runs && !planted!("alone-grant-tells-no-time") {
            lease.remaining = Remaining::millis(ttl.as_millis());
        }
        lease
    }
}
