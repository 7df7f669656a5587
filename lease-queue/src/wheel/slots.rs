use alloc::{boxed::Box, vec};

use super::{
    arithmetic::{LEVELS, SLOTS, Slot, first_set},
    position::Position,
};

/// For every slot its newest key, and bitmaps to find the first slot that has one.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    // The position of the key that was put in last, so that the length of the first chunk is known
    // without touching the chunk; NONE when the slot is empty.
    newest: Box<[Position; LEVELS * SLOTS]>,
    // Invariant: a bit is set if and only if its slot is not empty.
    occupied: [[u64; SLOTS / 64]; LEVELS],
    // Invariant: bit `l` is set if and only if level `l` has an occupied slot.
    levels: u8,
}

impl Slots {
    pub(super) fn new() -> Self {
        let newest = vec![Position::NONE; LEVELS * SLOTS].into_boxed_slice();
        Self {
            newest: newest.try_into().expect("one place per slot"),
            occupied: [[0; SLOTS / 64]; LEVELS],
            levels: 0,
        }
    }

    pub(super) fn newest(&self, slot: Slot) -> Position {
        self.newest[slot.index()]
    }

    pub(super) fn is_occupied(&self, slot: Slot) -> bool {
        !self.newest(slot).is_none()
    }

    /// All slots that have keys.
    pub(super) fn all_occupied(&self) -> impl Iterator<Item = Slot> {
        let words = self.occupied.iter().flatten().enumerate();
        words
            .filter(|(_, word)| **word != 0)
            .flat_map(|(at, word)| {
                let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
                bits.map(move |bit| Slot::new(at * 64 / SLOTS, (at * 64 + bit) % SLOTS))
            })
    }

    /// The lowest slot of the lowest level that has keys.
    pub(super) fn first(&self) -> Option<Slot> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let digit = first_set(&self.occupied[level]);
        Some(Slot::new(level, digit.expect("a level is marked")))
    }

    /// Records `position` as the newest of `slot`, where the slot was occupied before.
    pub(super) fn set(&mut self, slot: Slot, position: Position) {
        self.newest[slot.index()] = position;
    }

    /// Records `position` as the newest of `slot` and marks the slot as occupied.
    pub(super) fn occupy(&mut self, slot: Slot, position: Position) {
        self.set(slot, position);
        self.occupied[slot.level()][slot.digit() / 64] |= 1 << (slot.digit() % 64);
        self.levels |= 1 << slot.level();
    }

    pub(super) fn vacate(&mut self, slot: Slot) {
        self.set(slot, Position::NONE);
        let level = &mut self.occupied[slot.level()];
        level[slot.digit() / 64] &= !(1 << (slot.digit() % 64));
        if *level == [0; SLOTS / 64] {
            self.levels &= !(1 << slot.level());
        }
    }

    pub(super) fn check_invariants(&self) {
        for level in 0..LEVELS {
            for (at, word) in self.occupied[level].iter().enumerate() {
                let first = Slot::new(level, at * 64);
                let newest = &self.newest[first.index()..][..64];
                let is_empty = newest.iter().fold(true, |all, it| all & it.is_none());
                if *word == 0 && is_empty {
                    continue;
                }
                for digit in first.digit()..first.digit() + 64 {
                    let slot = Slot::new(level, digit);
                    let bit = word >> (digit % 64) & 1;
                    assert_eq!(bit == 1, self.is_occupied(slot), "{slot:?} is marked");
                }
            }
            let marked = self.levels >> level & 1 == 1;
            let is_occupied = self.occupied[level] != [0; SLOTS / 64];
            assert_eq!(marked, is_occupied, "level {level} is marked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_is_the_lowest_of_the_lowest_level() {
        let mut slots = Slots::new();
        assert_eq!(slots.first(), None);
        let in_order = [(0, 3), (0, 200), (1, 0), (1, 1023), (6, 15)];
        let in_order = in_order.map(|(level, digit)| Slot::new(level, digit));
        for &slot in in_order.iter().rev() {
            slots.occupy(slot, Position::new(0, 0));
            assert_eq!(slots.first(), Some(slot));
            slots.check_invariants();
        }
        assert!(slots.all_occupied().eq(in_order));
        for slot in in_order {
            assert_eq!(slots.first(), Some(slot));
            slots.vacate(slot);
            slots.check_invariants();
        }
        assert_eq!(slots.first(), None);
    }

    fn slots_with_one() -> Slots {
        let mut slots = Slots::new();
        slots.occupy(Slot::new(3, 70), Position::new(0, 0));
        slots.check_invariants();
        slots
    }

    #[test]
    #[should_panic(expected = "Slot(3142) is marked")]
    fn the_check_sees_a_slot_without_its_mark() {
        let mut slots = slots_with_one();
        slots.occupied[3][1] = 0;
        slots.check_invariants();
    }

    #[test]
    #[should_panic(expected = "level 3 is marked")]
    fn the_check_sees_a_level_without_its_mark() {
        let mut slots = slots_with_one();
        slots.levels = 0;
        slots.check_invariants();
    }
}
