use crate::{Incarnation, LeaseId, Ttl};

/// What a backend stores of a lease: etcd's `leasepb.Lease`, and what fencing needs beside it.
///
/// Attached items are not part of it: the host attaches them again when it replays its keys.
///
/// ```
/// use lease_core::{Incarnation, LeaseId, LeaseRow, Ttl};
///
/// // As a member of a host with a log stores it, after a checkpoint.
/// let row = LeaseRow {
///     remaining: Some(Ttl::new(40)?),
///     incarnation: Incarnation::supplied(17),
///     ..LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?)
/// };
/// # assert!(row.remaining < Some(row.ttl));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaseRow {
    /// The lease's id.
    pub id: LeaseId,
    /// The granted TTL.
    pub ttl: Ttl,
    /// The checkpointed remaining TTL, at most `ttl`; `None` means all of it.
    pub remaining: Option<Ttl>,
    /// The incarnation that a host supplied; `None` where the lessor counts for itself.
    pub incarnation: Option<Incarnation>,
    /// How often a renewal has reset the remaining TTL, see
    /// [`CheckpointFence`](crate::CheckpointFence); zero on most leases.
    pub checkpoint_generation: u32,
}

impl LeaseRow {
    /// The row of a fresh lease with neither a checkpoint nor a supplied incarnation.
    ///
    /// ```
    /// use lease_core::{LeaseId, LeaseRow, Ttl};
    ///
    /// let row = LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// assert_eq!((row.remaining, row.incarnation), (None, None));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn new(id: LeaseId, ttl: Ttl) -> Self {
        Self {
            id,
            ttl,
            remaining: None,
            incarnation: None,
            checkpoint_generation: 0,
        }
    }
}
