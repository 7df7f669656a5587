use alloc::vec::Vec;

use crate::{BackendError, Epoch, LeaseRow, Table, WriteBatch};

/// Where lease rows live: one atomic write and three reads.
///
/// The lessor calls [`commit`](Self::commit) from one thread at a time and never under its own
/// lock. Adapters for memory and for redb are in `lease-backend`, with a conformance suite that
/// checks any other in one line.
pub trait Backend: Send + Sync {
    /// Applies the whole batch, durably, or nothing of it.
    ///
    /// Lease writes and host writes are in tables of their own, so that only the order within each
    /// of the two lists matters.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from it. After an error nothing of the batch is visible, and a later
    /// commit may succeed.
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError>;

    /// Calls `visit` with every lease row by ascending id and returns the stored epoch,
    /// [`Epoch::ZERO`] if there is none.
    ///
    /// # Errors
    ///
    /// [`BackendError::Damaged`] if a row does not decode, and the errors of reading.
    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError>;

    /// The committed value of a row of the host's.
    ///
    /// # Errors
    ///
    /// The errors of reading. An absent table or row is `None`.
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError>;

    /// Calls `visit` with every committed row of a host's table by ascending key.
    ///
    /// # Errors
    ///
    /// The errors of reading. An absent table has no rows.
    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError>;
}
