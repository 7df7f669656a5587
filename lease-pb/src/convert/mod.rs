mod from_wire;
mod to_wire;

use lease_core::LeaseError;

/// Why a message is no value of a core type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The lease id is zero, which stands for "no lease".
    #[error("the lease id is zero")]
    IdZero,
    /// The TTL is below 1 or above [`MAX_LEASE_TTL`](lease_core::MAX_LEASE_TTL) seconds.
    #[error("a TTL of {secs} s is out of range")]
    TtlOutOfRange {
        /// What the message says.
        secs: i64,
        /// What lease-core says.
        source: LeaseError,
    },
    /// The remaining TTL is negative or above [`MAX_LEASE_TTL`](lease_core::MAX_LEASE_TTL) seconds
    /// or the lease's own TTL.
    #[error("a remaining TTL of {secs} s is out of range")]
    RemainingTtlOutOfRange {
        /// What the message says.
        secs: i64,
    },
    /// A stored incarnation is above
    /// [`Incarnation::MAX_SUPPLIED`](lease_core::Incarnation::MAX_SUPPLIED): no host supplied it.
    #[error("the incarnation {number} is out of range")]
    IncarnationOutOfRange {
        /// What the message says.
        number: u64,
    },
    /// Some fields of a fence are there and some are not.
    #[error("the fence is incomplete")]
    FenceIncomplete,
}
