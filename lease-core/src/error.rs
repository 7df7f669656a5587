use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

/// Any error of a host's code.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a lessor refused or failed.
///
/// Where etcd has the same error, the text is etcd's.
///
/// ```
/// use lease_core::LeaseError;
///
/// /// The status of an answer over HTTP.
/// fn status(error: &LeaseError) -> u16 {
///     match error {
///         LeaseError::LeaseNotFound => 404,
///         LeaseError::LeaseExists => 409,
///         LeaseError::NotPrimary => 421, // ask the leader
///         LeaseError::LeaseTtlTooLarge => 400,
///         _ => 503,
///     }
/// }
/// assert_eq!(status(&LeaseError::LeaseNotFound), 404);
/// assert_eq!(LeaseError::LeaseNotFound.to_string(), "lease not found");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LeaseError {
    /// Only the primary lessor renews; this one is not, or not any more.
    #[error("not a primary lessor")]
    NotPrimary,
    /// No lease has this id.
    #[error("lease not found")]
    LeaseNotFound,
    /// A number or a text that was taken for a lease's id is none.
    #[error(transparent)]
    InvalidLeaseId(#[from] LeaseIdError),
    /// The id is in use.
    #[error("lease already exists")]
    LeaseExists,
    /// The TTL is above [`MAX_LEASE_TTL`](crate::MAX_LEASE_TTL).
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
    /// The TTL is below one second where no minimum raises it.
    #[error("too small lease TTL")]
    LeaseTtlTooSmall,
    /// A checkpoint's remaining TTL is negative or above
    /// [`MAX_LEASE_TTL`](crate::MAX_LEASE_TTL); one above the lease's own is lowered to that.
    #[error("remaining TTL out of range")]
    RemainingTtlOutOfRange,
    /// An incarnation supplied by the host is above
    /// [`Incarnation::MAX_SUPPLIED`](crate::Incarnation::MAX_SUPPLIED).
    #[error("lease incarnation out of range")]
    IncarnationOutOfRange,
    /// The epoch is above [`Epoch::MAX`](crate::Epoch::MAX).
    #[error("epoch out of range")]
    EpochOutOfRange,
    /// The configured number of leases exists.
    #[error("too many leases")]
    TooManyLeases,
    /// The lease would have more items than configured.
    #[error("too many lease items")]
    TooManyItems,
    /// An item is longer than [`LeaseItem::MAX_LEN`](crate::LeaseItem::MAX_LEN).
    #[error("lease item too long")]
    ItemTooLong,
    /// A renewal has waited to its deadline: for the revoke of its expired lease, or until the lease's
    /// checkpoint was taken back.
    #[error("deadline exceeded while waiting for the end or the checkpoint of the lease")]
    DeadlineExceeded,
    /// The lessor was stopped.
    #[error("lessor stopped")]
    Stopped,
    /// Code of the host's that a command has called, such as a range deleter or a backend, has called
    /// the lessor for something that may have to wait for that command.
    #[error("called from inside a command of the same lessor that this call may have to wait for")]
    Reentrant,
    /// The host's clock failed; nothing was changed.
    #[error("clock failed")]
    Clock(#[source] HostError),
    /// Writes of the host's hold rows that are the lessor's own: a lease's row, an epoch, or, where items
    /// are [stored](crate::ItemMode::Stored), one of the table `lease_items`. Nothing was changed.
    #[error("the host's writes hold rows that are the lessor's own")]
    ReservedRows,
    /// The system could not start a thread of the lessor's.
    #[error("a thread could not be started")]
    Spawn(#[source] HostError),
    /// Something has panicked in a thread of the lessor's, such as an error of the host's that was
    /// dropped there. The thread goes on; only an observer is told.
    #[error("a thread of the lessor panicked")]
    Panicked(#[source] HostError),
    /// The backend failed; the command had no effect.
    #[error("lease backend failed")]
    Backend(#[source] BackendError),
    /// The host's range deleter failed; the lease was not revoked.
    #[error("range deleter failed")]
    RangeDeleter(#[source] HostError),
    /// The host's checkpointer failed; the lease was not renewed.
    #[error("checkpointer failed")]
    Checkpointer(#[source] HostError),
}

/// Why a number or a text is not the id of a lease.
///
/// It is a [`LeaseError`] by `?`. Where an answer is to be etcd's, an id of zero is answered as an
/// unknown one: "lease not found".
///
/// ```
/// use lease_core::{LeaseError, LeaseId, LeaseIdError, Ttl};
///
/// fn parse(id: &str) -> Result<LeaseId, LeaseError> {
///     Ok(id.parse::<LeaseId>()?)
/// }
/// let zero = parse("0").expect_err("no lease has it");
/// assert_eq!(zero, LeaseError::InvalidLeaseId(LeaseIdError::Zero));
/// assert_eq!(zero.to_string(), "lease id 0 stands for no lease");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LeaseIdError {
    /// It is [`NO_LEASE`](crate::NO_LEASE).
    #[error("lease id 0 stands for no lease")]
    Zero,
    /// The text has no digits.
    #[error("lease id without digits")]
    Empty,
    /// The text has something that is no hexadecimal digit, such as the `x` of a prefix.
    #[error("lease id not in hexadecimal digits without a prefix")]
    NotHexadecimal,
    /// The number has more than 64 bits; often it is a decimal one.
    #[error("lease id above 16 hexadecimal digits; is it a decimal number?")]
    OutOfRange,
}

/// Why a backend failed.
///
/// ```
/// use lease_core::{BackendError, HostError};
/// use std::{error::Error, io};
///
/// let full = BackendError::Io(HostError::new(io::Error::from(io::ErrorKind::StorageFull)));
/// assert_eq!(full.to_string(), "input or output failed");
/// assert!(full.source().is_some(), "why");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BackendError {
    /// Another process holds the store.
    #[error("the store is locked by another process: {0}")]
    Locked(String),
    /// The store or a row in it does not decode.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store is none of this backend, is of a newer format, or belongs to somebody else.
    #[error("the store does not fit: {0}")]
    Foreign(String),
    /// Reading or writing failed.
    #[error("input or output failed")]
    Io(#[source] HostError),
    /// The backend failed before and must be opened again.
    #[error("the store must be opened again after an earlier failure: {0}")]
    Poisoned(String),
}

/// A shared error of code that the lessor called: a host's callback or a storage engine.
///
/// Two of them are equal when they are the same error, not when they read the same. In the formats of serde
/// it is its text and those of its sources; what is read back is that text, and equal to no other.
///
/// ```
/// use lease_core::HostError;
///
/// let error = HostError::new("there is no leader");
/// assert_eq!(error.clone(), error);
/// assert_ne!(HostError::new("there is no leader"), error, "another one with the same text");
/// ```
#[derive(Clone)]
pub struct HostError(Arc<dyn Error + Send + Sync>);

impl HostError {
    /// Wraps any error.
    ///
    /// ```
    /// use lease_core::HostError;
    ///
    /// let failed = std::io::Error::other("the disk is gone");
    /// assert_eq!(HostError::new(failed).to_string(), "the disk is gone");
    /// assert_eq!(HostError::new("there is no leader").to_string(), "there is no leader");
    /// ```
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into().into())
    }

    /// The wrapped error.
    ///
    /// ```
    /// use lease_core::HostError;
    /// use std::io;
    ///
    /// let error = HostError::new(io::Error::from(io::ErrorKind::StorageFull));
    /// let error = error.get_ref().downcast_ref::<io::Error>();
    /// assert_eq!(error.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl PartialEq for HostError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HostError {}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for HostError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_error_is_the_hosts_own() {
        let own = BackendError::Locked("by another".into());
        let error = HostError::new(LeaseError::Backend(own.clone()));
        let source = error.source().expect("that of the host's error");
        assert_eq!(source.downcast_ref(), Some(&own));
        let inside = error.get_ref().downcast_ref::<LeaseError>();
        assert_eq!(inside, Some(&LeaseError::Backend(own)));
        assert!(error == error.clone(), "it is the same one");
        assert!(error != HostError::new("another"));
    }
}
