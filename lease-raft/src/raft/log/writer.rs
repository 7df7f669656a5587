use std::io;
use std::sync::Arc;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use openraft::storage::IOFlushed;

use super::Shared;
use crate::error::with_causes;
use crate::raft::blocking::blocking;
use crate::raft::config::{LogId, Types};
use crate::redb_store::LogChange;

/// A change that is to be made durable.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) change: LogChange,
    pub(super) done: Done,
}

/// Who waits for it.
pub(super) enum Done {
    Nobody,
    Flushed(IOFlushed<Types>),
    Answer(oneshot::Sender<io::Result<()>>),
}

/// Makes all jobs that wait durable in one commit, until the log is dropped.
pub(super) async fn write(shared: Arc<Shared>, mut queue: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = queue.next().await {
        let mut jobs = vec![first];
        while jobs.len() < MAX_JOBS
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        let (changes, waiting): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.change, (job.number, job.done)))
            .unzip();
        let last = waiting.last().map_or(0, |(number, _)| *number);
        let written = commit(&shared, &changes, last).await;
        settle(&shared, &changes, last, &written);
        for (_, done) in waiting {
            done.tell(written.as_ref().map(|_| ()));
        }
    }
}

/// Makes the changes of the jobs up to `last` durable. Returns the committed index that was written too.
async fn commit(
    shared: &Arc<Shared>,
    changes: &[LogChange],
    last: u64,
) -> Result<Option<LogId>, String> {
    let committed = {
        let state = shared.state();
        state.check().map_err(|error| error.to_string())?;
        // That of an entry that is not in the file would keep the member from starting again.
        state.committed.filter(|committed| {
            state.committed_after <= last && Some(*committed) != state.committed_in_file
        })
    };
    let (writing, changes) = (Arc::clone(shared), changes.to_vec());
    let work = move || writing.store.write_log(&changes, committed);
    match blocking(&*shared.runtime, work).await {
        Ok(Ok(())) => Ok(committed),
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(error) => Err(with_causes(&error)),
    }
}

fn settle(
    shared: &Shared,
    changes: &[LogChange],
    last: u64,
    written: &Result<Option<LogId>, String>,
) {
    let mut state = shared.state();
    match written {
        Ok(committed) => {
            state.tail.settle(last);
            if committed.is_some() {
                state.committed_in_file = *committed;
            }
            let vote = changes.iter().rev().find_map(|change| match change {
                LogChange::Vote(vote) => Some(*vote),
                _ => None,
            });
            state.vote = vote.or(state.vote);
        }
        Err(cause) => {
            tracing::error!(cause, "the log cannot be written");
            state.failed.get_or_insert_with(|| cause.clone());
        }
    }
}

impl Done {
    fn tell(self, written: Result<(), &String>) {
        let result = written.map_err(|cause| io::Error::other(cause.clone()));
        match self {
            Self::Nobody => {}
            Self::Flushed(callback) => callback.io_completed(result),
            // Nobody may wait any more.
            Self::Answer(sender) => drop(sender.send(result)),
        }
    }
}

/// So that a commit ends some time.
const MAX_JOBS: usize = 4096;
