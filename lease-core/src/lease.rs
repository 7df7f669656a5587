use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::{Epoch, Incarnation, LeaseId, LeaseItem, Ttl};

/// A lease as it was when it was looked at.
///
/// A snapshot holds nothing of the lessor and does not change with it.
///
/// ```
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// # use std::sync::Arc;
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// let id = LeaseId::try_from(7)?;
/// let lease = lessor.grant(id, 60)?;
/// lessor.attach(id, &["a".into()])?;
/// assert!(lease.keys().is_empty(), "as it was when it was granted");
/// assert_eq!(lessor.lookup(id).map(|lease| lease.keys().len()), Some(1));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) ttl: Ttl,
    pub(crate) incarnation: Incarnation,
    pub(crate) remaining: Remaining,
    // Invariant: `None` instead of the default.
    pub(crate) extra: Option<Box<Extra>>,
}

/// How long a lease has left, as it was when it was looked at: a [`Lease`] without its items.
///
/// ```
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// # use std::sync::Arc;
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// let id = LeaseId::try_from(7)?;
/// let lease = lessor.grant(id, 60)?;
/// assert_eq!(lessor.time_to_live(id), Some(lease.time_to_live()));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimeToLive {
    ttl: Ttl,
    remaining: Remaining,
}

impl TimeToLive {
    pub(crate) const fn new(ttl: Ttl, remaining: Remaining) -> Self {
        Self { ttl, remaining }
    }

    /// The granted TTL.
    ///
    /// ```
    /// # use lease_core::{Lease, LeaseId, Ttl};
    /// # let left = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?).time_to_live();
    /// assert_eq!(left.ttl().as_secs(), 60);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// The time to expiry, zero once expired; `None` while the lessor is not the primary, which
    /// alone counts it.
    ///
    /// ```
    /// # use lease_core::{Lease, LeaseId, Ttl};
    /// let left = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?).time_to_live();
    /// assert_eq!(left.remaining(), None, "no lessor counts it down");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn remaining(&self) -> Option<Duration> {
        match self.remaining {
            Remaining::NOT_COUNTED => None,
            Remaining(millis) => Some(Duration::from_millis(millis)),
        }
    }
}

/// What most leases do not have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) checkpointed: Option<Ttl>,
    // Invariant: sorted, without duplicates.
    pub(crate) keys: Vec<LeaseItem>,
}

/// The time to expiry, in 8 bytes: listings hold millions of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Remaining(u64);

impl Remaining {
    /// Nothing counts the time down: the lessor is not the primary.
    pub(crate) const NOT_COUNTED: Self = Self(u64::MAX);

    /// At most the longest TTL and its extension, far below [`NOT_COUNTED`](Self::NOT_COUNTED).
    pub(crate) const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Stands for the time to a deadline until it is [counted](Self::counted_from); these are in the
    /// order of the deadlines. That of a lease which is delivered says when it is tried again: its time is up, and it
    /// comes before all others.
    pub(crate) const fn until(deadline_ms: u64, is_expiring: bool) -> Self {
        match is_expiring {
            true => Self(1),
            false => Self(deadline_ms << 1),
        }
    }

    /// The time to expiry of a lease whose deadline this has stood for.
    pub(crate) const fn counted_from(self, now_ms: u64) -> Self {
        match self {
            Self::NOT_COUNTED => self,
            Self(deadline) if deadline & 1 == 1 => Self::millis(0),
            Self(deadline) => Self::millis((deadline >> 1).saturating_sub(now_ms)),
        }
    }
}

