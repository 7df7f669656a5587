use alloc::vec::Vec;
use core::time::Duration;

use lease_queue::{Position, Timestamp};

use super::LessorCore;
use super::time::Now;
use crate::primary::Primary;
use crate::probe::{planted, sometimes};
use crate::table::record::{Phase, Record};
use crate::table::records::Records;
use crate::{ExpiredBatch, ExpiredLease, ExpiryFence, LeaseId, LessorConfig, LessorStats};

/// What the host knows of an attempt to revoke an expired lease that did not end in its revoke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The revoke will certainly never be applied.
    Failed,
    /// The revoke may still be applied.
    Unknown,
}

/// How many entries of the expiry queue one call looks at: some 100 µs.
const STEPS_PER_CALL: usize = 2048;

/// How much sooner than a lost attempt one that is known to have failed is followed by the next.
const FAILED_RETRY_DIVISOR: u64 = 4;

impl LessorCore {
    /// Hands out the next leases whose time is up, or `None` if none is due, expiry is suspended,
    /// this is not the primary, or the schedule of its promotion is not complete.
    ///
    /// A lease that is handed out cannot be renewed any more. Until it is revoked, or this lessor
    /// demoted, it is handed out again each
    /// [`expired_lease_retry_interval`](crate::LessorConfig::expired_lease_retry_interval) after
    /// the host took the batch, see [`handle_taken`](Self::handle_taken). Leases come in the order
    /// of their expiry, those of one batch and millisecond in the order of their ids.
    ///
    /// A bounded number of steps: while [`next_wakeup`](Self::next_wakeup) is not past `now` there
    /// may be more, also after a `None`.
    pub fn poll_expired(&mut self, now: Timestamp) -> Option<ExpiredBatch> {
        let now = self.read_clock(now);
        if self.suspended {
            return None;
        }
        let primary = self.primary.as_mut()?;
        if primary.is_scheduling() {
            return None;
        }
        let mut hand_out = HandOut {
            now,
            config: &self.config,
            stats: &mut self.stats,
            leases: Vec::new(),
            order: Vec::new(),
        };
        primary.attempts.looked(now.floor_ms);
        let records = &mut self.table.records;
        let mut steps = 0;
        // Those who wait for a turn were due before all that comes out of the queue now.
        while steps < STEPS_PER_CALL
            && !hand_out.is_full()
            && primary.revoke_rate.has_turn(now.floor_ms)
            && let Some(id) = primary.next_postponed()
        {
            steps += 1;
            let record = records.get_mut(id).expect("who waits is there");
            record.set_marks(record.marks().on_time());
            hand_out.decide(primary, record);
        }
        let mut keys = Vec::new();
        while steps < STEPS_PER_CALL && !hand_out.is_full() {
            if let Some(due_ms) = primary.next_retry_ms(now.floor_ms) {
                steps += 1;
                hand_out.retry(primary, records, due_ms);
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
                    record.set_position(Position::NONE);
                    hand_out.visit(primary, record, decided_ms);
                }
            }
        }
        primary.next_turn_ms = primary.revoke_rate.next_turn(now.floor_ms);
        hand_out.finish(primary)
    }

    /// The host has taken the batches with a number below `below`: their retry interval starts now.
    pub fn handle_taken(&mut self, now: Timestamp, below: u64) {
        let now = self.read_clock(now);
        if let Some(primary) = &mut self.primary {
            primary.attempts.take_below(below, now.floor_ms);
        }
    }

    /// An attempt to revoke an expired lease has ended without its revoke.
    ///
    /// Either way the lease stays unrenewable and is handed out again; after
    /// [`AttemptOutcome::Failed`] sooner, in a quarter of the retry interval. A fence that does not
    /// match is ignored.
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
        let record = self.table.records.get_mut(id).filter(|record| {
            record.phase() == Phase::Expiring && record.incarnation() == fence.incarnation
        });
        let Some(record) = record else {
            return;
        };
        let is_over = fence.epoch == primary.epoch && outcome == AttemptOutcome::Failed;
        if is_over && primary.has_scheduled(record) && !record.marks().is_postponed() {
            let pause_ms = primary.attempts.retry_ms() / FAILED_RETRY_DIVISOR;
            sometimes!("core: a failed attempt is retried sooner");
            primary.attempts.leave(record);
            record.set_deadline_ms(now.ceil_ms.saturating_add(pause_ms));
            primary.reschedule(&mut self.table.records, id);
        }
    }
}

