use std::time::Duration;

use super::isolate::isolate;
use super::state::State;
use super::{BackendLessor, Shared};
use crate::probe::planted;
use crate::sync::Deadline;
use crate::sync::thread::current;
use crate::{BackendError, HostError, LeaseError, Timestamp};

impl Shared {
    /// The time of the hot path.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Clock`] if the host's clock panics.
    #[inline]
    pub(super) fn time(&self) -> Result<Timestamp, LeaseError> {
        isolate("clock", || self.clock.now()).map_err(LeaseError::Clock)
    }

    /// The time as exactly as it can be had.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Clock`] if the host's clock panics.
    pub(super) fn precise_time(&self) -> Result<Timestamp, LeaseError> {
        isolate("clock", || self.clock.precise_now()).map_err(LeaseError::Clock)
    }

    /// The time for what can fail no more; the latest one known if the host's clock panics.
    #[inline]
    pub(super) fn time_or_last(&self) -> Timestamp {
        match self.time() {
            Ok(now) => now,
            Err(_) => self.last_time(),
        }
    }

    #[cold]
    fn last_time(&self) -> Timestamp {
        self.state.read(|state| state.core.now())
    }

    /// As [`time_or_last`](Self::time_or_last), while a command is decided and not applied.
    pub(super) fn time_inside(&self) -> Timestamp {
        let last = |_| self.state.read(|state| state.core.now());
        let now = self.state.isolate_inside("clock", || self.clock.now());
        now.unwrap_or_else(last)
    }

    /// Stops: nobody waits any more, and every command is refused. Returns whether it was running.
    fn refuse_all(&self) -> bool {
        let (was_running, _own) = self.state.with(|state| {
            let was_running = !std::mem::replace(&mut state.is_stopped, true);
            if was_running {
                state.stopping = Some(current().id());
            }
            state.core.release_waiters();
            state.clear_road();
            state.announce();
            state.errands.ring(true, true, true);
            state.errands.ring_deletions();
            if !planted!("alone-a-stop-wakes-nobody") {
                state.wake_sleepers();
            }
            state.end_all_resets(&Err(LeaseError::Stopped));
            (was_running, state.own.clear())
        });
        was_running
    }

    /// Commits what was acknowledged. A writer that is still busy at the deadline does it when it
    /// comes back, and so does a thread of the lessor's own that has not `ended`.
    fn flush_at_stop(&self, deadline: &Deadline, ended: bool) -> Result<(), BackendError> {
        let is_its = !ended && self.state.read(State::has_pending);
        let writer = if is_its {
            Err(LeaseError::DeadlineExceeded)
        } else {
            self.become_writer(deadline.left())
        };
        match writer {
            Ok(writer) => writer.commit(),
            Err(LeaseError::Reentrant) => Ok(()),
            Err(_) => {
                let text = "the lessor was stopped before its last commit came back";
                let error = BackendError::Io(HostError::new(text));
                self.state.with(|state| state.end_waits(&error));
                Err(error)
            }
        }
    }
}

impl State {
    /// Ends the wait of those whose transaction goes on beyond the end of the lessor, and of those who
    /// want to be the writer after that.
    fn end_waits(&mut self, error: &BackendError) {
        self.road.is_given_up = true;
        for seat in std::mem::take(&mut self.road.wanting) {
            self.errands.call(seat, super::job::Call::Stopped);
        }
        for seat in std::mem::take(&mut self.road.writing) {
            let call = super::job::Call::Written(Err(error.clone()));
            self.errands.call(seat, call);
        }
    }
}

impl BackendLessor {
    /// Stops: no thread of the lessor does anything from then on.
    pub(super) fn stop_all(&self) {
        let shared = &self.shared;
        let deadline = Deadline::after(Some(shared.options.stop_timeout));
        if !shared.refuse_all() {
            self.await_stop(&deadline);
            return;
        }
        let ended = self.threads.join(&deadline);
        if let Err(error) = shared.flush_at_stop(&deadline, ended) {
            shared.observe_failure(&LeaseError::Backend(error));
        }
        #[cfg(feature = "async")]
        shared.feed.close();
        shared.state.with(|state| state.stopping = None);
        shared.state.bells.stopped.notify_all();
    }

    /// Waits for the end of a stop that another thread has begun, unless that may wait for this one.
    fn await_stop(&self, deadline: &Deadline) {
        let shared = &self.shared;
        if self.threads.include(current().id()) || shared.state.is_inside() {
            return;
        }
        let is_over = |state: &State| state.stopping.is_none_or(|who| who == current().id());
        loop {
            let since = shared.state.bells.stopped.listen();
            let left = deadline.left();
            if shared.state.read(is_over) || left == Some(Duration::ZERO) {
                return;
            }
            shared.state.bells.stopped.wait(since, left);
        }
    }
}

/// Stops the lessor, see [`Lessor::stop`](crate::Lessor::stop); unless an invariant was found broken,
/// since then there is nothing left to rely on and a second panic would abort the process.
impl Drop for BackendLessor {
    fn drop(&mut self) {
        if !self.shared.state.is_poisoned() {
            self.stop_all();
        }
    }
}
