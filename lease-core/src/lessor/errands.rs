use std::task::Waker;

use super::job::{Call, Seat};
use super::resets::ResetDone;
use super::sleepers::Sleepers;
use crate::sync::{Arc, Bell, Signal, Slot};
use crate::{LeaseError, TicketOutcome};

/// What is to be done when the lessor's lock is let go: whom to wake, and what to tell him.
///
/// It is noted under the lock and done without it, because wakers are the host's code, and because
/// nothing else is locked meanwhile.
#[derive(Default)]
pub(super) struct Errands {
    calls: Vec<(Arc<Seat>, Call)>,
    outcomes: Vec<(Arc<Slot<TicketOutcome>>, TicketOutcome)>,
    resets: Vec<(Arc<ResetDone>, Result<(), LeaseError>)>,
    wakers: Vec<Waker>,
    rings: Rings,
    is_some: bool,
}

#[derive(Clone, Copy, Default)]
struct Rings {
    driver: bool,
    checkpoints: bool,
    writer: bool,
    deletions: bool,
    deliveries: bool,
}

/// What the lessor's threads, and those who receive expired leases, sleep by.
#[derive(Default)]
pub(super) struct Bells {
    pub(super) driver: Bell,
    pub(super) checkpoints: Bell,
    pub(super) writer: Bell,
    pub(super) deletions: Bell,
    pub(super) deliveries: Arc<Signal>,
    /// That a stop is over.
    pub(super) stopped: Signal,
}

impl Errands {
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        !self.is_some
    }

    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Tells somebody who waits on the road.
    pub(super) fn call(&mut self, seat: Arc<Seat>, call: Call) {
        self.is_some = true;
        self.calls.push((seat, call));
    }

    /// Brings the outcome of a wait.
    pub(super) fn answer(&mut self, slot: Arc<Slot<TicketOutcome>>, outcome: TicketOutcome) {
        self.is_some = true;
        self.outcomes.push((slot, outcome));
    }

    /// Tells a renewal what became of the reset that it waits for.
    pub(super) fn tell(&mut self, done: Arc<ResetDone>, result: Result<(), LeaseError>) {
        self.is_some = true;
        self.resets.push((done, result));
    }

    /// Wakes the thread that revokes what the host has something to delete for.
    pub(super) fn ring_deletions(&mut self) {
        self.is_some = true;
        self.rings.deletions = true;
    }

    /// Wakes threads of the lessor's own.
    pub(super) fn ring(&mut self, driver: bool, checkpoints: bool, writer: bool) {
        self.is_some = true;
        self.rings.driver |= driver;
        self.rings.checkpoints |= checkpoints;
        self.rings.writer |= writer;
    }

    /// Wakes those who receive expired leases.
    pub(super) fn announce(&mut self, receivers: &mut Sleepers) {
        self.rings.deliveries = true;
        self.wake(receivers);
    }

    /// Wakes a task of the host's.
    pub(super) fn wake_one(&mut self, sleeper: Option<Waker>) {
        self.is_some |= sleeper.is_some();
        self.wakers.extend(sleeper);
    }

    /// Wakes tasks of the host's.
    pub(super) fn wake(&mut self, sleepers: &mut Sleepers) {
        self.is_some = true;
        self.wakers.extend(sleepers.take_all());
    }

    /// Does it. `wake` wakes a task of the host's.
    pub(super) fn run(self, bells: &Bells, wake: impl FnMut(Waker)) {
        for (seat, call) in self.calls {
            seat.put(call);
        }
        let Rings {
            driver,
            checkpoints,
            writer,
            deletions,
            deliveries,
        } = self.rings;
        if driver {
            bells.driver.ring();
        }
        if checkpoints {
            bells.checkpoints.ring();
        }
        if writer {
            bells.writer.ring();
        }
        if deletions {
            bells.deletions.ring();
        }
        if deliveries {
            bells.deliveries.notify_all();
        }
        let mut wakers = self.wakers;
        for (slot, outcome) in self.outcomes {
            wakers.extend(slot.put(outcome));
        }
        for (done, result) in self.resets {
            wakers.extend(done.put(result));
        }
        wakers.into_iter().for_each(wake);
    }
}
