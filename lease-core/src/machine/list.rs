use alloc::vec::Vec;
use core::time::Duration;

use lease_queue::Timestamp;

use super::LessorCore;
use super::time::Now;
use crate::primary::Primary;
use crate::table::attachments::Attachments;
use crate::table::record::{Phase, Record};
use crate::table::records::Cursor;
use crate::table::{LeaseTable, Remainders};
use crate::{Lease, LeaseId, LeaseRow};

/// A listing that is taken in slices, so that no lock need be held for all of it.
///
/// Every lease that is there the whole time is in it once.
#[derive(Debug, Default)]
pub struct Listing {
    cursor: Cursor,
    leases: Vec<(u64, Lease)>,
}

impl Listing {
    /// The leases, those first that expire first, by id where that does not decide. O(n log n).
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Lease> {
        self.leases
            .sort_unstable_by_key(|(deadline_ms, lease)| (*deadline_ms, lease.id));
        self.leases.dedup_by_key(|(_, lease)| lease.id);
        self.leases.into_iter().map(|(_, lease)| lease).collect()
    }
}

/// How many places of the record table one slice of a listing looks at.
const SLICE_BUCKETS: usize = 4096;

impl LessorCore {
    /// The lease with this id. O(1), and O(k log k) in its items.
    #[must_use]
    pub fn lookup(&self, now: Timestamp, id: LeaseId) -> Option<Lease> {
        let record = self.table.visible(id)?;
        Some(self.view(now).snapshot(record).1)
    }

    /// All leases, those first that expire first. O(n log n).
    #[must_use]
    pub fn leases(&mut self, now: Timestamp) -> Vec<Lease> {
        let mut listing = Listing::default();
        while self.list_slice(now, &mut listing) {}
        listing.into_sorted()
    }

    /// Adds a bounded number of leases to a listing. Answers whether there are more.
    pub fn list_slice(&mut self, now: Timestamp, listing: &mut Listing) -> bool {
        let now = Now::at(now.max(self.clock.last()));
        let LeaseTable {
            records,
            attachments,
            remainders,
            ..
        } = &mut self.table;
        let view = View {
            primary: self.primary.as_deref(),
            attachments,
            remainders,
            now,
        };
        records.walk(&mut listing.cursor, SLICE_BUCKETS, |record| {
            if record.phase() != Phase::Granting {
                listing.leases.push(view.snapshot(record));
            }
        })
    }

    /// The next `limit` leases behind `after`, or the first ones: in an order that depends on the
    /// ids and [`hash_seed`](crate::LessorConfig::hash_seed) alone, so that a walk page by page
    /// sees every lease that is there the whole time once. O(n / 64 + limit log limit).
    ///
    /// `after` need not exist any more.
    #[must_use]
    pub fn page(&self, now: Timestamp, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        let view = self.view(now);
        let ids = self.table.records.page(after, limit);
        ids.into_iter()
            .filter_map(|id| Some(view.snapshot(self.table.records.get(id)?).1))
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
            now: Now::at(now.max(self.clock.last())),
        }
    }
}

/// What a snapshot of a lease is made from, beside its record.
struct View<'a> {
    primary: Option<&'a Primary>,
    attachments: &'a Attachments,
    remainders: &'a Remainders,
    now: Now,
}

impl View<'_> {
    /// The lease, and the deadline to sort it by.
    fn snapshot(&self, record: &Record) -> (u64, Lease) {
        let id = record.id();
        let deadline_ms = match self.primary {
            None => 0,
            Some(primary) => primary.deadline_ms(self.remainders, record),
        };
        let remaining = self.primary.map(|primary| {
            if primary.attempts.contains(id) {
                Duration::ZERO
            } else {
                Duration::from_millis(deadline_ms.saturating_sub(self.now.floor_ms))
            }
        });
        let lease = Lease {
            id,
            ttl: record.ttl(),
            incarnation: record.incarnation(),
            remaining,
            checkpointed: self.remainders.get(id).remaining,
            keys: self.attachments.items(id),
        };
        (deadline_ms, lease)
    }
}
