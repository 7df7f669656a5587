use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use lease_queue::Timestamp;

use super::LessorCore;
use super::time::Now;
use crate::primary::Primary;
use crate::primary::attempts::max_batch;
use crate::probe::{planted, sized, sometimes};
use crate::table::record::{Phase, Place, Record};
use crate::table::records::Records;
use crate::{ExpiredBatch, ExpiredLease, ExpiryFence, LeaseId, LessorStats};

/// What the host knows of an attempt to revoke an expired lease that did not end in its revoke.
///
/// ```
/// # use lease_core::AttemptOutcome;
/// /// What a host reports when its log has answered a proposal with an error.
/// fn outcome(was_refused_at_once: bool) -> AttemptOutcome {
///     if was_refused_at_once {
///         AttemptOutcome::Failed
///     } else {
///         AttemptOutcome::Unknown // a timeout: it may be in the log
///     }
/// }
/// # assert_eq!(outcome(true), AttemptOutcome::Failed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The revoke will certainly never be applied.
    Failed,
    /// The revoke may still be applied.
    Unknown,
}

/// How many entries of the expiry queue one call looks at: some 100 µs.
const STEPS_PER_CALL: usize = 2048;

impl LessorCore {
    /// Delivers the next leases whose time is up, or `None` if none is, expiry is suspended, this is
    /// not the primary, or the schedule of its promotion is not complete.
    ///
    /// A lease that is delivered cannot be renewed any more. Until it is revoked, or this lessor
    /// demoted, it is delivered again each
    /// [`expired_lease_retry_interval`](crate::LessorConfig::expired_lease_retry_interval) after
    /// the host took the batch, see [`handle_taken`](Self::handle_taken). Leases come in the order
    /// of their expiry, those of one batch and millisecond in the order of their ids.
    ///
    /// A bounded number of steps: while [`next_wakeup`](Self::next_wakeup) is not past `now` there
    /// may be more, also after a `None`.
    ///
    /// ```
    /// # use lease_core::{Command, Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp};
    /// # use lease_core::{Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(10)?).into(), &mut rows);
    /// let now = Timestamp::from_secs(10);
    /// lessor.handle_timeout(now);
    /// while let Some(batch) = lessor.poll_expired(now) {
    ///     lessor.handle_taken(now, &batch);
    ///     let revoke = Command::Revoke(batch.revocations().collect());
    ///     lessor.execute(now, &revoke, &mut rows);
    /// }
    /// assert!(lessor.is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn poll_expired(&mut self, now: Timestamp) -> Option<ExpiredBatch> {
        self.poll_expired_but(now, &|_| false)
    }

    /// As [`poll_expired`](Self::poll_expired), but a lease that was delivered before and that is `held`
    /// is not delivered again, and takes nothing of the revoke rate; it is looked at again as soon as a
    /// failed attempt would be followed by the next.
    pub(crate) fn poll_expired_but(
        &mut self,
        now: Timestamp,
        is_held: &dyn Fn(LeaseId) -> bool,
    ) -> Option<ExpiredBatch> {
        let now = self.read_clock(now);
        if self.suspended {
            return None;
        }
        let primary = self.primary.as_mut()?;
        if primary.is_scheduling() {
            return None;
        }
        if !primary.attempts.has_room() && !planted!("alone-due-leases-make-no-room") {
            primary.requeue_due(&mut self.table.records, now);
        }
        if !primary.attempts.has_room() {
            return None;
        }
        let mut delivery = Delivery {
            now,
            max_batch: max_batch(&self.config),
            is_held,
            stats: &mut self.stats,
            leases: Vec::new(),
        };
        let records = &mut self.table.records;
        let mut steps = 0;
        // Those that are throttled were overdue before all that comes out of the queue now.
        while steps < sized!(STEPS_PER_CALL)
            && !delivery.is_full()
            && primary.revoke_rate.has_permit(now.floor_ms)
            && let Some(id) = primary.next_throttled()
        {
            steps += 1;
            let record = records.get_mut(id).expect("a throttled lease is there");
            delivery.decide(primary, record);
        }
        let mut keys = Vec::new();
        while steps < sized!(STEPS_PER_CALL) && !delivery.is_full() {
            if let Some(due_ms) = primary.next_retry_ms(now.floor_ms) {
                steps += 1;
                delivery.retry(primary, records, due_ms);
                continue;
            }
            keys.clear();
            let Some(slot) = primary.expiries.pop_chunk(now.floor_ms, &mut keys) else {
                break;
            };
            steps += keys.len();
            if slot.is_exact() {
                keys.sort_unstable();
            }
            // All reads come first, so that their cache misses overlap.
            let found = records.count_found(&keys);
            assert_eq!(found, keys.len(), "every entry belongs to a lease");
            let decided_ms = slot.is_exact().then_some(slot.tick);
            for key in &keys {
                if let Some(record) = records.get_mut(*key) {
                    delivery.visit(primary, record, decided_ms);
                }
            }
        }
        primary.next_permit_ms = primary.revoke_rate.next_permit(now.floor_ms);
        delivery.finish(primary)
    }

    /// The host has taken a batch, and with it every one before it: their retry intervals start now.
    /// A batch of an earlier promotion is ignored. O(batches that are not taken).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// # lessor.handle_timeout(Timestamp::from_secs(10));
    /// let batch = lessor.poll_expired(Timestamp::from_secs(10)).expect("the lease is due");
    /// lessor.handle_taken(Timestamp::from_secs(11), &batch);
    /// assert_eq!(lessor.poll_expired(Timestamp::from_secs(13)), None);
    /// // The revoke got lost: 3 s after the batch was taken the lease comes again.
    /// let again = lessor.poll_expired(Timestamp::from_secs(14)).expect("it is still there");
    /// assert_eq!(again.leases[0].attempt, 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn handle_taken(&mut self, now: Timestamp, batch: &ExpiredBatch) {
        let now = self.read_clock(now);
        if let Some(primary) = &mut self.primary
            && (primary.epoch == batch.epoch || planted!("alone-taken-of-any-promotion"))
        {
            primary.attempts.take_through(batch.number, now.floor_ms);
        }
    }

    /// An attempt to revoke an expired lease has ended without its revoke.
    ///
    /// Either way the lease stays unrenewable and is delivered again; after
    /// [`AttemptOutcome::Failed`] sooner, in a quarter of the retry interval. A fence that does not
    /// match is ignored, and so is a report that comes so late that the next attempt waits for the host
    /// already, or is due sooner anyway.
    ///
    /// ```
    /// # use lease_core::{AttemptOutcome, Epoch, Grant, LeaseId, LessorConfig, LessorCore};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// # let now = Timestamp::from_secs(10);
    /// # lessor.handle_timeout(now);
    /// let batch = lessor.poll_expired(now).expect("the lease is due");
    /// lessor.handle_taken(now, &batch);
    /// for revocation in batch.revocations() {
    ///     let fence = revocation.fence.expect("it is an expiry");
    ///     lessor.handle_attempt(now, revocation.id, fence, AttemptOutcome::Failed);
    /// }
    /// // A quarter of 3 s.
    /// assert!(lessor.poll_expired(Timestamp::from_millis(10_750)).is_some());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn handle_attempt(
        &mut self,
        now: Timestamp,
        id: LeaseId,
        fence: ExpiryFence,
        outcome: AttemptOutcome,
    ) {
        let now = self.read_clock(now);
        let Some(primary) = &mut self.primary else {
            return;
        };
        let Some(record) = self.table.records.get_mut(id) else {
            return;
        };
        let is_its = fence.epoch == primary.epoch && record.incarnation() == fence.incarnation;
        if is_its
            && outcome == AttemptOutcome::Failed
            && primary.has_scheduled(record)
            && let Place::Delivered(spot) = record.place()
            && let Some(due_ms) = primary.attempts.due_ms(spot)
        {
            let mut pause_ms = primary.attempts.failed_retry_ms();
            if planted!("failed-retried-at-once") {
                pause_ms = 0;
            }
            let again_ms = now.ceil_ms.saturating_add(pause_ms);
            if again_ms >= due_ms && !planted!("late-failure-puts-off") {
                sometimes!("core: a failure is reported too late to matter");
                return;
            }
            sometimes!("core: a failed attempt is retried sooner");
            primary.attempts.leave(record, spot);
            record.set_deadline_ms(again_ms);
            primary.queue(record);
        }
    }
}