impl Lease {
    /// A lease that no lessor counts down: etcd's `NewLease`, for fakes and tests.
    ///
    /// ```
    /// use lease_core::{Lease, LeaseId, Ttl};
    ///
    /// let lease = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// assert!(lease.demoted() && lease.keys().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn new(id: LeaseId, ttl: Ttl) -> Self {
        Self {
            id,
            ttl,
            incarnation: Incarnation::counted(Epoch::ZERO, 0),
            remaining: Remaining::NOT_COUNTED,
            extra: None,
        }
    }

    /// The lease's id.
    ///
    /// ```
    /// # use lease_core::{Lease, LeaseId, Ttl};
    /// # let lease = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// assert_eq!(lease.id().get(), 7);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn id(&self) -> LeaseId {
        self.id
    }

    /// The granted TTL.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let lease = lessor.grant(LeaseId::try_from(7)?, 0)?;
    /// assert_eq!(lease.ttl().as_secs(), 1, "raised to the minimum");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// Which grant of the id this is.
    ///
    /// For a lock ask for the [`fencing_token`](Self::fencing_token): of a lease that was recovered
    /// from a store without incarnations this is the same for all.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// let granted = lessor.grant(id, 60)?.incarnation();
    /// let found = lessor.lookup(id).map(|lease| lease.incarnation());
    /// assert_eq!(found, Some(granted), "still the same grant");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What tells a later holder of a lock from an earlier one: of two leases with a token the one
    /// that was granted later has the larger one, also over restarts. `None` where none can be given:
    /// if the lessor counts for itself, and the lease was granted before this lessor had stored an
    /// epoch of its own, or was recovered from a store.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.promote(Duration::ZERO)?; // stores an epoch first
    /// let first = lessor.grant(LeaseId::try_from(7)?, 60)?.fencing_token();
    /// let second = lessor.grant(LeaseId::try_from(3)?, 60)?.fencing_token();
    /// assert!(first.is_some() && second > first);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn fencing_token(&self) -> Option<Incarnation> {
        if self.incarnation.is_unique() {
            Some(self.incarnation)
        } else {
            None
        }
    }

    /// The time to expiry, zero once expired. `None` while [`demoted`](Self::demoted): only the primary
    /// counts it down, and no other member knows it.
    ///
    /// etcd's answers the largest duration then, which overflows what it is added to.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone()).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// assert_eq!(lessor.grant(id, 60)?.remaining(), None, "it is no primary");
    /// lessor.promote(Duration::ZERO)?;
    /// clock.advance(Duration::from_secs(20));
    /// let lease = lessor.lookup(id).expect("it is there");
    /// assert_eq!(lease.remaining(), Some(Duration::from_secs(40)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn remaining(&self) -> Option<Duration> {
        match self.remaining {
            Remaining::NOT_COUNTED => None,
            Remaining(millis) => Some(Duration::from_millis(millis)),
        }
    }

    /// What it was granted and has left, without the rest.
    ///
    /// ```
    /// # use lease_core::{Lease, LeaseId, Ttl};
    /// let lease = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// assert_eq!(lease.time_to_live().ttl(), lease.ttl());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn time_to_live(&self) -> TimeToLive {
        TimeToLive::new(self.ttl, self.remaining)
    }

    /// Whether the lessor was not the primary, so that the lease could not expire.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// assert!(lessor.grant(id, 60)?.demoted());
    /// lessor.promote(Duration::ZERO)?;
    /// assert!(lessor.lookup(id).is_some_and(|lease| !lease.demoted()));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn demoted(&self) -> bool {
        matches!(self.remaining, Remaining::NOT_COUNTED)
    }

    /// The checkpointed remaining TTL, which a promotion starts from; `None` is the whole TTL.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Ttl};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// assert_eq!(lessor.grant(id, 60)?.checkpointed_remaining(), None);
    /// lessor.checkpoint(id, 20)?;
    /// let left = lessor.lookup(id).and_then(|lease| lease.checkpointed_remaining());
    /// assert_eq!(left, Some(Ttl::new(20)?));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn checkpointed_remaining(&self) -> Option<Ttl> {
        match &self.extra {
            Some(extra) => extra.checkpointed,
            None => None,
        }
    }

    /// The attached items, sorted.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["b".into(), "a".into()])?;
    /// let lease = lessor.lookup(id).expect("it is there");
    /// assert_eq!(lease.keys(), ["a".into(), "b".into()]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn keys(&self) -> &[LeaseItem] {
        self.extra.as_ref().map_or(&[], |extra| &extra.keys)
    }

    pub(crate) fn into_keys(self) -> Vec<LeaseItem> {
        self.extra.map(|extra| extra.keys).unwrap_or_default()
    }

    /// Puts sorted items in.
    pub(crate) fn set_keys(&mut self, keys: Vec<LeaseItem>) {
        if !keys.is_empty() {
            self.extra.get_or_insert_default().keys = keys;
        }
    }

    /// Adds an item to this snapshot, not to the lessor: etcd's `SetLeaseItem`, for fakes and
    /// tests.
    ///
    /// ```
    /// use lease_core::{Lease, LeaseId, Ttl};
    ///
    /// let mut lease = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// lease.set_lease_item("b".into());
    /// lease.set_lease_item("a".into());
    /// assert_eq!(lease.keys(), ["a".into(), "b".into()]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn set_lease_item(&mut self, item: LeaseItem) {
        let Extra { keys, .. } = &mut **self.extra.get_or_insert_default();
        if let Err(place) = keys.binary_search(&item) {
            keys.insert(place, item);
        }
    }
}

