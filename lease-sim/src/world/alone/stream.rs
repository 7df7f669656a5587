use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt};
use lease_core::{BackendLessor, LeaseEvent, LeaseEvents, LeaseItem, RevokeReason, Ttl, probe};

use super::watch::Told;

/// A stream of the lessor's events, which tells what the observer is told.
pub(super) struct Followed {
    events: LeaseEvents,
    // Else it tells of no items, though there are some.
    wants_items: bool,
}

/// More than happen between two looks.
const CAPACITY: usize = 1 << 16;

impl Followed {
    pub(super) fn of(lessor: &BackendLessor, wants_items: bool) -> Self {
        let events = lessor.events(CAPACITY).with_renewals();
        let events = match wants_items {
            true => events.with_items().with_attachments(),
            false => events,
        };
        Self {
            events,
            wants_items,
        }
    }

    /// What clients have done since it was asked last.
    pub(super) fn take(&mut self) -> Vec<Told> {
        let received = std::iter::from_fn(|| self.events.next().now_or_never().flatten());
        received.filter_map(|event| told(&event)).collect()
    }

    /// What of this it has to tell.
    pub(super) fn part_of(&self, told: &[Told]) -> Vec<Told> {
        let told = told.iter();
        match self.wants_items {
            true => told.cloned().collect(),
            false => told.filter_map(Told::without_items).collect(),
        }
    }
}

fn told(event: &LeaseEvent) -> Option<Told> {
    let ms = |ttl: &Ttl| ttl.as_secs() * 1000;
    let set = |items: &[LeaseItem]| items.iter().cloned().collect::<BTreeSet<_>>();
    Some(match event {
        LeaseEvent::Granted { id, ttl } => Told::granted(id.get(), ms(ttl)),
        LeaseEvent::Renewed { .. } if probe::is_planted("alone-renewals-not-streamed") => {
            return None;
        }
        LeaseEvent::Renewed { id, ttl } => Told::renewed(id.get(), ms(ttl)),
        LeaseEvent::Attached { id, items } => Told::attached(id.get(), set(items)),
        LeaseEvent::Detached { id, items } => Told::detached(id.get(), set(items)),
        LeaseEvent::Revoked { id, reason, items } if *reason != RevokeReason::Expired => {
            Told::revoked(id.get(), set(items))
        }
        _ => return None,
    })
}
