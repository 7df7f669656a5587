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
    // What it had copied before it began again: to free it takes time.
    stale: Vec<LeaseItem>,
}

/// The versions of the long lists, by which a walk sees that the one that it walks over has changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    of: BTreeMap<LeaseId, Version>,
    last: u64,
}

/// Of a list of more than [`ITEMS_PER_STEP`] items; no other state of any list of the lessor has the
/// same.
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

    /// What is of no use any more, to be freed where nobody waits.
    #[cfg(feature = "std")]
    pub(crate) fn take_stale(&mut self) -> Vec<LeaseItem> {
        core::mem::take(&mut self.stale)
    }

    fn restart(&mut self, version: Option<Version>) {
        self.stale = core::mem::take(&mut self.items);
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

    /// Goes on behind the versions of the lists that these take the place of.
    pub(super) fn follow(&mut self, old: &Self) {
        self.last = self.last.max(old.last);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    #[test]
    fn a_walk_survives_that_other_leases_lose_items() {
        let count = 4 * ITEMS_PER_STEP;
        let item = |who: &str, n: usize| LeaseItem::from(alloc::format!("{who}{n:09}"));
        for slices in 1..4 {
            let mut attachments = Attachments::new(7);
            for n in 0..count {
                attachments.attach(id(1), &item("walked", n));
                for who in ["w", "x", "y"] {
                    attachments.attach(id(2), &item(who, n));
                }
            }
            let mut walk = ItemWalk::default();
            for _ in 0..slices {
                assert!(attachments.items_slice(id(1), &mut walk));
            }
            for n in 0..count {
                for who in ["w", "x", "y"] {
                    attachments.detach(id(2), item(who, n).as_bytes());
                }
            }
            for n in 0..count {
                attachments.attach(id(3), &item("z", n));
            }
            while attachments.items_slice(id(1), &mut walk) {}
            let expected: Vec<_> = (0..count).map(|n| item("walked", n)).collect();
            assert_eq!(walk.into_sorted(), expected);
        }
    }

    /// What is listed is what the lease had at the last slice, whatever is done between the slices.
    #[test]
    fn a_walk_begins_again_when_the_items_change() {
        type Change = fn(&mut Attachments);
        let count = 3 * ITEMS_PER_STEP;
        let item = |n: usize| LeaseItem::from(alloc::format!("{n:09}"));
        let (same, other): (Change, Change) = (
            |attachments| {
                // As long as before, and with the same first item.
                let item = |n: usize| LeaseItem::from(alloc::format!("{n:09}"));
                let last = 3 * ITEMS_PER_STEP - 1;
                attachments.detach(id(1), item(last - 1).as_bytes());
                attachments.detach(id(1), item(last).as_bytes());
                attachments.attach(id(1), &"new".into());
                attachments.attach(id(1), &item(last));
            },
            |attachments| {
                attachments.attach(id(2), &"new".into());
            },
        );
        let gone: Change = |attachments| {
            let items = attachments.list(id(1)).expect("it has items");
            attachments.detach_all(id(1), items);
        };
        for (change, restarts) in [(same, 1), (other, 0), (gone, 1)] {
            let mut attachments = Attachments::new(7);
            for n in 0..count {
                attachments.attach(id(1), &item(n));
            }
            let mut walk = ItemWalk::default();
            assert!(attachments.items_slice(id(1), &mut walk));
            change(&mut attachments);
            while attachments.items_slice(id(1), &mut walk) {}
            assert_eq!(walk.restarts(), restarts);
            assert_eq!(walk.into_sorted(), attachments.items(id(1)));
            while attachments.sweep() {}
            attachments.check_invariants(|_| true);
        }
    }
}
