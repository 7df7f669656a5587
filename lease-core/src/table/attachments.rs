use alloc::vec::Vec;

use super::arena::{Arena, Cell};
use super::hash::KeyedHash;
use super::shards::{Shards, Short, Spot};
use crate::probe::{planted, sometimes};
use crate::{LeaseError, LeaseId, LeaseItem};

/// Which item belongs to which lease, both ways.
///
/// An item belongs to at most one lease. An item and its place in the list of its lease lie in one
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
}

/// A node, and enough of the hash that it is found by to move the entry without a look at the node.
/// In bytes, which have no alignment to keep.
#[derive(Clone, Copy, Debug)]
struct Found {
    short: Short,
    node: [u8; 4],
}

/// The items of a lease.
pub(crate) struct List(Cell);

/// What stands in a node before the bytes of its item.
struct Head {
    lease: LeaseId,
    // Invariant: ends with `None`.
    next: Option<Cell>,
    // The node before, in that order; of the first one how many there are.
    previous: u32,
}

impl Attachments {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            arena: Arena::new(),
            items: Shards::new(),
            lists: Shards::new(),
            key: KeyedHash::new(hash_seed),
        }
    }

    /// How many items are attached to any lease. O(1).
    pub(crate) const fn len(&self) -> usize {
        self.items.len()
    }

    /// How many items are attached to `lease`. O(1).
    pub(crate) fn count(&self, lease: LeaseId) -> usize {
        self.first(lease)
            .map_or(0, |first| head(&self.arena, first).previous as usize)
    }

    /// The lease that `item` is attached to. O(1).
    pub(crate) fn lease_of(&self, item: &[u8]) -> Option<LeaseId> {
        let node = self.find(self.spot_of_item(item), item)?;
        Some(head(&self.arena, node).lease)
    }

    /// The items of `lease`, sorted. O(k log k).
    pub(crate) fn items(&self, lease: LeaseId) -> Vec<LeaseItem> {
        let mut next = self.first(lease);
        let len = next.map_or(0, |first| head(&self.arena, first).previous as usize);
        let mut items = Vec::with_capacity(len);
        while let Some(node) = next {
            items.push(LeaseItem::from(item(&self.arena, node)));
            next = head(&self.arena, node).next;
        }
        items.sort_unstable();
        items
    }

    /// Refuses items of which the lease would have more than `limit`, together with its own.
    pub(crate) fn check_limit(
        &self,
        lease: LeaseId,
        items: &[LeaseItem],
        limit: usize,
    ) -> Result<(), LeaseError> {
        let is_new = |item: &&LeaseItem| self.lease_of(item.as_bytes()) != Some(lease);
        let mut added: Vec<_> = items.iter().filter(is_new).collect();
        added.sort_unstable();
        added.dedup();
        if self.count(lease) + added.len() > limit {
            return Err(LeaseError::TooManyItems);
        }
        Ok(())
    }

    /// Attaches `item` to `lease` and takes it from the lease that had it. Returns which lease has
    /// lost its last item by that. O(1).
    pub(crate) fn attach(&mut self, lease: LeaseId, item: &LeaseItem) -> Option<LeaseId> {
        let item = item.as_bytes();
        let spot = self.spot_of_item(item);
        let Some(node) = self.find(spot, item) else {
            let node = self.arena.take(HEAD + item.len());
            self.arena.get_mut(node)[HEAD..HEAD + item.len()].copy_from_slice(item);
            set(&mut self.arena, node, LEN, item.len() as u32);
            let found = Found::new(spot, node);
            self.items.insert(spot, found, Found::hash);
            self.link(node, lease);
            return None;
        };
        let owner = head(&self.arena, node).lease;
        if owner == lease || planted!("attach-without-move") {
            return None;
        }
        sometimes!("core: an item moves to another lease");
        let emptied = self.unlink(node);
        self.link(node, lease);
        emptied
    }

    /// Detaches `item` if it belongs to `lease`. Returns which lease has lost its last item by
    /// that. O(1).
    pub(crate) fn detach(&mut self, lease: LeaseId, item: &[u8]) -> Option<LeaseId> {
        let spot = self.spot_of_item(item);
        let node = self.find(spot, item)?;
        if head(&self.arena, node).lease != lease && !planted!("detach-by-anyone") {
            return None;
        }
        let emptied = self.unlink(node);
        self.remove(spot, node);
        emptied
    }

    /// The items of `lease`, if it has any, for [`detach_all`](Self::detach_all). O(1).
    pub(crate) fn list(&self, lease: LeaseId) -> Option<List> {
        if self.items.len() == 0 {
            return None;
        }
        self.first(lease).map(List)
    }

    /// Detaches all items of `lease`. O(k).
    pub(crate) fn detach_all(&mut self, lease: LeaseId, List(first): List) {
        self.remove_list(lease, first);
        let mut next = Some(first);
        while let Some(node) = next {
            next = head(&self.arena, node).next;
            self.remove(self.spot_of_item(item(&self.arena, node)), node);
        }
    }

    /// Checks that both directions agree. O(items).
    ///
    /// # Panics
    ///
    /// If they do not, or if a lease is named that `exists` denies.
    pub(crate) fn check_invariants(&self, exists: impl Fn(LeaseId) -> bool) {
        let mut listed = 0;
        for first in self.lists.iter() {
            let lease = head(&self.arena, first.node()).lease;
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
    }

    fn spot_of_item(&self, item: &[u8]) -> Spot {
        Spot::of_short(self.key.of_item(item))
    }

    fn spot_of_list(&self, lease: LeaseId) -> Spot {
        Spot::of_short(self.key.of_id(lease))
    }

    fn find(&self, spot: Spot, bytes: &[u8]) -> Option<Cell> {
        let is_it =
            |found: &Found| found.may_be_at(spot) && item(&self.arena, found.node()) == bytes;
        self.items.find(spot, is_it).map(Found::node)
    }

    fn first(&self, lease: LeaseId) -> Option<Cell> {
        let spot = self.spot_of_list(lease);
        let is_it = |first: &Found| first.is_list(spot, lease, &self.arena);
        self.lists.find(spot, is_it).map(Found::node)
    }

    /// Frees a node that is in no list any more.
    fn remove(&mut self, spot: Spot, node: Cell) {
        let is_it = |found: &Found| found.node() == node;
        let removed = self.items.remove(spot, is_it, Found::hash);
        removed.expect("each item is indexed");
        self.arena.give_back(node);
    }

    /// Puts a node in front of the list of a lease.
    fn link(&mut self, node: Cell, lease: LeaseId) {
        let spot = self.spot_of_list(lease);
        let Self { arena, lists, .. } = self;
        arena.get_mut(node)[..NEXT].copy_from_slice(&lease.get().to_ne_bytes());
        let (mut next, mut len) = (NONE, 1);
        let found = Found::new(spot, node);
        if let Some(first) = lists.find_mut(spot, |first| first.is_list(spot, lease, arena)) {
            let old = core::mem::replace(first, found).node();
            len += head(arena, old).previous;
            set(arena, old, PREVIOUS, node.to_bits());
            next = old.to_bits();
        } else {
            lists.insert(spot, found, Found::hash);
        }
        set(arena, node, NEXT, next);
        set(arena, node, PREVIOUS, len);
    }

    /// Takes a node from its list. Returns which lease's last one it was.
    fn unlink(&mut self, node: Cell) -> Option<LeaseId> {
        let Head {
            lease,
            next,
            previous,
        } = head(&self.arena, node);
        let spot = self.spot_of_list(lease);
        let Self { arena, lists, .. } = self;
        let first = lists.find_mut(spot, |first| first.is_list(spot, lease, arena));
        let first = first.expect("a linked item has a list");
        match (first.node() == node, next) {
            (true, None) => {
                self.remove_list(lease, node);
                return Some(lease);
            }
            (true, Some(next)) => {
                *first = Found::new(spot, next);
                set(arena, next, PREVIOUS, previous - 1);
            }
            (false, next) => {
                let first = first.node();
                let len = head(arena, first).previous;
                set(arena, first, PREVIOUS, len - 1);
                let before = Cell::from_bits(previous);
                set(arena, before, NEXT, next.map_or(NONE, Cell::to_bits));
                if let Some(next) = next {
                    // The length is the first one's, if that is the node before.
                    set(arena, next, PREVIOUS, previous);
                }
            }
        }
        None
    }

    fn remove_list(&mut self, lease: LeaseId, first: Cell) {
        let spot = self.spot_of_list(lease);
        let is_it = |other: &Found| other.node() == first;
        let removed = self.lists.remove(spot, is_it, Found::hash);
        removed.expect("a linked item has a list");
    }
}

