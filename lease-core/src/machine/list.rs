use alloc::vec::Vec;
use core::time::Duration;

use lease_queue::Timestamp;

use super::LessorCore;
use super::time::Now;
use crate::primary::Primary;
use crate::table::Remainders;
use crate::table::attachments::Attachments;
use crate::table::record::{Phase, Record};
use crate::table::records::Cursor;
use crate::{Lease, LeaseId, LeaseRow};

/// A listing that is taken in slices, so that no lock need be held for all of it.
///
/// Every lease that is there the whole time is in it once.
#[derive(Debug, Default)]
pub struct Listing {
    cursor: Cursor,
    leases: Vec<Option<Lease>>,
    // What to sort by, and where the lease is: small, since sorting moves it often.
    order: Vec<(u64, LeaseId, u32)>,
    // How many leases there were when the part of the table that is being walked began.
    before_part: usize,
}

impl Listing {
    /// The leases, those first that expire first, by id where that does not decide. O(n log n).
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Lease> {
        self.order.sort_unstable();
        let leases = self.order.iter();
        leases
            .filter_map(|(_, _, at)| self.leases.get_mut(*at as usize)?.take())
            .collect()
    }

    fn push(&mut self, deadline_ms: u64, lease: Lease) {
        let at = u32::try_from(self.leases.len()).expect("fewer than 2^32 leases fit into memory");
        self.order.push((deadline_ms, lease.id, at));
        self.leases.push(Some(lease));
    }

    fn truncate(&mut self, len: usize) {
        self.leases.truncate(len);
        self.order.truncate(len);
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
        if records.restarts(&mut cursor) {
            listing.truncate(listing.before_part);
        } else if cursor.is_at_start() {
            listing.before_part = listing.leases.len();
        }
        let has_more = records.walk_part(&mut cursor, SLICE_BUCKETS, |record| {
            if record.phase() != Phase::Granting {
                let (deadline_ms, lease) = view.snapshot(record);
                listing.push(deadline_ms, lease);
            }
        });
        listing.cursor = cursor;
        has_more
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

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::{Epoch, Grant, LessorConfig, Ttl, WriteBatch};

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
