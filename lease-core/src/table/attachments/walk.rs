use alloc::vec::Vec;

use super::node::{head, item};
use super::{Attachments, ITEMS_PER_STEP};
use crate::table::arena::Cell;
use crate::{LeaseId, LeaseItem};

/// The items of a lease, copied in slices.
#[derive(Debug, Default)]
pub(crate) struct ItemWalk {
    items: Vec<LeaseItem>,
    // `None` before the first slice.
    at: Option<At>,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Node(Cell),
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
    /// Between two slices of a walk nothing may be attached, detached or removed.
    pub(crate) fn items_slice(&self, lease: LeaseId, walk: &mut ItemWalk) -> bool {
        let mut next = match walk.at {
            None => {
                walk.items.reserve_exact(self.count(lease));
                self.first(lease)
            }
            Some(At::Node(node)) => Some(node),
            Some(At::End) => None,
        };
        for _ in 0..ITEMS_PER_STEP {
            let Some(node) = next else {
                break;
            };
            walk.items.push(LeaseItem::from(item(&self.arena, node)));
            next = head(&self.arena, node).next;
        }
        walk.at = Some(next.map_or(At::End, At::Node));
        next.is_some()
    }
}
