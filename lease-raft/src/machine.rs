use std::sync::Arc;

use lease_core::{Backend, BackendError, Command, LeaseId, RangeDeleter, WriteBatch};

/// A host's own state, which its commands change in the log beside the leases.
///
/// Every member applies the same commands in the same order and must come to the same: a machine reads
/// no clock, no randomness and nothing of its member alone.
pub trait StateMachine: Send + Sync + 'static {
    /// The state is what is stored, now and after each snapshot that is installed.
    ///
    /// # Errors
    ///
    /// If the rows cannot be read: the member does not start.
    fn recover(&self, backend: &dyn Backend) -> Result<(), BackendError>;

    /// Decides what a command comes to that a host has
    /// [proposed](crate::ReplicatedLessor::propose), and changes nothing. It is asked again if that
    /// cannot be written.
    fn decide(&self, index: u64, command: &[u8], leases: &dyn Leases) -> Decided;

    /// What was decided is written, in one transaction with the index of the entry: it happens now.
    fn apply(&self, index: u64, command: &[u8], answer: &[u8]);

    /// What deletes the items of a lease that is revoked, in the same transaction. `None` if they are
    /// no keys of the machine's.
    fn range_deleter(&self) -> Option<Arc<dyn RangeDeleter>> {
        None
    }
}

/// What a host's command comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decided {
    /// What the one who has proposed it is told.
    pub answer: Vec<u8>,
    /// The rows of the machine that change, in tables of its own. Rows of the lessor's, or of a table whose name
    /// is `lease_raft` or begins with `lease_raft_`, are this crate's: a decision that has one comes to nothing on
    /// every member, [`apply`](StateMachine::apply) is not called, and whoever has proposed the command is told
    /// [`LeaseError::ReservedRows`](lease_core::LeaseError::ReservedRows).
    pub writes: WriteBatch,
    /// What happens to leases and their items; an attach, mostly. The machine has seen in
    /// [`Leases`] that it will not be refused: if it is, the rows are written all the same.
    pub command: Option<Command>,
}

/// What a machine sees of the leases: the replicated part, equal on every member.
pub trait Leases {
    /// Whether there is this lease. O(1).
    fn contains(&self, id: LeaseId) -> bool;

    /// Which lease an item is attached to. O(1).
    fn get_lease(&self, item: &[u8]) -> Option<LeaseId>;
}

/// The machine of a host that has no state beside the leases.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NoMachine;

impl StateMachine for NoMachine {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        Ok(())
    }

    fn decide(&self, _: u64, _: &[u8], _: &dyn Leases) -> Decided {
        Decided::default()
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}
}
