#[cfg(target_has_atomic = "64")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
#[cfg(not(target_has_atomic = "64"))]
use portable_atomic::AtomicU64;

use lease_queue::Position;

use crate::{Incarnation, LeaseId, Ttl};

/// All that the hot paths need of a lease, in half a cache line.
///
/// The id, the TTL and the incarnation are replicated. The deadline, the marks and the position are
/// the primary's: they mean something only while the tag is that of the running promotion. They lie
/// here, and not in a table of the primary's own, because a renewal must cost one look-up and one
/// store.
///
/// A deadline is moved on by renewals that share the table with others; everything else about a
/// record changes under exclusive access.
#[derive(Debug)]
#[repr(align(32))]
pub(crate) struct Record {
    id: LeaseId,
    // Invariant: deadline in milliseconds << 19 | marks, and whether it has items.
    when: AtomicU64,
    // Invariant: TTL in seconds << 30 | position in the wheel, or spot in a batch.
    span: u64,
    incarnation: Incarnation,
}

/// The low bits of a record: the promotion that scheduled it and what stands in the way of a plain
/// renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks(u64);

/// Whether a lease can be renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Alive.
    Active,
    /// Delivered as expired; nothing renews it any more.
    Expiring,
}

/// Where the running promotion has a lease: a scheduled lease is in exactly one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In the expiry queue; [`Position::NONE`] while its entry is taken out to be looked at.
    Queued(Position),
    /// Overdue, and waiting until the revoke rate lets it be delivered.
    Throttled,
    /// Delivered, in a batch that the host still has time for.
    Delivered(Spot),
}

/// A place in a batch of delivered leases; the [`Attempts`](crate::primary::attempts::Attempts) that
/// gave it know what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot(u32);

/// Counts promotions, to tell the schedule of the running one from what earlier ones left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tag(u64);

const DEADLINE_SHIFT: u32 = 19;
const LOW_MASK: u64 = (1 << DEADLINE_SHIFT) - 1;
const EXPIRING: u64 = 1 << 0;
const GUARDED: u64 = 1 << 1;
const THROTTLED: u64 = 1 << 2;
const DELIVERED: u64 = 1 << 3;
const PLACE_MASK: u64 = THROTTLED | DELIVERED;
const HAS_ITEMS: u64 = 1 << 4;
const MARKS_MASK: u64 = LOW_MASK & !HAS_ITEMS;
const TAG_SHIFT: u32 = 5;
const TTL_SHIFT: u32 = 30;
const POSITION_MASK: u64 = (1 << TTL_SHIFT) - 1;

/// The latest deadline, later than any time a [`Timestamp`](lease_queue::Timestamp) can express.
pub(crate) const FAR_FUTURE_MS: u64 = u64::MAX >> DEADLINE_SHIFT;

impl Record {
    pub(crate) fn new(id: LeaseId, ttl: Ttl, incarnation: Incarnation) -> Self {
        Self {
            id,
            when: AtomicU64::new(0),
            span: ttl.as_secs() << TTL_SHIFT | u64::from(Position::NONE.to_bits()),
            incarnation,
        }
    }

    pub(crate) const fn id(&self) -> LeaseId {
        self.id
    }

    pub(crate) const fn ttl(&self) -> Ttl {
        Ttl::from_secs_unchecked(self.span >> TTL_SHIFT)
    }

    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Milliseconds. Of a live lease its expiry, of an expiring one the latest attempt if it is in a
    /// batch, and else the next one.
    #[inline]
    pub(crate) fn deadline_ms(&self) -> u64 {
        self.when() >> DEADLINE_SHIFT
    }

    #[inline]
    pub(crate) fn marks(&self) -> Marks {
        Marks(self.when() & MARKS_MASK)
    }

    /// Sets the deadline, at most [`FAR_FUTURE_MS`], and keeps the marks.
    pub(crate) fn set_deadline_ms(&mut self, deadline_ms: u64) {
        let when = self.when.get_mut();
        *when = deadline_bits(deadline_ms) | *when & LOW_MASK;
    }

