use alloc::vec::Vec;
use core::time::Duration;

use crate::{Epoch, Incarnation, LeaseId};

/// Leases whose time is up, for the host to revoke.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpiredBatch {
    /// Counts the batches of a promotion, from 0.
    pub number: u64,
    /// The promotion that handed it out: in a newer epoch the whole batch is worthless.
    pub epoch: Epoch,
    /// At least one lease, by time of expiry and id.
    pub leases: Vec<ExpiredLease>,
}

impl ExpiredBatch {
    /// The fenced revocations of the leases, to be proposed or applied.
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
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Revocation {
    /// Which lease.
    pub id: LeaseId,
    /// Present when expiry ordered it; a user's revoke has none.
    pub fence: Option<ExpiryFence>,
}

impl Revocation {
    /// A user's revoke: it hits whatever lease has the id.
    #[must_use]
    pub const fn by_user(id: LeaseId) -> Self {
        Self { id, fence: None }
    }
}

/// What must still hold when an expiry-revoke is applied; else it is a no-op on every member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExpiryFence {
    /// The grant that expired.
    pub incarnation: Incarnation,
    /// The promotion that saw it expire.
    pub epoch: Epoch,
}

/// What became of an order to revoke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Revoked {
    /// The lease and its items are gone.
    Done,
    /// The expiry-revoke names another incarnation or an older epoch: nothing was changed.
    Stale,
}
