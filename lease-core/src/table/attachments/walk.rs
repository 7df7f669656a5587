use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::node::{self, head, item};
use super::{Attachments, ITEMS_PER_STEP};
use crate::{LeaseId, LeaseItem};

/// The items of a lease, copied in slices: as they were at the last slice.
#[derive(Debug, Default)]
pub(crate) struct ItemWalk {
    items: Vec<LeaseItem>,
    // `None` before the first slice.
    at: Option<At>,
    // Of the list when the walk began.
    version: Option<Version>,
    restarts: usize,
}

/// The versions of the long lists, by which a walk sees that the one that it walks over has changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    of: BTreeMap<LeaseId, Version>,
    last: u64,
}

/// Of a list of more than [`ITEMS_PER_STEP`] items; no other state of any list has the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Version(u64);

#[derive(Debug)]
enum At {
    // By its bytes: where it lies may change, because another lease loses items.
    Item(LeaseItem),
    End,
}

impl ItemWalk {
    /// O(k log k).
    pub(crate) fn into_sorted(self) -> Vec<LeaseItem> {
        let Self { mut items, .. } = self;
        items.sort_unstable();
        items
    }

    /// How often it has begun again. O(1).
    #[cfg(any(test, feature = "std"))]
    pub(crate) const fn restarts(&self) -> usize {
        self.restarts
    }

    fn restart(&mut self, version: Option<Version>) {
        self.items.clear();
        self.at = None;
        self.version = version;
    }
}

impl Versions {
    /// The list of a lease has got this long.
    pub(super) fn note(&mut self, lease: LeaseId, len: usize) {
        if len > ITEMS_PER_STEP {
            self.last += 1;
            self.of.insert(lease, Version(self.last));
        } else if len == ITEMS_PER_STEP {
            self.of.remove(&lease);
        }
    }

    /// The list of a lease is no more.
    pub(super) fn forget(&mut self, lease: LeaseId) {
        self.of.remove(&lease);
    }

    /// Checks that exactly the long lists have versions.
    ///
    /// # Panics
    ///
    /// If they have not.
    pub(super) fn check_invariants(&self, long: impl Iterator<Item = LeaseId>) {
        let long: BTreeSet<_> = long.collect();
        assert!(self.of.keys().eq(&long), "the long lists have versions");
    }
}

impl Attachments {
    /// The items of `lease`, sorted. O(k log k).
    pub(crate) fn items(&self, lease: LeaseId) -> Vec<LeaseItem> {
        let mut walk = ItemWalk::default();
        while self.items_slice(lease, &mut walk) {}
        walk.into_sorted()
    }

    /// Copies up to [`ITEMS_PER_STEP`] more items of `lease`, or begins again if they have changed.
    /// Returns whether there are more.
    pub(crate) fn items_slice(&self, lease: LeaseId, walk: &mut ItemWalk) -> bool {
        let version = self.versions.of.get(&lease).copied();
        if walk.at.is_none() {
            walk.restart(version);
        } else if walk.version != version {
            walk.restart(version);
            walk.restarts += 1;
        }
        let mut next = match walk.at.take() {
            None => {
                walk.items.reserve_exact(self.count(lease));
                self.first(lease)
            }
            Some(At::Item(item)) => {
                let spot = self.spot_of_item(item.as_bytes());
                let found = self.items.find(spot, |found| {
                    found.is_item(spot, item.as_bytes(), &self.arena)
                });
                let node = found.map(|found| found.node());
                node.filter(|node| node::lease(&self.arena, *node) == lease)
            }
            Some(At::End) => None,
        };
        for _ in 0..ITEMS_PER_STEP {
            let Some(node) = next else {
                break;
            };
            walk.items.push(LeaseItem::from(item(&self.arena, node)));
            next = head(&self.arena, node).next;
        }
        let next = next.map(|node| LeaseItem::from(item(&self.arena, node)));
        let has_more = next.is_some();
        walk.at = Some(next.map_or(At::End, At::Item));
        has_more
    }
}
