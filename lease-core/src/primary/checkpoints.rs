use alloc::collections::BTreeMap;

use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};

use super::ceil_millis;
use super::rate::RateWindow;
use crate::machine::time::{Now, reachable, timestamp_of_ms};
use crate::probe::planted;
use crate::table::record::Record;
use crate::{LeaseId, LessorConfig, Ttl};

/// When the remaining TTL of each long lease is checkpointed next, and which proposals are open.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointSchedule {
    interval_ms: u64,
    // Invariant: exactly one entry for each scheduled lease that is longer than the interval.
    entries: TimingWheel<LeaseId>,
    // Invariant: no entry is earlier; `MAX` if there is none.
    earliest: Timestamp,
    // Leases with proposals that may still be applied.
    open: BTreeMap<LeaseId, Open>,
    pub(crate) rate: RateWindow,
    next_batch: u64,
}

/// The open proposals of a lease.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// The batch that the last one went out in.
    batch: u64,
    /// Whether there is an earlier one. A reset closes it, and nothing else.
    has_earlier: bool,
}

/// What to do with a lease whose checkpoint is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Propose that this much remains.
    Propose(Ttl),
    /// Nothing worth a record yet: look again at this millisecond.
    NotBefore(u64),
}

impl CheckpointSchedule {
    pub(crate) fn new(config: &LessorConfig) -> Self {
        Self {
            interval_ms: ceil_millis(config.checkpoint_interval).max(1),
            entries: TimingWheel::new(),
            earliest: Timestamp::MAX,
            open: BTreeMap::new(),
            rate: RateWindow::new(config.checkpoint_rate_per_sec),
            next_batch: 0,
        }
    }

    /// Enters a lease with a fresh deadline, if it is long enough to need checkpoints.
    pub(crate) fn schedule(&mut self, record: &Record) {
        if self.covers(record) {
            let left_ms = record.ttl().as_millis();
            let counted_from_ms = record.deadline_ms().saturating_sub(left_ms);
            self.schedule_at(
                record.id(),
                counted_from_ms.saturating_add(self.interval_ms),
            );
        }
    }

    pub(crate) fn schedule_at(&mut self, id: LeaseId, at_ms: u64) {
        let at = timestamp_of_ms(at_ms);
        self.earliest = self.earliest.min(at);
        self.entries.register_or_update(id, at);
    }

    /// The next checkpoint an interval from now.
    pub(crate) fn reschedule(&mut self, record: &Record, now: Now) {
        if self.covers(record) {
            let again_ms = now.ceil_ms.saturating_add(self.interval_ms);
            self.schedule_at(record.id(), again_ms);
        }
    }

    pub(crate) fn forget(&mut self, removed: &Record) {
        if self.covers(removed) {
            self.entries.cancel(&removed.id());
            self.open.remove(&removed.id());
            if self.entries.is_empty() {
                self.earliest = Timestamp::MAX;
            }
        }
    }

