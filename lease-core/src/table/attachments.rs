#[cfg(test)]
mod model;
mod node;
mod sweep;
mod walk;

use alloc::vec::Vec;

use super::arena::{Arena, Cell};
use super::hash::KeyedHash;
use super::shards::{Entry, Shards, Short, Spot};
use crate::probe::{planted, sometimes};
use crate::{LeaseError, LeaseId, LeaseItem};
use node::{Before, Head};
use sweep::Doomed;
#[cfg(any(test, feature = "std"))]
pub(crate) use walk::ItemWalk;
use walk::Versions;

/// Which item belongs to which lease, both ways.
///
/// An item belongs to at most one lease. An item and its links in the list of its lease lie in one
/// cell of an arena, so that an attach allocates nothing of its own and each item's bytes are
/// stored once.
#[derive(Clone, Debug)]
pub(crate) struct Attachments {
    arena: Arena,
    // Finds a node by its item's bytes.
    items: Shards<Found>,
    // Finds the first node of each lease that has any by the lease's id.
    lists: Shards<Found>,
    key: KeyedHash,
    // Invariant: of `doomed_len` nodes; no other node is in no list of `lists`.
    doomed: Vec<Doomed>,
    doomed_len: usize,
    is_sweeping: bool,
    versions: Versions,
}

/// How many items are copied, or freed, in one go: some 200 us of work (measured with items of 32
/// bytes that are not in the cache).
pub(crate) const ITEMS_PER_STEP: usize = if cfg!(shuttle) {
    1
} else if cfg!(madsim) {
    2
} else {
    1024
};

/// A node, and enough of the hash that it is found by to move the entry without a look at the node.
/// In bytes, which have no alignment to keep.
#[derive(Clone, Copy, Debug)]
struct Found {
    short: Short,
    node: [u8; 4],
}

/// The items of a lease.
pub(crate) struct List(Cell);

/// Where `lists` names the first node of a list, until it changes.
#[derive(Clone, Copy)]
struct ListEntry {
    spot: Spot,
    bucket: usize,
}

