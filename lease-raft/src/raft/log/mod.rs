//! The log of openraft on a [`RedbStore`].
//!
//! An append is in memory at once, where it can be read, and durable when its callback is run. One task
//! commits all that waits, in the order in which it was asked for. Votes are waited for. Truncations and
//! purges are not: what follows them is never durable before them.

mod reader;
mod tail;
mod writer;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::{mpsc, oneshot};
use lease_core::BackendError;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend};

use self::reader::LogReader;
use self::tail::Tail;
use self::writer::{Done, Job};
use super::config::{Entry, LogId, Types, Vote};
use crate::Runtime;
use crate::error::with_causes;
use crate::probe::planted;
use crate::redb_store::{LogChange, RedbStore};

/// The log storage of one member. There is one of a store at a time.
pub(crate) struct RedbLog {
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedSender<Job>,
}

struct Shared {
    store: Arc<RedbStore>,
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
}

/// The log as it is once all that was asked for is done.
#[derive(Default)]
struct State {
    /// The last vote that is durable.
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// The index of the first entry, or of the one that would be.
    first: u64,
    /// The last entry, or the last one that was purged.
    last: Option<LogId>,
    committed: Option<LogId>,
    /// The number of the last job when that was told: the file has the entry when this job is done.
    committed_after: u64,
    /// What of it is in the file.
    committed_in_file: Option<LogId>,
    /// Invariant: what is in the log and not in it is in the file.
    tail: Tail,
    /// The number of the last job.
    asked: u64,
    #[cfg(test)]
    begins_anywhere: bool,
    /// Why nothing is written any more.
    failed: Option<String>,
}

impl RedbLog {
    /// Reads where the log stands, and starts the task that writes.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or its log is damaged.
    pub(crate) async fn open(store: Arc<RedbStore>, runtime: Arc<dyn Runtime>) -> io::Result<Self> {
        let loading = Arc::clone(&store);
        let load = move || {
            let applied = super::machine::last_applied(&loading)?;
            loading.load_log(applied).map_err(|error| as_io(&error))
        };
        let stored = super::blocking::blocking(&*runtime, load).await??;
        let state = State {
            vote: stored.vote,
            purged: stored.purged,
            first: stored.purged.map_or(0, |purged| purged.index() + 1),
            last: stored.last,
            committed: stored.committed,
            committed_in_file: stored.committed,
            ..State::default()
        };
        let (jobs, queue) = mpsc::unbounded();
        let shared = Arc::new(Shared {
            store,
            runtime,
            state: Mutex::new(state),
        });
        let writing = writer::write(Arc::clone(&shared), queue);
        shared.runtime.spawn(Box::pin(writing));
        Ok(Self { shared, jobs })
    }

    /// Lets an empty log begin with any entry, as openraft's own suite does, and openraft never.
    #[cfg(test)]
    pub(crate) fn begin_anywhere(self) -> Self {
        self.shared.state().begins_anywhere = true;
        self
    }

    /// Queues a change, in the same moment in which `change_memory` makes it in memory.
    fn ask(
        &self,
        change: LogChange,
        done: Done,
        change_memory: impl FnOnce(&mut State, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.shared.state();
        state.check()?;
        let number = state.asked + 1;
        change_memory(&mut state, number)?;
        state.asked = number;
        let job = Job {
            number,
            change,
            done,
        };
        self.jobs
            .unbounded_send(job)
            .map_err(|_| io::Error::other("the task that writes the log has ended"))
    }
}

impl RaftLogStorage<Types> for RedbLog {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.shared.state();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last,
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if planted!("openraft-vote-not-saved") {
            self.shared.state().vote = Some(*vote);
            return Ok(());
        }
        let (sender, saved) = oneshot::channel();
        let change = LogChange::Vote(*vote);
        self.ask(change, Done::Answer(sender), |_, _| Ok(()))?;
        saved
            .await
            .map_err(|_| io::Error::other("the task that writes the log has ended"))?
    }

    /// It is written with the next change that follows the entry, because it is only a hint: after a crash an older
    /// one will do, but none of an entry that is not there.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut state = self.shared.state();
        state.check()?;
        state.committed = committed;
        state.committed_after = state.asked;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.state().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let change = LogChange::Append(entries.clone());
        let done = match planted!("openraft-append-not-durable") {
            true => {
                callback.io_completed(Ok(()));
                Done::Nobody
            }
            false => Done::Flushed(callback),
        };
        self.ask(change, done, |state, number| state.append(entries, number))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index() + 1);
        self.ask(LogChange::Truncate { from }, Done::Nobody, |state, _| {
            state.tail.truncate(from);
            if state.last > last {
                state.last = last.or(state.purged);
            }
            Ok(())
        })
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = match self.shared.state().last {
            Some(last) if planted!("openraft-purges-too-far") => last.max(upto),
            _ => upto,
        };
        self.ask(LogChange::Purge(upto), Done::Nobody, |state, _| {
            state.tail.purge(upto.index());
            state.purged = Some(upto);
            state.first = upto.index() + 1;
            if state.last.is_none_or(|last| last.index() <= upto.index()) {
                state.last = Some(upto);
            }
            Ok(())
        })
    }
}

/// An error with its causes, of which openraft would keep the first alone.
pub(super) fn as_io(error: &BackendError) -> io::Error {
    io::Error::other(with_causes(error))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(io::Error::other(format!(
                "the log has failed before: {cause}"
            ))),
        }
    }

    /// Refuses a hole.
    fn append(&mut self, entries: Vec<Entry>, number: u64) -> io::Result<()> {
        #[cfg(test)]
        if let (true, None, Some(first)) = (self.begins_anywhere, self.last, entries.first()) {
            self.first = first.log_id.index();
        }
        for entry in entries {
            let next = self.last.map_or(self.first, |last| last.index() + 1);
            let index = entry.log_id.index();
            if index != next {
                let text = format!("entry {index} does not follow the last one: {next} would");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            self.last = Some(entry.log_id);
            self.tail.push(entry, number);
        }
        Ok(())
    }
}
