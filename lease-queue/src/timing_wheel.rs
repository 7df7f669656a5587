use alloc::{collections::BTreeSet, vec::Vec};
use core::hash::Hash;

use crate::{BucketWheel, ExpiryQueue, LeaseWithTime, Position, Timestamp, index::Index};

/// The [`ExpiryQueue`] over a [`BucketWheel`], exact to the nanosecond.
///
/// A tick of the wheel is 2^20 nanoseconds, about a millisecond. Keys of the ticks that were opened
/// so far are kept sorted; the other ones lie in the wheel, unsorted. A key is sorted when its tick
/// comes up, so most keys of a busy system, which are cancelled or moved before they are due, are
/// never compared with anything.
///
/// The call that opens a slot sorts all its keys: O(1) a key amortised, O(n log n) for a slot of n.
/// An owner who needs every step bounded builds on [`BucketWheel`] itself. A
/// [`peek`](ExpiryQueue::peek) opens the slot of the earliest key even if that is far ahead; keys
/// that are registered before it later on are sorted as they come, which is O(log n).
///
/// # Examples
///
/// ```
/// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
///
/// let mut wheel = TimingWheel::new();
/// wheel.register_or_update("far", Timestamp::MAX);
/// wheel.register_or_update("near", Timestamp::from_nanos(2));
/// wheel.register_or_update("nearer", Timestamp::from_nanos(1));
/// assert_eq!(wheel.unregister().map(|lease| lease.key), Some("nearer"));
/// assert_eq!(wheel.peek().map(|lease| lease.key), Some("near"));
/// ```
#[derive(Clone, Debug)]
pub struct TimingWheel<K> {
    wheel: BucketWheel<K>,
    // Invariant: exactly the keys whose tick is at or before `wheel.elapsed()`. A tree and not a
    // sorted vector, so that a flood of times in the past stays O(log n) a key.
    near: BTreeSet<LeaseWithTime<K>>,
    // Invariant: one record per key of `wheel` and `near`, with its true time and position.
    records: Index<K, Record>,
    // Invariant: empty between calls; kept for its memory.
    scratch: Vec<K>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    time: Timestamp,
    // Invariant: NONE if and only if the key is in `near`.
    position: Position,
}

impl<K> TimingWheel<K> {
    /// An empty wheel.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, TimingWheel};
    ///
    /// let mut wheel = TimingWheel::<u64>::new();
    /// assert_eq!(wheel.peek(), None);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            wheel: BucketWheel::new(),
            near: BTreeSet::new(),
            records: Index::default(),
            scratch: Vec::new(),
        }
    }
}

impl<K: Copy + Ord + Hash> TimingWheel<K> {
    /// Checks that records, wheel and sorted part agree. O(n); meant for tests and simulations.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut wheel = TimingWheel::new();
    /// for key in [3, 1, 3] {
    ///     wheel.register_or_update(key, Timestamp::from_secs(key));
    ///     wheel.check_invariants();
    /// }
    /// ```
    pub fn check_invariants(&self) {
        self.wheel.check_invariants();
        let len = self.wheel.len() + self.near.len();
        assert_eq!(self.records.len(), len, "one record per key");
        for (&key, record) in &self.records {
            let is_near = tick_of(record.time) <= self.wheel.elapsed();
            assert_eq!(record.position.is_none(), is_near, "sorted when near");
            let time = record.time;
            let is_there = if is_near {
                self.near.contains(&LeaseWithTime { key, time })
            } else {
                self.wheel.key_at(record.position) == Some(key)
            };
            assert!(is_there, "a key is where its record says");
        }
    }

    fn link(&mut self, key: K, time: Timestamp) -> Position {
        if tick_of(time) <= self.wheel.elapsed() {
            self.near.insert(LeaseWithTime { key, time });
            return Position::NONE;
        }
        self.wheel.insert(key, tick_of(time))
    }

    fn unlink(&mut self, key: K, record: Record) {
        if record.position.is_none() {
            let time = record.time;
            let was_near = self.near.remove(&LeaseWithTime { key, time });
            assert!(was_near, "a key without a position is near");
            return;
        }
        let removed = self.wheel.remove(record.position);
        let removed = removed.expect("a key with a position is in the wheel");
        assert!(removed.key == key, "a position holds the record's key");
        if let Some(moved) = removed.moved {
            self.record_mut(&moved).position = record.position;
        }
    }

    /// Opens slots, up to the tick `last`, until the earliest key is in `near`.
    ///
    /// The wheel is never moved beyond the start of a slot that has keys, not even when `last` is
    /// far ahead, so that keys which come later still find it before them.
    fn open_slots(&mut self, last: u64) {
        while let Some(tick) = self.wheel.next_tick() {
            let is_half_open = tick <= self.wheel.elapsed();
            let is_wanted = self.near.is_empty() && tick <= last;
            if !is_half_open && !is_wanted {
                break;
            }
            self.sort_chunk(tick);
        }
    }

