use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lease_core::{LeaseId, LeaseItem, LessorEvent, Observer, RevokeReason, Ttl, probe};

/// What the observer of the lessor is told, until somebody asks.
pub(super) struct Watch {
    /// Whether it wants to be told of items too.
    tells_items: bool,
    told: Mutex<(Vec<Gone>, Vec<Told>)>,
}

/// A lease that has expired and is revoked.
pub(super) struct Gone {
    pub(super) lease: i64,
    pub(super) items: BTreeSet<LeaseItem>,
}

/// What a client has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    deed: Deed,
    lease: i64,
    ttl_ms: u64,
    items: BTreeSet<LeaseItem>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Grant,
    Renewal,
    Revoke,
    Attach,
    Detach,
}

impl Watch {
    pub(super) fn new(tells_items: bool) -> Self {
        Self {
            tells_items,
            told: Mutex::default(),
        }
    }

    pub(super) const fn tells_items(&self) -> bool {
        self.tells_items
    }

    pub(super) fn take(&self) -> (Vec<Gone>, Vec<Told>) {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<Gone>, Vec<Told>)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    pub(super) fn granted(lease: i64, ttl_ms: u64) -> Self {
        Self::of(Deed::Grant, lease, ttl_ms)
    }

    pub(super) fn renewed(lease: i64, ttl_ms: u64) -> Self {
        Self::of(Deed::Renewal, lease, ttl_ms)
    }

    pub(super) fn revoked(lease: i64, items: BTreeSet<LeaseItem>) -> Self {
        Self::of(Deed::Revoke, lease, 0).with(items)
    }

    pub(super) fn attached(lease: i64, items: BTreeSet<LeaseItem>) -> Self {
        Self::of(Deed::Attach, lease, 0).with(items)
    }

    pub(super) fn detached(lease: i64, items: BTreeSet<LeaseItem>) -> Self {
        Self::of(Deed::Detach, lease, 0).with(items)
    }

    pub(super) fn is_of_nothing(&self) -> bool {
        self.items.is_empty()
    }

    fn of(deed: Deed, lease: i64, ttl_ms: u64) -> Self {
        Self {
            deed,
            lease,
            ttl_ms,
            items: BTreeSet::new(),
        }
    }

    fn with(self, items: BTreeSet<LeaseItem>) -> Self {
        Self { items, ..self }
    }
}

impl Observer for Watch {
    fn observe(&self, event: &LessorEvent<'_>) {
        let lease = |id: &LeaseId| id.get();
        let ms = |ttl: &Ttl| ttl.as_secs() * 1000;
        let set = |items: &[LeaseItem]| items.iter().cloned().collect();
        let told = match event {
            LessorEvent::Granted { id, ttl } => Told::granted(lease(id), ms(ttl)),
            LessorEvent::Renewed { id, ttl } => Told::renewed(lease(id), ms(ttl)),
            LessorEvent::Attached { id, items } => Told::attached(lease(id), set(items)),
            LessorEvent::Detached { id, items } => Told::detached(lease(id), set(items)),
            LessorEvent::Revoked { id, reason, items } => {
                let (lease, items) = (lease(id), set(items));
                if *reason == RevokeReason::Expired {
                    if !probe::is_planted("alone-not-told") {
                        self.lock().0.push(Gone { lease, items });
                    }
                    return;
                }
                Told::revoked(lease, items)
            }
            _ => return,
        };
        self.lock().1.push(told);
    }

    fn wants_items(&self) -> bool {
        self.tells_items && !probe::is_planted("alone-told-without-items")
    }

    fn wants_attachments(&self) -> bool {
        self.tells_items && !probe::is_planted("alone-told-of-no-attachments")
    }
}