/// The making of one batch.
struct HandOut<'a> {
    now: Now,
    config: &'a LessorConfig,
    stats: &'a mut LessorStats,
    leases: Vec<ExpiredLease>,
    // What to sort them by, and where each is: small, since sorting moves it often.
    order: Vec<(u64, LeaseId, u32)>,
}

impl HandOut<'_> {
    fn is_full(&self) -> bool {
        self.leases.len() >= self.config.max_expired_batch_size.get() as usize
    }

    /// Decides over a lease whose entry has come up, if its turn in time has come: that is when it
    /// is due by `decided_ms`, the time up to which no earlier lease can be in the queue. `None`
    /// while the queue is still sorting.
    fn visit(&mut self, primary: &mut Primary, record: &mut Record, decided_ms: Option<u64>) {
        let is_due = decided_ms.is_some_and(|decided_ms| {
            record.deadline_ms() <= decided_ms || planted!("expiry-ignores-renewal")
        });
        if is_due && !self.is_full() {
            self.decide(primary, record);
        } else {
            sometimes!("core: an entry is put back at the true deadline");
            primary.relink(record);
        }
    }

    /// Decides over a lease that is due and has no entry.
    fn decide(&mut self, primary: &mut Primary, record: &mut Record) {
        match record.phase() {
            Phase::Active => self.expire(primary, record, 0),
            Phase::Expiring => {
                let attempt = primary.attempts.next_number(record.id());
                self.expire(primary, record, attempt);
            }
            Phase::Revoking | Phase::Granting => {
                let now_ms = self.now.floor_ms;
                let again_ms = now_ms.saturating_add(primary.attempts.retry_ms());
                primary.relink_at(record, again_ms);
            }
        }
    }

    /// Decides over the next lease of the first batch, which is due at `due_ms`.
    fn retry(&mut self, primary: &mut Primary, records: &mut Records, due_ms: u64) {
        let Some((id, place)) = primary.attempts.pop() else {
            return;
        };
        if let Some(record) = records.get_mut(id)
            && primary.has_scheduled(record)
            && record.place() == Some(place)
        {
            primary.attempts.leave(record);
            record.set_deadline_ms(due_ms);
            self.decide(primary, record);
        }
    }

    /// Hands the lease out, or has it wait for its turn if the revoke rate is used up.
    fn expire(&mut self, primary: &mut Primary, record: &mut Record, attempt: u32) {
        let now_ms = self.now.floor_ms;
        if primary.revoke_rate.has_turn(now_ms) {
            primary.revoke_rate.reserve(now_ms);
        } else if !planted!("rate-ignored") {
            self.stats.postponed += 1;
            sometimes!("core: the revoke rate puts an expiry off");
            primary.postpone(record);
            return;
        }
        let id = record.id();
        let due_ms = record.deadline_ms();
        record.set_phase(Phase::Expiring);
        if attempt > 0 {
            sometimes!("core: a lease is handed out again");
        }
        primary.attempts.hand_out(record, attempt);
        self.stats.expired += 1;
        let incarnation = record.incarnation();
        self.order.push((due_ms, id, self.leases.len() as u32));
        self.leases.push(ExpiredLease {
            id,
            incarnation,
            attempt,
            lag: Duration::from_millis(now_ms.saturating_sub(due_ms)),
        });
    }

    fn finish(mut self, primary: &mut Primary) -> Option<ExpiredBatch> {
        if self.leases.is_empty() {
            return None;
        }
        self.order.sort_unstable();
        let leases = self.order.iter();
        Some(ExpiredBatch {
            number: primary.attempts.seal(self.now.floor_ms),
            epoch: primary.epoch,
            leases: leases.map(|(_, _, at)| self.leases[*at as usize]).collect(),
        })
    }
}
