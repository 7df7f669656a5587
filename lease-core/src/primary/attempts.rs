use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::ceil_millis;
use crate::table::record::{Phase, Place, Record, Spot};
use crate::{LeaseId, LessorConfig};

/// The leases that are delivered as expired, and how far the host has come with them.
///
/// Such a lease stays in its batch, and out of the expiry queue, until the host has had its time:
/// most are revoked before, so that to enter each of them into a queue or a table would be in vain.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    retry_ms: u64,
    // The batches that have leases, oldest first, and some between them that have none any more.
    // Invariant: the first one has.
    batches: VecDeque<Batch>,
    first_number: u64,
    // The batch that is being made.
    open: Vec<Attempt>,
    // Of the leases that are delivered and have left their batch which attempt was the last.
    outside: BTreeMap<LeaseId, u32>,
    in_batches: usize,
    spots: Spots,
}

#[derive(Clone, Debug)]
struct Batch {
    // The record of a lease that is still in the batch names its spot here.
    attempts: Vec<Attempt>,
    // How many are still in it.
    live: usize,
    // Where to go on once it is due.
    next: usize,
    // When its leases are due again. `None` until the host has taken it.
    due_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: LeaseId,
    number: u32,
}

/// How the bits of a [`Spot`] are shared between the index in a batch and the batch's number, of
/// which it holds the lowest bits.
#[derive(Clone, Copy, Debug)]
struct Spots {
    index_bits: u32,
}

/// The largest batch has this many leases, whatever the configuration says, so that a spot can tell
/// a thousand batches apart. With 500 leases a batch it can tell two million.
const MAX_BATCH: usize = 1 << 20;

/// How much sooner than a lost attempt one that is known to have failed is followed by the next.
const FAILED_RETRY_DIVISOR: u64 = 4;

impl Attempts {
    pub(crate) fn new(config: &LessorConfig) -> Self {
        Self {
            retry_ms: ceil_millis(config.expired_lease_retry_interval).max(1),
            batches: VecDeque::new(),
            first_number: 0,
            open: Vec::new(),
            outside: BTreeMap::new(),
            in_batches: 0,
            spots: Spots::new(max_batch(config)),
        }
    }

    /// How soon an attempt that is known to have failed is followed by the next. Milliseconds, one at
    /// least: what is due at once would be tried in the same call again and again.
    pub(crate) fn failed_retry_ms(&self) -> u64 {
        (self.retry_ms / FAILED_RETRY_DIVISOR).max(1)
    }

    /// How many leases are delivered.
    pub(crate) fn len(&self) -> usize {
        self.in_batches + self.outside.len()
    }

    /// How many of them are in batches, and not in a queue.
    pub(crate) const fn in_batches(&self) -> usize {
        self.in_batches
    }

    /// Whether a batch can be made. Not while so many are on their way that a spot could not tell
    /// them apart.
    pub(crate) fn has_room(&self) -> bool {
        let most = self.spots.batches();
        #[cfg(all(madsim, feature = "std"))]
        let most = most.min(crate::probe::batches());
        self.batches.len() < most
    }

    /// The number of the next attempt at a lease that is in no batch.
    pub(crate) fn next_number(&self, id: LeaseId) -> u32 {
        let last = self.outside.get(&id);
        last.map_or(0, |number| number.saturating_add(1))
    }

    /// Puts a lease that is in no queue into the batch that is being made.
    pub(crate) fn deliver(&mut self, record: &mut Record, number: u32) {
        let id = record.id();
        if number > 0 {
            self.outside.remove(&id);
        }
        record.set_phase(Phase::Expiring);
        let spot = self.spots.spot(self.open_number(), self.open.len());
        record.set_place(Place::Delivered(spot));
        self.open.push(Attempt { id, number });
        self.in_batches += 1;
    }

    /// Ends the batch that is being made and returns its number.
    pub(crate) fn seal(&mut self) -> u64 {
        let number = self.open_number();
        let attempts = core::mem::take(&mut self.open);
        self.batches.push_back(Batch {
            live: attempts.len(),
            attempts,
            next: 0,
            due_ms: None,
        });
        number
    }

    /// The host has taken the batch of this number, and every one before it.
    pub(crate) fn take_through(&mut self, number: u64, now_ms: u64) {
        let count = number.saturating_add(1).saturating_sub(self.first_number);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let again_ms = now_ms.saturating_add(self.retry_ms);
        for batch in self.batches.iter_mut().take(count).rev() {
            if batch.due_ms.is_some() {
                break;
            }
            batch.due_ms = Some(again_ms);
        }
    }

    /// When the leases of the batch that a lease is in are due again; `None` until the host has taken
    /// the batch.
    pub(crate) fn due_ms(&self, spot: Spot) -> Option<u64> {
        let (batch, _) = self.spots.resolve(spot, self.first_number);
        self.batches[batch].due_ms
    }

