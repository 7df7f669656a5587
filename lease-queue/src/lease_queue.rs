use alloc::vec::Vec;

use slab::Slab;

use crate::{LeaseWithTime, Timestamp};

/// A min-heap over `(time, key)` whose entries can be moved and removed through a handle.
///
/// The heap is 4-ary: half as deep as a binary one, and the four children it compares lie side by
/// side. Each entry has a place in a slab that knows where the heap keeps it. Keys need not be
/// unique; [`LeaseExpiredNotifier`](crate::LeaseExpiredNotifier) adds that.
///
/// # Examples
///
/// ```
/// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
///
/// let mut queue = LeaseQueue::new();
/// let slow = queue.push(LeaseWithTime { key: "slow", time: Timestamp::from_secs(9) });
/// let fast = queue.push(LeaseWithTime { key: "fast", time: Timestamp::from_secs(1) });
///
/// queue.update(slow, Timestamp::ZERO);
/// assert_eq!(queue.pop().map(|lease| lease.key), Some("slow"));
/// assert_eq!(queue.get(slow), None, "a spent handle finds nothing");
/// assert_eq!(queue.remove(fast).map(|lease| lease.key), Some("fast"));
/// ```
#[derive(Clone, Debug)]
pub struct LeaseQueue<K> {
    // Invariant: no node is smaller than its parent, and `places[node.index].position` is the
    // node's position in this vector.
    heap: Vec<Node<K>>,
    // Invariant: as many places as nodes.
    places: Slab<Place>,
    // Invariant: greater than the generation of every entry ever handed out; never goes back.
    next_generation: u64,
}

/// A handle to one entry of the [`LeaseQueue`] that returned it.
///
/// It names one push for ever: once the entry has left, every call with the handle answers `None`,
/// however often its place was used again. Handing it to another queue is a mistake that is not
/// detected.
///
/// # Examples
///
/// ```
/// use lease_queue::{Entry, LeaseQueue, LeaseWithTime, Timestamp};
///
/// let mut queue = LeaseQueue::new();
/// let old: Entry = queue.push(LeaseWithTime { key: 1, time: Timestamp::ZERO });
/// queue.clear();
/// let new = queue.push(LeaseWithTime { key: 2, time: Timestamp::ZERO });
/// assert_eq!(queue.remove(old), None);
/// assert!(queue.remove(new).is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    index: u32,
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node<K> {
    lease: LeaseWithTime<K>,
    index: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    position: u32,
    generation: u64,
}

impl<K> LeaseQueue<K> {
    /// An empty queue; allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::LeaseQueue;
    ///
    /// let queue = LeaseQueue::<u64>::new();
    /// assert!(queue.is_empty());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heap: Vec::new(),
            places: Slab::new(),
            next_generation: 0,
        }
    }

    /// How many entries there are. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// queue.push(LeaseWithTime { key: "a", time: Timestamp::ZERO });
    /// queue.push(LeaseWithTime { key: "a", time: Timestamp::ZERO });
    /// assert_eq!(queue.len(), 2, "an entry each, though the key is the same");
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is no entry. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// let entry = queue.push(LeaseWithTime { key: "a", time: Timestamp::ZERO });
    /// assert!(!queue.is_empty());
    /// queue.remove(entry);
    /// assert!(queue.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Takes every entry out; handles given out before find nothing from now on. O(n).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// let entry = queue.push(LeaseWithTime { key: "a", time: Timestamp::ZERO });
    /// queue.clear();
    /// assert_eq!((queue.pop(), queue.get(entry)), (None, None));
    /// ```
    pub fn clear(&mut self) {
        self.heap.clear();
        self.places.clear();
    }
}

impl<K: Copy + Ord> LeaseQueue<K> {
    /// Adds an entry and returns its handle. O(log n).
    ///
    /// # Panics
    ///
    /// When the queue already holds 2^32 entries.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// let lease = LeaseWithTime { key: "a", time: Timestamp::from_secs(1) };
    /// let entry = queue.push(lease);
    /// assert_eq!(queue.get(entry), Some(lease));
    /// ```
    pub fn push(&mut self, lease: LeaseWithTime<K>) -> Entry {
        let position = self.heap.len();
        let generation = self.next_generation;
        self.next_generation += 1;
        let place = Place {
            position: narrow(position),
            generation,
        };
        let index = narrow(self.places.insert(place));
        self.heap.push(Node { lease, index });
        self.sift_up(position);
        Entry { index, generation }
    }