    /// Whether any item is attached to the lease: replicated, and here so that most look-ups need
    /// not search for what is not there.
    pub(crate) fn has_items(&self) -> bool {
        self.when() & HAS_ITEMS != 0
    }

    pub(crate) fn set_has_items(&mut self, has_items: bool) {
        let when = self.when.get_mut();
        *when = *when & !HAS_ITEMS | if has_items { HAS_ITEMS } else { 0 };
    }

    pub(crate) fn set_marks(&mut self, marks: Marks) {
        let when = self.when.get_mut();
        *when = *when & !MARKS_MASK | marks.0;
    }

    /// Renews the lease if it has these marks and is not due: on success its deadline is
    /// `deadline_ms`, or what it was if that is later.
    ///
    /// Others may do the same at the same time if `deadline_ms` is the same to them, which makes a
    /// plain store enough: whoever comes last stores what is there already.
    #[inline]
    pub(crate) fn extend(&self, marks: Marks, now_ms: u64, deadline_ms: u64) -> bool {
        let old = self.when();
        if old & MARKS_MASK != marks.0 || old >> DEADLINE_SHIFT <= now_ms {
            return false;
        }
        // Nothing but the deadline changes meanwhile, so the larger number is the later one.
        let new = deadline_bits(deadline_ms) | old & LOW_MASK;
        if old < new {
            self.when.store(new, Ordering::Relaxed);
        }
        true
    }

    pub(crate) fn phase(&self) -> Phase {
        self.marks().phase()
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        let when = self.when.get_mut();
        *when = *when & !EXPIRING
            | if phase == Phase::Expiring {
                EXPIRING
            } else {
                0
            };
    }

    /// Where the running promotion has the lease.
    pub(crate) fn place(&self) -> Place {
        let low = (self.span & POSITION_MASK) as u32;
        match self.when() & PLACE_MASK {
            0 => Place::Queued(Position::from_bits(low)),
            THROTTLED => Place::Throttled,
            _ => Place::Delivered(Spot(low)),
        }
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        let (mark, low) = match place {
            Place::Queued(position) => (0, position.to_bits()),
            Place::Throttled => (THROTTLED, Position::NONE.to_bits()),
            Place::Delivered(Spot(spot)) => (DELIVERED, spot),
        };
        let when = self.when.get_mut();
        *when = *when & !PLACE_MASK | mark;
        self.span = self.span & !POSITION_MASK | u64::from(low);
    }

    #[inline]
    fn when(&self) -> u64 {
        self.when.load(Ordering::Relaxed)
    }
}

impl Clone for Record {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            when: AtomicU64::new(self.when()),
            span: self.span,
            incarnation: self.incarnation,
        }
    }
}

#[inline]
const fn deadline_bits(deadline_ms: u64) -> u64 {
    let deadline_ms = if deadline_ms < FAR_FUTURE_MS {
        deadline_ms
    } else {
        FAR_FUTURE_MS
    };
    deadline_ms << DEADLINE_SHIFT
}

impl Marks {
    /// The marks of a lease that a plain renewal may refresh in the promotion `tag`.
    pub(crate) const fn renewable(tag: Tag) -> Self {
        Self(tag.0 << TAG_SHIFT)
    }

    pub(crate) const fn phase(self) -> Phase {
        if self.0 & EXPIRING == 0 {
            Phase::Active
        } else {
            Phase::Expiring
        }
    }

    pub(crate) const fn tag(self) -> Tag {
        Tag(self.0 >> TAG_SHIFT)
    }

    /// Whether a checkpoint is set or under way, so that a renewal must reset it first.
    pub(crate) const fn is_guarded(self) -> bool {
        self.0 & GUARDED != 0
    }

    #[must_use]
    pub(crate) const fn with_guard(self, guarded: bool) -> Self {
        Self(self.0 & !GUARDED | if guarded { GUARDED } else { 0 })
    }
}