impl Attachments {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            arena: Arena::new(),
            items: Shards::new(),
            lists: Shards::new(),
            key: KeyedHash::new(hash_seed),
            doomed: Vec::new(),
            doomed_len: 0,
            is_sweeping: false,
            versions: Versions::default(),
        }
    }

    /// Takes the place of the attachments of a state that is replaced. O(1).
    pub(crate) fn follow(&mut self, old: &Self) {
        self.versions.follow(&old.versions);
    }

    /// How many items are attached to any lease. O(1).
    pub(crate) const fn len(&self) -> usize {
        self.items.len() - self.doomed_len
    }

    /// How many items are attached to `lease`. O(1).
    pub(crate) fn count(&self, lease: LeaseId) -> usize {
        let first = self.first(lease);
        first.map_or(0, |first| node::len_from(&self.arena, first) as usize)
    }

    /// The lease that `item` is attached to. O(1).
    pub(crate) fn lease_of(&self, item: &[u8]) -> Option<LeaseId> {
        let spot = self.spot_of_item(item);
        let is_it = |found: &Found| found.is_item(spot, item, &self.arena);
        let node = self.items.find(spot, is_it)?.node();
        (!self.is_doomed(node)).then(|| node::lease(&self.arena, node))
    }

    /// The lease whose list an item is in, also if it is gone and its items are left to
    /// [`sweep`](Self::sweep). O(1).
    pub(crate) fn holder_of(&self, item: &[u8]) -> Option<LeaseId> {
        let spot = self.spot_of_item(item);
        let is_it = |found: &Found| found.is_item(spot, item, &self.arena);
        let node = self.items.find(spot, is_it)?.node();
        Some(node::lease(&self.arena, node))
    }

    /// Refuses items of which the lease would have more than `limit`, together with its own. O(1)
    /// where it would not if all were new.
    pub(crate) fn check_limit(
        &self,
        lease: LeaseId,
        items: &[LeaseItem],
        limit: usize,
    ) -> Result<(), LeaseError> {
        let count = self.count(lease);
        if items.len() <= limit.saturating_sub(count) {
            return Ok(());
        }
        let is_new = |item: &&LeaseItem| self.lease_of(item.as_bytes()) != Some(lease);
        let mut added: Vec<_> = items.iter().filter(is_new).collect();
        added.sort_unstable();
        if !planted!("alone-doubles-count-twice") {
            added.dedup();
        }
        if count + added.len() > limit {
            return Err(LeaseError::TooManyItems);
        }
        Ok(())
    }

    /// Attaches `item` to `lease` and takes it from the lease that had it. Returns which lease has
    /// lost its last item by that. O(1).
    pub(crate) fn attach(&mut self, lease: LeaseId, item: &LeaseItem) -> Option<LeaseId> {
        let item = item.as_bytes();
        let spot = self.spot_of_item(item);
        let Self { arena, items, .. } = self;
        let is_it = |found: &Found| found.is_item(spot, item, arena);
        let node = match items.entry(spot, is_it, Found::hash) {
            Entry::Occupied(found) => found.node(),
            Entry::Vacant(vacancy) => {
                let node = node::add(arena, item);
                vacancy.insert(Found::new(spot, node));
                self.link(node, lease);
                return None;
            }
        };
        let owner = node::lease(&self.arena, node);
        if owner == lease {
            return None;
        }
        sometimes!("core: an item moves to another lease");
        let list = self.find_list(owner).expect("a linked item has a list");
        let is_last = self.unlink(list, node);
        self.link(node, lease);
        is_last.then_some(owner)
    }

    /// Detaches `item` if it belongs to `lease`. Returns which lease has lost its last item by
    /// that. O(1).
    pub(crate) fn detach(&mut self, lease: LeaseId, item: &[u8]) -> Option<LeaseId> {
        // Looked for before the item, so that the cache misses of both overlap.
        let list = self.find_list(lease)?;
        let spot = self.spot_of_item(item);
        let Self { arena, items, .. } = self;
        let is_it = |found: &Found| {
            found.is_item(spot, item, arena) && node::lease(arena, found.node()) == lease
        };
        let node = items.remove(spot, is_it, Found::hash)?.node();
        let is_last = self.unlink(list, node);
        self.arena.give_back(node);
        if self.doomed.is_empty() {
            self.compact(1);
        }
        is_last.then_some(lease)
    }

    /// The items of `lease`, if it has any, for [`detach_all`](Self::detach_all). O(1).
    pub(crate) fn list(&self, lease: LeaseId) -> Option<List> {
        if self.len() == 0 {
            return None;
        }
        self.first(lease).map(List)
    }

    /// How many bytes the nodes and the tables have.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let buckets = self.items.buckets() + self.lists.buckets();
        self.arena.all_bytes() + buckets * (size_of::<Found>() + 1)
    }

    /// Checks that both directions agree. O(items).
    ///
    /// # Panics
    ///
    /// If they do not, or if a lease is named that `exists` denies.
    pub(crate) fn check_invariants(&self, exists: impl Fn(LeaseId) -> bool) {
        let lists = self.lists.iter();
        let leases = lists.map(|first| node::lease(&self.arena, first.node()));
        let leases: Vec<_> = leases.collect();
        let is_long = |lease: &LeaseId| self.count(*lease) > ITEMS_PER_STEP;
        let long = leases.iter().copied().filter(is_long);
        self.versions.check_invariants(long);
        let mut listed = 0;
        for lease in leases {
            assert!(
                exists(lease),
                "items are attached to {lease}, which is gone"
            );
            let items = self.items(lease);
            assert_eq!(items.len(), self.count(lease), "{lease} counts its items");
            for item in &items {
                let owner = self.lease_of(item.as_bytes());
                assert_eq!(owner, Some(lease), "{item} is found");
            }
            listed += items.len();
        }
        assert_eq!(listed, self.len(), "each item is in its lease's list");
        assert_eq!(self.check_doomed(), self.doomed_len, "all else is doomed");
        self.arena.check_invariants();
        if !self.is_sweeping {
            self.arena.check_is_compact();
        }
    }

    #[inline]
    fn spot_of_item(&self, item: &[u8]) -> Spot {
        Spot::of_short(self.key.of_item(item))
    }

    #[inline]
    fn spot_of_list(&self, lease: LeaseId) -> Spot {
        Spot::of_short(self.key.of_id(lease))
    }

    fn first(&self, lease: LeaseId) -> Option<Cell> {
        let spot = self.spot_of_list(lease);
        let is_it = |first: &Found| first.is_list(spot, lease, &self.arena);
        self.lists.find(spot, is_it).map(Found::node)
    }

    /// Puts a node in front of the list of a lease.
    fn link(&mut self, node: Cell, lease: LeaseId) {
        let spot = self.spot_of_list(lease);
        let Self { arena, lists, .. } = self;
        let is_it = |first: &Found| first.is_list(spot, lease, arena);
        let found = Found::new(spot, node);
        let (next, len) = match lists.entry(spot, is_it, Found::hash) {
            Entry::Occupied(first) => {
                let old = core::mem::replace(first, found).node();
                let len = node::len_from(arena, old);
                node::set_before(arena, old, Before::Node(node));
                (Some(old), len)
            }
            Entry::Vacant(vacancy) => {
                vacancy.insert(found);
                (None, 0)
            }
        };
        self.versions.note(lease, len as usize + 1);
        let before = Before::Start(len + 1);
        let head = Head {
            lease,
            next,
            before,
        };
        node::set_head(arena, node, &head);
    }

    fn find_list(&self, lease: LeaseId) -> Option<ListEntry> {
        let spot = self.spot_of_list(lease);
        let is_it = |first: &Found| first.is_list(spot, lease, &self.arena);
        let bucket = self.lists.bucket_of(spot, is_it)?;
        Some(ListEntry { spot, bucket })
    }

    /// Takes a node from its list. Returns whether it was the last one.
    fn unlink(&mut self, ListEntry { spot, bucket }: ListEntry, node: Cell) -> bool {
        let Self { arena, lists, .. } = self;
        let Head {
            lease,
            next,
            before,
        } = node::head(arena, node);
        let first = lists.at_mut(spot, bucket);
        let first = first.expect("a linked item has a list");
        let len = match (before, next) {
            (Before::Start(_), None) => {
                lists.remove_at(spot, bucket, Found::hash);
                0
            }
            (Before::Start(len), Some(next)) => {
                *first = Found::new(spot, next);
                node::set_before(arena, next, Before::Start(len - 1));
                len - 1
            }
            (Before::Node(before), next) => {
                let first = first.node();
                let len = node::len_from(arena, first);
                node::set_before(arena, first, Before::Start(len - 1));
                node::set_next(arena, before, next);
                if let Some(next) = next {
                    node::set_before(arena, next, Before::Node(before));
                }
                len - 1
            }
        };
        self.versions.note(lease, len as usize);
        len == 0
    }

    fn remove_list(&mut self, lease: LeaseId, first: Cell) {
        let spot = self.spot_of_list(lease);
        let is_it = |other: &Found| other.node() == first;
        let removed = self.lists.remove(spot, is_it, Found::hash);
        removed.expect("a linked item has a list");
    }
}