    fn sort_chunk(&mut self, tick: u64) {
        let mut keys = core::mem::take(&mut self.scratch);
        let slot = self.wheel.pop_chunk(tick, &mut keys);
        assert!(slot.is_some(), "a slot that starts at a tick is due then");
        // All reads come first, so that their cache misses overlap.
        let mut times = [Timestamp::ZERO; BucketWheel::<()>::CHUNK_LEN];
        for (time, key) in times.iter_mut().zip(&keys) {
            *time = self.record_mut(key).time;
        }
        for (key, time) in keys.drain(..).zip(times) {
            let position = self.link(key, time);
            self.record_mut(&key).position = position;
        }
        self.scratch = keys;
    }

    fn record_mut(&mut self, key: &K) -> &mut Record {
        let record = self.records.get_mut(key);
        record.expect("every key of the wheel has a record")
    }
}

impl<K: Copy + Ord + Hash> ExpiryQueue<K> for TimingWheel<K> {
    fn register_or_update(&mut self, key: K, time: Timestamp) -> Option<Timestamp> {
        let before = self.records.get(&key).copied();
        if let Some(record) = before {
            self.unlink(key, record);
        }
        let position = self.link(key, time);
        self.records.insert(key, Record { time, position });
        before.map(|record| record.time)
    }

    fn cancel(&mut self, key: &K) -> Option<Timestamp> {
        let record = self.records.remove(key)?;
        self.unlink(*key, record);
        Some(record.time)
    }

    fn peek(&mut self) -> Option<LeaseWithTime<K>> {
        self.open_slots(u64::MAX);
        self.near.first().copied()
    }

    fn unregister(&mut self) -> Option<LeaseWithTime<K>> {
        self.pop_due(Timestamp::MAX)
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<LeaseWithTime<K>> {
        self.open_slots(tick_of(now));
        self.near.first().filter(|lease| lease.time <= now)?;
        let lease = self.near.pop_first()?;
        let record = self.records.remove(&lease.key);
        assert!(record.is_some(), "a sorted key has a record");
        Some(lease)
    }

    fn time_of(&self, key: &K) -> Option<Timestamp> {
        self.records.get(key).map(|record| record.time)
    }

    fn len(&self) -> usize {
        self.records.len()
    }

    fn clear(&mut self) {
        self.wheel = BucketWheel::new();
        self.near.clear();
        self.records.clear();
    }
}

impl<K> Default for TimingWheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

const fn tick_of(time: Timestamp) -> u64 {
    time.as_nanos() >> TICK_BITS
}

/// A tick is 2^20 ns (1.05 ms): fine enough that few keys share one, coarse enough that the
/// two lowest levels reach 69 seconds ahead, so that a usual lease cascades once.
const TICK_BITS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    fn wheel_with_three_slots() -> TimingWheel<u64> {
        let mut wheel = TimingWheel::new();
        for key in 0..300 {
            let tick = 10 * (1 + key % 3);
            wheel.register_or_update(key, Timestamp::from_nanos(tick * TICK));
        }
        wheel
    }

    #[test]
    fn an_early_question_opens_nothing() {
        let mut wheel = wheel_with_three_slots();
        assert_eq!(wheel.pop_due(Timestamp::from_nanos(10 * TICK - 1)), None);
        assert!(wheel.near.is_empty());
        assert_eq!(wheel.wheel.elapsed(), 0);
    }

    #[test]
    fn slots_are_opened_one_at_a_time() {
        let mut wheel = wheel_with_three_slots();
        for slot in 1..=3 {
            for left in (0..100).rev() {
                assert!(wheel.pop_due(Timestamp::MAX).is_some());
                assert_eq!(wheel.near.len(), left);
            }
            assert_eq!(wheel.wheel.elapsed(), slot * 10, "not beyond the slot");
        }
        assert_eq!(wheel.pop_due(Timestamp::MAX), None);
        assert_eq!(wheel.wheel.elapsed(), 30, "an empty wheel waits");
        wheel.check_invariants();
    }

    #[test]
    #[should_panic(expected = "sorted when near")]
    fn the_check_sees_a_due_key_that_lies_in_the_wheel() {
        let mut wheel = wheel_with_three_slots();
        wheel.record_mut(&7).time = Timestamp::ZERO;
        wheel.check_invariants();
    }

    #[test]
    #[should_panic(expected = "a key is where its record says")]
    fn the_check_sees_a_key_with_the_place_of_another() {
        let mut wheel = wheel_with_three_slots();
        wheel.record_mut(&7).position = wheel.records[&8].position;
        wheel.check_invariants();
    }

    #[test]
    #[should_panic(expected = "one record per key")]
    fn the_check_sees_a_key_without_a_record() {
        let mut wheel = wheel_with_three_slots();
        wheel.records.remove(&7);
        wheel.check_invariants();
    }
}
