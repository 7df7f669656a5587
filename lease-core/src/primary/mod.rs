pub(crate) mod attempts;
pub(crate) mod checkpoints;
pub(crate) mod rate;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use attempts::Attempts;
use checkpoints::CheckpointSchedule;
use lease_queue::{BucketWheel, Position, Timestamp};
use rate::RateWindow;

use crate::machine::time::{Now, reachable, timestamp_of_ms};
use crate::probe::{planted, sized, sometimes};
use crate::table::record::{Marks, Place, Record, Tag};
use crate::table::records::{Cursor, Records};
use crate::table::{LeaseTable, Remainders};
use crate::{Epoch, LeaseId, LessorConfig};

/// The leader's private part: deadlines, the expiry queue, the checkpoint schedule.
///
/// It exists while the lessor is primary and is dropped by a demotion, so that on any other member
/// there is nothing that could expire a lease.
#[derive(Clone, Debug)]
pub(crate) struct Primary {
    pub(crate) epoch: Epoch,
    pub(crate) tag: Tag,
    // A lease that is not scheduled yet expires at this time plus what remains of its TTL.
    base_ms: u64,
    // Where the scheduling of the leases that were there at the promotion goes on.
    // Invariant: `None` when every record carries `tag`.
    unscheduled: Option<Cursor>,
    // Invariant: exactly the scheduled leases whose place is `Queued`, each once and no later than
    // its deadline.
    pub(crate) expiries: BucketWheel<LeaseId>,
    pub(crate) revoke_rate: RateWindow,
    // Invariant: exactly the scheduled leases whose place is `Throttled`, by their deadlines. A tree,
    // because a hash table that grows with a pile-up would stop everybody.
    throttled: BTreeSet<(u64, LeaseId)>,
    // When the next of them may be delivered.
    pub(crate) next_permit_ms: u64,
    pub(crate) attempts: Attempts,
    pub(crate) checkpoints: CheckpointSchedule,
}

/// How many places of the record table one slice of scheduling looks at: some 100 µs.
const SLICE_BUCKETS: usize = 4096;

impl Primary {
    pub(crate) fn new(
        epoch: Epoch,
        tag: Tag,
        now: Now,
        extend: Duration,
        config: &LessorConfig,
    ) -> Self {
        let extend_ms = ceil_millis(extend).saturating_add(ceil_millis(config.clock_lag));
        Self {
            epoch,
            tag,
            base_ms: now.ceil_ms.saturating_add(extend_ms),
            unscheduled: Some(Cursor::default()),
            expiries: BucketWheel::starting_at(now.floor_ms),
            revoke_rate: RateWindow::new(config.revoke_rate_per_sec),
            throttled: BTreeSet::new(),
            next_permit_ms: 0,
            attempts: Attempts::new(config),
            checkpoints: CheckpointSchedule::new(config),
        }
    }

    /// The marks with which a renewal is one store.
    #[inline]
    pub(crate) const fn renewable(&self) -> Marks {
        Marks::renewable(self.tag)
    }

    /// Whether this promotion has scheduled the lease.
    pub(crate) fn has_scheduled(&self, record: &Record) -> bool {
        record.marks().tag() == self.tag
    }

    /// The lease's deadline, scheduled or not.
    #[inline]
    pub(crate) fn deadline_ms(&self, remainders: &Remainders, record: &Record) -> u64 {
        let is_old = planted!("old-deadlines-survive") && record.deadline_ms() > 0;
        if self.has_scheduled(record) || is_old {
            record.deadline_ms()
        } else {
            let remaining = remainders.get(record.id()).remaining;
            let left = remaining.unwrap_or(record.ttl());
            self.base_ms.saturating_add(left.as_millis())
        }
    }

    /// Gives a lease that this promotion has not scheduled its entries.
    pub(crate) fn schedule(&mut self, record: &mut Record, deadline_ms: u64, guarded: bool) {
        debug_assert!(!self.has_scheduled(record), "scheduled once");
        let deadline_ms = deadline_ms - u64::from(planted!("a-millisecond-early"));
        record.set_marks(self.renewable().with_guard(guarded));
        record.set_deadline_ms(deadline_ms);
        self.queue(record);
        self.checkpoints.schedule(record);
    }

    /// Schedules a lease that was there at the promotion, if that has not been done yet.
    pub(crate) fn ensure_scheduled(&mut self, remainders: &Remainders, record: &mut Record) {
        if !self.has_scheduled(record) {
            let deadline_ms = self.deadline_ms(remainders, record);
            let guarded = remainders.get(record.id()).remaining.is_some();
            if guarded {
                sometimes!("core: a promotion starts from a checkpoint");
            }
            self.schedule(record, deadline_ms, guarded);
        }
    }

    /// Takes a lease that is removed out of everything that names it.
    pub(crate) fn forget(&mut self, records: &mut Records, removed: &Record) {
        self.checkpoints.forget(removed);
        if !self.has_scheduled(removed) {
            return;
        }
        self.attempts.forget(removed);
        match removed.place() {
            Place::Queued(position) => self.unlink(records, removed.id(), position),
            Place::Throttled => self.forget_throttled(removed),
            Place::Delivered(_) => {}
        }
    }

