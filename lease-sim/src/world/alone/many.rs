use std::collections::BTreeSet;

use lease_core::{LeaseError, LeaseId, LeaseItem, Lessor, probe};

use super::Host;
use super::clients::id_of;
use super::watch::Told;

/// The id of a lease that nobody grants.
const STRANGER: i64 = i64::MAX / 3;

/// What clients ask for many leases in one call.
impl Host {
    /// A client revokes a lease and some others in one call, with one twice and one that is not there.
    pub(super) fn revoke_many(&mut self, lease: i64) {
        let mut ids = vec![id_of(lease)];
        let others = self.held.keys().filter(|other| **other != lease);
        let count = self.steps as usize / 3 % 5;
        ids.extend(others.map(|other| id_of(*other)).take(count));
        if self.steps.is_multiple_of(2) {
            ids.insert(ids.len() / 2, id_of(STRANGER));
            ids.push(ids[0]);
        }
        self.revoke_all(&ids);
    }

    /// Each is revoked on its own, and in its turn.
    fn revoke_all(&mut self, ids: &[LeaseId]) {
        if ids.len() > 2 {
            probe::mark("alone: many leases are revoked at once");
        }
        let given = match probe::is_planted("alone-revokes-all-but-the-last") {
            true => &ids[..ids.len() - 1],
            false => ids,
        };
        let answers = match self.lessor.revoke_many(given) {
            Ok(mut answers) => {
                if answers.len() != given.len() {
                    let count = given.len();
                    self.object(format!("{count} leases are answered {answers:?}"));
                }
                answers.resize(ids.len(), Ok(()));
                answers
            }
            Err(error) => vec![Err(error); ids.len()],
        };
        for (id, answer) in ids.iter().zip(answers) {
            let lease = id.get();
            let want = self.refusal(lease);
            if self.expect("a revoke of many", &answer, want) {
                self.revoked(lease);
            }
        }
        self.settle();
    }

    /// A client takes a lease again that was revoked just now, and items that it had, while what is left of
    /// them is still being taken down.
    pub(super) fn take_again(&mut self, lease: i64, items: &BTreeSet<LeaseItem>) {
        let is_new = !items.is_empty() && !self.held.contains_key(&lease);
        if !is_new || self.grant_as(Some(lease), 1).is_none() {
            return;
        }
        probe::mark("alone: a lease with items is granted again at once");
        let items: Vec<_> = items.iter().cloned().collect();
        let (first, rest) = items.split_at(1 + items.len() / 2);
        self.attach_or_detach(lease, first, false);
        self.attach_or_detach(lease, &first[..1], true);
        self.attach_or_detach(lease, rest, false);
        self.look_at_items();
    }

    /// A lease was revoked by a client.
    pub(super) fn revoked(&mut self, lease: i64) {
        let held = self.held.remove(&lease);
        let items = held.map(|held| held.items).unwrap_or_default();
        self.gone_with(&items);
        self.owed.push(Told::revoked(lease, items));
        self.counts.revoked += 1;
        self.deliveries.forget(lease);
    }

    /// Clients grant and revoke so much that the store is far behind.
    pub(super) fn burst(&mut self, ttl: i64) {
        probe::mark("alone: more is written than a store keeps up with");
        let before: BTreeSet<_> = self.held.keys().copied().collect();
        let is_large = self.steps.is_multiple_of(9);
        for _ in 0..if is_large { LARGE_BURST } else { BURST } {
            if self.grant_as(None, ttl).is_none() {
                break;
            }
        }
        let new = self.held.keys().filter(|lease| !before.contains(lease));
        let new: Vec<_> = new.map(|lease| id_of(*lease)).collect();
        if !new.is_empty() {
            self.revoke_all(&new);
        }
        for _ in 0..BURST {
            match self.grant_as(None, ttl) {
                Some(lease) => self.revoke(lease),
                None => break,
            }
        }
    }

    /// Whether a command of this lease is to be refused, and why.
    pub(super) fn refusal(&self, lease: i64) -> Option<LeaseError> {
        let is_there = self.held.contains_key(&lease);
        (!is_there).then_some(LeaseError::LeaseNotFound)
    }
}

/// More than is written before commands wait for a commit.
const BURST: u64 = 20;

/// More than is in one page of any of the lessor's structures.
const LARGE_BURST: u64 = 300;
