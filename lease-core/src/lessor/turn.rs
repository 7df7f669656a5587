use std::time::Duration;

use super::Shared;
use super::job::{Call, Seat};
use super::state::State;
use crate::probe::{planted, sometimes};
use crate::sync::Arc;
use crate::sync::thread::current;
use crate::{Backend, BackendError, HostError, LeaseError, Timestamp, WriteBatch};

/// One transaction.
struct Transaction {
    backend: Arc<dyn Backend>,
    // What of it came from the journal.
    journaled: WriteBatch,
    // The rows of commands whose threads wait for it.
    ready: Vec<WriteBatch>,
}

/// The right to write, which one thread has at a time. It goes to the next one when it is dropped.
#[must_use = "the right to write is given back when this is dropped"]
pub(super) struct Writer<'a> {
    shared: &'a Shared,
}

impl Shared {
    /// Commits all that is pending.
    pub(super) fn flush(&self) -> Result<(), BackendError> {
        self.commit_pending().map_err(|error| match error {
            LeaseError::Backend(error) => error,
            error => BackendError::Io(HostError::new(error)),
        })
    }

    fn commit_pending(&self) -> Result<(), LeaseError> {
        let writer = self.become_writer(None)?;
        writer.commit().map_err(LeaseError::Backend)
    }

    /// Refuses a command while the backend is so far behind that memory would not be bounded. Not once the
    /// lessor is stopped: then it is refused for that, and the backend is somebody else's.
    pub(super) fn make_room(&self) -> Result<(), LeaseError> {
        let is_overfull = |state: &State| {
            let journal = state.journal.as_ref();
            let is_over = state.is_stopped && !planted!("alone-stopped-makes-room");
            !is_over && journal.is_some_and(super::journal::Journal::is_overfull)
        };
        while self.state.read(is_overfull) {
            self.commit_pending()?;
        }
        Ok(())
    }

    /// Waits for the right to write.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Reentrant`] if this thread has it already,
    /// [`LeaseError::DeadlineExceeded`] after `timeout`, and [`LeaseError::Stopped`] if a stop has
    /// given up waiting for the one who has it.
    pub(super) fn become_writer(
        &self,
        timeout: Option<Duration>,
    ) -> Result<Writer<'_>, LeaseError> {
        let seat = Seat::new();
        let is_writer = self.state.with(|state| {
            if state.road.writer == Some(seat.thread) {
                return Err(LeaseError::Reentrant);
            }
            let is_free = state.road.writer.is_none();
            if is_free {
                state.road.writer = Some(seat.thread);
            } else if state.road.is_given_up {
                return Err(LeaseError::Stopped);
            } else {
                state.road.wanting.push_back(Arc::clone(&seat));
            }
            Ok(is_free)
        })?;
        if !is_writer {
            self.await_writer(&seat, timeout)?;
        }
        Ok(Writer { shared: self })
    }

    fn await_writer(&self, seat: &Arc<Seat>, timeout: Option<Duration>) -> Result<(), LeaseError> {
        let call = match timeout {
            None => Some(seat.next()),
            Some(timeout) => seat.next_timeout(timeout),
        };
        match call {
            Some(Call::Write) => return Ok(()),
            Some(_) => return Err(LeaseError::Stopped),
            None => {}
        }
        let is_given_up = self.state.with(|state| {
            let wanting = &mut state.road.wanting;
            let at = wanting.iter().position(|other| Arc::ptr_eq(other, seat));
            at.map(|at| wanting.remove(at)).is_some()
        });
        if is_given_up {
            return Err(LeaseError::DeadlineExceeded);
        }
        // One of the two came at the last moment.
        match seat.next() {
            Call::Write => Ok(()),
            _ => Err(LeaseError::Stopped),
        }
    }

    /// Passes on the right to write if this thread, which leaves the road, was just given it: the word
    /// of that may come after the word to leave.
    pub(super) fn decline_to_write(&self) {
        let me = current().id();
        if self.state.read(|state| state.road.writer == Some(me)) {
            drop(Writer { shared: self });
        }
    }

    /// One turn of a thread that has become the writer.
    pub(super) fn write_as_writer(&self) -> Result<(), BackendError> {
        Writer { shared: self }.commit()
    }
}

