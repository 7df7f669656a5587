use super::{
    BucketWheel,
    arithmetic::{Slot, slot_start},
    pool::NO_CHUNK,
    position::CHUNK_LEN,
};

impl<K> BucketWheel<K> {
    /// Checks slots, chains, pages and counts. O(n / 63); meant for tests and simulations.
    ///
    /// # Panics
    ///
    /// When an invariant does not hold.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::BucketWheel;
    ///
    /// let mut wheel = BucketWheel::new();
    /// for tick in [5_000, 7, u64::MAX] {
    ///     wheel.insert("a", tick);
    ///     wheel.check_invariants();
    /// }
    /// ```
    pub fn check_invariants(&self) {
        self.slots.check_invariants();
        self.pool.check_invariants();
        let (mut keys, mut chunks) = (0, 0);
        for slot in self.slots.all_occupied() {
            self.check_start(slot);
            let length = self.check_chain(slot);
            chunks += length;
            keys += (length - 1) * CHUNK_LEN + self.slots.newest(slot).offset() + 1;
        }
        assert_eq!(keys, self.len, "every key is in one slot");
        assert_eq!(chunks, self.pool.chunks_in_use(), "no chunk is lost");
    }

    fn check_start(&self, slot: Slot) {
        let start = slot_start(self.elapsed, slot);
        let is_open = self.open == Some(slot);
        assert!(start >= self.elapsed, "no slot lies in the past");
        assert!(
            !is_open || start == self.elapsed,
            "the open slot is current"
        );
        let is_current = slot.level() > 0 && start == self.elapsed;
        assert!(!is_current || is_open, "only the open slot is unsorted");
    }

    fn check_chain(&self, slot: Slot) -> usize {
        let mut length = 0;
        let mut next = self.slots.newest(slot).chunk();
        while next != NO_CHUNK {
            let link = self.pool.link(next).expect("a chained chunk is in use");
            assert_eq!(link.slot, slot, "a chunk belongs to its chain");
            length += 1;
            next = link.next;
        }
        length
    }
}
