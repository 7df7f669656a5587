use core::hash::Hash;

use crate::{Entry, ExpiryQueue, LeaseQueue, LeaseWithTime, Timestamp, index::Index};

/// The [`ExpiryQueue`] over a heap: etcd's lease expired notifier, with one entry per key.
///
/// Moving a key moves its entry, so the queue never holds more entries than keys. The name and the
/// pairing of a heap with an index are etcd's.
///
/// # Examples
///
/// ```
/// use lease_queue::{ExpiryQueue, LeaseExpiredNotifier, Timestamp};
///
/// let mut notifier = LeaseExpiredNotifier::new();
/// assert_eq!(notifier.register_or_update(7, Timestamp::from_secs(1)), None);
/// let before = notifier.register_or_update(7, Timestamp::from_secs(2));
/// assert_eq!(before, Some(Timestamp::from_secs(1)));
/// assert_eq!(notifier.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct LeaseExpiredNotifier<K> {
    queue: LeaseQueue<K>,
    // Invariant: exactly one entry of `queue` per key, under that key.
    entries: Index<K, Entry>,
}

impl<K> LeaseExpiredNotifier<K> {
    /// An empty queue; allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, LeaseExpiredNotifier};
    ///
    /// let mut notifier = LeaseExpiredNotifier::<u64>::new();
    /// assert_eq!(notifier.peek(), None);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: LeaseQueue::new(),
            entries: Index::default(),
        }
    }
}

impl<K: Copy + Ord + Hash> LeaseExpiredNotifier<K> {
    /// Checks that heap and index agree. O(n); meant for tests and simulations.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, LeaseExpiredNotifier, Timestamp};
    ///
    /// let mut notifier = LeaseExpiredNotifier::new();
    /// for key in [3, 1, 3] {
    ///     notifier.register_or_update(key, Timestamp::ZERO);
    ///     notifier.check_invariants();
    /// }
    /// ```
    pub fn check_invariants(&self) {
        self.queue.check_invariants();
        assert_eq!(self.queue.len(), self.entries.len(), "one entry per key");
        for (key, entry) in &self.entries {
            let lease = self.queue.get(*entry).expect("an indexed entry is queued");
            assert!(lease.key == *key, "an entry is indexed under its own key");
        }
    }
}

impl<K: Copy + Ord + Hash> ExpiryQueue<K> for LeaseExpiredNotifier<K> {
    fn register_or_update(&mut self, key: K, time: Timestamp) -> Option<Timestamp> {
        if let Some(entry) = self.entries.get(&key) {
            return self.queue.update(*entry, time);
        }
        let entry = self.queue.push(LeaseWithTime { key, time });
        self.entries.insert(key, entry);
        None
    }

    fn cancel(&mut self, key: &K) -> Option<Timestamp> {
        let entry = self.entries.remove(key)?;
        self.queue.remove(entry).map(|lease| lease.time)
    }

    fn peek(&mut self) -> Option<LeaseWithTime<K>> {
        self.queue.peek()
    }

    fn unregister(&mut self) -> Option<LeaseWithTime<K>> {
        let lease = self.queue.pop()?;
        let entry = self.entries.remove(&lease.key);
        assert!(entry.is_some(), "a queued key is indexed");
        Some(lease)
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<LeaseWithTime<K>> {
        self.queue.peek().filter(|lease| lease.time <= now)?;
        self.unregister()
    }

    fn time_of(&self, key: &K) -> Option<Timestamp> {
        let entry = self.entries.get(key)?;
        self.queue.get(*entry).map(|lease| lease.time)
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.entries.clear();
    }
}

impl<K> Default for LeaseExpiredNotifier<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notifier_of_two() -> LeaseExpiredNotifier<u32> {
        let mut notifier = LeaseExpiredNotifier::new();
        notifier.register_or_update(1, Timestamp::ZERO);
        notifier.register_or_update(2, Timestamp::ZERO);
        notifier
    }

    #[test]
    #[should_panic(expected = "one entry per key")]
    fn the_check_sees_an_entry_without_its_key() {
        let mut notifier = notifier_of_two();
        notifier.entries.remove(&1);
        notifier.check_invariants();
    }

    #[test]
    #[should_panic(expected = "under its own key")]
    fn the_check_sees_a_key_with_the_entry_of_another() {
        let mut notifier = notifier_of_two();
        let entry = notifier.entries[&2];
        notifier.entries.insert(1, entry);
        notifier.check_invariants();
    }
}
