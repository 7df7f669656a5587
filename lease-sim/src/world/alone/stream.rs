use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt};
use lease_core::{BackendLessor, LeaseEvent, LeaseEvents, LeaseItem, RevokeReason, Ttl, probe};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use super::watch::{Gone, Told};

/// A stream of the lessor's events, which tells what the observer is told.
pub(super) struct Followed {
    events: LeaseEvents,
    pub(super) wants: Wants,
    /// How much has happened that it tells of, also what it has told too late.
    pub(super) happened: u64,
}

/// What an observer or a stream has to tell beside the rest.
#[derive(Clone, Copy)]
pub(super) struct Wants {
    pub(super) renewals: bool,
    /// Else it tells of no items of what is gone, though there are some.
    pub(super) items: bool,
    /// What is attached and detached.
    pub(super) attachments: bool,
}

/// Whom a stream wakes that nobody asks any more: nobody.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// More than happen between two looks.
pub(super) const CAPACITY: usize = 1 << 16;

/// Fewer than that.
pub(super) const FEW: usize = 3;

impl Followed {
    pub(super) fn of(lessor: &BackendLessor, wants: Wants, capacity: usize) -> Self {
        let mut events = lessor.events(capacity);
        if wants.renewals || probe::is_planted("alone-renewals-always-streamed") {
            events = events.with_renewals();
        }
        if wants.items {
            events = events.with_items();
        }
        if wants.attachments {
            events = events.with_attachments();
        }
        Self {
            events,
            wants,
            happened: 0,
        }
    }

    /// What clients have done since it was asked last, and what has expired.
    pub(super) fn take(&mut self) -> (Vec<Told>, Vec<Gone>) {
        let (mut done, mut all_gone) = (Vec::new(), Vec::new());
        let received = std::iter::from_fn(|| self.events.next().now_or_never().flatten());
        for event in received {
            self.happened += match &event {
                LeaseEvent::Lagged(missed) => *missed,
                _ => 1,
            };
            done.extend(told(&event));
            all_gone.extend(gone(&event));
        }
        (done, all_gone)
    }
}

impl Wants {
    /// What of this is to be told to whoever wants that.
    pub(super) fn part_of(self, done: &[Told]) -> Vec<Told> {
        let is_wanted = |told: &&Told| {
            (self.renewals || !told.is_renewal()) && (self.attachments || !told.is_of_items())
        };
        let done = done.iter().filter(is_wanted);
        match self.items {
            true => done.cloned().collect(),
            false => done.map(Told::without_items).collect(),
        }
    }
}

/// Whether nothing is left of a stream that somebody has asked and dropped.
pub(super) fn is_forgotten(lessor: &BackendLessor) -> bool {
    let nobody = Arc::new(Nobody);
    let waker = Waker::from(Arc::clone(&nobody));
    let mut events = lessor.events(1);
    let polled = events.poll_next_unpin(&mut Context::from_waker(&waker));
    drop(waker);
    if probe::is_planted("alone-dropped-streams-stay") {
        std::mem::forget(events);
    } else {
        drop(events);
    }
    polled.is_pending() && Arc::strong_count(&nobody) == 1
}

fn gone(event: &LeaseEvent) -> Option<Gone> {
    match event {
        LeaseEvent::Revoked { id, reason, items } if *reason == RevokeReason::Expired => {
            let items = items.iter().cloned().collect();
            Some(Gone {
                lease: id.get(),
                items,
            })
        }
        _ => None,
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
