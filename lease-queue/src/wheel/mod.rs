mod arithmetic;
mod check;
mod drain;
mod pool;
mod position;
mod retired;
mod slots;

use self::{
    arithmetic::{Slot, slot_of, slot_start},
    pool::{NO_CHUNK, Pool},
    position::CHUNK_LEN,
    slots::Slots,
};
pub use self::{
    drain::{DueSlot, Popped},
    position::Position,
    retired::RetiredWheel,
};

/// A hierarchical timing wheel that holds keys only; their times stay with the owner.
///
/// Time is a `u64` of ticks whose length the owner chooses. Seven levels of 1,024 slots cover all of
/// it. A slot is a chain of chunks of 63 keys, so a key costs its own size and 2 to 8 percent
/// (8.6 bytes for a `u64` among a million), and filling or emptying a slot walks arrays, not lists.
///
/// # The owner's part
///
/// The owner keeps a record per key with its true tick and its [`Position`]. It sets the position
/// after [`insert`](Self::insert) and when [`remove`](Self::remove) reports a moved key, and
/// forgets it when the key is popped. A key must not be in the wheel twice.
///
/// A true tick may move *later* with no call at all: when the key is popped at its old place, the
/// owner sees its own record and inserts it again. To move it *earlier*, remove and insert it.
///
/// # Popping
///
/// [`pop`](Self::pop) takes one key out of the earliest slot that has begun, and
/// [`pop_chunk`](Self::pop_chunk) up to 63 of them. A slot of level 0 is a single tick: its keys
/// are due, or were moved later. A slot of a higher level spans many ticks: each of its keys must
/// be inserted again at its true tick, which puts it on a lower level. Each key comes out at most
/// once per level on its way, so popping is O(1) amortised, and each step is O(1). The owner may
/// stop between any two steps and do anything else; the next step goes on. Ticks come out in
/// order: nothing is popped from a slot while an earlier one holds a key. Within a tick the order
/// is unspecified, but the same for the same calls.
///
/// A tick begins before it ends: an owner whose times are finer than ticks rounds up when it
/// inserts, so that a key popped at its own tick is due.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use lease_queue::{BucketWheel, Position};
///
/// struct Record { tick: u64, position: Position }
///
/// let mut wheel = BucketWheel::new();
/// let mut records = HashMap::new();
/// for (key, tick) in [("a", 1_000), ("b", 2_000)] {
///     records.insert(key, Record { tick, position: wheel.insert(key, tick) });
/// }
/// records.get_mut("a").unwrap().tick = 3_000; // Renewed: the wheel is not told.
///
/// let mut due = Vec::new();
/// while let Some(popped) = wheel.pop(2_500) {
///     let record = records.get_mut(popped.key).unwrap();
///     if popped.slot.is_exact() && record.tick <= popped.slot.tick {
///         record.position = Position::NONE;
///         due.push(popped.key);
///     } else {
///         record.position = wheel.insert(popped.key, record.tick);
///     }
/// }
/// assert_eq!(due, ["b"]);
/// assert_eq!(wheel.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct BucketWheel<K> {
    // Invariant: never goes back, and no key lies in a slot that starts before it. On levels above
    // 0 every occupied slot starts after it, except `open`.
    elapsed: u64,
    len: usize,
    // The slot that was popped from last. While it holds keys it starts at `elapsed` and is the
    // earliest, whatever its level. Invariant: once empty it is replaced before `elapsed` moves.
    open: Option<Slot>,
    slots: Slots,
    // Invariant: in the chain of a slot every chunk but the first is full.
    pool: Pool<K>,
}

/// What [`BucketWheel::remove`] took out, and whom that moved.
///
/// # Examples
///
/// ```
/// use lease_queue::BucketWheel;
///
/// let mut wheel = BucketWheel::new();
/// let position = wheel.insert('a', 9);
/// wheel.insert('b', 9);
/// let removed = wheel.remove(position).unwrap();
/// assert_eq!(removed.key, 'a');
/// assert_eq!(removed.moved, Some('b')); // 'b' is at `position` now.
/// assert_eq!(wheel.key_at(position), Some('b'));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the record of a moved key must learn its new position"]
pub struct Removed<K> {
    /// The key that was at the position. An owner does well to check that it is the expected one.
    pub key: K,
    /// The key that took its place: its position is now the one that was removed.
    pub moved: Option<K>,
}

