use alloc::vec::Vec;

use super::node::{self, head, item};
use super::{Attachments, ITEMS_PER_STEP};
use crate::{LeaseId, LeaseItem};

/// The items of a lease, copied in slices.
#[derive(Debug, Default)]
pub(crate) struct ItemWalk {
    items: Vec<LeaseItem>,
    // `None` before the first slice.
    at: Option<At>,
}

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
}

impl Attachments {
    /// The items of `lease`, sorted. O(k log k).
    pub(crate) fn items(&self, lease: LeaseId) -> Vec<LeaseItem> {
        let mut walk = ItemWalk::default();
        while self.items_slice(lease, &mut walk) {}
        walk.into_sorted()
    }

    /// Copies up to [`ITEMS_PER_STEP`] more items of `lease`. Returns whether there are more.
    ///
    /// Between two slices of a walk no item may be attached to the lease or detached from it.
    pub(crate) fn items_slice(&self, lease: LeaseId, walk: &mut ItemWalk) -> bool {
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
