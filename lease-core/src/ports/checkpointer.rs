use core::time::Duration;

use crate::{BoxError, Checkpoint};

/// Carries checkpoints through the host's consensus log.
///
/// It is called without any lock of the lessor held: by the driver with due checkpoints, and by a
/// renewal that must reset its lease's remaining TTL first.
///
/// ```
/// # use lease_core::{BackendLessor, BoxError, Checkpoint, Checkpointer, Command, NullBackend};
/// # use std::{sync::Arc, time::Duration};
/// struct Log;
///
/// impl Log {
///     /// Returns when the entry has been applied here.
///     fn propose(&self, command: Command, timeout: Duration) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
///
/// impl Checkpointer for Log {
///     fn checkpoint(&self, records: &[Checkpoint], timeout: Duration) -> Result<(), BoxError> {
///         self.propose(Command::Checkpoint(records.to_vec()), timeout)
///     }
/// }
///
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .checkpointer(Arc::new(Log))
///     .build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
pub trait Checkpointer: Send + Sync {
    /// Proposes the records and returns when they have been applied to this lessor, which is when
    /// the host has called [`Lessor::checkpoint`](crate::Lessor::checkpoint) or
    /// [`BackendLessor::apply`](crate::BackendLessor::apply) with them.
    ///
    /// `timeout` is how long the caller is ready to wait.
    ///
    /// # Errors
    ///
    /// An error leaves open whether the records may still be applied.
    ///
    /// ```
    /// # use lease_core::{BoxError, Checkpoint, Checkpointer, LeaseId, Ttl};
    /// # use std::time::Duration;
    /// // A closure is one too.
    /// let propose = |records: &[Checkpoint], _: Duration| -> Result<(), BoxError> {
    ///     assert_eq!(records.len(), 1);
    ///     Err("there is no leader".into())
    /// };
    /// let records = [Checkpoint::new(LeaseId::try_from(7)?, Some(Ttl::new(60)?))];
    /// assert!(propose.checkpoint(&records, Duration::from_secs(5)).is_err());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn checkpoint(&self, records: &[Checkpoint], timeout: Duration) -> Result<(), BoxError>;
}

impl<F> Checkpointer for F
where
    F: Fn(&[Checkpoint], Duration) -> Result<(), BoxError> + Send + Sync,
{
    fn checkpoint(&self, records: &[Checkpoint], timeout: Duration) -> Result<(), BoxError> {
        self(records, timeout)
    }
}