impl Writer<'_> {
    /// Commits all that is ready and pending, as one transaction.
    pub(super) fn commit(&self) -> Result<(), BackendError> {
        let Transaction {
            backend,
            mut journaled,
            ready,
        } = self.shared.state.with(State::begin_transaction);
        if journaled.is_empty() && ready.is_empty() {
            return Ok(());
        }
        // What came from the journal alone is put back if the commit fails.
        let is_mixed = !ready.is_empty();
        let mut batch = if is_mixed {
            journaled.clone()
        } else {
            std::mem::take(&mut journaled)
        };
        for mut rows in ready {
            batch.append(&mut rows);
        }
        batch.coalesce();
        let result = if batch.is_empty() {
            Ok(())
        } else {
            self.shared
                .state
                .isolate_inside("backend", || backend.commit(&batch))
                .unwrap_or_else(|panic| Err(BackendError::Io(panic)))
        };
        if !is_mixed {
            journaled = batch;
        }
        // Not the time that a command brought last: if none comes, that stands still.
        let failed_at = result
            .is_err()
            .then(|| self.shared.precise_time().ok())
            .flatten();
        let _journaled = self
            .shared
            .state
            .with(|state| state.end_transaction(journaled, &result, failed_at));
        result
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // What was acknowledged while the lessor was being stopped is nobody else's to write.
        while !self.shared.state.with(State::pass_on_unless_left_behind) {
            if self.commit().is_err() {
                self.shared.state.with(State::pass_on);
                break;
            }
        }
    }
}

impl State {
    fn begin_transaction(&mut self) -> Transaction {
        let journaled = match &mut self.journal {
            Some(journal) => journal.take(),
            None => WriteBatch::default(),
        };
        let mut ready = Vec::new();
        for (rows, seat) in self.road.ready.drain(..) {
            ready.push(rows);
            self.road.writing.push(seat);
        }
        Transaction {
            backend: Arc::clone(&self.backend),
            journaled,
            ready,
        }
    }

    /// Returns what is to be freed without the lock.
    fn end_transaction(
        &mut self,
        journaled: WriteBatch,
        result: &Result<(), BackendError>,
        failed_at: Option<Timestamp>,
    ) -> Option<WriteBatch> {
        let now = failed_at.unwrap_or(self.core.now());
        let mut done = Some(journaled);
        if let Some(journal) = &mut self.journal
            && result.is_err()
        {
            sometimes!("core: a batch that failed is kept");
            // The others are told, and have had no effect.
            journal.put_back(done.take().unwrap_or_default(), now);
        }
        // Those who were let go at a stop are told no more.
        for seat in std::mem::take(&mut self.road.writing) {
            self.errands.call(seat, Call::Written(result.clone()));
        }
        done
    }

    /// Gives the right to write to the next one who wants it, unless there is something left that
    /// the present writer has to write. Returns whether it did: whoever wants the right may give up
    /// meanwhile, so that both are one step.
    fn pass_on_unless_left_behind(&mut self) -> bool {
        let may_go = !self.is_left_behind();
        if may_go {
            self.pass_on();
        }
        may_go
    }

    /// Gives the right to write to the next one who wants it.
    fn pass_on(&mut self) {
        let next = self.road.wanting.pop_front();
        let next = next.or_else(|| self.road.ready.first().map(|(_, seat)| Arc::clone(seat)));
        self.road.writer = next.as_ref().map(|seat| seat.thread);
        if let Some(seat) = next {
            self.errands.call(seat, Call::Write);
        }
    }

    /// Whether there are acknowledged writes that nobody but the present writer will commit.
    fn is_left_behind(&self) -> bool {
        self.is_stopped
            && self.road.wanting.is_empty()
            && self.road.writer == Some(current().id())
            && self.has_pending()
    }

    /// Whether something is applied and not committed.
    pub(super) fn has_pending(&self) -> bool {
        let journal = self.journal.as_ref();
        journal.is_some_and(|journal| !journal.is_empty())
    }
}
