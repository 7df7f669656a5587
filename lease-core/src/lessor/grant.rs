use super::BackendLessor;
#[cfg(doc)]
use crate::Lessor;
use crate::lease::Remaining;
use crate::{Grant, Lease, LeaseError, LeaseId, RequestedTtl, Ttl, WriteBatch};

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
    /// Those of [`grant`](Self::grant); then nothing is written.
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

    fn grant_admitted(
        &self,
        id: LeaseId,
        ttl: Ttl,
        writes: WriteBatch,
    ) -> Result<Lease, LeaseError> {
        let (incarnation, runs) = self.shared.grant(&Grant::new(id, ttl), writes)?;
        let mut lease = Lease::new(id, ttl);
        lease.incarnation = incarnation;
        if runs {
            lease.remaining = Remaining::millis(ttl.as_millis());
        }
        Ok(lease)
    }
}
