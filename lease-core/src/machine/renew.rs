use lease_queue::Timestamp;

use super::LessorCore;
use super::full_deadline_ms;
use super::time::Now;
use crate::probe::{planted, sometimes};
use crate::table::record::Phase;
use crate::{Checkpoint, CheckpointFence, LeaseError, LeaseId, Ttl};

/// What a renewal came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Renewal {
    /// The lease has its whole TTL again.
    Renewed(Ttl),
    /// The lease has expired. Nothing refreshes it any more; the caller may
    /// [`wait_for`](LessorCore::wait_for) its end.
    Expiring,
    /// A checkpoint of the lease is set or under way, which would shorten the lease after a change
    /// of the primary. Propose this record, which resets it, and ask again once it is applied: only
    /// then may the renewal be acknowledged.
    Reset(Checkpoint),
}

impl LessorCore {
    /// Renews a lease: on success its deadline is `now` plus its TTL, or what it was if that is
    /// later. One look-up and one store.
    ///
    /// The expiry queue is left alone: the lease's entry comes up at the old deadline and is put
    /// back then.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`] and [`LeaseError::LeaseNotFound`].
    #[inline]
    pub fn renew(&mut self, now: Timestamp, id: LeaseId) -> Result<Renewal, LeaseError> {
        let read = self.clock.read(now);
        if let Some(ttl) = self.renew_plain(now, id) {
            self.stats.renewed += 1;
            return Ok(Renewal::Renewed(ttl));
        }
        self.renew_marked(read, id)
    }

    /// Renews a lease that nothing stands in the way of, beside others who do the same; `None` if
    /// something does, or the lease is not there. The caller counts.
    #[inline]
    pub(crate) fn renew_plain(&self, now: Timestamp, id: LeaseId) -> Option<Ttl> {
        let now = self.clock.glance(now)?;
        let marks = self.primary.as_ref()?.renewable();
        let record = self.table.records.get(id)?;
        let ttl = record.ttl();
        let is_renewed = record.extend(marks, now.floor_ms, self.full_deadline_ms(now, ttl));
        is_renewed.then_some(ttl)
    }

    /// A renewal that something stands in the way of.
    #[cold]
    fn renew_marked(&mut self, now: Now, id: LeaseId) -> Result<Renewal, LeaseError> {
        let primary = self.primary.as_mut().ok_or(LeaseError::NotPrimary)?;
        let record = self
            .table
            .records
            .get_mut(id)
            .filter(|record| record.phase() != Phase::Granting)
            .ok_or(LeaseError::LeaseNotFound)?;
        primary.ensure_scheduled(&self.table.remainders, record);
        // A lease whose time is up lives on while the revoke rate, or the host, keeps it from being
        // handed out.
        let may_live = record.deadline_ms() > now.floor_ms
            || self.suspended
            || !primary.revoke_rate.has_turn(now.floor_ms);
        if planted!("renew-expiring") && record.phase() == Phase::Expiring {
            primary.attempts.forget(id);
        } else if record.phase() != Phase::Active || !may_live {
            sometimes!("core: a renewal comes too late");
            return Ok(Renewal::Expiring);
        }
        if record.deadline_ms() <= now.floor_ms {
            sometimes!("core: a renewal saves a lease whose time is up");
        }
        if record.marks().is_guarded() && !planted!("renew-without-reset") {
            sometimes!("core: a renewal needs a reset");
            return Ok(Renewal::Reset(Checkpoint {
                id,
                remaining: None,
                fence: Some(CheckpointFence {
                    incarnation: record.incarnation(),
                    epoch: primary.epoch,
                    generation: self.table.remainders.get(id).generation,
                }),
            }));
        }
        let full_ms = full_deadline_ms(self.clock_lag_ms, now, record.ttl());
        primary.forget_postponed(record);
        record.set_marks(primary.renewable());
        record.set_deadline_ms(full_ms.max(record.deadline_ms()));
        self.stats.renewed += 1;
        Ok(Renewal::Renewed(record.ttl()))
    }
}
