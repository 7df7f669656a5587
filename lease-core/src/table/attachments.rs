use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use slab::Slab;

use crate::probe::{planted, sometimes};
use crate::{LeaseId, LeaseItem};

/// Which item belongs to which lease, both ways.
///
/// An item belongs to at most one lease. The items of a lease are a list through the slab, so that
/// each item's bytes are stored once.
#[derive(Clone, Debug)]
pub(crate) struct Attachments {
    nodes: Slab<Node>,
    // Finds a node by its item's bytes.
    index: HashTable<u32>,
    lists: HashMap<LeaseId, List, FixedState>,
    seed: FixedState,
}

#[derive(Clone, Debug)]
struct Node {
    item: LeaseItem,
    lease: LeaseId,
    previous: u32,
    next: u32,
}

/// Invariant: never empty; a lease without items has no list.
#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    len: u32,
}

const NONE: u32 = u32::MAX;

impl Attachments {
    pub(crate) fn new(hash_seed: u64) -> Self {
        let seed = FixedState::with_seed(hash_seed);
        Self {
            nodes: Slab::new(),
            index: HashTable::new(),
            lists: HashMap::with_hasher(seed.clone()),
            seed,
        }
    }

    /// How many items are attached to any lease.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many items are attached to `lease`.
    pub(crate) fn count(&self, lease: LeaseId) -> usize {
        self.lists.get(&lease).map_or(0, |list| list.len as usize)
    }

    /// The lease that `item` is attached to.
    pub(crate) fn lease_of(&self, item: &[u8]) -> Option<LeaseId> {
        Some(self.nodes[self.find(item)? as usize].lease)
    }

    /// The items of `lease`, sorted. O(k log k).
    pub(crate) fn items(&self, lease: LeaseId) -> Vec<LeaseItem> {
        let mut items: Vec<_> = self.nodes_of(lease).map(|node| node.item.clone()).collect();
        items.sort_unstable();
        items
    }

    /// Attaches `item` to `lease` and takes it from the lease that had it. O(1).
    pub(crate) fn attach(&mut self, lease: LeaseId, item: &LeaseItem) {
        match self.find(item.as_bytes()) {
            Some(node) if self.nodes[node as usize].lease == lease => {}
            Some(_) if planted!("attach-without-move") => {}
            Some(node) => {
                sometimes!("core: an item moves to another lease");
                self.unlink(node);
                self.link(node, lease);
            }
            None => self.insert(lease, item.clone()),
        }
    }

    /// Detaches `item` if it belongs to `lease`, and answers whether it did. O(1).
    pub(crate) fn detach(&mut self, lease: LeaseId, item: &[u8]) -> bool {
        match self.find(item) {
            Some(node)
                if self.nodes[node as usize].lease == lease || planted!("detach-by-anyone") =>
            {
                self.unlink(node);
                self.remove(node);
                true
            }
            _ => false,
        }
    }

    /// Detaches all items of `lease`. O(k).
    pub(crate) fn detach_all(&mut self, lease: LeaseId) {
        let Some(list) = self.lists.remove(&lease) else {
            return;
        };
        let mut node = list.first;
        while node != NONE {
            let next = self.nodes[node as usize].next;
            self.remove(node);
            node = next;
        }
    }

    /// Checks that both directions agree. O(items).
    ///
    /// # Panics
    ///
    /// If they do not, or if a lease is named that `exists` denies.
    pub(crate) fn check_invariants(&self, exists: impl Fn(LeaseId) -> bool) {
        assert_eq!(self.index.len(), self.nodes.len(), "each item is indexed");
        let mut listed = 0;
        for (&lease, list) in &self.lists {
            assert!(
                exists(lease),
                "items are attached to {lease}, which is gone"
            );
            let items = self.items(lease);
            assert_eq!(items.len(), list.len as usize, "{lease} counts its items");
            assert!(!items.is_empty(), "{lease} has an empty list");
            for item in &items {
                assert_eq!(self.lease_of(item.as_bytes()), Some(lease), "{item}");
            }
            listed += items.len();
        }
        assert_eq!(listed, self.nodes.len(), "each item is in its lease's list");
    }

    fn find(&self, item: &[u8]) -> Option<u32> {
        let hash = self.seed.hash_one(item);
        let is_item = |node: &u32| self.nodes[*node as usize].item.as_bytes() == item;
        self.index.find(hash, is_item).copied()
    }

