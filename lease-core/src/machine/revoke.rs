use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use super::ticket::{Ticket, TicketOutcome};
use crate::probe::{planted, sometimes};
use crate::table::record::Phase;
use crate::{LeaseError, LeaseId, LeaseItem, Revocation, Revoked, WriteBatch};

/// How far the first half of a revoke came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Revoking {
    /// The lease takes no other command until the revoke is finished or cancelled.
    Begun,
    /// The fence does not match: there is nothing to do.
    Stale,
    /// Another revoke of the lease is being written: wait for its outcome and ask again.
    Busy(Ticket),
}

impl LessorCore {
    /// Revokes a lease, detaches its items and puts the deletion of its row into `rows`.
    ///
    /// To delete the items themselves, ask for [`items`](Self::items) before. O(items).
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseNotFound`] if no lease has the id. An expiry-revoke whose fence does not
    /// match is no error but [`Revoked::Stale`].
    pub fn revoke(
        &mut self,
        now: Timestamp,
        revocation: &Revocation,
        rows: &mut WriteBatch,
    ) -> Result<Revoked, LeaseError> {
        self.read_clock(now);
        let record = self.table.settled(revocation.id)?;
        if !self.table.admits(record, revocation.fence) {
            self.stats.stale_revokes += 1;
            return Ok(Revoked::Stale);
        }
        rows.delete_lease(revocation.id);
        self.remove(revocation.id);
        Ok(Revoked::Done)
    }

    /// The first half of a revoke whose deletes are written before the lease goes. Puts the
    /// deletion of its row into `rows`. After [`Revoking::Begun`],
    /// [`finish_revoke`](Self::finish_revoke) or [`cancel_revoke`](Self::cancel_revoke) must
    /// follow.
    ///
    /// # Errors
    ///
    /// Those of [`revoke`](Self::revoke).
    pub fn begin_revoke(
        &mut self,
        revocation: &Revocation,
        rows: &mut WriteBatch,
    ) -> Result<Revoking, LeaseError> {
        let id = revocation.id;
        let record = self.table.visible(id).ok_or(LeaseError::LeaseNotFound)?;
        if !self.table.admits(record, revocation.fence) {
            self.stats.stale_revokes += 1;
            sometimes!("core: an expiry is stale");
            return Ok(Revoking::Stale);
        }
        if record.phase() == Phase::Revoking {
            return Ok(Revoking::Busy(self.tickets.issue(id)));
        }
        if let Some(record) = self.table.records.get_mut(id) {
            record.set_phase(Phase::Revoking);
            if let Some(primary) = &mut self.primary
                && primary.has_scheduled(record)
                && primary.forget_postponed(record)
            {
                record.set_marks(record.marks().on_time());
                primary.relink(record);
            }
        }
        if !planted!("row-of-a-revoked-lease-stays") || self.has_items(id) {
            rows.delete_lease(id);
        }
        Ok(Revoking::Begun)
    }

    /// The deletes of a begun revoke are written: the lease is gone.
    pub fn finish_revoke(&mut self, id: LeaseId) {
        if self.is_revoking(id) {
            self.remove(id);
        }
    }

    /// The deletes of a begun revoke could not be written: the lease is as it was.
    pub fn cancel_revoke(&mut self, id: LeaseId) {
        if !self.is_revoking(id) {
            return;
        }
        sometimes!("core: a revoke is cancelled");
        if let Some(record) = self.table.records.get_mut(id) {
            record.set_phase(Phase::Active);
            if let Some(primary) = &mut self.primary
                && primary.has_scheduled(record)
            {
                if primary.attempts.contains(record) {
                    record.set_phase(Phase::Expiring);
                }
                if record.place().is_none() {
                    primary.reschedule(&mut self.table.records, id);
                }
            }
        }
        self.tickets.resolve(id, TicketOutcome::Retry);
    }

    /// The items of a lease, sorted: the order in which every member deletes them. Empty if no
    /// lease has the id. O(k log k).
    #[must_use]
    pub fn items(&self, id: LeaseId) -> Vec<LeaseItem> {
        self.table.attachments.items(id)
    }

    /// Whether the lease has any items. O(1).
    #[must_use]
    pub fn has_items(&self, id: LeaseId) -> bool {
        self.table.attachments.count(id) > 0
    }

    /// Waits for what becomes of a lease that expires or is being revoked; `None` if no lease has
    /// the id. The outcome comes from [`poll_ticket`](Self::poll_ticket), also after a demotion.
    pub fn wait_for(&mut self, id: LeaseId) -> Option<Ticket> {
        self.table.visible(id)?;
        Some(self.tickets.issue(id))
    }

    /// Whether a revoke of the lease has begun.
    pub(crate) fn is_revoking(&self, id: LeaseId) -> bool {
        let record = self.table.records.get(id);
        record.is_some_and(|record| record.phase() == Phase::Revoking)
    }

    fn remove(&mut self, id: LeaseId) {
        if let Some(removed) = self.table.remove(id) {
            if let Some(primary) = &mut self.primary
                && !planted!("dead-entries-stay")
            {
                primary.forget(&mut self.table.records, &removed);
            }
            self.stats.revoked += 1;
            self.tickets.resolve(id, TicketOutcome::Revoked);
        }
    }
}
