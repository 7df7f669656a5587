use alloc::boxed::Box;
use core::time::Duration;

use crate::{Epoch, Incarnation, LeaseId, LeaseItem, Ttl};

/// A lease as it was when it was looked at.
///
/// A snapshot holds nothing of the lessor and does not change with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Ttl,
    pub(crate) incarnation: Incarnation,
    pub(crate) remaining: Remaining,
    pub(crate) checkpointed: Option<Ttl>,
    // Invariant: sorted, without duplicates.
    pub(crate) keys: Box<[LeaseItem]>,
}

/// The time to expiry, in 8 bytes: listings hold millions of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Remaining(u64);

impl Remaining {
    /// Nothing counts the time down: the lessor is not the primary.
    pub(crate) const NOT_COUNTED: Self = Self(u64::MAX);

    /// At most the longest TTL and its extension, far below [`NOT_COUNTED`](Self::NOT_COUNTED).
    pub(crate) const fn millis(millis: u64) -> Self {
        Self(millis)
    }
}

impl Lease {
    /// A lease that no lessor counts down: etcd's `NewLease`, for fakes and tests.
    #[must_use]
    pub fn new(id: LeaseId, ttl: Ttl) -> Self {
        Self {
            id,
            ttl,
            incarnation: Incarnation::counted(Epoch::ZERO, 0),
            remaining: Remaining::NOT_COUNTED,
            checkpointed: None,
            keys: Box::new([]),
        }
    }

    /// The lease's id.
    #[must_use]
    pub const fn id(&self) -> LeaseId {
        self.id
    }

    /// The granted TTL.
    #[must_use]
    pub const fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// Which grant of the id this is. On a lock it is the fencing token: a later holder has a
    /// larger one.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The time to expiry, zero once expired; [`Duration::MAX`] while demoted.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        match self.remaining {
            Remaining::NOT_COUNTED => Duration::MAX,
            Remaining(millis) => Duration::from_millis(millis),
        }
    }

    /// Whether the lessor was not the primary, so that the lease could not expire.
    #[must_use]
    pub const fn demoted(&self) -> bool {
        matches!(self.remaining, Remaining::NOT_COUNTED)
    }

    /// The checkpointed remaining TTL, which a promotion starts from; `None` is the whole TTL.
    #[must_use]
    pub const fn checkpointed_remaining(&self) -> Option<Ttl> {
        self.checkpointed
    }

    /// The attached items, sorted.
    #[must_use]
    pub fn keys(&self) -> &[LeaseItem] {
        &self.keys
    }

    /// Adds an item to this snapshot, not to the lessor: etcd's `SetLeaseItem`, for fakes and
    /// tests.
    pub fn set_lease_item(&mut self, item: LeaseItem) {
        if let Err(place) = self.keys.binary_search(&item) {
            let mut keys = core::mem::take(&mut self.keys).into_vec();
            keys.insert(place, item);
            self.keys = keys.into_boxed_slice();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_of_millions_is_small() {
        assert_eq!(size_of::<Lease>(), 56);
    }

    #[test]
    fn a_lease_of_no_lessor_is_never_due_and_keeps_its_keys_sorted() {
        let id = LeaseId::new(7).expect("not zero");
        let mut lease = Lease::new(id, Ttl::MIN);
        assert_eq!((lease.id(), lease.ttl()), (id, Ttl::MIN));
        assert!(lease.demoted());
        assert_eq!(lease.remaining(), Duration::MAX);
        assert_eq!(lease.checkpointed_remaining(), None);
        for key in ["b", "a", "b"] {
            lease.set_lease_item(key.into());
        }
        assert_eq!(lease.keys(), ["a".into(), "b".into()]);
    }
}
