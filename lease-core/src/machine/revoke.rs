use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use super::effect::Effect;
use super::ticket::{Ticket, TicketOutcome};
use crate::probe::{planted, sometimes};
use crate::table::attachments::ITEMS_PER_STEP;
use crate::table::record::Record;
use crate::{Answer, LeaseError, LeaseId, LeaseItem, Revocation, Revoked, WriteBatch};

/// What it costs to remove a lease without items, in items to be detached.
const LEASE_COST: usize = 4;

impl LessorCore {
    pub(super) fn decide_revoke(
        &self,
        revocations: &[Revocation],
        rows: &mut WriteBatch,
    ) -> (Answer, Effect) {
        let mut answers = Vec::with_capacity(revocations.len());
        let mut ids = Vec::with_capacity(revocations.len());
        // Of two revocations of one lease the first takes it away.
        let mut revoked = BTreeSet::new();
        for revocation in revocations {
            let id = revocation.id;
            let answer = if revoked.contains(&id) {
                Err(LeaseError::LeaseNotFound)
            } else {
                self.decide_revocation(revocation)
            };
            if answer == Ok(Revoked::Done) {
                self.delete_row(id, rows);
                ids.push(id);
                if revocations.len() > 1 {
                    revoked.insert(id);
                }
            }
            answers.push(answer);
        }
        (Answer::Revoked(answers), Effect::Revoke(ids))
    }

    /// Decides and applies at once; for a lease with few items.
    #[cfg(feature = "std")]
    pub(crate) fn revoke(
        &mut self,
        now: Timestamp,
        revocation: &Revocation,
        rows: &mut WriteBatch,
    ) -> Result<Revoked, LeaseError> {
        let answer = self.decide_revocation(revocation)?;
        match answer {
            Revoked::Done => {
                self.delete_row(revocation.id, rows);
                self.apply_revoke(now, &[revocation.id]);
            }
            Revoked::Stale => self.stats.stale_revokes += 1,
        }
        Ok(answer)
    }

    /// Applies the first of these revokes, as many as are some 100 µs of work, and one at least.
    /// Returns how many.
    pub(super) fn apply_some_revokes(&mut self, now: Timestamp, ids: &[LeaseId]) -> usize {
        let mut cost = 0;
        let mut done = 0;
        for id in ids {
            cost += self.cost_of_removal(*id);
            if done > 0 && cost > ITEMS_PER_STEP {
                break;
            }
            self.apply_revoke(now, &[*id]);
            done += 1;
        }
        done
    }

    /// What it costs to remove a lease, in items to be detached. Those beyond one step are swept later.
    fn cost_of_removal(&self, id: LeaseId) -> usize {
        let items = if self.has_items(id) {
            self.table.attachments.count(id).min(ITEMS_PER_STEP)
        } else {
            0
        };
        LEASE_COST + items
    }

    /// Whether it is a small piece of work to revoke these leases.
    #[cfg(feature = "std")]
    pub(crate) fn is_small_revoke(&self, revocations: &[Revocation]) -> bool {
        let costs = revocations.iter().map(|one| self.cost_of_removal(one.id));
        let has_many = |one: &Revocation| self.has_many_items(one.id);
        costs.sum::<usize>() <= ITEMS_PER_STEP + LEASE_COST && !revocations.iter().any(has_many)
    }

    /// Removes the leases and detaches their items; answers those who wait for them.
    pub(super) fn apply_revoke(&mut self, now: Timestamp, ids: &[LeaseId]) {
        self.read_clock(now);
        for id in ids {
            let Some(removed) = self.table.remove(*id) else {
                continue;
            };
            if let Some(primary) = &mut self.primary
                && !planted!("dead-entries-stay")
            {
                primary.forget(&mut self.table.records, &removed);
            }
            self.stats.revoked += 1;
            self.tickets.resolve(*id, TicketOutcome::Revoked);
        }
    }

    fn decide_revocation(&self, revocation: &Revocation) -> Result<Revoked, LeaseError> {
        let record = self.table.records.get(revocation.id);
        let record = record.ok_or(LeaseError::LeaseNotFound)?;
        if self.table.admits(record, revocation.fence) {
            Ok(Revoked::Done)
        } else {
            sometimes!("core: an expiry is stale");
            Ok(Revoked::Stale)
        }
    }

    fn delete_row(&self, id: LeaseId, rows: &mut WriteBatch) {
        rows.delete_lease(id);
    }

    /// The items of a lease, sorted: the order in which every member deletes them. Empty if no
    /// lease has the id. O(k log k).
    ///
    /// ```
    /// # use lease_core::{Command, Grant, LeaseId, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(60)?).into(), &mut rows);
    /// let items = vec!["b".into(), "a".into()];
    /// lessor.execute(Timestamp::ZERO, &Command::Attach { id, items }, &mut rows);
    /// assert_eq!(lessor.items(id), ["a".into(), "b".into()]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn items(&self, id: LeaseId) -> Vec<LeaseItem> {
        self.table.attachments.items(id)
    }

    /// Whether the lease has any items. O(1).
    ///
    /// ```
    /// # use lease_core::{Command, Grant, LeaseId, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(60)?).into(), &mut rows);
    /// assert!(!lessor.has_items(id));
    /// let items = vec!["a".into()];
    /// lessor.execute(Timestamp::ZERO, &Command::Attach { id, items }, &mut rows);
    /// assert!(lessor.has_items(id));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn has_items(&self, id: LeaseId) -> bool {
        let record = self.table.records.get(id);
        record.is_some_and(Record::has_items)
    }

    /// Whether the lease has more items than are detached in one step. O(1).
    #[cfg(feature = "std")]
    pub(crate) fn has_many_items(&self, id: LeaseId) -> bool {
        self.has_items(id) && self.table.attachments.count(id) > ITEMS_PER_STEP
    }

    /// Waits for the end of a lease; `None` if no lease has the id or this lessor is not the primary.
    /// The outcome comes from [`poll_ticket`](Self::poll_ticket). O(log n) of the waits.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Renewal, Timestamp};
    /// # use lease_core::{Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(10)?).into(), &mut rows);
    /// # let late = Timestamp::from_secs(10);
    /// // Its time is up: the client waits, and is told when the lease is gone.
    /// assert_eq!(lessor.renew(late, id)?, Renewal::Expiring);
    /// let ticket = lessor.wait_for(id).expect("the lease is still there");
    /// assert_eq!(ticket.lease(), id);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn wait_for(&mut self, id: LeaseId) -> Option<Ticket> {
        self.primary.as_ref()?;
        self.table.records.get(id)?;
        Some(self.tickets.issue(id))
    }
}
