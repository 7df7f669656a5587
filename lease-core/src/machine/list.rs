use alloc::boxed::Box;
use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use crate::lease::{Extra, Remaining};
use crate::primary::Primary;
use crate::probe::{planted, sized};
use crate::table::Remainders;
#[cfg(feature = "std")]
use crate::table::attachments::ItemWalk;
use crate::table::attachments::{Attachments, ITEMS_PER_STEP};
use crate::table::record::{Phase, Record};
use crate::table::records::Cursor;
use crate::{Lease, LeaseId, LeaseRow, TimeToLive, Ttl};

/// A listing that is taken in slices, so that no lock need be held for all of it.
///
/// Every lease that is there the whole time is in it once.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    cursor: Cursor,
    // Invariant: what remains of the leases is not counted yet.
    pub(crate) found: Found,
    // How many there were when the part of the table that is being walked began.
    before_part: usize,
    now_ms: u64,
}

/// A page that is taken in slices.
#[derive(Debug)]
pub(crate) struct Page {
    // What is left of the part of it that was chosen last.
    ids: alloc::vec::IntoIter<LeaseId>,
    // Where to go on choosing; `None` if there is nothing left to choose.
    next: Option<Next>,
    pub(crate) found: Found,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    after: Option<LeaseId>,
    // How many at most.
    limit: usize,
}

/// The leases that a slice after the other has found.
///
/// A lease with more than [`ITEMS_PER_STEP`] items lacks them: whoever took the slices asks which
/// one is [lacking](Self::lacking), fetches its items with [`LessorCore::items_slice`] and puts
/// them in, until none is.
#[derive(Debug, Default)]
pub(crate) struct Found {
    leases: Vec<Lease>,
    // Indices of those that lack their items. Invariant: they rise.
    lacking: Vec<usize>,
}

/// Whether a lease has its items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Items {
    /// All that it has, which are so many.
    Copied(usize),
    /// They are too many for one slice.
    Lacking,
}

impl Listing {
    /// The leases, those first that expire first, by id where that does not decide. O(n log n).
    #[must_use]
    pub(crate) fn into_sorted(self) -> Vec<Lease> {
        let mut leases = self.found.leases;
        if !planted!("alone-listed-in-no-order") {
            leases.sort_unstable_by_key(|lease| (lease.remaining, lease.id));
        }
        for lease in &mut leases {
            lease.remaining = lease.remaining.counted_from(self.now_ms);
        }
        leases
    }
}

impl Page {
    /// The leases, in the order of the page.
    #[must_use]
    pub(crate) fn into_leases(self) -> Vec<Lease> {
        self.found.leases
    }
}

impl Found {
    /// A lease that lacks its items. O(1).
    pub(crate) fn lacking(&self) -> Option<LeaseId> {
        let at = self.lacking.last()?;
        self.leases.get(*at).map(Lease::id)
    }

    /// Puts the items of the lease that [`lacking`](Self::lacking) names in, from a look at it, or
    /// leaves the lease out if it is gone by now.
    pub(crate) fn complete(&mut self, looked: Option<Lease>) {
        let Some(at) = self.lacking.pop() else {
            return;
        };
        let lease = &mut self.leases[at];
        match looked {
            Some(looked) if looked.incarnation == lease.incarnation => {
                assert_eq!(looked.id, lease.id, "the lease lacks its items");
                if !planted!("alone-long-lists-lack-items") {
                    lease.set_keys(looked.into_keys());
                }
            }
            _ => drop(self.leases.remove(at)),
        }
    }

    /// Returns the cost: one, and one for each item copied.
    fn push(&mut self, (lease, items): (Lease, Items)) -> usize {
        self.leases.push(lease);
        match items {
            Items::Copied(count) => 1 + count,
            Items::Lacking => {
                self.lacking.push(self.leases.len() - 1);
                1
            }
        }
    }

    fn truncate(&mut self, len: usize) {
        self.leases.truncate(len);
        let end = self.lacking.partition_point(|at| *at < len);
        self.lacking.truncate(end);
    }
}

/// How many buckets of the record table one slice of a listing looks at, at most.
const SLICE_BUCKETS: usize = 4096;

/// A slice ends when it has copied so many leases and items together.
const SLICE_COST: usize = 4096;

