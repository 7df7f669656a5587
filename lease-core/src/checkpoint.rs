use alloc::vec::Vec;

use crate::{Epoch, Incarnation, LeaseId, Ttl};

/// A record that sets the remaining TTL of a lease on every member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointBatch {
    /// Names this batch when its outcome is reported.
    pub number: u64,
    /// At least one record, in the order in which they became due.
    pub records: Vec<Checkpoint>,
}
