use std::time::Duration;

use super::isolate::isolate;
use super::own::Kind;
use super::{Driver, ExpiryMode, Shared};
use crate::sync::thread::{self, JoinHandle, ThreadId};
use crate::sync::{Arc, Bell, Deadline, Mutex, MutexGuard, Slot, lock};
use crate::{HostError, LeaseError, Timestamp};

/// The threads of a lessor: one that waits for expiries, one that proposes checkpoints, one that
/// revokes what the host's range deleter is called for, if the lessor revokes by itself, and, if
/// writes are batched, one that commits them. Each sleeps until it has something to do.
#[derive(Default)]
pub(super) struct Threads {
    running: Mutex<Vec<Running>>,
    // Also of those that have ended.
    ids: Mutex<Vec<ThreadId>>,
}

struct Running {
    handle: JoinHandle<()>,
    id: ThreadId,
    end: Arc<Slot<()>>,
}

/// Tells that a thread has ended, also if it has panicked.
struct End(Arc<Slot<()>>);

impl Drop for End {
    fn drop(&mut self) {
        let _nobody_polls = self.0.put(());
    }
}

impl Threads {
    /// # Errors
    ///
    /// [`LeaseError::Spawn`]. Those that were started run on until they are joined.
    pub(super) fn start(&self, shared: &Arc<Shared>) -> Result<(), LeaseError> {
        if shared.options.driver == Driver::Manual {
            return Ok(());
        }
        self.spawn("lease-driver", shared, run_driver)?;
        self.spawn("lease-checkpoints", shared, run_checkpoints)?;
        if shared.options.expiry == ExpiryMode::AutoRevoke {
            self.spawn("lease-deletions", shared, run_deletions)?;
        }
        if shared.state.read(|state| state.journal.is_some()) {
            self.spawn("lease-writer", shared, run_writer)?;
        }
        Ok(())
    }

    /// Waits until `deadline` for the threads, which have been told to stop, and leaves alone those
    /// that take longer, as well as the one that asks. Returns whether none takes longer.
    pub(super) fn join(&self, deadline: &Deadline) -> bool {
        let mut running = std::mem::take(&mut *self.lock());
        running.retain(|thread| thread.id != thread::current().id());
        let joined = running.into_iter().map(|thread| thread.join(deadline));
        joined.fold(true, |all, one| all & one)
    }

    fn spawn(&self, name: &str, shared: &Arc<Shared>, run: fn(&Shared)) -> Result<(), LeaseError> {
        let end = Arc::new(Slot::default());
        let (shared, ends) = (Arc::clone(shared), End(Arc::clone(&end)));
        let spawned = thread::spawn(name, move || {
            let _ends = ends;
            if let Err(panic) = isolate("thread", || run(&shared)) {
                shared.observe_failure(&LeaseError::Panicked(panic));
            }
        });
        let handle = spawned.map_err(|error| LeaseError::Spawn(HostError::new(error)))?;
        let id = handle.thread().id();
        self.lock().push(Running { handle, id, end });
        lock(&self.ids).push(id);
        Ok(())
    }

    /// Whether this is one of them.
    pub(super) fn include(&self, thread: ThreadId) -> bool {
        lock(&self.ids).contains(&thread)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Running>> {
        lock(&self.running)
    }
}

impl Running {
    fn join(self, deadline: &Deadline) -> bool {
        let has_ended = self.end.take_waiting(deadline.left()).is_some();
        if has_ended {
            // A panic was told to the observer.
            let _ = self.handle.join();
        }
        has_ended
    }
}

/// Does something again and again until the lessor is stopped. A round that panics, because code of the
/// host's does where nobody expects it, is told to the observer, and the next one follows.
fn repeat(shared: &Shared, round: impl Fn()) {
    while !shared.is_stopped() {
        if let Err(panic) = isolate("thread", &round) {
            if shared.state.is_poisoned() {
                return;
            }
            shared.observe_failure(&LeaseError::Panicked(panic));
            Bell::default().wait_timeout(super::expiry::CLOCK_PAUSE);
        }
    }
}

fn run_driver(shared: &Shared) {
    repeat(shared, || {
        let next = shared.drive_expiry();
        shared.sleep(&shared.state.bells.driver, next, LONGEST_SLEEP);
    });
}

/// A range deleter that takes its time holds up the leases that it is called for, and no others.
fn run_deletions(shared: &Shared) {
    repeat(shared, || {
        shared.begin_round(Kind::Deletions);
        if shared.end_round(Kind::Deletions, None).is_some() {
            shared.rest();
        }
    });
}

fn run_writer(shared: &Shared) {
    repeat(shared, || {
        let next = shared.drive_flush();
        // A clock that goes back must not hold up what is pending.
        let longest = shared.options.flush_interval.max(Duration::from_millis(1));
        shared.sleep(&shared.state.bells.writer, next, longest);
    });
    // Here, and not by whoever stops the lessor: he waits no longer than he wants to.
    if let Err(error) = shared.flush() {
        shared.observe_failure(&LeaseError::Backend(error));
    }
}

fn run_checkpoints(shared: &Shared) {
    repeat(shared, || {
        let next = shared.drive_checkpoints();
        shared.sleep(&shared.state.bells.checkpoints, next, LONGEST_SLEEP);
    });
}

/// The thread of range deleters rests no longer for one command: its turn comes when what was before it in
/// the line is over, which is the host's.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A timer further away is set again when this has passed.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

impl Shared {
    pub(super) fn is_stopped(&self) -> bool {
        self.state.read(|state| state.is_stopped)
    }

    /// Sleeps until there is something to delete, or something to look at.
    fn rest(&self) {
        let bell = &self.state.bells.deletions;
        if !self
            .state
            .read(|state| state.own.is_resting(Kind::Deletions))
        {
            bell.wait();
        } else if !bell.wait_timeout(LONGEST_REST) {
            // Others are not to wait for ever behind what keeps this one.
            self.state
                .with(|state| state.own.stop_resting(Kind::Deletions));
        }
    }

    /// Sleeps until somebody rings or the time has come. Whatever comes nearer rings, see
    /// [`Alarms`](super::state::Alarms).
    fn sleep(&self, bell: &Bell, until: Option<Timestamp>, longest: Duration) {
        match until {
            None => bell.wait(),
            Some(until) => {
                let now = self.precise_time();
                let span = now.map(|now| until.saturating_duration_since(now));
                let span = span.unwrap_or(super::expiry::CLOCK_PAUSE);
                bell.wait_timeout(span.min(longest));
            }
        }
    }
}
