use alloc::vec::Vec;

use crate::{Epoch, Incarnation, LeaseId, Ttl};

/// A record that sets the remaining TTL of a lease on every member.
///
/// ```
/// # use lease_core::{BackendLessor, Checkpoint, LeaseId, Lessor, NullBackend, Ttl, WriteBatch};
/// # use std::sync::Arc;
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// # let id = LeaseId::try_from(7)?;
/// lessor.grant(id, 60)?;
/// let checkpoint = Checkpoint::new(id, Some(Ttl::new(20)?));
/// lessor.apply(&checkpoint.into(), WriteBatch::default())?;
/// let left = lessor.lookup(id).and_then(|lease| lease.checkpointed_remaining());
/// assert_eq!(left, checkpoint.remaining);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Checkpoint {
    /// Which lease.
    pub id: LeaseId,
    /// What remains of its TTL; `None` resets it to all of it.
    pub remaining: Option<Ttl>,
    /// What the record was computed from. A record without a fence is applied to whatever lease has
    /// the id, as etcd does it.
    pub fence: Option<CheckpointFence>,
}

impl Checkpoint {
    /// A record without a fence.
    ///
    /// ```
    /// use lease_core::{Checkpoint, LeaseId, Ttl};
    ///
    /// let id = LeaseId::try_from(7)?;
    /// let shortened = Checkpoint::new(id, Some(Ttl::new(20)?));
    /// let reset = Checkpoint::new(id, None);
    /// assert!(shortened.fence.is_none() && reset.fence.is_none());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn new(id: LeaseId, remaining: Option<Ttl>) -> Self {
        Self {
            id,
            remaining,
            fence: None,
        }
    }
}

/// What must still hold when a checkpoint is applied; else it is a no-op on every member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CheckpointFence {
    /// The grant it was computed for.
    pub incarnation: Incarnation,
    /// The promotion that computed it: a newer epoch voids it.
    pub epoch: Epoch,
    /// How many resets the lease had seen: a renewal that reset the lease voids every checkpoint
    /// that was computed before it, however late that one is applied.
    pub generation: u32,
}

/// Due checkpoints to propose, from
/// [`LessorCore::poll_checkpoints`](crate::LessorCore::poll_checkpoints).
///
/// ```
/// # use lease_core::{CheckpointBatch, Command, LessorCore, ProposalOutcome, Timestamp};
/// # use lease_core::WriteBatch;
/// /// Of a host without a log.
/// fn carry_out(lessor: &mut LessorCore, now: Timestamp, batch: &CheckpointBatch) {
///     let command = Command::Checkpoint(batch.records.clone());
///     lessor.execute(now, &command, &mut WriteBatch::default());
///     lessor.handle_checkpoints(now, batch, ProposalOutcome::Applied);
/// }
/// # let mut lessor = LessorCore::new(lease_core::LessorConfig::default());
/// # if let Some(batch) = lessor.poll_checkpoints(Timestamp::ZERO) {
/// #     carry_out(&mut lessor, Timestamp::ZERO, &batch);
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CheckpointBatch {
    /// Names this batch when its outcome is reported.
    pub number: u64,
    /// At least one record, in the order in which they became due.
    pub records: Vec<Checkpoint>,
}