impl Found {
    fn new(spot: Spot, node: Cell) -> Self {
        Self {
            short: spot.short(),
            node: node.to_bits().to_ne_bytes(),
        }
    }

    fn node(&self) -> Cell {
        Cell::from_bits(u32::from_ne_bytes(self.node))
    }

    fn hash(&self) -> u64 {
        Spot::spread(self.short)
    }

    fn is_item(&self, spot: Spot, item: &[u8], arena: &Arena) -> bool {
        self.short == spot.short() && node::item(arena, self.node()) == item
    }

    fn is_list(&self, spot: Spot, lease: LeaseId, arena: &Arena) -> bool {
        self.short == spot.short() && node::lease(arena, self.node()) == lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::shards::SHARDS;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    fn detach_all(attachments: &mut Attachments, lease: LeaseId) {
        let items = attachments.list(lease);
        attachments.detach_all(lease, items.expect("it has items"));
    }

    #[test]
    fn attach_moves_an_item() {
        let mut attachments = Attachments::new(0);
        attachments.attach(id(1), &"a".into());
        attachments.attach(id(1), &"b".into());
        attachments.attach(id(2), &"a".into());
        attachments.check_invariants(|_| true);
        assert_eq!(attachments.items(id(1)), ["b".into()]);
        assert_eq!(attachments.items(id(2)), ["a".into()]);
    }

    #[test]
    fn attach_twice_is_attach_once() {
        let mut attachments = Attachments::new(0);
        attachments.attach(id(1), &"a".into());
        attachments.attach(id(1), &"a".into());
        assert_eq!(attachments.count(id(1)), 1);
        attachments.check_invariants(|_| true);
    }

    #[test]
    #[should_panic(expected = "the long lists have versions")]
    fn the_check_sees_a_long_list_without_a_version() {
        let mut attachments = Attachments::new(0);
        for n in 0..=ITEMS_PER_STEP {
            attachments.attach(id(1), &LeaseItem::from(alloc::format!("{n}")));
        }
        attachments.check_invariants(|_| true);
        attachments.versions.forget(id(1));
        attachments.check_invariants(|_| true);
    }

    #[test]
    fn detach_by_a_lease_that_does_not_own_the_item_changes_nothing() {
        let mut attachments = Attachments::new(0);
        attachments.attach(id(1), &"a".into());
        assert_eq!(attachments.detach(id(2), b"a"), None);
        assert_eq!(attachments.detach(id(1), b"x"), None);
        assert_eq!(attachments.lease_of(b"a"), Some(id(1)));
        assert_eq!(attachments.detach(id(1), b"a"), Some(id(1)));
        assert_eq!(attachments.lease_of(b"a"), None);
        attachments.check_invariants(|_| false);
    }

    #[test]
    fn churn_leaves_no_memory_behind() {
        let mut attachments = Attachments::new(0);
        for number in 0..10_000_u32 {
            attachments.attach(
                id(1 + i64::from(number % 7)),
                &number.to_be_bytes()[..].into(),
            );
        }
        for lease in 1..=7 {
            detach_all(&mut attachments, id(lease));
        }
        while attachments.sweep() {}
        attachments.check_invariants(|_| false);
        assert_eq!(attachments.len(), 0);
        assert!(attachments.items.buckets() <= 32 * SHARDS);
        assert!(attachments.lists.buckets() <= 32 * SHARDS);
        assert!(attachments.arena.all_bytes() < 20_000);
    }

    /// Item "a" of lease 1, items "b" and "c" of lease 2.
    fn attachments_of_two() -> Attachments {
        let mut attachments = Attachments::new(0);
        attachments.attach(id(1), &"a".into());
        attachments.attach(id(2), &"b".into());
        attachments.attach(id(2), &"c".into());
        attachments.check_invariants(|_| true);
        attachments
    }

    #[test]
    fn lists_hold_together_whatever_is_taken_from_where() {
        let items: Vec<LeaseItem> = (0..6).map(|n: u8| LeaseItem::from(&[n][..])).collect();
        for taken in 0..6 {
            for second in 0..6 {
                let mut attachments = Attachments::new(0);
                for item in &items {
                    attachments.attach(id(1), item);
                }
                assert_eq!(attachments.attach(id(2), &items[taken]), None);
                attachments.check_invariants(|_| true);
                let emptied = attachments.detach(id(1), items[second].as_bytes());
                attachments.check_invariants(|_| true);
                let left = if second == taken { 5 } else { 4 };
                assert_eq!((emptied, attachments.count(id(1))), (None, left));
                for item in &items {
                    attachments.attach(id(2), item);
                    attachments.check_invariants(|_| true);
                }
                assert_eq!(attachments.items(id(2)), items);
                assert_eq!(attachments.count(id(1)), 0);
            }
        }
    }

    #[test]
    fn who_loses_the_last_item_is_told() {
        let mut attachments = attachments_of_two();
        assert_eq!(attachments.attach(id(2), &"a".into()), Some(id(1)));
        assert_eq!(attachments.attach(id(1), &"b".into()), None);
        assert_eq!(attachments.detach(id(1), b"b"), Some(id(1)));
    }

    #[test]
    fn a_limit_counts_each_item_once_and_the_own_ones_not_again() {
        let attachments = attachments_of_two();
        let check = |items: &[&str], limit| {
            let items: Vec<_> = items.iter().map(|item| LeaseItem::from(*item)).collect();
            attachments.check_limit(id(2), &items, limit).is_ok()
        };
        assert!(check(&[], 2) && check(&["d"], 3) && check(&["d", "a"], 4));
        assert!(check(&["b", "c", "d", "d"], 3), "one is new");
        assert!(!check(&["b", "a", "d"], 3), "two are new");
        assert!(!check(&["a"], 2) && !check(&["a"], 0));
    }

    #[test]
    fn memory_follows_the_items_of_one_lease_among_those_of_another() {
        let mut attachments = Attachments::new(0);
        for number in 0..100_000_u64 {
            let item = [number.to_be_bytes(), [0; 8], [0; 8], [0; 8]].concat();
            let lease = if number % 316 == 0 { id(1) } else { id(2) };
            attachments.attach(lease, &LeaseItem::from(item));
        }
        let full = attachments.bytes();
        detach_all(&mut attachments, id(2));
        assert_eq!((attachments.len(), attachments.count(id(2))), (317, 0));
        let mut steps = 1;
        while attachments.sweep() {
            steps += 1;
        }
        attachments.check_invariants(|lease| lease == id(1));
        let left = attachments.bytes();
        assert!(
            left < full / 15,
            "{left} of {full} bytes after {steps} steps"
        );
        assert!((98..200).contains(&steps), "{steps}");
    }

    #[test]
    fn an_item_may_be_long_or_empty() {
        let mut attachments = Attachments::new(0);
        let long = LeaseItem::from(alloc::vec![7; 100_000]);
        attachments.attach(id(1), &long);
        attachments.attach(id(1), &LeaseItem::default());
        assert_eq!(attachments.items(id(1)), [LeaseItem::default(), long]);
        detach_all(&mut attachments, id(1));
        assert_eq!(attachments.len(), 0);
    }

    #[test]
    #[should_panic(expected = "is found")]
    fn the_check_sees_an_item_that_is_not_found() {
        let mut attachments = attachments_of_two();
        attachments.items = Shards::new();
        attachments.check_invariants(|_| true);
    }

    #[test]
    #[should_panic(expected = "counts its items")]
    fn the_check_sees_a_wrong_count() {
        let mut attachments = attachments_of_two();
        let first = attachments.first(id(2)).expect("it has items");
        node::set_before(&mut attachments.arena, first, Before::Start(1));
        attachments.check_invariants(|_| true);
    }

    #[test]
    #[should_panic(expected = "each item is in its lease's list")]
    fn the_check_sees_an_item_in_no_list() {
        let mut attachments = attachments_of_two();
        let first = attachments.first(id(2)).expect("it has items");
        attachments.remove_list(id(2), first);
        attachments.check_invariants(|_| true);
    }
}
