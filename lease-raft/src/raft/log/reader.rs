use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use lease_backend::redb::RedbView;
use openraft::{OptionalSend, RaftLogReader};

use super::tail::size;
use super::{Shared, State, as_io};
use crate::raft::blocking::blocking;
use crate::raft::config::{Entry, Types, Vote};
use crate::redb_store::read_entries;

/// Reads the log, of which it sees all that was appended.
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

/// What of a range is in the file, and the entries that follow it.
struct Plan {
    stored: Option<(RedbView, Range<u64>)>,
    kept: Vec<Entry>,
}

impl LogReader {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn read(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let Plan { stored, kept } = self.plan(start, end, max_bytes)?;
        let Some((view, range)) = stored else {
            return Ok(kept);
        };
        let expected = range.end - range.start;
        let read = move || read_entries(&view, range, max_bytes);
        let mut entries = blocking(&*self.shared.runtime, read)
            .await?
            .map_err(|error| as_io(&error))?;
        let mut bytes: usize = entries.iter().map(size).sum();
        if entries.len() as u64 == expected {
            entries.extend(kept.into_iter().take_while(|entry| {
                let has_room = bytes < max_bytes;
                bytes += size(entry);
                has_room
            }));
        }
        Ok(entries)
    }

    /// All of one moment, because the view is taken while the state is locked.
    fn plan(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Plan> {
        let state = self.shared.state();
        let Range { start, end } = state.present(start, end);
        let first_kept = state.tail.first().unwrap_or(u64::MAX).clamp(start, end);
        let stored = if start < first_kept {
            let view = self.shared.store.view_log();
            let view = view.map_err(|error| as_io(&error))?;
            Some((view, start..first_kept))
        } else {
            None
        };
        Ok(Plan {
            stored,
            kept: state.tail.read(first_kept, end, max_bytes),
        })
    }
}

impl State {
    /// What of a range is in the log.
    fn present(&self, start: u64, end: u64) -> Range<u64> {
        let end = end.min(self.last.map_or(0, |last| last.index() + 1));
        let start = start.max(self.first);
        start.min(end)..end
    }
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, MAX_MESSAGE_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.state().vote)
    }
}

/// How many bytes of entries a member sends at once, if no entry is larger.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
