use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use super::time::Now;
use crate::lease::Remaining;
use crate::primary::Primary;
use crate::table::Remainders;
use crate::table::attachments::Attachments;
use crate::table::record::{Phase, Record};
use crate::table::records::Cursor;
use crate::{Incarnation, Lease, LeaseId, LeaseItem, LeaseRow, Ttl};

/// A listing that is taken in slices, so that no lock need be held for all of it.
///
/// Every lease that is there the whole time is in it once.
#[derive(Debug, Default)]
pub struct Listing {
    cursor: Cursor,
    entries: Vec<Entry>,
    // What some of them have beyond their record.
    extras: Vec<Extra>,
    // How many of both there were when the part of the table that is being walked began.
    before_part: (usize, usize),
    now_ms: u64,
}

/// What a record says of its lease: small, since sorting moves it often.
#[derive(Clone, Copy, Debug)]
struct Entry {
    // 0 while nothing counts the time down.
    deadline_ms: u64,
    id: LeaseId,
    // Invariant: TTL in seconds << 30 | 0 without an extra, else one more than its index.
    span: u64,
    incarnation: Incarnation,
}

const EXTRA_BITS: u32 = 30;

/// What most leases do not have.
#[derive(Debug, Default)]
struct Extra {
    is_expiring: bool,
    checkpointed: Option<Ttl>,
    keys: Vec<LeaseItem>,
}

impl Listing {
    /// The leases, those first that expire first, by id where that does not decide. O(n log n).
    #[must_use]
    pub fn into_sorted(self) -> Vec<Lease> {
        let Self {
            mut entries,
            mut extras,
            now_ms,
            ..
        } = self;
        entries.sort_unstable_by_key(|entry| (entry.deadline_ms, entry.id));
        let leases = entries.into_iter().map(|entry| {
            let extra = entry.extra().and_then(|extra| extras.get_mut(extra));
            entry.lease(now_ms, extra.map(core::mem::take))
        });
        leases.collect()
    }

    fn push(&mut self, mut entry: Entry, extra: Option<Extra>) {
        if let Some(extra) = extra {
            self.extras.push(extra);
            entry.set_extra(self.extras.len() - 1);
        }
        self.entries.push(entry);
    }
}

impl Entry {
    fn ttl(self) -> Ttl {
        Ttl::from_secs_unchecked(self.span >> EXTRA_BITS)
    }

    fn extra(self) -> Option<usize> {
        let one_more = self.span & ((1 << EXTRA_BITS) - 1);
        (one_more as usize).checked_sub(1)
    }

    fn set_extra(&mut self, extra: usize) {
        assert!(extra + 1 < 1 << EXTRA_BITS, "no wheel holds so many leases");
        self.span |= extra as u64 + 1;
    }

    fn lease(self, now_ms: u64, extra: Option<Extra>) -> Lease {
        let extra = extra.unwrap_or_default();
        Lease {
            id: self.id,
            ttl: self.ttl(),
            incarnation: self.incarnation,
            remaining: match self.deadline_ms {
                0 => Remaining::NOT_COUNTED,
                _ if extra.is_expiring => Remaining::millis(0),
                deadline_ms => Remaining::millis(deadline_ms.saturating_sub(now_ms)),
            },
            checkpointed: extra.checkpointed,
            keys: extra.keys.into_boxed_slice(),
        }
    }
}

/// How many places of the record table one slice of a listing looks at.
const SLICE_BUCKETS: usize = 4096;

impl LessorCore {
    /// The lease with this id. O(1), and O(k log k) in its items.
    #[must_use]
    pub fn lookup(&self, now: Timestamp, id: LeaseId) -> Option<Lease> {
        let record = self.table.visible(id)?;
        let view = self.view(now);
        let (entry, extra) = view.look(record);
        Some(entry.lease(view.now_ms, extra))
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
            listing.entries.reserve(records.len());
        }
        if records.restarts(&mut cursor) {
            let (entries, extras) = listing.before_part;
            listing.entries.truncate(entries);
            listing.extras.truncate(extras);
        } else if cursor.is_at_start() {
            listing.before_part = (listing.entries.len(), listing.extras.len());
        }
        let has_more = records.walk_part(&mut cursor, SLICE_BUCKETS, |record| {
            if record.phase() != Phase::Granting {
                let (entry, extra) = view.look(record);
                listing.push(entry, extra);
            }
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
        records
            .map(|record| {
                let (entry, extra) = view.look(record);
                entry.lease(view.now_ms, extra)
            })
            .collect()
    }

    /// The replicated part of every lease, by id: equal on all members that have applied the same
    /// commands. O(n log n): for snapshots and for comparing members.
    #[must_use]
    pub fn rows(&self) -> Vec<LeaseRow> {
        self.table.rows()
    }

    fn view(&self, now: Timestamp) -> View<'_> {
        View {
            primary: self.primary.as_deref(),
            attachments: &self.table.attachments,
            remainders: &self.table.remainders,
            now_ms: Now::at(now.max(self.clock.last())).floor_ms,
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
    fn look(&self, record: &Record) -> (Entry, Option<Extra>) {
        let entry = Entry {
            deadline_ms: match self.primary {
                None => 0,
                Some(primary) => primary.deadline_ms(self.remainders, record),
            },
            id: record.id(),
            span: record.ttl().as_secs() << EXTRA_BITS,
            incarnation: record.incarnation(),
        };
        let checkpointed = self.remainders.get(record.id()).remaining;
        let is_active = record.phase() == Phase::Active;
        if is_active && !record.has_items() && checkpointed.is_none() {
            return (entry, None);
        }
        (entry, Some(self.extra(record, checkpointed)))
    }

    #[cold]
    fn extra(&self, record: &Record, checkpointed: Option<Ttl>) -> Extra {
        let id = record.id();
        let is_expiring = |primary: &Primary| primary.attempts.contains(id);
        Extra {
            is_expiring: self.primary.is_some_and(is_expiring),
            checkpointed,
            keys: if record.has_items() {
                self.attachments.items(id)
            } else {
                Vec::new()
            },
        }
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
            let granted = lessor.grant(Timestamp::ZERO, &grant, rows);
            granted.expect("free");
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
