use core::fmt;

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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

/// A stored row as no lessor of this crate writes one, and so not all of which can be taken as it is.
///
/// etcd writes some of them, and reads all: a lease is worth more than a field, and the other leases of
/// a store more than one row.
///
/// ```
/// use lease_core::{RowFault, StrangeRow};
///
/// let strange = StrangeRow { key: 7, fault: RowFault::RemainingTooLong { secs: 90, ttl_secs: 60 } };
/// assert!(!strange.fault.is_skipped());
/// let text = "lease row 0000000000000007: what remains, 90 s, is above the TTL: 60 s";
/// assert_eq!(strange.to_string(), text);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StrangeRow {
    /// The id that the row is stored under; 0 is no lease's.
    pub key: i64,
    /// What is strange.
    pub fault: RowFault,
}

/// What is strange about a [`StrangeRow`], and what is made of it.
///
/// ```
/// use lease_core::RowFault;
///
/// assert!(RowFault::NoLease.is_skipped());
/// assert!(!RowFault::RemainingNegative { secs: -1 }.is_skipped());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RowFault {
    /// The TTL is below a second, and taken as one.
    TtlTooShort {
        /// What is stored.
        secs: i64,
    },
    /// The TTL is above the longest, and taken as that.
    TtlTooLong {
        /// What is stored.
        secs: i64,
    },
    /// What remains is below zero, and taken as the whole TTL, as in etcd.
    RemainingNegative {
        /// What is stored.
        secs: i64,
    },
    /// What remains is above the TTL, and brought down to it.
    RemainingTooLong {
        /// What is stored.
        secs: i64,
        /// The TTL.
        ttl_secs: i64,
    },
    /// The row is of id 0, which is no lease. It is skipped, and stays in the store.
    NoLease,
    /// The value is of another lease than the key. It is skipped, and stays in the store: a revoke of
    /// either lease would leave it there to come back.
    OtherId {
        /// The id in the value.
        id: i64,
    },
}

impl RowFault {
    /// Whether there is no lease of the row, instead of one with another value in a field.
    #[must_use]
    pub const fn is_skipped(self) -> bool {
        matches!(self, Self::NoLease | Self::OtherId { .. })
    }
}

impl fmt::Display for StrangeRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease row {:016x}: {}", self.key, self.fault)
    }
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TtlTooShort { secs } => write!(f, "a TTL of {secs} s is taken as 1 s"),
            Self::TtlTooLong { secs } => {
                write!(f, "a TTL of {secs} s is taken as {} s", Ttl::MAX.get())
            }
            Self::RemainingNegative { secs } => {
                write!(f, "what remains, {secs} s, is taken as all")
            }
            Self::RemainingTooLong { secs, ttl_secs } => {
                write!(f, "what remains, {secs} s, is above the TTL: {ttl_secs} s")
            }
            Self::NoLease => f.write_str("there is no lease 0, skipped"),
            Self::OtherId { id } => write!(f, "its value is of lease {id:016x}, skipped"),
        }
    }
}
