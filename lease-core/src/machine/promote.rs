use core::time::Duration;

use alloc::boxed::Box;

use lease_queue::Timestamp;

use super::LessorCore;
use super::ticket::TicketOutcome;
use crate::Epoch;
use crate::primary::Primary;
use crate::probe::{planted, sometimes};
use crate::table::record::{Marks, Tag};

/// What a call to become or cease to be the primary did.
///
/// ```
/// # use lease_core::{Epoch, LessorConfig, LessorCore, Promotion, Timestamp};
/// # use std::time::Duration;
/// # use std::sync::Mutex;
/// # let lessor = Mutex::new(LessorCore::new(LessorConfig::default()));
/// # let now = Timestamp::ZERO;
/// let promoted = {
///     let mut lessor = lessor.lock().expect("nobody panics");
///     lessor.promote(now, Epoch::new(1), Duration::ZERO)
/// };
/// assert!(matches!(promoted, Promotion::Changed(_)));
/// drop(promoted); // not under the lock
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Promotion {
    /// The role changed. What is left of an earlier promotion is to be dropped, outside any lock:
    /// that takes time in proportion to the leases.
    Changed(Option<Retired>),
    /// The call came too late or told nothing new: nothing changed.
    Ignored,
}

/// What is left of a promotion that has ended. It does nothing but take up memory.
#[derive(Debug)]
pub struct Retired {
    _primary: Box<Primary>,
}

impl LessorCore {
    /// Makes this lessor the primary of `epoch`: every lease expires after `extend` and what
    /// remains of its TTL, and can be renewed.
    ///
    /// O(1): the schedule is built in slices by the [`handle_timeout`](Self::handle_timeout) calls
    /// that follow, and a lease that is not in it yet can be renewed at once and cannot expire
    /// early.
    ///
    /// Epochs only rise. A promotion of an epoch that has been promoted or demoted before, or of an
    /// older one, or above [`Epoch::MAX`], is [`Promotion::Ignored`]; one of a newer epoch starts
    /// anew, also on a primary.
    ///
    /// A host with a log must have applied every entry of earlier terms before it promotes: an
    /// expiry-revoke among them would else hit a lease after it was renewed here.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Promotion, Timestamp};
    /// # use lease_core::{Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let now = Timestamp::from_secs(100);
    /// let extend = Duration::from_secs(2); // for clients that had no leader to renew with
    /// assert!(matches!(lessor.promote(now, Epoch::new(5), extend), Promotion::Changed(_)));
    /// let lease = lessor.lookup(now, id).expect("it is there");
    /// assert_eq!(lease.remaining(), Some(Duration::from_secs(12)));
    /// assert!(matches!(lessor.promote(now, Epoch::new(4), extend), Promotion::Ignored));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn promote(&mut self, now: Timestamp, epoch: Epoch, extend: Duration) -> Promotion {
        let now = self.read_clock(now);
        let is_late = epoch <= self.settled_epoch || epoch < self.table.epoch();
        if epoch > Epoch::MAX {
            return Promotion::Ignored;
        }
        if is_late && !planted!("promote-after-demote") {
            sometimes!("core: a promotion comes too late");
            return Promotion::Ignored;
        }
        self.settled_epoch = epoch;
        let retired = self.retire();
        let tag = self.next_tag();
        self.primary = Some(Box::new(Primary::new(
            epoch,
            tag,
            now,
            extend,
            &self.config,
        )));
        Promotion::Changed(retired)
    }

    /// Ends the promotion of `epoch` or of an older one: no lease expires any more, and every
    /// waiting renewal is answered.
    ///
    /// O(waiting renewals). A demotion of an older epoch than that of the running promotion is
    /// [`Promotion::Ignored`]. Afterwards no promotion of `epoch` can come any more; but an epoch above
    /// [`Epoch::MAX`], which is none, stands for that of the running promotion.
    ///
    /// ```
    /// # use lease_core::{Epoch, LeaseError, LeaseId, LessorConfig, LessorCore, Promotion};
    /// # use lease_core::Timestamp;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let (id, now) = (LeaseId::try_from(7)?, Timestamp::ZERO);
    /// lessor.promote(now, Epoch::new(5), Duration::ZERO);
    /// assert!(matches!(lessor.demote(Epoch::new(4)), Promotion::Ignored));
    /// assert!(matches!(lessor.demote(Epoch::new(5)), Promotion::Changed(_)));
    /// assert_eq!(lessor.renew(now, id), Err(LeaseError::NotPrimary));
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn demote(&mut self, epoch: Epoch) -> Promotion {
        let epoch = if epoch > Epoch::MAX {
            self.primary_epoch().unwrap_or(self.settled_epoch)
        } else {
            epoch
        };
        self.settled_epoch = self.settled_epoch.max(epoch);
        let is_running = |primary: &Primary| primary.epoch <= epoch || planted!("demote-any-epoch");
        if !self.primary.as_deref().is_some_and(is_running) {
            if self.primary.is_some() {
                sometimes!("core: a demotion comes too late");
            }
            return Promotion::Ignored;
        }
        Promotion::Changed(self.retire())
    }

    pub(super) fn retire(&mut self) -> Option<Retired> {
        let primary = self.primary.take()?;
        if !planted!("waiters-survive-demotion") {
            self.tickets.resolve_all(TicketOutcome::NotPrimary);
        }
        Some(Retired { _primary: primary })
    }

    /// A tag that no record carries. Wipes all records once in 16,383 promotions.
    fn next_tag(&mut self) -> Tag {
        let tag = self.last_tag.next().unwrap_or_else(|| {
            sometimes!("core: the promotion tags are used up");
            let mut cursor = Default::default();
            self.table.records.walk(&mut cursor, usize::MAX, |record| {
                if !planted!("used-up-tags-come-again") {
                    record.set_marks(Marks::renewable(Tag::default()));
                }
            });
            Tag::FIRST
        });
        self.last_tag = tag;
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grant, LeaseId, LessorConfig, Renewal, Ttl, WriteBatch};

    #[test]
    fn a_used_up_tag_does_not_bring_old_deadlines_back() {
        let mut lessor = LessorCore::new(LessorConfig::default());
        let id = LeaseId::new(1).expect("not zero");
        let rows = &mut WriteBatch::default();
        let grant = Grant::new(id, Ttl::MIN).into();
        lessor.execute(Timestamp::ZERO, &grant, rows);
        for epoch in 1..=16_383 {
            lessor.promote(Timestamp::ZERO, Epoch::new(epoch), Duration::ZERO);
            if epoch == 1 {
                lessor.handle_timeout(Timestamp::ZERO);
            }
        }
        // The next promotion has the tag of the first, which is the one that the lease carries.
        let late = Timestamp::from_secs(100);
        lessor.promote(late, Epoch::new(50_000), Duration::ZERO);
        assert_eq!(lessor.last_tag, Tag::FIRST);
        lessor.handle_timeout(late);
        lessor.check_invariants();
        assert_eq!(lessor.renew(late, id), Ok(Renewal::Renewed(Ttl::MIN)));
    }
}
