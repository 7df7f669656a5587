use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::isolate::isolate;
use super::state::{Begun, State};
use super::{Durability, Shared};
use crate::probe::{planted, sometimes};
use crate::{Backend, BackendError, LeaseError, Timestamp, WriteBatch};

/// The writes that have not been committed yet, in the order of the commands that made them.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) pending: WriteBatch,
    entries: Vec<Entry>,
    /// Since when something is pending.
    pub(super) since: Option<Timestamp>,
    // Whether the writer knows that it is to come before its time.
    is_hurried: bool,
    // Whether the last commit has failed, so that even a full journal is not committed at once.
    has_failed: bool,
}

/// A command that waits for its commit.
struct Entry {
    begun: Vec<Begun>,
    verdict: Verdict,
}

type Verdict = Arc<OnceLock<Result<(), BackendError>>>;

impl Journal {
    fn take(&mut self) -> (WriteBatch, Vec<Entry>) {
        self.since = None;
        self.is_hurried = false;
        self.has_failed = false;
        (
            std::mem::take(&mut self.pending),
            std::mem::take(&mut self.entries),
        )
    }

    /// Puts writes that could not be committed back in front.
    fn put_back(&mut self, mut batch: WriteBatch, now: Timestamp) {
        batch.append(&mut self.pending);
        self.pending = batch;
        self.since = Some(now);
        self.has_failed = true;
    }

    /// Drops all that is pending; those who wait for it are told so.
    pub(super) fn abandon(&mut self) {
        let (_, entries) = self.take();
        for entry in entries {
            let text = "the lessor was recovered from a backend".to_owned();
            let _ = entry.verdict.set(Err(BackendError::Poisoned(text)));
        }
    }

    /// Notes that something may be pending since `now`. Answers whether the writer must be woken:
    /// something is pending for the first time, or so much that it is committed before its time.
    #[inline]
    pub(super) fn touch(&mut self, now: Timestamp, max_writes: usize) -> bool {
        let len = self.pending.len();
        if self.since.is_none() && len > 0 {
            self.since = Some(now);
            self.is_hurried = false;
            return true;
        }
        let is_full = len >= max_writes && !self.is_hurried;
        self.is_hurried |= is_full;
        is_full
    }

    /// When what is pending is to be committed.
    pub(super) fn due(&self, interval: Duration, max_writes: usize) -> Option<Timestamp> {
        let since = self.since?;
        let is_full = self.pending.len() >= max_writes && !self.has_failed;
        Some(if is_full {
            since
        } else {
            since.saturating_add(interval)
        })
    }

    /// Whether so much is pending that memory would not be bounded.
    pub(super) fn is_overfull(&self, max_writes: usize) -> bool {
        self.pending.len() >= max_writes.saturating_mul(BACKLOG_FACTOR)
    }
}

/// A full journal holds this many times what starts a commit; then commands commit themselves. The
/// larger a commit, the less each of its rows costs: with 4 times, a million grants took twice as
/// long.
const BACKLOG_FACTOR: usize = 16;

impl Shared {
    /// Brings the writes of begun commands to the backend, and the commands into effect: at once
    /// when durability is batched, else when they are committed.
    pub(super) fn commit(&self, writes: WriteBatch, begun: Vec<Begun>) -> Result<(), LeaseError> {
        self.begin_and_commit(writes, |_, _| Ok(begun))
    }

