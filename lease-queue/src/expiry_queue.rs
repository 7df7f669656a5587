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
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// assert_eq!(queue.register_or_update("a", Timestamp::from_secs(1)), None);
    /// let before = queue.register_or_update("a", Timestamp::from_secs(9));
    /// assert_eq!(before, Some(Timestamp::from_secs(1)));
    /// assert_eq!(queue.pop_due(Timestamp::from_secs(1)), None, "it was moved");
    /// ```
    fn register_or_update(&mut self, key: K, time: Timestamp) -> Option<Timestamp>;

    /// Takes `key` out at once; returns the time it had, or `None` if it was not there.
    ///
    /// O(1) in a wheel, O(log n) in a heap.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("a", Timestamp::from_secs(1));
    /// assert_eq!(queue.cancel(&"a"), Some(Timestamp::from_secs(1)));
    /// assert_eq!(queue.cancel(&"a"), None);
    /// ```
    fn cancel(&mut self, key: &K) -> Option<Timestamp>;

    /// The earliest key and its exact time, which is the next moment worth waking up for.
    ///
    /// Takes `&mut self` because a wheel sorts its next slot when asked; nothing observable
    /// changes. O(1) in a heap; in a wheel too, but for the call that finds a slot of n keys
    /// unsorted: O(n log n).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, LeaseWithTime, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("late", Timestamp::from_secs(9));
    /// queue.register_or_update("soon", Timestamp::from_secs(1));
    /// let soon = LeaseWithTime { key: "soon", time: Timestamp::from_secs(1) };
    /// assert_eq!(queue.peek(), Some(soon));
    /// assert_eq!(queue.len(), 2, "nothing was taken");
    /// ```
    fn peek(&mut self) -> Option<LeaseWithTime<K>>;

    /// Takes the earliest key out, due or not. O(log n) in a heap, as [`peek`](Self::peek) in a
    /// wheel.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("late", Timestamp::MAX);
    /// queue.register_or_update("soon", Timestamp::from_secs(1));
    /// let keys = std::iter::from_fn(|| queue.unregister()).map(|lease| lease.key);
    /// assert!(keys.eq(["soon", "late"]));
    /// ```
    fn unregister(&mut self) -> Option<LeaseWithTime<K>>;

    /// Takes the earliest key out if its time is at or before `now`. O(log n) in a heap, as
    /// [`peek`](Self::peek) in a wheel, which opens no slot that begins after `now`.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("a", Timestamp::from_secs(1));
    /// assert_eq!(queue.pop_due(Timestamp::from_millis(999)), None);
    /// let due = queue.pop_due(Timestamp::from_secs(1)).map(|lease| lease.key);
    /// assert_eq!(due, Some("a"));
    /// ```
    fn pop_due(&mut self, now: Timestamp) -> Option<LeaseWithTime<K>>;

    /// The time of `key`, or `None` if it is not there. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("a", Timestamp::from_secs(1));
    /// assert_eq!(queue.time_of(&"a"), Some(Timestamp::from_secs(1)));
    /// assert_eq!(queue.time_of(&"b"), None);
    /// ```
    fn time_of(&self, key: &K) -> Option<Timestamp>;

    /// How many keys there are. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("a", Timestamp::from_secs(1));
    /// queue.register_or_update("a", Timestamp::from_secs(2));
    /// assert_eq!(queue.len(), 1, "a key has one time");
    /// ```
    fn len(&self) -> usize;

    /// Whether there is no key. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("a", Timestamp::MAX);
    /// assert!(!queue.is_empty());
    /// queue.cancel(&"a");
    /// assert!(queue.is_empty());
    /// ```
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes every key out. O(n).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{ExpiryQueue, Timestamp, TimingWheel};
    ///
    /// let mut queue = TimingWheel::new();
    /// queue.register_or_update("a", Timestamp::ZERO);
    /// queue.clear();
    /// assert_eq!(queue.pop_due(Timestamp::MAX), None);
    /// ```
    fn clear(&mut self);
}
