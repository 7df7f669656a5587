use std::collections::BTreeMap;

use super::history::History;
use super::op::What;
use crate::{LeaseId, LeaseItem, Revoked};

/// What somebody was told of grants, revokes and items, who heard everything.
#[derive(Default)]
pub(super) struct Heard {
    grants: BTreeMap<(i64, u64), usize>,
    revokes: BTreeMap<i64, usize>,
    // Of each lease and item how often it came less how often it went.
    attached: BTreeMap<(LeaseId, LeaseItem), i64>,
}

impl Heard {
    pub(super) fn granted(&mut self, id: LeaseId, secs: u64) {
        *self.grants.entry((id.get(), secs)).or_default() += 1;
    }

    pub(super) fn revoked(&mut self, id: LeaseId, items: &[LeaseItem]) {
        self.detached(id, items);
        *self.revokes.entry(id.get()).or_default() += 1;
    }

    pub(super) fn attached(&mut self, id: LeaseId, items: &[LeaseItem]) {
        self.count(id, items, 1);
    }

    pub(super) fn detached(&mut self, id: LeaseId, items: &[LeaseItem]) {
        self.count(id, items, -1);
    }

    fn count(&mut self, id: LeaseId, items: &[LeaseItem], by: i64) {
        for item in items {
            *self.attached.entry((id, item.clone())).or_default() += by;
        }
    }

    /// Checks that each grant and each revoke that was done was told once, and nothing else was; and, of whom
    /// is told of items, that those that are left by what was told are those that `has` knows: unless a
    /// recovery has taken some without a word.
    pub(super) fn check(
        &self,
        history: &History,
        has: Option<impl Fn(&LeaseItem) -> Option<LeaseId>>,
    ) {
        let (mut grants, mut revokes) = (BTreeMap::new(), BTreeMap::new());
        let mut recovers = false;
        for op in history.ops() {
            match op.what {
                What::Grant(id, ttl, Ok(_)) => {
                    *grants.entry((id, ttl as u64)).or_default() += 1;
                }
                What::Revoke(id, Ok(())) | What::RevokeExpired(id, _, Ok(Revoked::Done)) => {
                    *revokes.entry(id).or_default() += 1;
                }
                What::Recover(_) | What::Replace(_) => recovers = true,
                _ => {}
            }
        }
        assert_eq!(self.grants, grants, "the grants that were told");
        assert_eq!(self.revokes, revokes, "the revokes that were told");
        if let Some(has) = has.filter(|_| !recovers) {
            for ((id, item), count) in &self.attached {
                let is_there = has(item) == Some(*id);
                assert_eq!(
                    *count,
                    i64::from(is_there),
                    "what was told of {item} at {id}"
                );
            }
        }
    }
}
