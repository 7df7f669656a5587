use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LockResult;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_utils::sync::{ShardedLock, ShardedLockWriteGuard};

use super::journal::Journal;
use crate::{
    BegunCheckpoint, Epoch, ExpiredBatch, LeaseId, LessorCore, Retired, Ticket, TicketOutcome,
};
use crate::{LeaseError, Timestamp, Ttl};

/// What the lessor's lock protects.
pub(super) struct State {
    pub(super) core: LessorCore,
    pub(super) journal: Journal,
    pub(super) outbox: Outbox,
    pub(super) alarms: Alarms,
    pub(super) is_stopped: bool,
    /// What ended promotions have left, to be dropped where nobody waits.
    pub(super) retired: Vec<Retired>,
    waiters: BTreeMap<Ticket, Waiter>,
}

/// What is called, without the lock, when a wait has ended.
pub(super) type Waiter = Box<dyn FnOnce(TicketOutcome) + Send + Sync>;

/// When the threads wake by themselves. Whatever is due earlier must wake them.
pub(super) struct Alarms {
    pub(super) expiry: Timestamp,
    pub(super) checkpoint: Timestamp,
}

/// The threads that would sleep past something that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Oversleepers {
    pub(super) driver: bool,
    pub(super) checkpointer: bool,
}

/// The expired batches between the core and the host.
#[derive(Default)]
pub(super) struct Outbox {
    /// A batch that found the channel full.
    pub(super) waiting: Option<ExpiredBatch>,
    /// The batches in the channel, oldest first, and the epoch and number of each.
    pub(super) sent: VecDeque<(Epoch, u64)>,
}

/// A command whose writes are on their way.
pub(super) enum Begun {
    Grant(LeaseId),
    Revoke(LeaseId),
    Checkpoint(BegunCheckpoint),
    Epoch(Epoch),
}

impl State {
    /// # Errors
    ///
    /// [`LeaseError::Stopped`].
    pub(super) fn check_running(&self) -> Result<(), LeaseError> {
        if self.is_stopped {
            Err(LeaseError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Renews a lease that nothing stands in the way of.
    #[inline]
    pub(super) fn renew_plain(&self, now: Timestamp, id: LeaseId) -> Option<Ttl> {
        if self.is_stopped {
            return None;
        }
        self.core.renew_plain(now, id)
    }

    /// Renews leases that nothing stands in the way of; `answer` is told of each in turn.
    pub(super) fn renew_plain_many(
        &self,
        now: Timestamp,
        ids: &[LeaseId],
        mut answer: impl FnMut(Option<Ttl>),
    ) {
        if self.is_stopped {
            ids.iter().for_each(|_| answer(None));
        } else {
            self.core.renew_plain_many(now, ids, answer);
        }
    }

    /// The writes of a command are safe: it takes effect.
    pub(super) fn finish(&mut self, now: Timestamp, begun: Begun) {
        match begun {
            Begun::Grant(id) => self.core.finish_grant(now, id),
            Begun::Revoke(id) => self.core.finish_revoke(id),
            Begun::Checkpoint(begun) => self.core.finish_checkpoint(now, begun),
            Begun::Epoch(epoch) => self.core.begin_epoch(epoch, &mut Default::default()),
        }
    }

    /// The writes of a command have failed: it has had no effect.
    pub(super) fn cancel(&mut self, begun: Begun) {
        match begun {
            Begun::Grant(id) => self.core.cancel_grant(id),
            Begun::Revoke(id) => self.core.cancel_revoke(id),
            Begun::Checkpoint(_) | Begun::Epoch(_) => {}
        }
    }

    pub(super) fn enlist(
        &mut self,
        ticket: Ticket,
        waiter: impl FnOnce(TicketOutcome) + Send + Sync + 'static,
    ) {
        self.waiters.insert(ticket, Box::new(waiter));
    }

    /// Ends the wait of somebody who gave up.
    pub(super) fn dismiss(&mut self, ticket: Ticket) {
        self.waiters.remove(&ticket);
        self.core.cancel_ticket(ticket);
    }

    /// The threads that must be woken, and are expected to be from then on. O(1).
    pub(super) fn oversleepers(&mut self) -> Oversleepers {
        let Alarms { expiry, checkpoint } = &mut self.alarms;
        Oversleepers {
            driver: bring_forward(expiry, self.core.next_expiry()),
            checkpointer: bring_forward(checkpoint, self.core.next_checkpoint()),
        }
    }

    /// Whether the thread that proposes checkpoints would sleep past one. O(1).
    pub(super) fn checkpointer_oversleeps(&mut self) -> bool {
        bring_forward(&mut self.alarms.checkpoint, self.core.next_checkpoint())
    }

    #[cold]
    fn answers(&mut self) -> Vec<(Waiter, TicketOutcome)> {
        let mut answers = Vec::new();
        while let Some((ticket, outcome)) = self.core.poll_ticket() {
            answers.extend(self.waiters.remove(&ticket).map(|waiter| (waiter, outcome)));
        }
        answers
    }
}

fn bring_forward(alarm: &mut Timestamp, due: Option<Timestamp>) -> bool {
    let is_late = due.is_some_and(|due| due < *alarm);
    if is_late {
        *alarm = due.unwrap_or(Timestamp::MAX);
    }
    is_late
}

/// The state behind the lessor's lock. Nothing else is locked, and no code of the host's runs,
/// while it is held.
///
/// Renewals and look-ups share the lock, and each thread takes a part of it of its own: two threads
/// that renew do not wait for each other, nor for each other's cache lines.
pub(super) struct StateCell {
    lock: ShardedLock<State>,
    // Whether somebody takes the lock many times in a row, so that who wants it says so.
    is_crowded: AtomicBool,
    // How many threads want the lock meanwhile.
    waiting: AtomicUsize,
}

/// Takes the lock many times in a row and gives way to those who wait for it: the lock by itself
/// goes to who asks first, which is the one who has just let it go.
pub(super) struct Turns<'a> {
    cell: &'a StateCell,
    // How often to yield before those who wait are counted.
    first_yields: usize,
    has_given: bool,
}

impl StateCell {
    pub(super) fn new(core: LessorCore) -> Self {
        let state = State {
            core,
            journal: Journal::default(),
            outbox: Outbox::default(),
            alarms: Alarms {
                expiry: Timestamp::MAX,
                checkpoint: Timestamp::MAX,
            },
            is_stopped: false,
            retired: Vec::new(),
            waiters: BTreeMap::new(),
        };
        Self {
            lock: ShardedLock::new(state),
            is_crowded: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Looks at the state, beside others who do the same.
    #[inline]
    pub(super) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        let state = if self.is_crowded.load(Ordering::Relaxed) {
            self.wait(|| self.lock.read())
        } else {
            self.lock.read().expect(NOT_POISONED)
        };
        look(&state)
    }

    /// For whoever is going to take the lock many times in a row. A thread of the lessor's own must
    /// reckon with others that wait already.
    pub(super) const fn turns(&self, is_own_thread: bool) -> Turns<'_> {
        Turns {
            cell: self,
            // Who came before the first turn has not said so and is only just being woken.
            first_yields: if is_own_thread { FIRST_YIELDS } else { 0 },
            has_given: false,
        }
    }

    /// Does something with the state and then answers those whose wait it has ended.
    #[inline]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = work(&mut state);
        if state.core.has_ticket_outcomes() {
            let answers = state.answers();
            drop(state);
            for (waiter, outcome) in answers {
                waiter(outcome);
            }
        }
        result
    }

    /// Checks the state. That it does not hold together leaves the lock as it is.
    pub(super) fn check_invariants(&self) {
        let state = self.lock();
        let check = AssertUnwindSafe(|| state.core.check_invariants());
        if let Err(panic) = catch_unwind(check) {
            drop(state);
            resume_unwind(panic);
        }
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.lock.is_poisoned()
    }

    #[inline]
    fn lock(&self) -> ShardedLockWriteGuard<'_, State> {
        if self.is_crowded.load(Ordering::Relaxed) {
            self.wait(|| self.lock.write())
        } else {
            self.lock.write().expect(NOT_POISONED)
        }
    }

