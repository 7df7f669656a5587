use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lease_core::{LeaseItem, LessorEvent, Observer, RevokeReason, probe};

/// What the observer of the lessor is told of leases that have expired, until somebody asks.
#[derive(Default)]
pub(super) struct Watch {
    gone: Mutex<Vec<Gone>>,
}

/// A lease that has expired and is revoked.
pub(super) struct Gone {
    pub(super) lease: i64,
    pub(super) items: BTreeSet<LeaseItem>,
}

impl Watch {
    pub(super) fn take(&self) -> Vec<Gone> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Gone>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn observe(&self, event: &LessorEvent<'_>) {
        if let LessorEvent::Revoked {
            id,
            reason: RevokeReason::Expired,
            items,
        } = event
            && !probe::is_planted("alone-not-told")
        {
            self.lock().push(Gone {
                lease: id.get(),
                items: items.iter().cloned().collect(),
            });
        }
    }

    fn wants_items(&self) -> bool {
        !probe::is_planted("alone-told-without-items")
    }
}