/// As its methods tell it.
impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.id)
            .field("ttl", &self.ttl)
            .field("incarnation", &self.incarnation)
            .field("remaining", &self.remaining())
            .field("checkpointed_remaining", &self.checkpointed_remaining())
            .field("keys", &self.keys())
            .finish()
    }
}

impl fmt::Debug for TimeToLive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeToLive")
            .field("ttl", &self.ttl)
            .field("remaining", &self.remaining())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_listing_of_millions_is_small() {
        assert_eq!(size_of::<Lease>(), 40);
    }

    #[test]
    fn what_stands_for_a_deadline_is_in_its_order_until_it_is_counted() {
        let due = |ms| Remaining::until(ms, false);
        assert!(due(7) < due(8) && Remaining::until(9, true) < due(7));
        assert!(due(crate::table::record::FAR_FUTURE_MS) < Remaining::NOT_COUNTED);
        assert_eq!(due(8).counted_from(3), Remaining::millis(5));
        assert_eq!(due(3).counted_from(8), Remaining::millis(0));
        let expiring = Remaining::until(8, true);
        assert_eq!(expiring.counted_from(3), Remaining::millis(0));
        let not_counted = Remaining::NOT_COUNTED.counted_from(3);
        assert_eq!(not_counted, Remaining::NOT_COUNTED);
    }

    #[test]
    fn a_lease_of_no_lessor_is_never_due_and_keeps_its_keys_sorted() {
        let id = LeaseId::new(7).expect("not zero");
        let mut lease = Lease::new(id, Ttl::MIN);
        assert_eq!((lease.id(), lease.ttl()), (id, Ttl::MIN));
        assert!(lease.demoted());
        assert_eq!(lease.remaining(), None);
        assert_eq!(lease.checkpointed_remaining(), None);
        for key in ["b", "a", "b"] {
            lease.set_lease_item(key.into());
        }
        assert_eq!(lease.keys(), ["a".into(), "b".into()]);
    }

    #[test]
    fn its_text_is_what_its_methods_tell() {
        let id = LeaseId::new(7).expect("not zero");
        let mut lease = Lease::new(id, Ttl::MIN);
        let demoted = "Lease { id: LeaseId(0000000000000007), ttl: Ttl(1 s), \
                       incarnation: Incarnation(0.0), remaining: None, \
                       checkpointed_remaining: None, keys: [] }";
        assert_eq!(format!("{lease:?}"), demoted);
        lease.remaining = Remaining::millis(500);
        lease.set_lease_item("a".into());
        let counted = "Lease { id: LeaseId(0000000000000007), ttl: Ttl(1 s), \
                       incarnation: Incarnation(0.0), remaining: Some(500ms), \
                       checkpointed_remaining: None, keys: [LeaseItem(\"a\")] }";
        assert_eq!(format!("{lease:?}"), counted);
        let left = format!("{:?}", lease.time_to_live());
        assert_eq!(left, "TimeToLive { ttl: Ttl(1 s), remaining: Some(500ms) }");
    }
}