    fn insert(&mut self, lease: LeaseId, item: LeaseItem) {
        let hash = self.seed.hash_one(item.as_bytes());
        let node = u32::try_from(self.nodes.insert(Node {
            item,
            lease,
            previous: NONE,
            next: NONE,
        }))
        .ok()
        .filter(|node| *node != NONE)
        .expect("fewer than 2^32 items fit into memory");
        let (nodes, seed) = (&self.nodes, &self.seed);
        self.index.insert_unique(hash, node, |node| {
            seed.hash_one(nodes[*node as usize].item.as_bytes())
        });
        self.link(node, lease);
    }

    /// Frees a node that is in no list any more.
    fn remove(&mut self, node: u32) {
        let hash = self
            .seed
            .hash_one(self.nodes[node as usize].item.as_bytes());
        self.index
            .find_entry(hash, |other| *other == node)
            .expect("each item is indexed")
            .remove();
        self.nodes.remove(node as usize);
        if self.nodes.len() < self.index.num_buckets() / 8 {
            let (nodes, seed) = (&self.nodes, &self.seed);
            self.index.shrink_to(nodes.len() * 2, |node| {
                seed.hash_one(nodes[*node as usize].item.as_bytes())
            });
            self.lists.shrink_to(self.lists.len() * 2);
        }
        if self.nodes.is_empty() {
            self.nodes = Slab::new();
        }
    }

    fn link(&mut self, node: u32, lease: LeaseId) {
        let list = self.lists.entry(lease).or_insert(List {
            first: NONE,
            len: 0,
        });
        let next = core::mem::replace(&mut list.first, node);
        list.len += 1;
        let linked = &mut self.nodes[node as usize];
        linked.lease = lease;
        linked.previous = NONE;
        linked.next = next;
        if next != NONE {
            self.nodes[next as usize].previous = node;
        }
    }

    fn unlink(&mut self, node: u32) {
        let &Node {
            lease,
            previous,
            next,
            ..
        } = &self.nodes[node as usize];
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        }
        let list = self
            .lists
            .get_mut(&lease)
            .expect("a linked item has a list");
        if list.first == node {
            list.first = next;
        }
        list.len -= 1;
        if list.len == 0 {
            self.lists.remove(&lease);
        }
    }

    fn nodes_of(&self, lease: LeaseId) -> impl Iterator<Item = &Node> {
        let mut node = self.lists.get(&lease).map_or(NONE, |list| list.first);
        core::iter::from_fn(move || {
            let found = self.nodes.get(node as usize)?;
            node = found.next;
            Some(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
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
        assert!(!attachments.detach(id(2), b"a"));
        assert!(!attachments.detach(id(1), b"x"));
        assert_eq!(attachments.lease_of(b"a"), Some(id(1)));
        assert!(attachments.detach(id(1), b"a"));
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
            attachments.detach_all(id(lease));
        }
        attachments.check_invariants(|_| false);
        assert_eq!(attachments.len(), 0);
        assert!(attachments.index.num_buckets() < 100);
        assert_eq!(attachments.nodes.capacity(), 0);
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
    #[should_panic(expected = "each item is indexed")]
    fn the_check_sees_an_item_that_is_not_found() {
        let mut attachments = attachments_of_two();
        attachments.index.clear();
        attachments.check_invariants(|_| true);
    }

    #[test]
    #[should_panic(expected = "counts its items")]
    fn the_check_sees_a_wrong_count() {
        let mut attachments = attachments_of_two();
        attachments.lists.get_mut(&id(2)).expect("it has items").len = 1;
        attachments.check_invariants(|_| true);
    }

    #[test]
    #[should_panic(expected = "has an empty list")]
    fn the_check_sees_an_empty_list() {
        let mut attachments = attachments_of_two();
        let empty = List {
            first: NONE,
            len: 0,
        };
        attachments.lists.insert(id(3), empty);
        attachments.check_invariants(|_| true);
    }

    #[test]
    #[should_panic(expected = "each item is in its lease's list")]
    fn the_check_sees_an_item_in_no_list() {
        let mut attachments = attachments_of_two();
        attachments.lists.remove(&id(2));
        attachments.check_invariants(|_| true);
    }
}