    /// The earliest entry. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// for (key, secs) in [("late", 9), ("soon", 1)] {
    ///     queue.push(LeaseWithTime { key, time: Timestamp::from_secs(secs) });
    /// }
    /// // How long a driver may sleep.
    /// assert_eq!(queue.peek().map(|lease| lease.time), Some(Timestamp::from_secs(1)));
    /// assert_eq!(queue.len(), 2, "nothing was taken");
    /// ```
    #[must_use]
    pub fn peek(&self) -> Option<LeaseWithTime<K>> {
        self.heap.first().map(|node| node.lease)
    }

    /// Takes the earliest entry out. O(log n).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// for (key, secs) in [("late", 9), ("soon", 1)] {
    ///     queue.push(LeaseWithTime { key, time: Timestamp::from_secs(secs) });
    /// }
    /// let keys = std::iter::from_fn(|| queue.pop()).map(|lease| lease.key);
    /// assert!(keys.eq(["soon", "late"]));
    /// ```
    pub fn pop(&mut self) -> Option<LeaseWithTime<K>> {
        (!self.heap.is_empty()).then(|| self.take(0))
    }

    /// The key and time of `entry`, or `None` if it has left. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// let entry = queue.push(LeaseWithTime { key: "a", time: Timestamp::from_secs(1) });
    /// assert_eq!(queue.get(entry).map(|lease| lease.key), Some("a"));
    /// queue.pop();
    /// assert_eq!(queue.get(entry), None);
    /// ```
    #[must_use]
    pub fn get(&self, entry: Entry) -> Option<LeaseWithTime<K>> {
        let position = self.position_of(entry)?;
        Some(self.heap[position].lease)
    }

    /// Moves `entry` to `time` and returns its old time, or `None` if it has left. O(log n).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// let renewed = queue.push(LeaseWithTime { key: "renewed", time: Timestamp::from_secs(1) });
    /// queue.push(LeaseWithTime { key: "other", time: Timestamp::from_secs(2) });
    /// let before = queue.update(renewed, Timestamp::from_secs(3));
    /// assert_eq!(before, Some(Timestamp::from_secs(1)));
    /// assert_eq!(queue.pop().map(|lease| lease.key), Some("other"));
    /// ```
    pub fn update(&mut self, entry: Entry, time: Timestamp) -> Option<Timestamp> {
        let position = self.position_of(entry)?;
        let before = core::mem::replace(&mut self.heap[position].lease.time, time);
        self.restore(position);
        Some(before)
    }

    /// Takes `entry` out, or answers `None` if it has left already. O(log n).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// let entry = queue.push(LeaseWithTime { key: "revoked", time: Timestamp::from_secs(1) });
    /// assert_eq!(queue.remove(entry).map(|lease| lease.key), Some("revoked"));
    /// assert_eq!(queue.remove(entry), None);
    /// ```
    pub fn remove(&mut self, entry: Entry) -> Option<LeaseWithTime<K>> {
        let position = self.position_of(entry)?;
        Some(self.take(position))
    }

    /// Checks the heap order and the handles. O(n); meant for tests and simulations.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{LeaseQueue, LeaseWithTime, Timestamp};
    /// let mut queue = LeaseQueue::new();
    /// for key in [3, 1, 2] {
    ///     queue.push(LeaseWithTime { key, time: Timestamp::ZERO });
    ///     queue.check_invariants();
    /// }
    /// ```
    pub fn check_invariants(&self) {
        assert_eq!(self.heap.len(), self.places.len(), "one place per node");
        for (position, node) in self.heap.iter().enumerate() {
            let place = &self.places[node.index as usize];
            assert_eq!(place.position as usize, position, "places follow the heap");
            assert!(place.generation < self.next_generation, "no handle twice");
            let parent = self.heap[position.saturating_sub(1) / ARITY].lease;
            assert!(parent <= node.lease, "a parent is not after its child");
        }
    }

    fn position_of(&self, entry: Entry) -> Option<usize> {
        let place = self.places.get(entry.index as usize)?;
        (place.generation == entry.generation).then_some(place.position as usize)
    }

    fn take(&mut self, position: usize) -> LeaseWithTime<K> {
        let node = self.heap.swap_remove(position);
        self.places.remove(node.index as usize);
        if position < self.heap.len() {
            self.restore(position);
        }
        node.lease
    }

    /// Puts the node at `position`, the only one that may be out of order, where it belongs.
    fn restore(&mut self, position: usize) {
        if self.sift_up(position) == position {
            self.sift_down(position);
        }
    }

