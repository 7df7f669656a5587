use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::errands::{Bells, Errands};
use super::isolate::{is_inside, isolate_inside};
use super::journal::Journal;
use super::line::Road;
use super::new_ids::NewIds;
use super::outbox::Outbox;
use super::oversights::Oversights;
use super::own::{Kind, OwnCommands};
use super::resets::Resets;
use super::sleepers::{Caller, Sleepers};
use super::{CheckpointMode, Driver};
use crate::primary::earlier;
use crate::probe::planted;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::thread::ThreadId;
use crate::sync::{Arc, SharedLock, Slot};
use crate::{
    Backend, HostError, LeaseError, LessorCore, Promotion, RangeDeleter, Retired, Ticket,
    TicketOutcome, Timestamp,
};

/// What the lessor's lock protects.
pub(super) struct State {
    pub(super) core: LessorCore,
    pub(super) road: Road,
    /// `None` if every command is committed before it is applied.
    pub(super) journal: Option<Journal>,
    pub(super) outbox: Outbox,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) range_deleter: Option<Arc<dyn RangeDeleter>>,
    pub(super) checkpoints: CheckpointMode,
    /// Resets that renewals wait for, for the thread that proposes checkpoints.
    pub(super) resets: Resets,
    pub(super) own: OwnCommands,
    pub(super) new_ids: NewIds,
    pub(super) oversights: Oversights,
    pub(super) is_stopped: bool,
    /// Whether the store may have another state than the lessor, which must not write there any more and is
    /// about to be stopped.
    pub(super) is_torn: bool,
    /// Who is stopping it, until that is over.
    pub(super) stopping: Option<ThreadId>,
    /// What ended promotions have left, to be dropped where nobody waits.
    pub(super) retired: Vec<Retired>,
    pub(super) alarms: Alarms,
    pub(super) errands: Errands,
    waits: BTreeMap<Ticket, Arc<Slot<TicketOutcome>>>,
    pub(super) driver: Driver,
    // Who sleeps until the alarms of a lessor that is driven by hand.
    sleepers: Sleepers,
    // Whether an alarm was brought forward since the lessor was driven.
    has_moved: bool,
}

/// When those who drive the lessor wake by themselves, if ever. Whatever is due earlier must wake them.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    pub(super) expiry: Option<Timestamp>,
    pub(super) checkpoint: Option<Timestamp>,
    pub(super) flush: Option<Timestamp>,
}

/// The state behind the lessor's lock. Nothing else is locked, and no code of the host's runs,
/// while it is held; whoever has to be woken is woken when it is let go.
///
/// Renewals and look-ups share the lock, and each thread takes a part of it of its own: two threads
/// that renew do not wait for each other, nor for each other's cache lines. Beside each part lies a
/// count of the renewals that were made there.
pub(super) struct StateCell {
    lock: SharedLock<State, AtomicU64>,
    pub(super) bells: Bells,
}

