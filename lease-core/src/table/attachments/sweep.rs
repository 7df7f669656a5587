use super::node::{self, Before, head, item, len_from};
use super::{Attachments, Found, ITEMS_PER_STEP, List};
use crate::table::arena::Cell;
use crate::{LeaseId, LeaseItem};

/// A list whose lease is gone: nothing finds its items any more, but they still take up memory.
#[derive(Clone, Debug)]
pub(super) struct Doomed {
    // Invariant: in a list of `left` nodes, the first; what is before it says nothing.
    first: Cell,
    left: usize,
}

impl Attachments {
    /// Detaches all items of `lease`. Those of a list of more than [`ITEMS_PER_STEP`] are doomed:
    /// they take up memory until [`sweep`](Self::sweep) has come by. O(k), but no more than O(1) in
    /// a doomed list.
    ///
    /// Until it is swept, no item of it may be attached, and nothing to a lease of its id.
    pub(crate) fn detach_all(&mut self, lease: LeaseId, List(first): List) {
        let left = len_from(&self.arena, first) as usize;
        self.remove_list(lease, first);
        if left > ITEMS_PER_STEP {
            self.versions.forget(lease);
            self.is_sweeping = true;
            self.doomed_len += left;
            self.doomed.push(Doomed { first, left });
            return;
        }
        self.free_nodes(first, left);
        if self.doomed.is_empty() {
            self.compact(left);
        }
    }

    /// Frees a bounded number of doomed items and brings those that are left together. Returns
    /// whether there is more to do.
    pub(crate) fn sweep(&mut self) -> bool {
        let Some(Doomed { first, left }) = self.doomed.pop() else {
            self.is_sweeping = self.compact(ITEMS_PER_STEP);
            return self.is_sweeping;
        };
        let step = left.min(ITEMS_PER_STEP);
        self.doomed_len -= step;
        if let Some(first) = self.free_nodes(first, step) {
            let left = left - step;
            self.doomed.push(Doomed { first, left });
        }
        self.is_sweeping = !self.doomed.is_empty() || self.arena.is_sparse();
        self.is_sweeping
    }

    /// Whether [`sweep`](Self::sweep) has something to do. O(1).
    pub(crate) const fn is_sweeping(&self) -> bool {
        self.is_sweeping
    }

    /// Whether the lease, or one of the items, belongs to what is left to sweep.
    pub(crate) fn names_doomed(&self, lease: LeaseId, items: &[LeaseItem]) -> bool {
        let is_lease = |doomed: &Doomed| node::lease(&self.arena, doomed.first) == lease;
        let is_doomed = |item: &LeaseItem| {
            let item = item.as_bytes();
            self.holder_of(item).is_some() && self.lease_of(item).is_none()
        };
        self.doomed.iter().any(is_lease) || items.iter().any(is_doomed)
    }

    /// Whether a list that nothing finds any more has this item.
    pub(super) fn is_doomed(&self, node: Cell) -> bool {
        !self.doomed.is_empty() && self.first(node::lease(&self.arena, node)).is_none()
    }

    /// Frees so many nodes from `first` on, which are in no list. Returns the one behind them.
    fn free_nodes(&mut self, first: Cell, count: usize) -> Option<Cell> {
        let mut next = Some(first);
        for _ in 0..count {
            let node = next?;
            next = head(&self.arena, node).next;
            let spot = self.spot_of_item(item(&self.arena, node));
            let removed = self
                .items
                .remove(spot, |found| found.node() == node, Found::hash);
            removed.expect("each item is indexed");
            self.arena.give_back(node);
        }
        next
    }

    /// Moves up to so many nodes to fuller pages. Returns whether more could move.
    ///
    /// Nothing may be doomed: no table names the first node of a doomed list.
    pub(super) fn compact(&mut self, nodes: usize) -> bool {
        for _ in 0..nodes {
            if let Some((old, new)) = self.arena.relocate() {
                self.rename(old, new);
            } else if !self.arena.is_sparse() {
                return false;
            }
        }
        self.arena.is_sparse()
    }

    /// Names a node that has moved by its new name wherever it had the old one.
    fn rename(&mut self, old: Cell, new: Cell) {
        let spot = self.spot_of_item(item(&self.arena, new));
        let found = self.items.find_mut(spot, |found| found.node() == old);
        *found.expect("each item is indexed") = Found::new(spot, new);
        let head = head(&self.arena, new);
        match head.before {
            Before::Node(before) => node::set_next(&mut self.arena, before, Some(new)),
            Before::Start(_) => {
                let spot = self.spot_of_list(head.lease);
                let first = self.lists.find_mut(spot, |first| first.node() == old);
                *first.expect("a linked item has a list") = Found::new(spot, new);
            }
        }
        if let Some(next) = head.next {
            node::set_before(&mut self.arena, next, Before::Node(new));
        }
    }

    /// Counts the doomed items, each of which must be indexed and have no list. O(k).
    pub(super) fn check_doomed(&self) -> usize {
        let mut counted = 0;
        for Doomed { first, left } in &self.doomed {
            let mut next = Some(*first);
            for _ in 0..*left {
                let node = next.expect("a doomed list is as long as noted");
                assert!(self.is_doomed(node), "a doomed item is found");
                let spot = self.spot_of_item(item(&self.arena, node));
                let found = self.items.find(spot, |found| found.node() == node);
                assert!(
                    found.is_some(),
                    "a doomed item is indexed until it is swept"
                );
                next = head(&self.arena, node).next;
            }
            assert!(next.is_none(), "a doomed list is no longer than noted");
            counted += left;
        }
        counted
    }
}
