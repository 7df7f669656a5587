//! The stream of events of a member: it tells of each entry what it has done, in order.

use futures::{FutureExt, StreamExt};
use lease_core::{LeaseEvent, RevokeReason};

use super::{Host, lock};
use crate::event::Event;

/// What is told of a lease: its id, and whether it is revoked, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Granted(i64),
    Revoked(i64),
    Expired(i64),
}

impl Host {
    /// Compares what has been told since the last entry with what this one does.
    pub(super) fn check_events(&self, index: u64, effects: &[Event]) {
        let expected: Vec<_> = effects.iter().filter_map(of_effect).collect();
        let told = self.receive_events();
        if told != expected {
            self.object(format!(
                "entry {index} makes it tell {told:?} in the place of {expected:?}"
            ));
        }
    }

    /// Of a snapshot nothing is told.
    pub(super) fn forget_events(&self) {
        self.receive_events();
    }

    fn receive_events(&self) -> Vec<Told> {
        let mut events = lock(&self.events);
        let mut told = Vec::new();
        while let Some(Some(event)) = events.next().now_or_never() {
            told.extend(of_event(&event));
        }
        told
    }
}

fn of_effect(effect: &Event) -> Option<Told> {
    match effect {
        Event::Granted { name, .. } => Some(Told::Granted(name.lease)),
        Event::Revoked { name, by: None } => Some(Told::Revoked(name.lease)),
        Event::Revoked { name, by: Some(_) } => Some(Told::Expired(name.lease)),
        _ => None,
    }
}

fn of_event(event: &LeaseEvent) -> Option<Told> {
    match event {
        LeaseEvent::Granted { id, .. } => Some(Told::Granted(id.get())),
        LeaseEvent::Revoked { id, reason, .. } => Some(match reason {
            RevokeReason::Expired => Told::Expired(id.get()),
            _ => Told::Revoked(id.get()),
        }),
        _ => None,
    }
}