impl State {
    pub(super) fn new(
        core: LessorCore,
        backend: Arc<dyn Backend>,
        journal: Option<Journal>,
        outbox: Outbox,
        driver: Driver,
        checkpoints: CheckpointMode,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Self {
        Self {
            core,
            road: Road::default(),
            journal,
            outbox,
            backend,
            range_deleter,
            checkpoints,
            resets: Resets::default(),
            own: OwnCommands::default(),
            new_ids: NewIds::default(),
            oversights: Oversights::default(),
            is_stopped: false,
            is_torn: false,
            stopping: None,
            retired: Vec::new(),
            alarms: Alarms::default(),
            errands: Errands::default(),
            waits: BTreeMap::new(),
            driver,
            sleepers: Sleepers::default(),
            has_moved: false,
        }
    }

    /// # Errors
    ///
    /// [`LeaseError::Stopped`].
    #[inline]
    pub(super) fn check_running(&self) -> Result<(), LeaseError> {
        if self.is_stopped || self.is_torn {
            Err(LeaseError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Notes where the outcome of a wait is to be put.
    pub(super) fn enlist(&mut self, ticket: Ticket) -> Arc<Slot<TicketOutcome>> {
        let slot = Arc::new(Slot::default());
        self.waits.insert(ticket, Arc::clone(&slot));
        slot
    }

    /// Ends the wait of somebody who gave up.
    pub(super) fn dismiss(&mut self, ticket: Ticket) {
        self.waits.remove(&ticket);
        self.core.cancel_ticket(ticket);
    }

    /// When the driver has something to do. Not for an expiry that the host has no room for: it is
    /// woken when there is.
    #[inline]
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        if self.is_stopped {
            return None;
        }
        if self.has_own(Kind::Expiries)
            || self.driver == Driver::Manual && self.has_own(Kind::Deletions)
        {
            return Some(Timestamp::ZERO);
        }
        let has_room = |next: &Timestamp| *next == Timestamp::ZERO || !self.outbox.is_full();
        let next = self.core.next_expiry().filter(has_room);
        earlier(next, self.next_oversight())
    }

    /// When a checkpoint is to be proposed by the lessor itself.
    #[inline]
    pub(super) fn next_checkpoint(&self) -> Option<Timestamp> {
        let is_theirs = matches!(self.checkpoints, CheckpointMode::Polled);
        if self.is_stopped || is_theirs || planted!("alone-checkpoints-not-announced") {
            None
        } else if self.resets.is_wanted() || self.has_own(Kind::Checkpoints) {
            Some(Timestamp::ZERO)
        } else {
            self.core.next_checkpoint()
        }
    }

    /// When the pending writes are to be committed.
    #[inline]
    pub(super) fn next_flush(&self) -> Option<Timestamp> {
        // A stop that gave up waiting for the writer has left nobody else who could be one.
        if self.road.is_given_up {
            return None;
        }
        self.journal.as_ref()?.due()
    }

    /// Has the caller woken when something is due before the alarms of a lessor that is driven by
    /// hand. Returns whether that has happened since it was driven.
    pub(super) fn sleep(&mut self, place: &mut Option<u64>, caller: &mut Caller) -> bool {
        if !self.has_moved {
            self.sleepers.note(place, caller);
        }
        self.has_moved
    }

    pub(super) const fn sleepers(&mut self) -> &mut Sleepers {
        &mut self.sleepers
    }

    /// When a lessor that is driven by hand has something to do, for whoever has just driven it: it
    /// has not come closer than that.
    pub(super) fn rest(&mut self) -> Option<Timestamp> {
        self.has_moved = false;
        self.tell_wakeup()
    }

    /// When a lessor that is driven by hand has something to do, for whoever sleeps until then: he is
    /// woken when it comes closer.
    pub(super) fn tell_wakeup(&mut self) -> Option<Timestamp> {
        // What was due before may have gone since.
        self.alarms = Alarms {
            expiry: self.next_expiry(),
            checkpoint: self.next_checkpoint(),
            flush: self.next_flush(),
        };
        self.next_wakeup()
    }

    /// When there is something to do.
    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        let driven = earlier(self.next_expiry(), self.next_checkpoint());
        earlier(driven, self.next_flush())
    }

    /// Changes the role, and keeps what that has left until the driver runs again: to drop it takes
    /// time in proportion to the leases, which nobody is to wait for. Returns whether the role has
    /// changed, and what earlier changes have left if the driver has not run since: that is dropped
    /// without the lock.
    pub(super) fn change_role(
        &mut self,
        change: impl FnOnce(&mut LessorCore) -> Promotion,
    ) -> (bool, Vec<Retired>) {
        let Promotion::Changed(retired) = change(&mut self.core) else {
            return (false, Vec::new());
        };
        // Whoever waits for a reset looks again.
        self.end_all_resets(&Ok(()));
        if retired.is_some() && self.driver == Driver::Threads {
            self.errands.ring(true, false, false);
        }
        let old = std::mem::replace(&mut self.retired, Vec::from_iter(retired));
        (true, old)
    }

    /// Notes who has to be woken because of what was done under the lock.
    #[inline]
    fn note_errands(&mut self) {
        let expiry = self.next_expiry();
        let checkpoint = self.next_checkpoint();
        let flush = self.next_flush();
        let expiry = bring_forward(&mut self.alarms.expiry, expiry);
        let checkpoint = bring_forward(&mut self.alarms.checkpoint, checkpoint);
        let flush = bring_forward(&mut self.alarms.flush, flush);
        if expiry | checkpoint | flush {
            self.note_alarms(expiry, checkpoint, flush);
        }
        if self.core.has_ticket_outcomes() {
            self.note_outcomes();
        }
    }

    #[cold]
    fn note_alarms(&mut self, expiry: bool, checkpoint: bool, flush: bool) {
        match self.driver {
            Driver::Threads => self.errands.ring(expiry, checkpoint, flush),
            Driver::Manual if planted!("sleeper-not-woken") => {}
            Driver::Manual => self.wake_sleepers(),
        }
    }

    /// Ends the sleep of those who drive the lessor by hand.
    pub(super) fn wake_sleepers(&mut self) {
        self.has_moved = true;
        self.errands.wake(&mut self.sleepers);
    }

    #[cold]
    fn note_outcomes(&mut self) {
        while let Some((ticket, outcome)) = self.core.poll_ticket() {
            if let Some(slot) = self.waits.remove(&ticket) {
                self.errands.answer(slot, outcome);
            }
        }
    }
}

#[inline]
fn bring_forward(alarm: &mut Option<Timestamp>, due: Option<Timestamp>) -> bool {
    let is_earlier = due.is_some_and(|due| alarm.is_none_or(|alarm| due < alarm));
    if is_earlier {
        *alarm = due;
    }
    is_earlier
}

impl StateCell {
    pub(super) fn new(state: State, bells: Bells) -> Self {
        Self {
            lock: SharedLock::new(state),
            bells,
        }
    }

    /// Looks at the state, beside others who do the same.
    #[inline]
    pub(super) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock.read())
    }