    /// When [`pop_due`](Self::pop_due) may find something: not later than it does. O(1).
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        reachable(self.earliest)
    }

    /// The next lease that is due, with its entry taken out: the caller enters it again.
    pub(crate) fn pop_due(&mut self, now: Now) -> Option<LeaseId> {
        let now = timestamp_of_ms(now.floor_ms);
        if self.earliest > now {
            return None;
        }
        let due = self.entries.pop_due(now);
        if due.is_none() {
            self.earliest = self.entries.peek().map_or(Timestamp::MAX, |next| next.time);
        }
        due.map(|due| due.key)
    }

    /// Whether a checkpoint of this lease would say anything new. `left` is what the last one said,
    /// or the whole TTL.
    pub(crate) fn due(&self, record: &Record, left: Ttl, now: Now) -> Due {
        let deadline_ms = record.deadline_ms();
        let counted_from_ms = deadline_ms.saturating_sub(left.as_millis());
        let worthwhile_ms = counted_from_ms.saturating_add(self.interval_ms);
        if now.floor_ms < worthwhile_ms {
            return Due::NotBefore(worthwhile_ms);
        }
        if planted!("lost-checkpoint-blocks") && self.open.contains_key(&record.id()) {
            return Due::NotBefore(now.ceil_ms.saturating_add(self.interval_ms));
        }
        let remaining = Ttl::from_millis_ceil(deadline_ms.saturating_sub(now.floor_ms));
        if remaining < left && deadline_ms > now.floor_ms {
            Due::Propose(remaining)
        } else {
            Due::NotBefore(now.ceil_ms.saturating_add(self.interval_ms))
        }
    }

    /// Ends the batch that is being made and returns its number.
    pub(crate) fn seal(&mut self) -> u64 {
        self.next_batch += 1;
        self.next_batch - 1
    }

    /// Notes that a proposal for the lease is open, in the batch that is being made.
    pub(crate) fn open(&mut self, id: LeaseId) {
        let opened = Open {
            batch: self.next_batch,
            has_earlier: false,
        };
        let open = self.open.entry(id);
        open.and_modify(|open| {
            *open = Open {
                has_earlier: !planted!("earlier-checkpoint-forgotten"),
                ..opened
            };
        })
        .or_insert(opened);
    }

    /// Whether a proposal for the lease is open.
    pub(crate) fn is_open(&self, id: LeaseId) -> bool {
        self.open.contains_key(&id)
    }

    /// The lease's proposals cannot take effect any more, or all have.
    pub(crate) fn close(&mut self, id: LeaseId) {
        self.open.remove(&id);
    }

    /// Closes the last proposal if it is the one of this batch. Earlier ones stay open.
    pub(crate) fn close_batch(&mut self, id: LeaseId, batch: u64) -> bool {
        let open = self.open.get(&id).filter(|open| open.batch == batch);
        let has_earlier = open.map(|open| open.has_earlier);
        if has_earlier == Some(false) {
            self.close(id);
        }
        has_earlier.is_some()
    }

    pub(crate) const fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    pub(crate) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Whether the lease is long enough to be checkpointed.
    pub(crate) fn covers(&self, record: &Record) -> bool {
        record.ttl().as_millis() > self.interval_ms
    }

    /// Checks that exactly the long leases have exactly one entry.
    ///
    /// # Panics
    ///
    /// If they have not.
    pub(crate) fn check_invariants(&self, scheduled: &[&Record]) {
        let mut long = 0;
        let mut open = 0;
        for record in scheduled {
            let id = record.id();
            let entry = self.entries.time_of(&id);
            assert_eq!(entry.is_some(), self.covers(record), "{id} has {entry:?}");
            long += usize::from(entry.is_some());
            if self.open.contains_key(&id) {
                assert!(record.marks().is_guarded(), "{id} has an open checkpoint");
                open += 1;
            }
        }
        assert_eq!(long, self.entries.len(), "no checkpoint entry is dead");
        let entries = scheduled
            .iter()
            .filter_map(|record| self.entries.time_of(&record.id()));
        assert!(
            entries.min().is_none_or(|first| self.earliest <= first),
            "no checkpoint is overslept"
        );
        assert_eq!(
            open,
            self.open.len(),
            "no open checkpoint outlives its lease"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::record::Record;
    use crate::{Epoch, Incarnation};

    #[test]
    #[should_panic(expected = "no checkpoint is overslept")]
    fn the_check_sees_an_entry_before_the_earliest() {
        let mut schedule = CheckpointSchedule::new(&LessorConfig::default());
        let id = LeaseId::new(1).expect("not zero");
        let record = Record::new(id, Ttl::MAX, Incarnation::counted(Epoch::ZERO, 0));
        schedule.schedule(&record);
        schedule.check_invariants(&[&record]);
        schedule.earliest = Timestamp::MAX;
        schedule.check_invariants(&[&record]);
    }
}