impl Primary {
    /// Puts leases that are due again from their batches into the queue, a bounded number, so that
    /// there is room for new batches.
    fn requeue_due(&mut self, records: &mut Records, now: Now) {
        for _ in 0..sized!(STEPS_PER_CALL) {
            let Some(due_ms) = self.attempts.next_due_ms() else {
                break;
            };
            if due_ms > now.floor_ms || self.attempts.has_room() {
                break;
            }
            if let Some(record) = self.pop_retry(records, due_ms) {
                sometimes!("core: a lease makes room for a batch");
                self.queue(record);
            }
        }
    }

    /// Takes the next lease of the first batch, which is due at `due_ms`, from there, if it still is
    /// there. The caller gives it another place.
    fn pop_retry<'r>(&mut self, records: &'r mut Records, due_ms: u64) -> Option<&'r mut Record> {
        let (id, spot) = self.attempts.pop()?;
        let record = records.get_mut(id)?;
        if !self.has_scheduled(record) || record.place() != Place::Delivered(spot) {
            return None;
        }
        self.attempts.leave(record, spot);
        if !planted!("alone-lag-from-the-expiry") {
            record.set_deadline_ms(due_ms);
        }
        Some(record)
    }
}

/// The making of one batch.
struct Delivery<'a> {
    now: Now,
    max_batch: usize,
    is_held: &'a dyn Fn(LeaseId) -> bool,
    stats: &'a mut LessorStats,
    leases: Vec<ExpiredLease>,
}