// Where the fields of a head lie in a cell.
const NEXT: usize = 8;
const PREVIOUS: usize = 12;
const LEN: usize = 16;
const HEAD: usize = 20;

/// Instead of a cell; no arena has so many pages.
const NONE: u32 = u32::MAX;

fn head(arena: &Arena, node: Cell) -> Head {
    let memory = &arena.get(node)[..HEAD];
    let lease = memory.first_chunk().copied().map(i64::from_ne_bytes);
    let next = read(memory, NEXT);
    Head {
        lease: lease
            .and_then(LeaseId::new)
            .expect("every node was given to a lease"),
        next: (next != NONE).then_some(Cell::from_bits(next)),
        previous: read(memory, PREVIOUS),
    }
}

fn item(arena: &Arena, node: Cell) -> &[u8] {
    let memory = arena.get(node);
    &memory[HEAD..HEAD + read(memory, LEN) as usize]
}

fn read(memory: &[u8], field: usize) -> u32 {
    let bytes = memory[field..].first_chunk().copied();
    bytes.map_or(NONE, u32::from_ne_bytes)
}

fn set(arena: &mut Arena, node: Cell, field: usize, value: u32) {
    arena.get_mut(node)[field..field + 4].copy_from_slice(&value.to_ne_bytes());
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

    fn may_be_at(&self, spot: Spot) -> bool {
        self.short == spot.short()
    }

    fn is_list(&self, spot: Spot, lease: LeaseId, arena: &Arena) -> bool {
        self.may_be_at(spot) && head(arena, self.node()).lease == lease
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
        attachments.check_invariants(|_| false);
        assert_eq!(attachments.len(), 0);
        assert!(attachments.items.buckets() <= 4 * SHARDS);
        assert!(attachments.lists.buckets() <= 4 * SHARDS);
        assert!(attachments.arena.bytes() < 20_000);
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
        set(&mut attachments.arena, first, PREVIOUS, 1);
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
