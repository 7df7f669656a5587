use alloc::vec::Vec;
use core::time::Duration;

use crate::{Epoch, Incarnation, LeaseId};

/// Leases whose time is up, for the host to revoke.
///
/// ```
/// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
/// # use std::{sync::Arc, time::Duration};
/// # let clock = Arc::new(ManualClock::default());
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
/// # let lessor = lessor.driver(Driver::Manual).build()?;
/// # lessor.promote(Duration::ZERO)?;
/// lessor.grant(LeaseId::try_from(7)?, 10)?;
/// # clock.advance(Duration::from_secs(11));
/// # lessor.tick();
/// // 11 seconds later:
/// let batch = lessor.expired_leases().try_recv().expect("a lease is due");
/// let expired = &batch.leases[0];
/// assert_eq!((expired.id.get(), expired.attempt), (7, 0));
/// assert_eq!(expired.lag, Duration::from_secs(1));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ExpiredBatch {
    /// Counts the batches of a promotion, from 0.
    pub number: u64,
    /// The promotion that handed it out: in a newer epoch the whole batch is worthless.
    pub epoch: Epoch,
    /// At least one lease, by time of expiry and id.
    pub leases: Vec<ExpiredLease>,
}

impl ExpiredBatch {
    /// The fenced revocations of the leases, in their order, to be proposed or applied.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Command, Driver, LeaseId, Lessor, ManualClock};
    /// # use lease_core::NullBackend;
    /// # use lease_core::WriteBatch;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// # lessor.tick();
    /// let batch = lessor.expired_leases().try_recv().expect("a lease is due");
    /// let revoke = Command::Revoke(batch.revocations().collect());
    /// // Through the host's log, and then on every member:
    /// lessor.apply(&revoke, WriteBatch::default())?;
    /// assert!(lessor.leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn revocations(&self) -> impl ExactSizeIterator<Item = Revocation> + '_ {
        self.leases.iter().map(|lease| Revocation {
            id: lease.id,
            fence: Some(ExpiryFence {
                incarnation: lease.incarnation,
                epoch: self.epoch,
            }),
        })
    }
}

/// One expired lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ExpiredLease {
    /// The lease's id.
    pub id: LeaseId,
    /// The grant that expired.
    pub incarnation: Incarnation,
    /// How often this promotion has handed the lease out before, from 0.
    pub attempt: u32,
    /// How long after its expiry the lease was delivered, in whole milliseconds; of a later
    /// attempt how long after that was due. The revoke rate and a host that makes no room in time
    /// make it long.
    pub lag: Duration,
}

/// An order to revoke a lease.
///
/// ```
/// # use lease_core::{BackendLessor, Epoch, ExpiryFence, LeaseId, Lessor, NullBackend};
/// # use lease_core::{Answer, Revocation, Revoked, WriteBatch};
/// # use std::sync::Arc;
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// # let id = LeaseId::try_from(7)?;
/// let incarnation = lessor.grant(id, 60)?.incarnation();
/// let late = Revocation { id, fence: Some(ExpiryFence { incarnation, epoch: Epoch::new(1) }) };
/// lessor.revoke(id)?;
/// lessor.grant(id, 60)?;
/// let answer = lessor.apply(&late.into(), WriteBatch::default())?;
/// assert_eq!(answer, Answer::Revoked(vec![Ok(Revoked::Stale)]), "it is another grant");
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Revocation {
    /// Which lease.
    pub id: LeaseId,
    /// Present when expiry ordered it; a user's revoke has none.
    pub fence: Option<ExpiryFence>,
}

impl Revocation {
    /// A user's revoke: it hits whatever lease has the id.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Revocation, WriteBatch};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.apply(&Revocation::by_user(id).into(), WriteBatch::default())?;
    /// assert_eq!(lessor.lookup(id), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn by_user(id: LeaseId) -> Self {
        Self { id, fence: None }
    }
}

/// What must still hold when an expiry-revoke is applied; else it is a no-op on every member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExpiryFence {
    /// The grant that expired.
    pub incarnation: Incarnation,
    /// The promotion that saw it expire.
    pub epoch: Epoch,
}

/// What became of an order to revoke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Revoked {
    /// The lease and its items are gone.
    Done,
    /// The expiry-revoke names another incarnation or an older epoch: nothing was changed.
    Stale,
}
