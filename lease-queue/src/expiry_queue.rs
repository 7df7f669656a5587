use crate::{LeaseWithTime, Timestamp};

/// A set of keys, each with one time, taken in the order of `(time, key)`.
///
/// Every implementation gives the same answers to the same calls. Times may lie in the past, be
/// equal, or be as far as [`Timestamp::MAX`]; `now` need not grow from call to call. A key that was
/// cancelled or moved leaves nothing behind.
///
/// # Examples
///
/// ```
/// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
///
/// fn drain(queue: &mut dyn ExpiryQueue<u64>, now: Timestamp) -> Vec<u64> {
///     core::iter::from_fn(|| queue.pop_due(now)).map(|lease| lease.key).collect()
/// }
///
/// let mut queue = TimingWheel::new();
/// for key in [3, 1, 2] {
///     queue.register_or_update(key, Timestamp::from_secs(60));
/// }
/// queue.cancel(&2);
/// assert_eq!(drain(&mut queue, Timestamp::from_secs(60)), [1, 3]);
/// ```
pub trait ExpiryQueue<K> {
    /// Sets the time of `key`, adding the key if it is new; returns the time it had before.
    ///
    /// O(1) amortised in a wheel, O(log n) in a heap.
    fn register_or_update(&mut self, key: K, time: Timestamp) -> Option<Timestamp>;

    /// Takes `key` out at once; returns the time it had, or `None` if it was not there.
    ///
    /// O(1) in a wheel, O(log n) in a heap.
    fn cancel(&mut self, key: &K) -> Option<Timestamp>;

    /// The earliest key and its exact time, which is the next moment worth waking up for.
    ///
    /// Takes `&mut self` because a wheel sorts its next slot when asked; nothing observable
    /// changes.
    fn peek(&mut self) -> Option<LeaseWithTime<K>>;

    /// Takes the earliest key out, due or not.
    fn unregister(&mut self) -> Option<LeaseWithTime<K>>;

    /// Takes the earliest key out if its time is at or before `now`.
    fn pop_due(&mut self, now: Timestamp) -> Option<LeaseWithTime<K>>;

    /// The time of `key`, or `None` if it is not there. O(1).
    fn time_of(&self, key: &K) -> Option<Timestamp>;

    /// How many keys there are. O(1).
    fn len(&self) -> usize;

    /// Whether there is no key. O(1).
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes every key out. O(n).
    fn clear(&mut self);
}
