use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use super::full_deadline_ms;
use super::time::Now;
use crate::probe::{planted, sometimes};
use crate::table::record::{Marks, Phase, Place, Record};
use crate::table::records::AT_ONCE;
use crate::{Checkpoint, CheckpointFence, LeaseError, LeaseId, Ttl};

/// What a renewal came to.
///
/// ```
/// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Renewal, Timestamp};
/// # use lease_core::{Ttl, WriteBatch};
/// # use std::time::Duration;
/// # let mut lessor = LessorCore::new(LessorConfig::default());
/// # let mut rows = WriteBatch::default();
/// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
/// # let (id, now) = (LeaseId::try_from(7)?, Timestamp::ZERO);
/// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(60)?).into(), &mut rows);
/// let answer = loop {
///     match lessor.renew(now, id)? {
///         Renewal::Renewed(ttl) => break Some(ttl),
///         // Through the host's log, if it has one.
///         Renewal::Reset(checkpoint) => drop(lessor.execute(now, &checkpoint.into(), &mut rows)),
///         // The client is answered when the lease is gone.
///         _ => break None,
///     }
/// };
/// assert_eq!(answer, Some(Ttl::new(60)?));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Renewal, Timestamp};
    /// # use lease_core::{Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let renewal = lessor.renew(Timestamp::from_secs(9), id)?;
    /// assert_eq!(renewal, Renewal::Renewed(Ttl::new(10)?));
    /// assert_eq!(lessor.poll_expired(Timestamp::from_secs(18)), None);
    /// let renewal = lessor.renew(Timestamp::from_secs(19), id)?;
    /// assert_eq!(renewal, Renewal::Expiring, "too late");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[inline]
    pub fn renew(&mut self, now: Timestamp, id: LeaseId) -> Result<Renewal, LeaseError> {
        let read = self.clock.read(now);
        if let Some(ttl) = self.renew_shared(now, id) {
            self.stats.renewed += 1;
            return Ok(Renewal::Renewed(ttl));
        }
        self.renew_slow(read, id)
    }

    /// Renews many leases, each as [`renew`](Self::renew) does, and answers in their order. Where
    /// memory is slow it takes a fraction of the time, because the look-ups do not wait for each
    /// other.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseError, LeaseId, LessorConfig, LessorCore, Renewal};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let unknown = LeaseId::try_from(8)?;
    /// let answers = lessor.renew_many(Timestamp::from_secs(9), &[id, unknown]);
    /// let renewed = Renewal::Renewed(Ttl::new(10)?);
    /// assert_eq!(answers, [Ok(renewed), Err(LeaseError::LeaseNotFound)]);
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn renew_many(
        &mut self,
        now: Timestamp,
        ids: &[LeaseId],
    ) -> Vec<Result<Renewal, LeaseError>> {
        let read = self.clock.read(now);
        let mut plain = Vec::with_capacity(ids.len());
        self.renew_shared_many(now, ids, |ttl| plain.push(ttl));
        let answers = ids.iter().zip(plain).map(|(id, ttl)| match ttl {
            Some(ttl) => {
                self.stats.renewed += 1;
                Ok(Renewal::Renewed(ttl))
            }
            None => self.renew_slow(read, *id),
        });
        answers.collect()
    }

    /// Renews a lease that nothing stands in the way of, beside others who do the same; `None` if
    /// something does, or the lease is not there. The caller counts.
    // The fewer instructions a renewal has, the sooner the processor comes to the cache misses of the
    // next ones and waits for all at once.
    #[inline(always)]
    pub(crate) fn renew_shared(&self, now: Timestamp, id: LeaseId) -> Option<Ttl> {
        let now = self.clock.glance(now)?;
        let marks = self.primary.as_ref()?.renewable();
        self.extend(self.table.records.get(id)?, marks, now)
    }

    /// As [`renew_shared`](Self::renew_shared), for many leases, of which `answer` is told in turn.
    pub(crate) fn renew_shared_many(
        &self,
        now: Timestamp,
        ids: &[LeaseId],
        mut answer: impl FnMut(Option<Ttl>),
    ) {
        let marks = self.primary.as_ref().map(|primary| primary.renewable());
        let Some((now, marks)) = self.clock.glance(now).zip(marks) else {
            ids.iter().for_each(|_| answer(None));
            return;
        };
        let mut records = [None; AT_ONCE];
        for ids in ids.chunks(AT_ONCE) {
            self.table.records.get_many(ids, &mut records);
            for record in &records[..ids.len()] {
                answer(record.and_then(|record| self.extend(record, marks, now)));
            }
        }
    }

    #[inline]
    fn extend(&self, record: &Record, marks: Marks, now: Now) -> Option<Ttl> {
        let ttl = record.ttl();
        let is_renewed = record.extend(marks, now.floor_ms, self.full_deadline_ms(now, ttl));
        is_renewed.then_some(ttl)
    }

    /// A renewal that something stands in the way of.
    #[cold]
    fn renew_slow(&mut self, now: Now, id: LeaseId) -> Result<Renewal, LeaseError> {
        let primary = self.primary.as_mut().ok_or(LeaseError::NotPrimary)?;
        let record = self.table.records.get_mut(id);
        let record = record.ok_or(LeaseError::LeaseNotFound)?;
        primary.ensure_scheduled(&self.table.remainders, record);
        let is_overdue = record.deadline_ms() <= now.floor_ms;
        // An overdue lease lives on while the revoke rate, or the host, keeps it from being delivered.
        let may_live = !is_overdue
            || self.suspended && !planted!("suspended-not-renewed")
            || record.place() == Place::Throttled
            || !primary.revoke_rate.has_permit(now.floor_ms);
        if record.phase() == Phase::Expiring || !may_live {
            sometimes!("core: a renewal comes too late");
            return Ok(Renewal::Expiring);
        }
        if is_overdue {
            sometimes!("core: a renewal saves a lease whose time is up");
        }
        if record.marks().is_guarded() {
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
        let is_throttled = record.place() == Place::Throttled;
        if is_throttled {
            primary.forget_throttled(record);
        }
        record.set_deadline_ms(full_ms.max(record.deadline_ms()));
        if is_throttled && !planted!("saved-for-ever") {
            sometimes!("core: a renewal saves a throttled lease");
            primary.queue(record);
        }
        self.stats.renewed += 1;
        Ok(Renewal::Renewed(record.ttl()))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{Epoch, Grant, LessorConfig, WriteBatch};

    #[test]
    fn many_renewals_are_answered_as_one_by_one() {
        let id = |number| LeaseId::new(number).expect("not zero");
        let mut lessor = LessorCore::new(LessorConfig::default());
        let rows = &mut WriteBatch::default();
        lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
        for number in 1..=100 {
            let grant = Grant::new(id(number), Ttl::new(number).expect("legal"));
            lessor.grant(Timestamp::ZERO, &grant, rows).expect("free");
        }
        // Some have expired, some are not there, some come twice.
        let now = Timestamp::from_secs(30);
        lessor.handle_timeout(now);
        assert!(lessor.poll_expired(now).is_some());
        let ids: Vec<_> = (1..=120).chain(50..60).map(id).collect();
        let mut other = lessor.clone();
        let one_by_one: Vec<_> = ids.iter().map(|id| other.renew(now, *id)).collect();
        assert_eq!(lessor.renew_many(now, &ids), one_by_one);
        assert_eq!(lessor.stats(), other.stats());
        lessor.check_invariants();
        lessor.demote(Epoch::new(1));
        assert_eq!(
            lessor.renew_many(now, &ids[..1]),
            [Err(LeaseError::NotPrimary)]
        );
    }
}
