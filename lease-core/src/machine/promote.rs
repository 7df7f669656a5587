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
    /// older one, is [`Promotion::Ignored`]; one of a newer epoch starts anew, also on a primary.
    ///
    /// A host with a log must have applied every entry of earlier terms before it promotes: an
    /// expiry-revoke among them would else hit a lease after it was renewed here.
    pub fn promote(&mut self, now: Timestamp, epoch: Epoch, extend: Duration) -> Promotion {
        let now = self.read_clock(now);
        let is_late = epoch <= self.settled_epoch || epoch < self.table.epoch();
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
    /// [`Promotion::Ignored`]. Afterwards no promotion of `epoch` can come any more.
    pub fn demote(&mut self, epoch: Epoch) -> Promotion {
        self.settled_epoch = self.settled_epoch.max(epoch);
        let is_running = |primary: &Primary| primary.epoch <= epoch;
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
            let mut cursor = Default::default();
            self.table.records.walk(&mut cursor, usize::MAX, |record| {
                record.set_marks(Marks::renewable(Tag::default()));
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