    #[cold]
    fn wait<G>(&self, take: impl FnOnce() -> LockResult<G>) -> G {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = take();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard.expect(NOT_POISONED)
    }
}

impl Turns<'_> {
    /// Lets those who wait for the lock have it before the caller takes it again.
    pub(super) fn give_way(&mut self) {
        let least = if self.has_given { 0 } else { self.first_yields };
        self.has_given = true;
        self.cell.is_crowded.store(true, Ordering::Relaxed);
        for turn in 0..MOST_YIELDS {
            if turn >= least && self.cell.waiting.load(Ordering::Relaxed) == 0 {
                return;
            }
            thread::yield_now();
        }
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        if self.has_given {
            self.cell.is_crowded.store(false, Ordering::Relaxed);
        }
    }
}

/// About as long as the system takes to wake a thread.
const FIRST_YIELDS: usize = 50;
/// Longer than that, and well under a millisecond.
const MOST_YIELDS: usize = 500;

const NOT_POISONED: &str = "nothing that runs under the lessor's lock panics";

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;
    use crate::LessorConfig;

    #[test]
    fn who_wants_the_lock_gets_it_between_two_turns_of_another() {
        let cell = StateCell::new(LessorCore::new(LessorConfig::default()));
        let is_served = AtomicBool::new(false);
        thread::scope(|scope| {
            let mut turns = cell.turns(true);
            turns.give_way();
            assert!(cell.is_crowded.load(Ordering::Relaxed));
            scope.spawn(|| cell.with(|_| is_served.store(true, Ordering::Relaxed)));
            let is_in_time = (0..10_000).any(|_| {
                cell.with(|_| assert_eq!((0..10_000).map(black_box).count(), 10_000));
                turns.give_way();
                is_served.load(Ordering::Relaxed)
            });
            assert!(is_in_time, "the other one starved");
        });
        assert!(!cell.is_crowded.load(Ordering::Relaxed));
        assert_eq!(cell.waiting.load(Ordering::Relaxed), 0);
    }
}