    /// Begins commands that keep no other command away, and brings them to the backend and into
    /// effect with `writes`.
    ///
    /// They begin in the critical section in which their rows join the journal. Else a revoke could
    /// come in between, and a checkpoint's row behind its delete: the lease would be back after a
    /// restart.
    pub(super) fn begin_and_commit(
        &self,
        mut writes: WriteBatch,
        begin: impl FnOnce(&mut State, &mut WriteBatch) -> Result<Vec<Begun>, LeaseError>,
    ) -> Result<(), LeaseError> {
        let now = self.clock.now();
        match self.options.durability {
            Durability::Batched { max_writes, .. } => {
                let (wakes_writer, oversleepers, is_stopped) = self.state.with(|state| {
                    for begun in begin(state, &mut writes)? {
                        state.finish(now, begun);
                    }
                    state.journal.pending.append(&mut writes);
                    let wakes_writer = state.journal.touch(now, max_writes.get());
                    Ok::<_, LeaseError>((wakes_writer, state.oversleepers(), state.is_stopped))
                })?;
                if is_stopped {
                    // The writer has ended while this command was under way.
                    return self.flush().map_err(LeaseError::Backend);
                }
                self.wakers.wake(wakes_writer, oversleepers);
                Ok(())
            }
            Durability::EveryCommand => {
                let verdict = Verdict::default();
                let is_waiting = self.state.with(|state| {
                    let begun = begin(state, &mut writes)?;
                    if begun.is_empty() && writes.is_empty() {
                        return Ok(false);
                    }
                    state.journal.pending.append(&mut writes);
                    state.journal.entries.push(Entry {
                        begun,
                        verdict: Arc::clone(&verdict),
                    });
                    Ok::<_, LeaseError>(true)
                })?;
                if !is_waiting {
                    return Ok(());
                }
                let result = self.await_verdict(&verdict);
                self.wake_oversleepers();
                result.map_err(LeaseError::Backend)
            }
        }
    }

    /// Refuses a command while the backend is so far behind that memory would not be bounded.
    pub(super) fn check_backlog(&self) -> Result<(), LeaseError> {
        let Durability::Batched { max_writes, .. } = self.options.durability else {
            return Ok(());
        };
        if self
            .state
            .read(|state| state.journal.is_overfull(max_writes.get()))
        {
            self.flush().map_err(LeaseError::Backend)?;
        }
        Ok(())
    }

    /// Commits all that is pending.
    pub(super) fn flush(&self) -> Result<(), BackendError> {
        let backend = self.lock_backend();
        self.flush_to(&**backend)
    }

    /// Waits for the commit of a command. Whoever comes first commits for all who wait behind.
    fn await_verdict(&self, verdict: &Verdict) -> Result<(), BackendError> {
        let backend = self.lock_backend();
        if verdict.get().is_none() {
            // The verdict tells whether it went well.
            let _ = self.flush_to(&**backend);
        }
        verdict
            .get()
            .cloned()
            .expect("a flush decides over everything that was pending")
    }

    /// Commits all that is pending; the caller holds the lock of the backend.
    pub(super) fn flush_to(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        let (mut batch, entries) = self.state.with(|state| state.journal.take());
        if batch.is_empty() && entries.is_empty() {
            return Ok(());
        }
        batch.coalesce();
        let result = if batch.is_empty() {
            Ok(())
        } else {
            isolate("backend", || commit(backend, &batch))
                .unwrap_or_else(|panic| Err(BackendError::Io(panic)))
        };
        let now = self.clock.now();
        let verdicts = self.state.with(|state| {
            if result.is_err() && matches!(self.options.durability, Durability::Batched { .. }) {
                sometimes!("core: a batch that failed is kept");
                if !planted!("failed-batch-dropped") {
                    state.journal.put_back(batch, now);
                }
            }
            let mut verdicts = Vec::with_capacity(entries.len());
            for entry in entries {
                for begun in entry.begun {
                    if result.is_ok() || planted!("failed-commit-takes-effect") {
                        state.finish(now, begun);
                    } else {
                        state.cancel(begun);
                    }
                }
                verdicts.push(entry.verdict);
            }
            verdicts
        });
        for verdict in verdicts {
            let _ = verdict.set(result.clone());
        }
        result
    }
}

#[cfg(not(madsim))]
fn commit(backend: &dyn Backend, batch: &WriteBatch) -> Result<(), BackendError> {
    backend.commit(batch)
}

/// One transaction, unless the bug is planted that makes it two.
#[cfg(madsim)]
fn commit(backend: &dyn Backend, batch: &WriteBatch) -> Result<(), BackendError> {
    if planted!("two-transactions") {
        let (first, second) = batch.clone().split();
        backend.commit(&first)?;
        backend.commit(&second)
    } else {
        backend.commit(batch)
    }
}
