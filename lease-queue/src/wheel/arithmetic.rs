//! Which slot a tick belongs to, as free functions over plain numbers.
//!
//! A tick is seven digits of ten bits. A key sits on the level of the highest digit in which its
//! tick differs from `elapsed`, in the slot that this digit names. So every key of a level is due
//! before every key of the level above it, all seven levels together cover every `u64`, and no slot
//! ever wraps around into an earlier one.

/// Levels of the wheel: one per digit of a `u64`.
pub(super) const LEVELS: usize = 7;

/// Slots per level: one per value of a digit.
pub(super) const SLOTS: usize = 1024;

/// One slot of one level: `level * 1024 + digit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u16);

impl Slot {
    pub(super) const fn new(level: usize, digit: usize) -> Self {
        debug_assert!(level < LEVELS && digit < SLOTS);
        Self((level * SLOTS + digit) as u16)
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) const fn level(self) -> usize {
        self.0 as usize / SLOTS
    }

    pub(super) const fn digit(self) -> usize {
        self.0 as usize % SLOTS
    }
}

/// The slot of `tick`, which must not lie before `elapsed`.
pub(super) const fn slot_of(elapsed: u64, tick: u64) -> Slot {
    let level = level_of(elapsed, tick);
    Slot::new(level, digit_of(tick, level))
}

/// The level of the highest digit in which the two differ, or 0 when they are equal.
pub(super) const fn level_of(elapsed: u64, tick: u64) -> usize {
    ((elapsed ^ tick) | 1).ilog2() as usize / DIGIT_BITS
}

pub(super) const fn digit_of(tick: u64, level: usize) -> usize {
    (tick >> (level * DIGIT_BITS)) as usize % SLOTS
}

/// The first tick of `slot` in the turn of its level that `elapsed` is in.
pub(super) const fn slot_start(elapsed: u64, slot: Slot) -> u64 {
    let shift = slot.level() * DIGIT_BITS;
    let turn = (elapsed >> shift) & !DIGIT_MASK;
    (turn | slot.digit() as u64) << shift
}

/// The lowest set bit of a level's 1,024 bits.
pub(super) fn first_set(bits: &[u64; SLOTS / 64]) -> Option<usize> {
    let word = bits.iter().position(|&word| word != 0)?;
    Some(word * 64 + bits[word].trailing_zeros() as usize)
}

const DIGIT_BITS: usize = 10;
const DIGIT_MASK: u64 = SLOTS as u64 - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_highest_digit_that_differs() {
        assert_eq!(level_of(0, 0), 0);
        assert_eq!(level_of(0, 1023), 0);
        assert_eq!(level_of(0, 1024), 1);
        assert_eq!(level_of(1023, 1024), 1);
        assert_eq!(level_of(1024, 2047), 0);
        assert_eq!(level_of(0, 1 << 20), 2);
        assert_eq!(level_of(0, u64::MAX), 6);
        assert_eq!(level_of(u64::MAX - 1, u64::MAX), 0);
        for level in 0..LEVELS {
            let first = 1 << (level * DIGIT_BITS);
            assert_eq!(level_of(0, first), level);
            assert_eq!(level_of(0, first * 15), level);
        }
    }

    #[test]
    fn a_slot_starts_at_or_before_its_ticks_and_its_range_holds_them() {
        let elapsed_and_ticks = [
            (0, 0),
            (0, 1023),
            (3, 1027),
            (1023, 1024),
            (0x1234_5678, 0x1234_56ff),
            (0x1234_5678, 0x1299_0000),
            (0, u64::MAX),
            (u64::MAX - 1024, u64::MAX),
            (u64::MAX, u64::MAX),
            (1 << 60, u64::MAX),
        ];
        for (elapsed, tick) in elapsed_and_ticks {
            let slot = slot_of(elapsed, tick);
            let start = slot_start(elapsed, slot);
            let last = start | ((1 << (slot.level() * DIGIT_BITS)) - 1);
            assert!(start <= tick && tick <= last, "{elapsed:#x} {tick:#x}");
            assert!(slot.level() == 0 || start > elapsed, "{elapsed:#x}");
        }
    }

    #[test]
    fn level_zero_is_exact() {
        for tick in [0, 1, 1023] {
            assert_eq!(slot_start(0, slot_of(0, tick)), tick);
        }
        assert_eq!(slot_start(u64::MAX, slot_of(u64::MAX, u64::MAX)), u64::MAX);
    }

    #[test]
    fn a_slot_is_its_level_and_digit() {
        let slot = slot_of(0, 7 << 20);
        assert_eq!((slot.level(), slot.digit(), slot.index()), (2, 7, 2055));
        // The top digit of a `u64` has four bits.
        let last = slot_of(0, u64::MAX);
        assert_eq!((last.level(), last.digit(), last.index()), (6, 15, 6159));
    }

    #[test]
    fn the_first_set_bit_is_found_in_every_word() {
        assert_eq!(first_set(&[0; 16]), None);
        for bit in [0, 1, 63, 64, 127, 128, 1023] {
            let mut bits = [0; 16];
            bits[bit / 64] |= 1 << (bit % 64);
            bits[15] |= 1 << 63;
            assert_eq!(first_set(&bits), Some(bit));
        }
    }
}