    /// When the next attempt at a lease that is in a batch may follow.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.batches.front()?.due_ms
    }

    /// The next lease of the first batch, which is due, and its spot there, from which it may be
    /// gone. The caller has [`leave`](Self::leave) follow if it is not.
    pub(crate) fn pop(&mut self) -> Option<(LeaseId, Spot)> {
        let first = self.batches.front_mut()?;
        let index = first.next;
        let attempt = first.attempts.get(index)?;
        first.next += 1;
        Some((attempt.id, self.spots.spot(self.first_number, index)))
    }

    /// Takes a lease that stays delivered from its batch, for some queue of the caller's.
    pub(crate) fn leave(&mut self, record: &mut Record, spot: Spot) {
        let (batch, index) = self.spots.resolve(spot, self.first_number);
        let attempt = self.batches[batch].attempts[index];
        self.outside.insert(record.id(), attempt.number);
        record.set_place(Place::Queued(lease_queue::Position::NONE));
        self.leave_batch(batch);
    }

    /// The lease is gone, or alive again.
    pub(crate) fn forget(&mut self, record: &Record) {
        match record.place() {
            Place::Delivered(spot) => {
                let (batch, _) = self.spots.resolve(spot, self.first_number);
                self.leave_batch(batch);
            }
            Place::Queued(_) | Place::Throttled if record.phase() == Phase::Expiring => {
                self.outside.remove(&record.id());
            }
            Place::Queued(_) | Place::Throttled => {}
        }
    }

    /// Checks that exactly the leases that are expiring are delivered, and are where their records
    /// say.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub(crate) fn check_invariants(&self, scheduled: &[&Record]) {
        let mut delivered = 0;
        let mut live: VecDeque<_> = self.batches.iter().map(|_| 0).collect();
        for record in scheduled {
            let id = record.id();
            let is_outside = self.outside.contains_key(&id);
            let is_expiring = record.phase() == Phase::Expiring;
            delivered += usize::from(is_expiring);
            if let Place::Delivered(spot) = record.place() {
                let (batch, index) = self.spots.resolve(spot, self.first_number);
                let attempt = self.batches[batch].attempts[index];
                assert_eq!(attempt.id, id, "a lease is in its batch");
                assert!(index >= self.batches[batch].next, "{id} is not over");
                assert!(is_expiring, "{id} is expiring in its batch");
                assert!(!is_outside, "{id} is in one place");
                live[batch] += 1;
            } else {
                assert_eq!(is_outside, is_expiring, "{id} is expiring, or active");
            }
        }
        assert_eq!(delivered, self.len(), "no attempt outlives its lease");
        assert!(self.batches.iter().map(|batch| batch.live).eq(live));
        assert!(self.batches.front().is_none_or(|first| first.live > 0));
        assert!(self.open.is_empty(), "a batch that is made is delivered");
    }

    fn open_number(&self) -> u64 {
        self.first_number + self.batches.len() as u64
    }

    fn leave_batch(&mut self, index: usize) {
        let batch = &mut self.batches[index];
        batch.live -= 1;
        if batch.live == 0 {
            batch.attempts = Vec::new();
        }
        self.in_batches -= 1;
        while self.batches.front().is_some_and(|first| first.live == 0) {
            self.batches.pop_front();
            self.first_number += 1;
        }
    }
}

/// The most leases of one batch.
pub(crate) fn max_batch(config: &LessorConfig) -> usize {
    MAX_BATCH.min(config.max_expired_batch_size.get() as usize)
}

impl Spots {
    fn new(max_batch: usize) -> Self {
        Self {
            index_bits: max_batch.next_power_of_two().ilog2(),
        }
    }

    /// How many batches a spot can tell apart.
    const fn batches(self) -> usize {
        1 << (Spot::BITS - self.index_bits)
    }

    fn spot(self, batch: u64, index: usize) -> Spot {
        let batch = batch & (self.batches() as u64 - 1);
        Spot::from_bits((batch as u32) << self.index_bits | index as u32)
    }

    /// The place of the batch behind the first one, whose number is `first`, and the index there.
    fn resolve(self, spot: Spot, first: u64) -> (usize, usize) {
        let bits = spot.to_bits();
        let batch = u64::from(bits >> self.index_bits);
        let distance = batch.wrapping_sub(first) & (self.batches() as u64 - 1);
        let index = bits & ((1 << self.index_bits) - 1);
        (distance as usize, index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_names_its_batch_however_many_there_were_before() {
        for max_batch in [1, 2, 3, 500, 512, MAX_BATCH] {
            let spots = Spots::new(max_batch);
            let most = spots.batches();
            for first in [0, 1, most as u64 - 1, most as u64 * 7 + 3, u64::MAX / 2] {
                for (batch, index) in [(0, 0), (most - 1, max_batch - 1), (most / 2, 0)] {
                    let spot = spots.spot(first + batch as u64, index);
                    assert_eq!(spots.resolve(spot, first), (batch, index));
                }
            }
        }
    }
}
