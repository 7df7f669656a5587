use lease_core::{LeaseId, LeaseItem, Ttl};
use lease_pb::etcdserverpb::LeaseTimeToLiveResponse;

use crate::ClientError;

/// What the primary says of a lease.
///
/// ```
/// use lease_core::{LeaseId, Ttl};
/// use lease_http::messages::LeaseTimes;
///
/// let times = LeaseTimes {
///     id: LeaseId::try_from(7)?,
///     remaining_secs: 0,
///     granted: Ttl::new(60)?,
///     keys: vec![],
/// };
/// assert!(times.is_expired());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LeaseTimes {
    /// The lease.
    pub id: LeaseId,
    /// The whole seconds left, rounded down. Zero of a lease that has expired and is not revoked
    /// yet; etcd's answer for one is also below zero.
    pub remaining_secs: i64,
    /// The granted TTL.
    pub granted: Ttl,
    /// The attached items, in the order of the answer, if they were asked for.
    pub keys: Vec<LeaseItem>,
}

impl LeaseTimes {
    /// Whether the lease's time is up.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        self.remaining_secs <= 0
    }

    pub(super) fn of(id: LeaseId, answer: LeaseTimeToLiveResponse) -> Result<Self, ClientError> {
        let granted = answer.granted_ttl;
        Ok(Self {
            id,
            remaining_secs: answer.ttl,
            granted: Ttl::new(granted).map_err(|_| ClientError::TtlOutOfRange(granted))?,
            keys: answer.keys.into_iter().map(LeaseItem::new).collect(),
        })
    }
}
