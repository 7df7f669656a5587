use core::fmt;

/// Where a key sits in a [`BucketWheel`](crate::BucketWheel), in 30 bits.
///
/// The owner of the keys keeps it in its own record; two bits of a `u32` stay free for flags of the
/// owner. A position is good until the key is popped or removed, or until another removal reports
/// that this key was moved.
///
/// # Examples
///
/// ```
/// use lease_queue::{BucketWheel, Position};
///
/// let mut wheel = BucketWheel::new();
/// let position = wheel.insert("key", 5);
/// let packed = position.to_bits() | 0b10 << Position::BITS;
/// assert_eq!(Position::from_bits(packed), position);
/// assert!(Position::NONE.is_none() && !position.is_none());
/// ```
// Invariant: below 2^30; a chunk in the upper 24 bits, an offset of 0 to 62 in the lower 6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position(u32);

impl Position {
    /// Nowhere: all ones, which no key can have because offsets end at 62.
    pub const NONE: Self = Self(MASK);

    /// How many of the low bits of [`to_bits`](Self::to_bits) are in use.
    pub const BITS: u32 = 30;

    /// Whether this is [`NONE`](Self::NONE).
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{BucketWheel, Position};
    ///
    /// let mut wheel = BucketWheel::new();
    /// assert!(!wheel.insert("a", 5).is_none());
    /// assert!(Position::NONE.is_none());
    /// ```
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == MASK
    }

    /// The position as a number below 2^30.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::{BucketWheel, Position};
    ///
    /// let mut wheel = BucketWheel::new();
    /// let bits = wheel.insert("a", 5).to_bits();
    /// assert!(bits < 1 << Position::BITS);
    /// ```
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The position that [`to_bits`](Self::to_bits) gave; the two high bits of `bits` are ignored.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Position;
    ///
    /// let flag = 1 << 31;
    /// assert_eq!(Position::from_bits(Position::NONE.to_bits() | flag), Position::NONE);
    /// ```
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & MASK)
    }

    pub(super) const fn new(chunk: u32, offset: usize) -> Self {
        debug_assert!(chunk < CHUNKS_MAX && offset < CHUNK_LEN);
        Self(chunk << OFFSET_BITS | offset as u32)
    }

    pub(super) const fn chunk(self) -> u32 {
        self.0 >> OFFSET_BITS
    }

    pub(super) const fn offset(self) -> usize {
        (self.0 & OFFSET_MASK) as usize
    }

    /// The next offset of the same chunk; must not be asked of the last one.
    pub(super) const fn next(self) -> Self {
        debug_assert!(self.offset() + 1 < CHUNK_LEN);
        Self(self.0 + 1)
    }

    /// The previous offset of the same chunk; must not be asked of the first one.
    pub(super) const fn previous(self) -> Self {
        debug_assert!(self.offset() > 0);
        Self(self.0 - 1)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("Position(none)");
        }
        write!(f, "Position({}:{})", self.chunk(), self.offset())
    }
}

/// Keys per chunk: with its link and slot number a chunk of 8-byte keys is 512 bytes.
pub(super) const CHUNK_LEN: usize = if cfg!(madsim) { 3 } else { 63 };

/// Chunks a wheel can hold: 2^24, which is 1,056,964,608 keys.
pub(super) const CHUNKS_MAX: u32 = 1 << (Position::BITS - OFFSET_BITS);

const OFFSET_BITS: u32 = 6;
const OFFSET_MASK: u32 = (1 << OFFSET_BITS) - 1;
const MASK: u32 = (1 << Position::BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn parts_come_back() {
        let position = Position::new(CHUNKS_MAX - 1, CHUNK_LEN - 1);
        assert_eq!(position.chunk(), CHUNKS_MAX - 1);
        assert_eq!(position.offset(), CHUNK_LEN - 1);
        assert!(!position.is_none(), "the last position is not NONE");
        assert_eq!(position.previous().next(), position);
        assert_eq!(Position::from_bits(u32::MAX), Position::NONE);
    }

    #[test]
    fn texts_show_chunk_and_offset() {
        assert_eq!(format!("{:?}", Position::new(3, 7)), "Position(3:7)");
        assert_eq!(format!("{:?}", Position::NONE), "Position(none)");
    }
}
