use core::sync::atomic::{AtomicU64, Ordering};

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
    // Invariant: deadline in milliseconds << 19 | marks, and whether it has items. In a batch the
    // batch's number instead of the deadline.
    when: AtomicU64,
    // Invariant: TTL in seconds << 30 | position in the wheel, or in the batch.
    span: u64,
    incarnation: Incarnation,
}

/// The low bits of a record: the promotion that scheduled it and what stands in the way of a plain
/// renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks(u64);

/// Where a lease is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Alive.
    Active,
    /// Handed out as expired; nothing renews it any more.
    Expiring,
    /// Its revoke is being written.
    Revoking,
    /// Its grant is being written; nobody sees it yet.
    Granting,
}

/// Where a lease that is handed out is: the number of the batch, and the index there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) batch: u64,
    pub(crate) index: u32,
}

/// Counts promotions, to tell the schedule of the running one from what earlier ones left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tag(u64);

const DEADLINE_SHIFT: u32 = 19;
const LOW_MASK: u64 = (1 << DEADLINE_SHIFT) - 1;
const PHASE_MASK: u64 = 0b11;
const GUARDED: u64 = 1 << 2;
const POSTPONED: u64 = 1 << 3;
const HAS_ITEMS: u64 = 1 << 4;
const IN_BATCH: u64 = 1 << 5;
const MARKS_MASK: u64 = LOW_MASK & !HAS_ITEMS;
const TAG_SHIFT: u32 = 6;
const TTL_SHIFT: u32 = 30;
const POSITION_MASK: u64 = (1 << TTL_SHIFT) - 1;

/// The latest deadline, later than any time a [`Timestamp`](lease_queue::Timestamp) can express.
pub(crate) const FAR_FUTURE_MS: u64 = u64::MAX >> DEADLINE_SHIFT;

impl Record {
    pub(crate) fn new(id: LeaseId, ttl: Ttl, incarnation: Incarnation) -> Self {
        let mut record = Self {
            id,
            when: AtomicU64::new(0),
            span: ttl.as_secs() << TTL_SHIFT,
            incarnation,
        };
        record.set_position(Position::NONE);
        record
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

    /// Milliseconds. Of a live lease its expiry, of an expiring one that is in no batch the next
    /// attempt.
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

    /// Whether the lease takes commands: neither its grant nor its revoke is being written.
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self.phase(), Phase::Granting | Phase::Revoking)
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.set_marks(self.marks().with_phase(phase));
    }

    /// Where the lease is if it is in a batch.
    pub(crate) fn place(&self) -> Option<Place> {
        (self.when() & IN_BATCH != 0).then(|| Place {
            batch: self.deadline_ms(),
            index: self.position().to_bits(),
        })
    }

    /// Puts a lease that is in no queue into a batch.
    pub(crate) fn enter_batch(&mut self, place: Place) {
        self.set_deadline_ms(place.batch);
        self.set_position(Position::from_bits(place.index));
        *self.when.get_mut() |= IN_BATCH;
    }

    /// Takes the lease from its batch; it has no deadline then until it is given one.
    pub(crate) fn leave_batch(&mut self) {
        *self.when.get_mut() &= !IN_BATCH;
        self.set_position(Position::NONE);
    }

    /// Where the wheel of the running promotion holds the lease.
    pub(crate) fn position(&self) -> Position {
        Position::from_bits((self.span & POSITION_MASK) as u32)
    }

    pub(crate) fn set_position(&mut self, position: Position) {
        self.span = self.span & !POSITION_MASK | u64::from(position.to_bits());
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

    pub(crate) fn phase(self) -> Phase {
        match self.0 & PHASE_MASK {
            0 => Phase::Active,
            1 => Phase::Expiring,
            2 => Phase::Revoking,
            _ => Phase::Granting,
        }
    }

    #[must_use]
    pub(crate) fn with_phase(self, phase: Phase) -> Self {
        Self(self.0 & !PHASE_MASK | phase as u64)
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

    /// Whether the deadline is a turn that the revoke rate has given the lease.
    pub(crate) const fn is_postponed(self) -> bool {
        self.0 & POSTPONED != 0
    }

    #[must_use]
    pub(crate) const fn postponed(self) -> Self {
        Self(self.0 | POSTPONED)
    }

    #[must_use]
    pub(crate) const fn on_time(self) -> Self {
        Self(self.0 & !POSTPONED)
    }
}

impl Tag {
    /// The tag of the next promotion; `None` when they are used up and all records must be wiped.
    pub(crate) const fn next(self) -> Option<Self> {
        if self.0 < LOW_MASK >> TAG_SHIFT {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }

    pub(crate) const FIRST: Self = Self(1);
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
        let marks = Marks::renewable(Tag(0x1fff)).with_guard(true);
        let marks = marks.postponed().postponed();
        record.set_has_items(true);
        record.set_marks(marks.with_phase(Phase::Revoking));
        record.set_deadline_ms(u64::MAX);
        record.set_position(Position::from_bits(0x2aaa_aaaa));
        assert_eq!(record.ttl(), Ttl::MAX);
        assert_eq!(record.deadline_ms(), FAR_FUTURE_MS);
        assert_eq!(record.position().to_bits(), 0x2aaa_aaaa);
        assert_eq!(record.phase(), Phase::Revoking);
        assert_eq!(record.marks().tag(), Tag(0x1fff));
        assert!(record.has_items());
        assert!(record.marks().is_guarded() && record.marks().is_postponed());
        record.set_phase(Phase::Active);
        record.set_has_items(false);
        assert_eq!(record.marks(), marks);
        assert_eq!(record.deadline_ms(), FAR_FUTURE_MS);
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
        assert_eq!(Tag(0x1ffe).next(), Some(Tag(0x1fff)));
        assert_eq!(Tag(0x1fff).next(), None);
    }
}
