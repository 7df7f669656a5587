use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::{Grant, LessorCore};
use crate::{Checkpoint, Epoch, Incarnation, LeaseError, Revocation, Revoked, WriteBatch};

/// A change of the replicated state: what a host's log carries.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Grant a lease.
    Grant(Grant),
    /// Revoke leases, each on its own: one that is unknown or stale does not stop the others.
    Revoke(Vec<Revocation>),
    /// Apply checkpoints, each on its own.
    Checkpoint(Vec<Checkpoint>),
    /// Begin an epoch.
    BeginEpoch(Epoch),
}

/// What applying a [`Command`] came to: equal on every member.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The grant.
    Granted(Result<Incarnation, LeaseError>),
    /// One for each revocation.
    Revoked(Vec<Result<Revoked, LeaseError>>),
    /// For each checkpoint whether it meant anything.
    Checkpointed(Vec<bool>),
    /// The epoch after the command.
    Epoch(Epoch),
}

impl LessorCore {
    /// Applies a replicated command and puts the changed rows into `rows`.
    ///
    /// On members that have applied the same commands before, the answer and the rows are the same:
    /// neither the time nor the role matters.
    pub fn apply(&mut self, now: Timestamp, command: &Command, rows: &mut WriteBatch) -> Answer {
        match command {
            Command::Grant(grant) => Answer::Granted(self.grant(now, grant, rows)),
            Command::Revoke(revocations) => Answer::Revoked(
                revocations
                    .iter()
                    .map(|revocation| self.revoke(now, revocation, rows))
                    .collect(),
            ),
            Command::Checkpoint(checkpoints) => Answer::Checkpointed(
                checkpoints
                    .iter()
                    .map(|checkpoint| self.checkpoint(now, checkpoint, rows))
                    .collect(),
            ),
            Command::BeginEpoch(epoch) => {
                self.begin_epoch(*epoch, rows);
                Answer::Epoch(self.epoch())
            }
        }
    }
}