impl Delivery<'_> {
    fn is_full(&self) -> bool {
        self.leases.len() >= self.max_batch
    }

    /// Decides over a lease whose entry has come up, if it is due by `decided_ms`, the time up to
    /// which no earlier lease can be in the queue. `None` while the queue is still sorting.
    fn visit(&mut self, primary: &mut Primary, record: &mut Record, decided_ms: Option<u64>) {
        let is_due = decided_ms.is_some_and(|decided_ms| {
            record.deadline_ms() <= decided_ms || planted!("expiry-ignores-renewal")
        });
        if is_due && !self.is_full() {
            self.decide(primary, record);
        } else {
            sometimes!("core: an entry is put back at the true deadline");
            primary.queue(record);
        }
    }

    /// Decides over a lease that is overdue and in no place.
    fn decide(&mut self, primary: &mut Primary, record: &mut Record) {
        let attempt = match record.phase() {
            Phase::Active => 0,
            Phase::Expiring if (self.is_held)(record.id()) => {
                let pause_ms = primary.attempts.failed_retry_ms();
                record.set_deadline_ms(self.now.ceil_ms.saturating_add(pause_ms));
                return primary.queue(record);
            }
            Phase::Expiring => primary.attempts.next_number(record.id()),
        };
        let now_ms = self.now.floor_ms;
        if attempt > 0 && planted!("retries-escape-the-rate") {
            return self.deliver(primary, record, attempt);
        }
        if primary.revoke_rate.has_permit(now_ms) {
            primary.revoke_rate.take(now_ms);
        } else {
            self.stats.throttled += 1;
            sometimes!("core: the revoke rate throttles an expiry");
            primary.throttle(record);
            return;
        }
        self.deliver(primary, record, attempt);
    }

    /// Decides over the next lease of the first batch, which is due at `due_ms`.
    fn retry(&mut self, primary: &mut Primary, records: &mut Records, due_ms: u64) {
        if let Some(record) = primary.pop_retry(records, due_ms) {
            self.decide(primary, record);
        }
    }

    fn deliver(&mut self, primary: &mut Primary, record: &mut Record, attempt: u32) {
        let (id, due_ms) = (record.id(), record.deadline_ms());
        if attempt > 0 {
            sometimes!("core: a lease is delivered again");
        }
        primary.attempts.deliver(record, attempt);
        self.stats.expired += 1;
        self.leases.push(ExpiredLease {
            id,
            incarnation: record.incarnation(),
            attempt,
            lag: Duration::from_millis(self.now.floor_ms.saturating_sub(due_ms)),
        });
    }

    fn finish(mut self, primary: &mut Primary) -> Option<ExpiredBatch> {
        if self.leases.is_empty() {
            return None;
        }
        // They are in this order already, but for what was throttled or is delivered again.
        let by_expiry = |lease: &ExpiredLease| (Reverse(lease.lag), lease.id);
        self.leases.sort_unstable_by_key(by_expiry);
        Some(ExpiredBatch {
            number: primary.attempts.seal(),
            epoch: primary.epoch,
            leases: self.leases,
        })
    }
}