    /// As [`read`](Self::read), and adds what `renew` says to the count of renewals.
    #[inline]
    pub(super) fn renew<R>(&self, renew: impl FnOnce(&State) -> (u64, R)) -> R {
        let state = self.lock.read();
        let (count, result) = renew(&state);
        state.stripe().fetch_add(count, Ordering::Relaxed);
        result
    }

    /// How many renewals were made beside others.
    pub(super) fn renewed(&self) -> u64 {
        let counts = self.lock.stripes();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Does something with the state, and wakes whoever has to be woken because of it.
    #[inline]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock.write();
        let result = work(&mut state);
        state.note_errands();
        if state.errands.is_empty() {
            return result;
        }
        let errands = state.errands.take();
        drop(state);
        errands.run(&self.bells, |waker| {
            // Nobody waits for the panic of a waker.
            let _ = self.isolate_inside("waker", || waker.wake());
        });
        result
    }

    /// For a thread that takes the lock many times in a row: whoever waits for it has it first.
    pub(super) fn give_way(&self) {
        self.lock.give_way();
    }

    /// Checks the state. That it does not hold together leaves the lock as it is.
    pub(super) fn check_invariants(&self) {
        let state = self.lock.write();
        let check = AssertUnwindSafe(|| state.core.check_invariants());
        if let Err(panic) = catch_unwind(check) {
            drop(state);
            resume_unwind(panic);
        }
    }

    /// As [`isolate`](super::isolate::isolate), for code that runs while a command of this thread's
    /// may be decided and not applied: a command that it gives to this lessor must not wait for that
    /// one.
    pub(super) fn isolate_inside<R>(
        &self,
        whose: &str,
        code: impl FnOnce() -> R,
    ) -> Result<R, HostError> {
        isolate_inside(self.address(), whose, code)
    }

    /// Whether this thread is in such code.
    pub(super) fn is_inside(&self) -> bool {
        is_inside(self.address())
    }

    /// Which lessor it is, while it lives.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.lock.is_poisoned()
    }
}