    fn sift_up(&mut self, mut position: usize) -> usize {
        let node = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if self.heap[parent].lease <= node.lease {
                break;
            }
            self.put(position, self.heap[parent]);
            position = parent;
        }
        self.put(position, node);
        position
    }

    fn sift_down(&mut self, mut position: usize) {
        let node = self.heap[position];
        while let Some(child) = self.earliest_child(position) {
            if node.lease <= self.heap[child].lease {
                break;
            }
            self.put(position, self.heap[child]);
            position = child;
        }
        self.put(position, node);
    }

    fn earliest_child(&self, position: usize) -> Option<usize> {
        let first = position * ARITY + 1;
        let end = (first + ARITY).min(self.heap.len());
        (first..end).min_by_key(|&child| self.heap[child].lease)
    }

    fn put(&mut self, position: usize, node: Node<K>) {
        self.heap[position] = node;
        self.places[node.index as usize].position = narrow(position);
    }
}

impl<K> Default for LeaseQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).expect("a queue holds at most 2^32 entries")
}

/// Children per node: four is where fewer levels stop paying for more comparisons.
const ARITY: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(key: u32, nanos: u64) -> LeaseWithTime<u32> {
        LeaseWithTime {
            key,
            time: Timestamp::from_nanos(nanos),
        }
    }

    #[test]
    fn pops_by_time_then_key() {
        let mut queue = LeaseQueue::new();
        for (key, nanos) in [(5, 2), (4, 1), (3, 2), (2, 3), (1, 0)] {
            queue.push(lease(key, nanos));
            queue.check_invariants();
        }
        let keys = core::iter::from_fn(|| queue.pop()).map(|lease| lease.key);
        assert!(keys.eq([1, 4, 3, 5, 2]));
    }

    #[test]
    fn equal_entries_keep_their_own_handles() {
        let mut queue = LeaseQueue::new();
        let first = queue.push(lease(1, 1));
        let second = queue.push(lease(1, 1));
        assert_eq!(queue.remove(first), Some(lease(1, 1)));
        assert_eq!(queue.remove(first), None);
        assert_eq!(queue.get(second), Some(lease(1, 1)));
    }

    #[test]
    fn a_stale_handle_never_reaches_the_next_tenant() {
        let mut queue = LeaseQueue::new();
        let stale = queue.push(lease(1, 1));
        queue.pop();
        let tenant = queue.push(lease(2, 2));
        assert_eq!(stale.index, tenant.index, "the place was used again");
        assert_eq!(queue.get(stale), None);
        assert_eq!(queue.update(stale, Timestamp::ZERO), None);
        assert_eq!(queue.remove(stale), None);
        assert_eq!(queue.get(tenant), Some(lease(2, 2)));
    }

    #[test]
    fn handles_from_before_a_clear_are_stale() {
        let mut queue = LeaseQueue::new();
        let stale = queue.push(lease(1, 1));
        queue.clear();
        assert_eq!(queue.get(stale), None, "the slab is empty");
        queue.push(lease(2, 2));
        assert_eq!(queue.remove(stale), None, "the slab is not");
        queue.check_invariants();
    }

    #[test]
    fn removal_from_the_middle_may_move_the_last_node_up() {
        let mut queue = LeaseQueue::new();
        let times = [0, 50, 1, 2, 3, 60, 61, 62, 63, 4];
        let entries = times.map(|nanos| queue.push(lease(0, nanos)));
        queue.remove(entries[5]);
        queue.check_invariants();
        queue.update(entries[0], Timestamp::MAX);
        queue.check_invariants();
        assert_eq!(queue.peek(), Some(lease(0, 1)));
    }

    fn queue_of_six() -> LeaseQueue<u32> {
        let mut queue = LeaseQueue::new();
        for nanos in 0..6 {
            queue.push(lease(0, nanos));
        }
        queue
    }

    #[test]
    #[should_panic(expected = "a parent is not after its child")]
    fn the_check_sees_a_heap_out_of_order() {
        let mut queue = queue_of_six();
        queue.heap[1].lease.time = Timestamp::MAX;
        queue.check_invariants();
    }

    #[test]
    #[should_panic(expected = "places follow the heap")]
    fn the_check_sees_a_handle_that_leads_elsewhere() {
        let mut queue = queue_of_six();
        queue.heap.swap(3, 4);
        queue.check_invariants();
    }

    #[test]
    #[should_panic(expected = "no handle twice")]
    fn the_check_sees_a_generation_that_would_come_again() {
        let mut queue = queue_of_six();
        queue.next_generation = 5;
        queue.check_invariants();
    }
}