impl<K> BucketWheel<K> {
    /// The most keys that [`pop_chunk`](Self::pop_chunk) takes at once: 63.
    pub const CHUNK_LEN: usize = CHUNK_LEN;

    /// An empty wheel that stands at tick 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let wheel = BucketWheel::<u64>::new();
    /// assert_eq!((wheel.elapsed(), wheel.next_tick()), (0, None));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(0)
    }

    /// An empty wheel that stands at `elapsed`.
    ///
    /// Starting near the present spares the first keys a few levels.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::starting_at(1_000_000);
    /// wheel.insert("soon", 1_000_005);
    /// assert_eq!(wheel.next_tick(), Some(1_000_005), "on the lowest level at once");
    /// ```
    #[must_use]
    pub fn starting_at(elapsed: u64) -> Self {
        Self {
            elapsed,
            len: 0,
            open: None,
            slots: Slots::new(),
            pool: Pool::new(),
        }
    }

    /// How many keys there are. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("a", 1);
    /// wheel.insert("b", 2);
    /// wheel.pop(1);
    /// assert_eq!(wheel.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("a", 1);
    /// assert!(!wheel.is_empty());
    /// wheel.pop(1);
    /// assert!(wheel.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tick at which the wheel stands: the last slot popped from, or a later `now` at which
    /// nothing was due. It never goes back. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("a", 5);
    /// wheel.pop(9);
    /// assert_eq!(wheel.elapsed(), 5, "the slot of the key");
    /// wheel.pop(9);
    /// assert_eq!(wheel.elapsed(), 9, "nothing else was due");
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// The start of the earliest slot that holds a key, or `None` when there is no key. O(1).
    ///
    /// No key is due before it. It is the tick of a key when the slot is on level 0 and no time was
    /// moved later; otherwise it is a moment for [`pop`](Self::pop) to go on with its work.
    /// `pop(now)` finds something exactly when this is at or before `now`.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("far", 5_000);
    /// assert_eq!(wheel.next_tick(), Some(4_096), "the start of its slot of 1,024 ticks");
    /// wheel.insert("near", 7);
    /// assert_eq!(wheel.next_tick(), Some(7));
    /// ```
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        let slot = self.earliest()?;
        Some(slot_start(self.elapsed, slot))
    }

    /// Turns the wheel into one that only gives its memory back, in steps of the caller's choice.
    /// O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// wheel.insert("a", 5);
    /// let mut retired = wheel.retire();
    /// assert!(retired.release_some(1), "one page, and it is free");
    /// ```
    #[must_use]
    pub fn retire(self) -> RetiredWheel<K> {
        RetiredWheel::new(self.pool)
    }

    fn earliest(&self) -> Option<Slot> {
        let open = self.open.filter(|&slot| self.slots.is_occupied(slot));
        open.or_else(|| self.slots.first())
    }
}

impl<K: Copy> BucketWheel<K> {
    /// Puts `key` in the slot of `tick` and returns where it is. O(1).
    ///
    /// Every `u64` is a valid tick. One before [`elapsed`](Self::elapsed) counts as `elapsed`: the
    /// key comes out next.
    ///
    /// # Panics
    ///
    /// When all 2^24 chunks are in use, which takes 10^9 keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::starting_at(100);
    /// let position = wheel.insert("a", 105);
    /// assert_eq!(wheel.key_at(position), Some("a"));
    /// wheel.insert("late", 3);
    /// assert_eq!(wheel.next_tick(), Some(100), "the past is now");
    /// ```
    pub fn insert(&mut self, key: K, tick: u64) -> Position {
        let slot = slot_of(self.elapsed, tick.max(self.elapsed));
        let newest = self.slots.newest(slot);
        self.len += 1;
        if newest.offset() >= CHUNK_LEN - 1 {
            return self.insert_in_new_chunk(key, slot, newest);
        }
        let position = newest.next();
        self.pool.keys_mut(position.chunk())[position.offset()] = key;
        self.slots.set(slot, position);
        position
    }