impl Spot {
    /// How many bits a spot has.
    pub(crate) const BITS: u32 = TTL_SHIFT;

    /// The spot with these bits, of which there are no more than [`BITS`](Self::BITS).
    pub(crate) const fn from_bits(bits: u32) -> Self {
        debug_assert!(bits >> Self::BITS == 0);
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }
}

impl Tag {
    /// The tag of the next promotion; `None` when they are used up and all records must be wiped.
    pub(crate) fn next(self) -> Option<Self> {
        if self.0 < Self::count() {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }

    pub(crate) const FIRST: Self = Self(1);

    /// How many there are; in the simulation's build maybe fewer.
    fn count() -> u64 {
        let count = LOW_MASK >> TAG_SHIFT;
        #[cfg(all(madsim, feature = "std"))]
        let count = count.min(crate::probe::tags());
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    fn record() -> Record {
        let id = LeaseId::new(-1).expect("not zero");
        Record::new(id, Ttl::MAX, Incarnation::counted(Epoch::ZERO, 3))
    }

    #[test]
    fn fits_half_a_cache_line() {
        assert_eq!(size_of::<Record>(), 32);
    }

    #[test]
    fn fields_do_not_disturb_each_other() {
        let mut record = record();
        let marks = Marks::renewable(Tag(0x3fff)).with_guard(true);
        record.set_has_items(true);
        record.set_marks(marks);
        record.set_phase(Phase::Expiring);
        record.set_deadline_ms(u64::MAX);
        let spot = Spot::from_bits(0x2aaa_aaaa);
        let places = [
            Place::Delivered(spot),
            Place::Throttled,
            Place::Queued(Position::from_bits(0x1555_5555)),
            Place::Queued(Position::NONE),
        ];
        for place in places {
            record.set_place(place);
            assert_eq!(record.place(), place);
            assert_eq!(record.ttl(), Ttl::MAX);
            assert_eq!(record.deadline_ms(), FAR_FUTURE_MS);
            assert_eq!(record.phase(), Phase::Expiring);
            assert_eq!(record.marks().tag(), Tag(0x3fff));
            assert!(record.has_items() && record.marks().is_guarded());
        }
        record.set_phase(Phase::Active);
        record.set_has_items(false);
        assert_eq!(record.marks(), marks);
        assert_eq!(record.deadline_ms(), FAR_FUTURE_MS);
    }

    #[test]
    fn only_a_queued_lease_has_the_marks_of_a_plain_renewal() {
        let mut record = record();
        let marks = Marks::renewable(Tag::FIRST);
        record.set_marks(marks);
        for place in [Place::Throttled, Place::Delivered(Spot::from_bits(0))] {
            record.set_place(place);
            assert_ne!(record.marks(), marks);
        }
        record.set_place(Place::Queued(Position::NONE));
        assert_eq!(record.marks(), marks);
    }

    #[test]
    fn a_renewal_moves_the_deadline_of_a_record_with_its_marks_on() {
        let mut record = record();
        let marks = Marks::renewable(Tag::FIRST);
        record.set_marks(marks);
        record.set_has_items(true);
        record.set_deadline_ms(50);
        assert!(!record.extend(Marks::renewable(Tag(2)), 10, 60));
        assert!(!record.extend(marks, 50, 60), "it is due");
        assert!(record.extend(marks, 49, 40) && record.deadline_ms() == 50);
        assert!(record.extend(marks, 49, 60) && record.deadline_ms() == 60);
        assert_eq!((record.marks(), record.has_items()), (marks, true));
    }

    #[test]
    fn far_future_is_past_every_timestamp() {
        const {
            assert!(FAR_FUTURE_MS > u64::MAX / 1_000_000);
            assert!(FAR_FUTURE_MS > 2 * Ttl::MAX.as_millis());
        }
    }

    #[test]
    fn tags_run_out() {
        assert_eq!(Tag(0x3ffe).next(), Some(Tag(0x3fff)));
        assert_eq!(Tag(0x3fff).next(), None);
    }
}
