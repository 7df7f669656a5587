use super::LessorCore;
use crate::{LeaseError, LeaseId, LeaseItem};

impl LessorCore {
    /// Attaches items to a lease. An item that belonged to another lease is moved. All or nothing.
    /// O(1) an item.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`] if no lease has the id or its revoke is being written, and
    /// [`LeaseError::TooManyItems`] at the configured limit.
    pub fn attach(&mut self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.table
            .attach(id, items, self.config.max_items_per_lease)
    }

    /// Detaches items from a lease. Items of another lease, or of none, stay as they are. O(1) an
    /// item.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`] as [`attach`](Self::attach).
    pub fn detach(&mut self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.table.detach(id, items)
    }

    /// The lease that an item is attached to. O(1).
    #[must_use]
    pub fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.table.attachments.lease_of(item)
    }
}
