use std::collections::VecDeque;

use openraft::EntryPayload;

use crate::raft::config::{Entry, Proposal};

/// The last entries of the log: those that are not durable yet, and as many others as have room.
#[derive(Default)]
pub(super) struct Tail {
    /// Invariant: consecutive.
    entries: VecDeque<Kept>,
    bytes: usize,
}

struct Kept {
    /// The number of the job that makes it durable.
    job: u64,
    entry: Entry,
}

impl Kept {
    const fn index(&self) -> u64 {
        self.entry.log_id.index
    }
}

impl Tail {
    /// The index of the first entry.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(Kept::index)
    }

    pub(super) fn push(&mut self, entry: Entry, job: u64) {
        self.bytes += size(&entry);
        self.entries.push_back(Kept { job, entry });
    }

    pub(super) fn truncate(&mut self, from: u64) {
        while self.entries.back().is_some_and(|kept| kept.index() >= from) {
            let last = self.entries.pop_back();
            self.bytes -= last.map_or(0, |kept| size(&kept.entry));
        }
    }

    pub(super) fn purge(&mut self, upto: u64) {
        while self
            .entries
            .front()
            .is_some_and(|kept| kept.index() <= upto)
        {
            self.pop_front();
        }
    }

    /// All jobs up to `job` are durable: entries may be forgotten.
    pub(super) fn settle(&mut self, job: u64) {
        while self.is_full() && self.entries.front().is_some_and(|kept| kept.job <= job) {
            self.pop_front();
        }
    }

    fn is_full(&self) -> bool {
        self.bytes > MAX_BYTES || self.entries.len() > MAX_ENTRIES
    }

    fn pop_front(&mut self) {
        let first = self.entries.pop_front();
        self.bytes -= first.map_or(0, |kept| size(&kept.entry));
    }

    /// Entries from `start` on and before `end`, until they are `max_bytes` or more.
    pub(super) fn read(&self, start: u64, end: u64, max_bytes: usize) -> Vec<Entry> {
        let Some(first) = self.first() else {
            return Vec::new();
        };
        let skipped = start.saturating_sub(first) as usize;
        let mut bytes = 0;
        self.entries
            .iter()
            .skip(skipped)
            .map(|kept| &kept.entry)
            .take_while(|entry| {
                let has_room = bytes < max_bytes && entry.log_id.index() < end;
                bytes += size(entry);
                has_room
            })
            .cloned()
            .collect()
    }
}

/// About how many bytes an entry has, on the wire and in memory.
pub(super) fn size(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(Proposal(bytes)) => bytes.len() + OVERHEAD,
        _ => OVERHEAD,
    }
}

const OVERHEAD: usize = 32;
const MAX_ENTRIES: usize = 8192;
const MAX_BYTES: usize = 8 << 20;
