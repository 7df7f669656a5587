use core::time::Duration;

use crate::{Epoch, LeaseId};

/// Makes ids of leases, one after the other: positive, growing, and different.
///
/// It reads no clock and draws nothing at random: what makes its ids differ from those of others is
/// what it is started with.
///
/// - [`of_epoch`](Self::of_epoch): of an epoch. As an epoch never comes twice if it is stored before its
///   leases are, neither does an id, also over restarts. So a
///   [`BackendLessor`](crate::BackendLessor) makes them by itself, and a host with a log may, whose
///   epochs are its terms and whose leader makes the ids.
/// - [`of_member`](Self::of_member): of a member and the time at which it was started, as etcd's
///   servers make them, where every member makes ids. They come twice if a member's clock is set
///   back while it does not run, or if it has made more than 256 ids in each millisecond that it has
///   run.
///
/// Ids that grow are the ones that a lessor and its store are fastest with.
///
/// ```
/// use lease_core::{Epoch, LeaseIds};
///
/// let mut ids = LeaseIds::of_epoch(Epoch::new(3));
/// assert_eq!(ids.next_id().to_string(), "0000030000000001");
/// assert_eq!(ids.next_id().to_string(), "0000030000000002");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseIds {
    // Invariant: none of the bits of `SUFFIX_MASK` or `mask`, nor the sign.
    prefix: u64,
    suffix: u64,
    // The bits of the suffix that an id has.
    mask: u64,
}

/// The bits of the number of an epoch's lease.
const EPOCH_SHIFT: u32 = 40;

/// The bits below etcd's id of a member: milliseconds and a counter.
const MEMBER_SHIFT: u32 = 48;

/// The bits of etcd's counter within a millisecond.
const COUNTER_BITS: u32 = 8;

/// Etcd uses positive ids only.
const POSITIVE: u64 = i64::MAX as u64;

impl LeaseIds {
    /// Those of an epoch: its lower 23 bits, and a number of 40 bits that counts up from 1. After
    /// 2^40 ids they come again.
    ///
    /// ```
    /// use lease_core::{Epoch, LeaseIds};
    ///
    /// let [mut ids, mut later] = [3, 4].map(|term| LeaseIds::of_epoch(Epoch::new(term)));
    /// assert!(ids.next_id() < later.next_id());
    /// ```
    #[must_use]
    pub const fn of_epoch(epoch: Epoch) -> Self {
        Self::new(epoch.get(), EPOCH_SHIFT, 0)
    }

    /// Those of a member, as etcd's servers make them (`idutil.NewGenerator`): the lower 15 bits of its
    /// id, then 40 bits of the milliseconds from 1970 to `started`, then a counter of 8 bits, which
    /// goes over into the milliseconds.
    ///
    /// ```
    /// use lease_core::LeaseIds;
    /// use std::time::Duration;
    ///
    /// let started = Duration::from_millis(0x3456); // since 1970, from the host's clock
    /// let mut ids = LeaseIds::of_member(0x12, started);
    /// assert_eq!(ids.next_id().to_string(), "0012000000345601");
    /// ```
    #[must_use]
    pub const fn of_member(member: u16, started: Duration) -> Self {
        // Of more than 64 bits of them the lower ones would be taken all the same.
        let millis = started.as_millis() as u64;
        Self::new(member as u64, MEMBER_SHIFT, millis << COUNTER_BITS)
    }

    const fn new(prefix: u64, shift: u32, suffix: u64) -> Self {
        let mask = (1 << shift) - 1;
        Self {
            prefix: prefix << shift & POSITIVE,
            suffix: suffix & mask,
            mask,
        }
    }

    /// The next id. O(1).
    pub const fn next_id(&mut self) -> LeaseId {
        loop {
            self.suffix = (self.suffix + 1) & self.mask;
            if let Some(id) = LeaseId::new((self.prefix | self.suffix).cast_signed()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(ids: &mut LeaseIds) -> u64 {
        ids.next_id().get().cast_unsigned()
    }

    /// `TestNewGenerator`, `TestNewGeneratorUnique` and `TestNext` of etcd's `pkg/idutil`.
    #[test]
    fn a_members_ids_are_etcds() {
        let started = Duration::from_millis(0x3456);
        let mut ids = LeaseIds::of_member(0x12, started);
        for number in 1..=1_000 {
            assert_eq!(next(&mut ids), 0x0012_0000_0034_5600 + number);
        }
        let first = |member, started| LeaseIds::of_member(member, started).next_id();
        let restarted = first(0x12, started + Duration::from_millis(1));
        assert_eq!(restarted.get(), 0x0012_0000_0034_5701);
        assert_ne!(first(0x13, started), first(0x12, started));
    }

    #[test]
    fn no_id_is_negative_or_zero_and_each_part_keeps_its_bits() {
        let mut member = LeaseIds::of_member(u16::MAX, Duration::MAX);
        let last = Duration::MAX.as_millis() as u64 & ((1 << 40) - 1);
        assert_eq!(next(&mut member), 0x7fff << 48 | last << 8 | 1);
        let mut epoch = LeaseIds::of_epoch(Epoch::new(u64::MAX));
        assert_eq!(next(&mut epoch), 0x7f_ffff << 40 | 1);
        let mut zero = LeaseIds::of_epoch(Epoch::ZERO);
        zero.suffix = zero.mask;
        assert_eq!(next(&mut zero), 1, "0 is no lease");
    }

    #[test]
    fn an_epochs_ids_end_before_the_next_ones_begin() {
        let mut ids = LeaseIds::of_epoch(Epoch::new(3));
        ids.suffix = ids.mask - 1;
        let last = ids.next_id();
        assert!(last < LeaseIds::of_epoch(Epoch::new(4)).next_id());
        assert_eq!(next(&mut ids), 3 << 40, "they come again");
    }
}
