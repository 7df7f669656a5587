use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{LeaseId, Ttl};

/// The checkpoints of the leases that have seen one; most have not and take no room here.
#[derive(Clone, Debug)]
pub(crate) struct Remainders {
    // Invariant: holds no default value.
    of: HashMap<LeaseId, Remainder, FixedState>,
}

/// What checkpoints have left of a lease's TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Remainder {
    /// `None` is the whole TTL.
    pub(crate) remaining: Option<Ttl>,
    /// How often it was reset.
    pub(crate) generation: u32,
}

impl Remainders {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            of: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
        }
    }

    pub(crate) fn get(&self, id: LeaseId) -> Remainder {
        if self.of.is_empty() {
            return Remainder::default();
        }
        self.of.get(&id).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, id: LeaseId, remainder: Remainder) {
        if remainder == Remainder::default() {
            self.remove(id);
        } else {
            self.of.insert(id, remainder);
        }
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        if !self.of.is_empty()
            && self.of.remove(&id).is_some()
            && self.of.len() < self.of.capacity() / 8
        {
            self.of.shrink_to(self.of.len() * 2);
        }
    }

    pub(crate) fn check_invariants(&self, ttl_of: impl Fn(LeaseId) -> Option<Ttl>) {
        for (&id, remainder) in &self.of {
            let ttl = ttl_of(id).expect("a remainder belongs to a lease");
            assert!(remainder.remaining.is_none_or(|left| left <= ttl), "{id}");
            assert_ne!(*remainder, Remainder::default(), "{id}");
        }
    }
}
