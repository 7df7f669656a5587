use core::time::Duration;

use crate::{BoxError, Checkpoint};

/// Carries checkpoints through the host's consensus log.
///
/// It is called without any lock of the lessor held: by the driver with due checkpoints, and by a
/// renewal that must reset its lease's remaining TTL first.
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
