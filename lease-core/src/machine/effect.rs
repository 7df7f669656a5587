use alloc::vec::Vec;

use crate::table::Remainder;
use crate::{Checkpoint, Epoch, Incarnation, LeaseId};

/// What a decision changes, beside what its command says.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The lease of the command is granted. `counted` is the number that the lessor counted for it.
    Grant {
        incarnation: Incarnation,
        counted: Option<u64>,
    },
    /// These leases are revoked.
    Revoke(Vec<LeaseId>),
    /// The items of the command are attached, which takes them from these leases.
    Attach { owners: Vec<LeaseId> },
    /// The items of the command are detached.
    Detach,
    /// These checkpoints are applied.
    Checkpoint(Vec<Remaindered>),
    /// The epoch is raised.
    Epoch(Epoch),
}

/// A checkpoint, and what it leaves of its lease's TTL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remaindered {
    pub(super) checkpoint: Checkpoint,
    pub(super) remainder: Remainder,
}
