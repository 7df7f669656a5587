use alloc::boxed::Box;
use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use crate::lease::{Extra, Remaining};
use crate::primary::Primary;
use crate::table::Remainders;
use crate::table::attachments::Attachments;
use crate::table::record::{Phase, Record};
use crate::table::records::Cursor;
use crate::{Lease, LeaseId, LeaseRow, Ttl};

/// A listing that is taken in slices, so that no lock need be held for all of it.
///
/// Every lease that is there the whole time is in it once.
#[derive(Debug, Default)]
pub struct Listing {
    cursor: Cursor,
    // Invariant: what remains of them is not counted yet.
    leases: Vec<Lease>,
    // How many there were when the part of the table that is being walked began.
    before_part: usize,
    now_ms: u64,
}

impl Listing {
    /// The leases, those first that expire first, by id where that does not decide. O(n log n).
    #[must_use]
    pub fn into_sorted(self) -> Vec<Lease> {
        let Self { mut leases, .. } = self;
        leases.sort_unstable_by_key(|lease| (lease.remaining, lease.id));
        for lease in &mut leases {
            lease.remaining = lease.remaining.counted_from(self.now_ms);
        }
        leases
    }
}

/// How many places of the record table one slice of a listing looks at.
const SLICE_BUCKETS: usize = 4096;

impl LessorCore {
    /// The lease with this id. O(1), and O(k log k) in its items.
    #[must_use]
    #[inline]
    pub fn lookup(&self, now: Timestamp, id: LeaseId) -> Option<Lease> {
        let record = self.table.records.get(id)?;
        Some(self.view(now).look(record))
    }

    /// All leases, those first that expire first. O(n log n).
    #[must_use]
    pub fn leases(&self, now: Timestamp) -> Vec<Lease> {
        let mut listing = Listing::default();
        while self.list_slice(now, &mut listing) {}
        listing.into_sorted()
    }

    /// Adds a bounded number of leases to a listing. Answers whether there are more.
    pub fn list_slice(&self, now: Timestamp, listing: &mut Listing) -> bool {
        let view = self.view(now);
        let records = &self.table.records;
        let mut cursor = listing.cursor;
        if cursor == Cursor::default() {
            listing.now_ms = view.now_ms;
            listing.leases.reserve(records.len());
        }
        if records.restarts(&mut cursor) {
            listing.leases.truncate(listing.before_part);
        } else if cursor.is_at_start() {
            listing.before_part = listing.leases.len();
        }
        let has_more = records.walk_part(&mut cursor, SLICE_BUCKETS, |record| {
            listing.leases.push(view.look_uncounted(record));
        });
        listing.cursor = cursor;
        has_more
    }

    /// The next `limit` leases behind `after`, or the first ones: in an order that depends on the
    /// ids and [`hash_seed`](crate::LessorConfig::hash_seed) alone, so that a walk page by page
    /// sees every lease that is there the whole time once. O(n / 256 + limit log limit).
    ///
    /// `after` need not exist any more.
    #[must_use]
    pub fn page(&self, now: Timestamp, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        let view = self.view(now);
        let ids = self.table.records.page(after, limit);
        let records = ids.into_iter().filter_map(|id| self.table.records.get(id));
        records.map(|record| view.look(record)).collect()
    }

    /// The replicated part of every lease, by id: equal on all members that have applied the same
    /// commands. O(n log n): for snapshots and for comparing members.
    #[must_use]
    pub fn rows(&self) -> Vec<LeaseRow> {
        self.table.rows()
    }

    #[inline]
    fn view(&self, now: Timestamp) -> View<'_> {
        View {
            primary: self.primary.as_deref(),
            attachments: &self.table.attachments,
            remainders: &self.table.remainders,
            now_ms: self.clock.peek(now).floor_ms,
        }
    }
}

/// What a snapshot of a lease is made from, beside its record.
struct View<'a> {
    primary: Option<&'a Primary>,
    attachments: &'a Attachments,
    remainders: &'a Remainders,
    now_ms: u64,
}

impl View<'_> {
    #[inline]
    fn look(&self, record: &Record) -> Lease {
        let lease = self.look_uncounted(record);
        Lease {
            remaining: lease.remaining.counted_from(self.now_ms),
            ..lease
        }
    }

    /// The lease with its deadline in the place of what remains, for a listing.
    #[inline]
    fn look_uncounted(&self, record: &Record) -> Lease {
        let id = record.id();
        let checkpointed = self.remainders.get(id).remaining;
        let is_plain = !record.has_items() && checkpointed.is_none();
        Lease {
            id,
            ttl: record.ttl(),
            incarnation: record.incarnation(),
            remaining: self.primary.map_or(Remaining::NOT_COUNTED, |primary| {
                let is_expiring =
                    record.phase() == Phase::Expiring && primary.has_scheduled(record);
                Remaining::until(primary.deadline_ms(self.remainders, record), is_expiring)
            }),
            extra: (!is_plain).then(|| self.extra(record, checkpointed)),
        }
    }

    #[cold]
    fn extra(&self, record: &Record, checkpointed: Option<Ttl>) -> Box<Extra> {
        let keys = if record.has_items() {
            self.attachments.items(record.id())
        } else {
            Vec::new()
        };
        Box::new(Extra { checkpointed, keys })
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use core::time::Duration;

    use super::*;
    use crate::{Epoch, Grant, LessorConfig, WriteBatch};

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    #[test]
    fn a_lease_that_moves_and_is_renewed_while_it_is_listed_is_listed_once() {
        let mut lessor = LessorCore::new(LessorConfig::default());
        let rows = &mut WriteBatch::default();
        lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
        let mut grant = |lessor: &mut LessorCore, number| {
            let grant = Grant::new(id(number), Ttl::new(60).expect("legal"));
            lessor.execute(Timestamp::ZERO, &grant.into(), rows);
        };
        // Large enough for parts that take several slices.
        (1..=400_000).for_each(|number| grant(&mut lessor, number));
        let mut listing = Listing::default();
        let mut slices = 0;
        while lessor.list_slice(Timestamp::ZERO, &mut listing) {
            slices += 1;
            if slices % 3 == 0 {
                let first = 400_000 + slices * 2_000;
                (first..first + 2_000).for_each(|number| grant(&mut lessor, number));
                let renewal = lessor.renew(Timestamp::from_secs(1), id(slices));
                renewal.expect("it is there");
            }
        }
        let leases = listing.into_sorted();
        let ids: BTreeSet<_> = leases.iter().map(Lease::id).collect();
        assert_eq!(ids.len(), leases.len(), "no lease twice");
        assert!((1..=400_000).all(|number| ids.contains(&id(number))));
    }
}