    /// Takes out the key at `position`, and fills the gap with the newest key of the same slot.
    /// O(1).
    ///
    /// Answers `None`, and changes nothing, when no key is there. A position that is out of date may
    /// hold another key by now; the answer names it.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// let position = wheel.insert("a", 5);
    /// let removed = wheel.remove(position).expect("it is there");
    /// assert_eq!((removed.key, removed.moved), ("a", None));
    /// assert_eq!(wheel.remove(position), None);
    /// ```
    pub fn remove(&mut self, position: Position) -> Option<Removed<K>> {
        let slot = self.slot_at(position)?;
        let key = self.pool.keys(position.chunk())[position.offset()];
        let newest = self.slots.newest(slot);
        let filler = self.take_newest(slot);
        if newest == position {
            return Some(Removed { key, moved: None });
        }
        self.pool.keys_mut(position.chunk())[position.offset()] = filler;
        let moved = Some(filler);
        Some(Removed { key, moved })
    }

    /// The key at `position`, if there is one. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{BucketWheel, Position};
    ///
    /// let mut wheel = BucketWheel::new();
    /// let position = wheel.insert("a", 5);
    /// assert_eq!(wheel.key_at(position), Some("a"));
    /// assert_eq!(wheel.key_at(Position::NONE), None);
    /// ```
    #[must_use]
    pub fn key_at(&self, position: Position) -> Option<K> {
        self.slot_at(position)?;
        Some(self.pool.keys(position.chunk())[position.offset()])
    }

    /// Takes every key out and gives the memory back; the wheel stays at its tick. O(n / 4,032);
    /// [`retire`](Self::retire) does the same in bounded steps.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::starting_at(100);
    /// wheel.insert("a", 105);
    /// wheel.clear();
    /// assert_eq!((wheel.len(), wheel.elapsed()), (0, 100));
    /// ```
    pub fn clear(&mut self) {
        *self = Self::starting_at(self.elapsed);
    }

    /// The slot whose key is at `position`, if there is one.
    fn slot_at(&self, position: Position) -> Option<Slot> {
        let slot = self.pool.link(position.chunk())?.slot;
        let newest = self.slots.newest(slot);
        let is_first = newest.chunk() == position.chunk();
        let last = if is_first {
            newest.offset()
        } else {
            CHUNK_LEN - 1
        };
        (position.offset() <= last).then_some(slot)
    }

    #[cold]
    fn insert_in_new_chunk(&mut self, key: K, slot: Slot, newest: Position) -> Position {
        let next = if newest.is_none() {
            NO_CHUNK
        } else {
            newest.chunk()
        };
        let position = Position::new(self.pool.take(slot, next, key), 0);
        self.slots.occupy(slot, position);
        position
    }

    /// Takes the newest key out of `slot`, which must be occupied.
    fn take_newest(&mut self, slot: Slot) -> K {
        let newest = self.slots.newest(slot);
        let key = self.pool.keys(newest.chunk())[newest.offset()];
        if newest.offset() == 0 {
            self.drop_first_chunk(slot, newest.chunk());
        } else {
            self.slots.set(slot, newest.previous());
        }
        self.len -= 1;
        key
    }

    fn drop_first_chunk(&mut self, slot: Slot, chunk: u32) {
        let link = self.pool.link(chunk).expect("a slot's chunk is in use");
        assert!(link.slot == slot, "a slot's chunk carries its number");
        self.pool.give_back(chunk);
        let next = link.next;
        if next == NO_CHUNK {
            self.slots.vacate(slot);
        } else {
            self.slots.set(slot, Position::new(next, CHUNK_LEN - 1));
        }
    }
}

impl<K> Default for BucketWheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