    /// How many leases are throttled.
    pub(crate) fn throttled(&self) -> usize {
        self.throttled.len()
    }

    /// Has a lease that is overdue, and whose entry was taken out, wait until the revoke rate lets it
    /// be delivered.
    pub(crate) fn throttle(&mut self, record: &mut Record) {
        record.set_place(Place::Throttled);
        self.throttled.insert((record.deadline_ms(), record.id()));
    }

    /// The next lease that is throttled, in the order of the deadlines. The caller gives it another
    /// place.
    pub(crate) fn next_throttled(&mut self) -> Option<LeaseId> {
        self.throttled.pop_first().map(|(_, id)| id)
    }

    /// Takes a lease from those that are throttled. The caller gives it another place.
    pub(crate) fn forget_throttled(&mut self, record: &Record) {
        let is_there = self.throttled.remove(&(record.deadline_ms(), record.id()));
        assert!(is_there, "a throttled lease is found by its deadline");
    }

    /// Enters a lease that is in no place at its deadline.
    pub(crate) fn queue(&mut self, record: &mut Record) {
        let position = self.expiries.insert(record.id(), record.deadline_ms());
        record.set_place(Place::Queued(position));
    }

    /// Schedules a bounded number of the leases that were there at the promotion. Returns whether
    /// there are more.
    pub(crate) fn schedule_slice(&mut self, table: &mut LeaseTable) -> bool {
        let Some(mut cursor) = self.unscheduled else {
            return false;
        };
        let LeaseTable {
            records,
            remainders,
            ..
        } = table;
        let more = records.walk(&mut cursor, sized!(SLICE_BUCKETS), |record| {
            self.ensure_scheduled(remainders, record);
        });
        if more {
            sometimes!("core: a promotion's schedule takes several slices");
        }
        let more = more && !planted!("second-slice-forgotten");
        self.unscheduled = more.then_some(cursor);
        more
    }

    pub(crate) const fn is_scheduling(&self) -> bool {
        self.unscheduled.is_some()
    }

    /// When the first entry of the expiry queue is due, or the next attempt at a delivered lease, or
    /// the next throttled lease may be delivered.
    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        if !self.attempts.has_room() {
            // Nothing can be delivered before a batch is over.
            return reachable(timestamp_of_ms(self.attempts.next_due_ms()?));
        }
        let permit_ms = (!self.throttled.is_empty()).then_some(self.next_permit_ms);
        let batch_ms = self.attempts.next_due_ms();
        let due_ms = earlier(earlier(permit_ms, batch_ms), self.expiries.next_tick());
        reachable(timestamp_of_ms(due_ms?))
    }

    /// When the next attempt at a lease that is in a batch is due, if that is by now and nothing in
    /// the queue is due before.
    pub(crate) fn next_retry_ms(&self, now_ms: u64) -> Option<u64> {
        let due_ms = self.attempts.next_due_ms().filter(|due| *due <= now_ms)?;
        let is_next = |tick| due_ms <= tick;
        self.expiries
            .next_tick()
            .is_none_or(is_next)
            .then_some(due_ms)
    }

    /// How many leases have a place.
    pub(crate) fn entries(&self) -> usize {
        self.expiries.len() + self.throttled.len() + self.attempts.in_batches()
    }

    /// Checks that queues and records agree. O(n).
    ///
    /// # Panics
    ///
    /// If they do not.
    pub(crate) fn check_invariants(&self, table: &LeaseTable) {
        self.expiries.check_invariants();
        let mut scheduled = Vec::new();
        let mut throttled = 0;
        for record in table.records.iter() {
            let id = record.id();
            if !self.has_scheduled(record) {
                assert!(self.is_scheduling(), "{id} was forgotten by the promotion");
                continue;
            }
            let is_throttled = self.throttled.contains(&(record.deadline_ms(), id));
            assert_eq!(is_throttled, record.place() == Place::Throttled, "{id}");
            if let Place::Queued(position) = record.place() {
                assert_eq!(
                    self.expiries.key_at(position),
                    Some(id),
                    "{id} has an entry"
                );
            }
            throttled += usize::from(is_throttled);
            scheduled.push(record);
        }
        self.attempts.check_invariants(&scheduled);
        self.revoke_rate.check_invariants();
        self.checkpoints.rate.check_invariants();
        assert_eq!(scheduled.len(), self.entries(), "no entry is dead");
        assert_eq!(
            throttled,
            self.throttled.len(),
            "no throttled lease is gone"
        );
        self.checkpoints.check_invariants(&scheduled);
    }

    /// Takes the entry of a lease out of the queue.
    fn unlink(&mut self, records: &mut Records, id: LeaseId, position: Position) {
        let removed = self.expiries.remove(position);
        let removed = removed.expect("a scheduled lease has an entry");
        assert_eq!(removed.key, id, "an entry is where its lease says");
        if let Some(moved) = removed.moved {
            records
                .get_mut(moved)
                .expect("every entry belongs to a lease")
                .set_place(Place::Queued(position));
        }
    }
}

/// The earlier of two times, as far as there are any. It is asked for after each command: by way of an
/// iterator it took 60 ns.
#[inline]
pub(crate) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Milliseconds, rounded up.
pub(crate) fn ceil_millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
