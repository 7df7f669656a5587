use alloc::vec::Vec;

use super::LessorCore;
use super::effect::Effect;
use crate::{Answer, LeaseError, LeaseId, LeaseItem};

impl LessorCore {
    pub(super) fn decide_attach(&self, id: LeaseId, items: &[LeaseItem]) -> (Answer, Effect) {
        let limit = self.config.max_items_per_lease;
        match self.table.check_attach(id, items, limit) {
            Err(refusal) => (Answer::Attached(Err(refusal)), Effect::None),
            Ok(()) => {
                let mut owners: Vec<_> = self.owners(id, items).collect();
                owners.sort_unstable();
                owners.dedup();
                (Answer::Attached(Ok(())), Effect::Attach { owners })
            }
        }
    }

    /// Decides and applies at once; for few items.
    #[cfg(feature = "std")]
    pub(crate) fn attach(&mut self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        let limit = self.config.max_items_per_lease;
        self.table.check_attach(id, items, limit)?;
        self.table.attach(id, items);
        Ok(())
    }

    /// Decides and applies at once; for few items.
    #[cfg(feature = "std")]
    pub(crate) fn detach(&mut self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        let record = self.table.records.get(id);
        record.ok_or(LeaseError::LeaseNotFound)?;
        self.table.detach(id, items);
        Ok(())
    }

    pub(super) fn apply_attach(&mut self, id: LeaseId, items: &[LeaseItem]) {
        self.table.attach(id, items);
    }

    pub(super) fn decide_detach(&self, id: LeaseId) -> (Answer, Effect) {
        if self.table.records.get(id).is_some() {
            (Answer::Detached(Ok(())), Effect::Detach)
        } else {
            let refusal = LeaseError::LeaseNotFound;
            (Answer::Detached(Err(refusal)), Effect::None)
        }
    }

    pub(super) fn apply_detach(&mut self, id: LeaseId, items: &[LeaseItem]) {
        self.table.detach(id, items);
    }

    /// The lease that an item is attached to. O(1).
    ///
    /// ```
    /// # use lease_core::{Command, Grant, LeaseId, LeaseItem, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(60)?).into(), &mut rows);
    /// let items = vec![LeaseItem::from("services/web/1")];
    /// lessor.execute(Timestamp::ZERO, &Command::Attach { id, items }, &mut rows);
    /// assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
    /// assert_eq!(lessor.get_lease(b"services/web/2"), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.table.attachments.lease_of(item)
    }
}
