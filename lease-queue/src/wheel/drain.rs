use alloc::vec::Vec;

use super::{
    BucketWheel,
    arithmetic::{Slot, slot_start},
};

/// The slot that a key was popped from.
///
/// # Examples
///
/// ```
/// use lease_queue::BucketWheel;
///
/// let mut wheel = BucketWheel::new();
/// wheel.insert("soon", 7);
/// wheel.insert("later", 1_300);
/// let soon = wheel.pop(2_000).unwrap().slot;
/// assert!(soon.is_exact() && soon.tick == 7);
/// let later = wheel.pop(2_000).unwrap().slot;
/// assert!(!later.is_exact() && later.tick == 1_024, "it may be anywhere in 1024..2048");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueSlot {
    /// 0 to 6; a slot spans 1024^`level` ticks.
    pub level: u8,
    /// The first tick of the slot.
    pub tick: u64,
}

impl DueSlot {
    /// Whether the slot is a single tick, the one its keys were inserted at.
    ///
    /// If so, a key is due unless the owner has moved it later. If not, the owner must insert the
    /// key again at its true tick.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("a", 5_000);
    /// let popped = wheel.pop(5_000).expect("its slot has begun");
    /// assert!(!popped.slot.is_exact(), "its tick is one of 1,024");
    /// wheel.insert(popped.key, 5_000);
    /// let popped = wheel.pop(5_000).expect("it is due");
    /// assert!(popped.slot.is_exact());
    /// ```
    #[must_use]
    pub const fn is_exact(self) -> bool {
        self.level == 0
    }
}

/// A key that [`BucketWheel::pop`] took out.
///
/// # Examples
///
/// ```
/// use lease_queue::{BucketWheel, DueSlot, Popped};
///
/// let mut wheel = BucketWheel::new();
/// wheel.insert('k', 3);
/// let slot = DueSlot { level: 0, tick: 3 };
/// assert_eq!(wheel.pop(3), Some(Popped { key: 'k', slot }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Popped<K> {
    /// The key, which is no longer in the wheel.
    pub key: K,
    /// Where it was.
    pub slot: DueSlot,
}

impl<K: Copy> BucketWheel<K> {
    /// Takes one key out of the earliest slot, if that slot starts at or before tick `now`. O(1).
    ///
    /// A key of an exact slot is due or was moved later by the owner; in the second case, and
    /// always when the slot is not exact, the owner inserts it again at its true tick before the
    /// next call. A key that is not due must not be inserted again at a tick that was popped, or it
    /// comes out for ever.
    ///
    /// When nothing is due the wheel moves on to `now`, so it must be a real one: for a wheel that was
    /// asked for `u64::MAX` every later insert lies in the past. A `now` that goes back finds
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("a", 5);
    /// assert_eq!(wheel.pop(4), None);
    /// let popped = wheel.pop(5).expect("it is due");
    /// assert_eq!((popped.key, popped.slot.tick), ("a", 5));
    /// ```
    pub fn pop(&mut self, now: u64) -> Option<Popped<K>> {
        let (slot, due) = self.open_due_slot(now)?;
        let key = self.take_newest(slot);
        Some(Popped { key, slot: due })
    }

    /// Takes 1 to 63 keys out of the earliest slot at once, if that slot starts at or before tick
    /// `now`, and appends them to `keys`. O(1).
    ///
    /// It does what as many calls of [`pop`](Self::pop) do, in bulk. An owner of many records reads
    /// the ticks of all the keys first and inserts afterwards, so that the cache misses of its
    /// look-ups overlap. The keys are not in the wheel any more: the owner must deal with all of
    /// them before it lets go of its lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// for key in 0..70 {
    ///     wheel.insert(key, 4);
    /// }
    /// let mut keys = Vec::with_capacity(BucketWheel::<u64>::CHUNK_LEN);
    /// assert_eq!(wheel.pop_chunk(3, &mut keys), None);
    /// while let Some(slot) = wheel.pop_chunk(4, &mut keys) {
    ///     assert!(slot.is_exact());
    ///     keys.clear();
    /// }
    /// assert!(wheel.is_empty());
    /// ```
    pub fn pop_chunk(&mut self, now: u64, keys: &mut Vec<K>) -> Option<DueSlot> {
        let (slot, due) = self.open_due_slot(now)?;
        let newest = self.slots.newest(slot);
        let chunk = self.pool.keys(newest.chunk());
        keys.extend_from_slice(&chunk[..=newest.offset()]);
        self.len -= newest.offset() + 1;
        self.drop_first_chunk(slot, newest.chunk());
        Some(due)
    }

    /// Finds the earliest slot and moves on to its start, or to `now` if it has not begun.
    fn open_due_slot(&mut self, now: u64) -> Option<(Slot, DueSlot)> {
        let Some((slot, tick)) = self.earliest_due(now) else {
            self.advance(now);
            return None;
        };
        assert!(tick >= self.elapsed, "a wheel never turns back");
        self.open = Some(slot);
        self.elapsed = tick;
        let level = slot.level() as u8;
        Some((slot, DueSlot { level, tick }))
    }

    fn earliest_due(&self, now: u64) -> Option<(Slot, u64)> {
        let slot = self.earliest()?;
        let tick = slot_start(self.elapsed, slot);
        (tick <= now).then_some((slot, tick))
    }

    /// Moves on to `now`, before which no slot may start.
    ///
    /// The keys stay where they are: a slot that starts after `now` is named by the highest digit
    /// in which its ticks differ from `now`, as it was for the earlier `elapsed`.
    fn advance(&mut self, now: u64) {
        if now > self.elapsed {
            self.elapsed = now;
            self.open = None;
        }
    }
}