impl LessorCore {
    /// The lease with this id. O(1), and O(k log k) in its items.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let lease = lessor.lookup(Timestamp::from_secs(4), id).expect("it is there");
    /// assert_eq!(lease.ttl().as_secs(), 10);
    /// assert_eq!(lease.remaining(), Some(Duration::from_secs(6)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn lookup(&self, now: Timestamp, id: LeaseId) -> Option<Lease> {
        let (mut lease, items) = self.lookup_slice(now, id)?;
        if items == Items::Lacking {
            lease.set_keys(self.items(id));
        }
        Some(lease)
    }

    /// How long the lease with this id has left, without its items. O(1).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # let grant = Grant::new(id, Ttl::new(10)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let left = lessor.time_to_live(Timestamp::from_secs(4), id).expect("it is there");
    /// assert_eq!(left.remaining(), Some(Duration::from_secs(6)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn time_to_live(&self, now: Timestamp, id: LeaseId) -> Option<TimeToLive> {
        let record = self.table.records.get(id)?;
        let view = self.view(now);
        let remaining = view.remaining(record).counted_from(view.now_ms);
        Some(TimeToLive::new(record.ttl(), remaining))
    }

    /// As [`lookup`](Self::lookup), but without the items of a lease that has more than
    /// [`ITEMS_PER_STEP`]. O(1).
    #[inline]
    pub(crate) fn lookup_slice(&self, now: Timestamp, id: LeaseId) -> Option<(Lease, Items)> {
        let record = self.table.records.get(id)?;
        let view = self.view(now);
        let (lease, items) = view.look(record);
        let remaining = lease.remaining.counted_from(view.now_ms);
        Some((Lease { remaining, ..lease }, items))
    }

    /// Copies up to [`ITEMS_PER_STEP`] more items of a lease, or begins again if they have changed.
    /// Returns whether there are more.
    #[cfg(feature = "std")]
    pub(crate) fn items_slice(&self, id: LeaseId, walk: &mut ItemWalk) -> bool {
        self.table.attachments.items_slice(id, walk)
    }

    /// All leases, those first that expire first. O(n log n).
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// for (id, secs) in [(1, 60), (2, 10)] {
    ///     let grant = Grant::new(LeaseId::try_from(id)?, Ttl::new(secs)?).into();
    ///     lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// }
    /// let leases = lessor.leases(Timestamp::ZERO);
    /// assert!(leases.iter().map(|lease| lease.id().get()).eq([2, 1]));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn leases(&self, now: Timestamp) -> Vec<Lease> {
        let mut listing = Listing::default();
        while self.list_slice(now, &mut listing) {}
        self.complete(now, &mut listing.found);
        listing.into_sorted()
    }

    /// Adds a bounded number of leases and items to a listing. Returns whether there are more.
    pub(crate) fn list_slice(&self, now: Timestamp, listing: &mut Listing) -> bool {
        let view = self.view(now);
        let records = &self.table.records;
        let mut cursor = listing.cursor;
        if cursor == Cursor::default() {
            listing.now_ms = view.now_ms;
            listing.found.leases.reserve(records.len());
        }
        let (mut buckets, mut cost) = (sized!(SLICE_BUCKETS), 0);
        let mut has_more = true;
        // A part after the other: most are empty where there are few leases.
        while has_more && buckets > 0 && cost < sized!(SLICE_COST) {
            if records.restarts(&mut cursor) {
                listing.found.truncate(listing.before_part);
            } else if cursor.is_at_start() {
                listing.before_part = listing.found.leases.len();
            }
            has_more = records.walk_part(&mut cursor, &mut buckets, |record| {
                cost += listing.found.push(view.look(record));
                cost < sized!(SLICE_COST)
            });
        }
        listing.cursor = cursor;
        has_more
    }

    /// The next `limit` leases behind `after`, or the first ones: in an order that depends on the
    /// ids and [`hash_seed`](crate::LessorConfig::hash_seed) alone, so that a walk page by page
    /// sees every lease that is there the whole time once. O(n / 256 + limit log limit).
    ///
    /// `after` need not exist any more.
    ///
    /// ```
    /// # use lease_core::{Grant, LeaseId, LessorConfig, LessorCore, Timestamp, Ttl, WriteBatch};
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # for number in 1..=100 {
    /// #     let grant = Grant::new(LeaseId::try_from(number)?, Ttl::new(60)?).into();
    /// #     lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// # }
    /// let (mut seen, mut after) = (0, None);
    /// loop {
    ///     let page = lessor.page(Timestamp::ZERO, after, 30);
    ///     let Some(last) = page.last() else { break };
    ///     after = Some(last.id());
    ///     seen += page.len();
    /// }
    /// assert_eq!(seen, lessor.len());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn page(&self, now: Timestamp, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        let mut page = Self::begin_page(after, limit);
        while self.page_slice(now, &mut page) {}
        self.complete(now, &mut page.found);
        page.into_leases()
    }

    /// Begins a page, to be taken by [`page_slice`](Self::page_slice).
    pub(crate) fn begin_page(after: Option<LeaseId>, limit: usize) -> Page {
        Page {
            ids: Vec::new().into_iter(),
            next: Some(Next { after, limit }),
            found: Found::default(),
        }
    }

    /// Adds a bounded number of leases and items to a page. Returns whether there may be more.
    pub(crate) fn page_slice(&self, now: Timestamp, page: &mut Page) -> bool {
        if page.ids.len() == 0 {
            self.choose(page);
        }
        let mut cost = 0;
        while cost < sized!(SLICE_COST)
            && let Some(id) = page.ids.next()
        {
            let looked = self.lookup_slice(now, id);
            cost += looked.map_or(1, |looked| page.found.push(looked));
        }
        page.ids.len() > 0 || page.next.is_some()
    }

    /// Chooses the next leases of a page.
    fn choose(&self, page: &mut Page) {
        let Some(Next { after, limit }) = page.next else {
            return;
        };
        let part = limit.min(sized!(SLICE_COST));
        let ids = self.table.records.page(after, part);
        page.next = match ids.last() {
            Some(last) if ids.len() == part && limit > part => Some(Next {
                after: Some(*last),
                limit: limit - part,
            }),
            _ => None,
        };
        page.ids = ids.into_iter();
        if planted!("page-skips-a-lease") && page.ids.len() > 1 {
            page.ids.next();
        }
    }

    /// The replicated part of every lease, by id: equal on all members that have applied the same
    /// commands. O(n log n): for snapshots and for comparing members.
    ///
    /// ```
    /// # use lease_core::{Grant, LeaseId, LeaseRow, LessorConfig, LessorCore, Timestamp, Ttl};
    /// # use lease_core::WriteBatch;
    /// let mut lessor = LessorCore::new(LessorConfig::default());
    /// let (id, ttl) = (LeaseId::try_from(7)?, Ttl::new(60)?);
    /// let grant = Grant::new(id, ttl).into();
    /// lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// assert_eq!(lessor.rows(), [LeaseRow::new(id, ttl)]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn rows(&self) -> Vec<LeaseRow> {
        self.table.rows()
    }

    /// Puts in the items that leases lack.
    fn complete(&self, now: Timestamp, found: &mut Found) {
        while let Some(id) = found.lacking() {
            found.complete(self.lookup(now, id));
        }
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
    /// The lease with its deadline instead of what remains.
    #[inline]
    fn look(&self, record: &Record) -> (Lease, Items) {
        let id = record.id();
        let checkpointed = self.remainders.get(id).remaining;
        let mut lease = Lease {
            id,
            ttl: record.ttl(),
            incarnation: record.incarnation(),
            remaining: self.remaining(record),
            extra: None,
        };
        let is_plain = !record.has_items() && checkpointed.is_none();
        let items = if is_plain {
            Items::Copied(0)
        } else {
            self.add_extra(&mut lease, record.has_items(), checkpointed)
        };
        (lease, items)
    }

    /// The deadline, which stands for what remains.
    #[inline]
    fn remaining(&self, record: &Record) -> Remaining {
        let Some(primary) = self.primary else {
            return Remaining::NOT_COUNTED;
        };
        let is_expiring = record.phase() == Phase::Expiring && primary.has_scheduled(record);
        Remaining::until(primary.deadline_ms(self.remainders, record), is_expiring)
    }

    #[cold]
    fn add_extra(&self, lease: &mut Lease, has_items: bool, checkpointed: Option<Ttl>) -> Items {
        if checkpointed.is_some() {
            let keys = Vec::new();
            lease.extra = Some(Box::new(Extra { checkpointed, keys }));
        }
        if !has_items {
            return Items::Copied(0);
        }
        let count = self.attachments.count(lease.id);
        if count > ITEMS_PER_STEP {
            return Items::Lacking;
        }
        lease.set_keys(self.attachments.items(lease.id));
        Items::Copied(count)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use core::time::Duration;

    use super::*;
    use crate::{Epoch, Grant, LeaseItem, LessorConfig, WriteBatch};

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

    #[test]
    fn few_leases_take_one_slice() {
        let mut lessor = LessorCore::new(LessorConfig::default());
        for number in 1..=100 {
            let grant = Grant::new(id(number), Ttl::new(60).expect("legal"));
            lessor.execute(Timestamp::ZERO, &grant.into(), &mut WriteBatch::default());
        }
        let mut listing = Listing::default();
        assert!(!lessor.list_slice(Timestamp::ZERO, &mut listing));
        assert_eq!(listing.into_sorted().len(), 100);
    }

    /// Leases 1 to 40, of which each tenth has more items than one step copies and the others some.
    fn with_items() -> LessorCore {
        let mut lessor = LessorCore::new(LessorConfig::default());
        let rows = &mut WriteBatch::default();
        for number in 1..=40 {
            let grant = Grant::new(id(number), Ttl::new(60).expect("legal"));
            let granted = lessor.grant(Timestamp::ZERO, &grant, rows);
            granted.expect("free");
            let len = if number % 10 == 0 { 2_000 } else { 500 };
            let items: Vec<_> = (0..len).map(|n| item(number, n)).collect();
            lessor.attach(id(number), &items).expect("it is there");
        }
        lessor
    }

    fn item(lease: i64, number: usize) -> LeaseItem {
        LeaseItem::from(alloc::format!("{lease:04}/{number:04}"))
    }

    fn assert_complete(leases: &[Lease]) {
        let ids: BTreeSet<_> = leases.iter().map(Lease::id).collect();
        assert_eq!((leases.len(), ids.len()), (40, 40));
        for lease in leases {
            let number = lease.id().get();
            let len = if number % 10 == 0 { 2_000 } else { 500 };
            assert_eq!(lease.keys().len(), len);
            let keys = lease.keys().iter().enumerate();
            assert!(keys.into_iter().all(|(n, key)| *key == item(number, n)));
        }
    }

    #[test]
    fn a_slice_copies_a_bounded_number_of_items_and_the_whole_has_all() {
        let lessor = with_items();
        let mut listing = Listing::default();
        let (mut slices, mut copied) = (1, 0);
        let mut has_more = true;
        while has_more {
            has_more = lessor.list_slice(Timestamp::ZERO, &mut listing);
            let leases = listing.found.leases.iter();
            let now = leases.map(|lease| lease.keys().len()).sum();
            assert!(now - copied < SLICE_COST + ITEMS_PER_STEP);
            (slices, copied) = (slices + 1, now);
        }
        assert!(slices > 4, "18,000 items");
        assert_eq!(listing.found.lacking.len(), 4);
        lessor.complete(Timestamp::ZERO, &mut listing.found);
        assert_complete(&listing.into_sorted());
        assert_complete(&lessor.leases(Timestamp::ZERO));
    }

    #[test]
    fn a_page_is_taken_in_slices_as_well() {
        let lessor = with_items();
        let mut page = LessorCore::begin_page(None, 100);
        let mut slices = 1;
        while lessor.page_slice(Timestamp::ZERO, &mut page) {
            slices += 1;
        }
        assert!((4..8).contains(&slices), "{slices}");
        assert_eq!(page.found.lacking.len(), 4);
        assert_complete(&lessor.page(Timestamp::ZERO, None, 100));
    }

    #[test]
    fn a_lookup_may_leave_out_many_items_and_says_so() {
        let lessor = with_items();
        let look = |number| lessor.lookup_slice(Timestamp::ZERO, id(number));
        let (lease, items) = look(1).expect("it is there");
        assert_eq!((lease.keys().len(), items), (500, Items::Copied(500)));
        let (lease, items) = look(10).expect("it is there");
        assert_eq!((lease.keys().len(), items), (0, Items::Lacking));
        let leases = (1..=40).map(|number| lessor.lookup(Timestamp::ZERO, id(number)));
        assert_complete(
            &leases
                .map(|lease| lease.expect("it is there"))
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn a_part_that_begins_again_lacks_the_items_of_its_leases_once() {
        let mut found = Found::default();
        for number in 1..=4 {
            let items = if number % 2 == 0 {
                Items::Lacking
            } else {
                Items::Copied(7)
            };
            found.push((Lease::new(id(number), Ttl::MIN), items));
        }
        found.truncate(3);
        assert_eq!(found.lacking(), Some(id(2)));
        let mut looked = Lease::new(id(2), Ttl::MIN);
        looked.set_keys(alloc::vec!["a".into()]);
        found.complete(Some(looked));
        assert_eq!((found.lacking(), found.leases[1].keys().len()), (None, 1));
    }

    #[test]
    fn a_lease_that_is_gone_before_its_items_are_copied_is_left_out() {
        let another = Lease {
            incarnation: crate::Incarnation::counted(Epoch::ZERO, 7),
            ..Lease::new(id(2), Ttl::MIN)
        };
        for looked in [None, Some(another)] {
            let mut found = Found::default();
            found.push((Lease::new(id(1), Ttl::MIN), Items::Copied(0)));
            found.push((Lease::new(id(2), Ttl::MIN), Items::Lacking));
            found.complete(looked);
            assert_eq!((found.lacking(), found.leases.len()), (None, 1));
        }
    }
}
