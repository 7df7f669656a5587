use std::num::NonZeroUsize;
use std::time::Duration;

use crate::probe::planted;
use crate::{Timestamp, WriteBatch};

/// The writes of applied commands that have not been committed yet, in the order of the commands:
/// what batched durability has.
pub(super) struct Journal {
    pub(super) pending: WriteBatch,
    interval: Duration,
    max_writes: usize,
    // Since when something is pending.
    since: Option<Timestamp>,
    // Whether the last commit has failed: then there is a pause, also if the journal is full.
    has_failed: bool,
}

/// A journal holds at most this many times what starts a commit; then commands wait for one. The
/// larger a commit, the less each of its rows costs: with 4 times, a million grants took twice as
/// long.
const BACKLOG_FACTOR: usize = 16;

/// A commit that has failed is not followed by the next one before this has passed, however short the
/// interval is.
const FAILED_PAUSE: Duration = Duration::from_millis(10);

impl Journal {
    pub(super) fn new(interval: Duration, max_writes: NonZeroUsize) -> Self {
        Self {
            pending: WriteBatch::default(),
            interval,
            max_writes: max_writes.get(),
            since: None,
            has_failed: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether so much is pending that memory would not be bounded.
    #[inline]
    pub(super) fn is_overfull(&self) -> bool {
        self.pending.len() >= self.max_writes.saturating_mul(BACKLOG_FACTOR)
    }

    /// Notes that something was added to what is pending, at `now`.
    #[inline]
    pub(super) fn touch(&mut self, now: Timestamp) {
        if self.since.is_none() && !self.pending.is_empty() {
            self.since = Some(now);
        }
    }

    /// Brings the time since which something is pending back to `now` if the clock went back behind
    /// it: what is pending must not wait until the clock is there again.
    pub(super) fn hold(&mut self, now: Timestamp) {
        self.since = self.since.map(|since| since.min(now));
    }

    pub(super) fn take(&mut self) -> WriteBatch {
        self.since = None;
        self.has_failed = false;
        std::mem::take(&mut self.pending)
    }

    /// Puts writes that could not be committed back in front.
    pub(super) fn put_back(&mut self, mut batch: WriteBatch, now: Timestamp) {
        if planted!("put-back-behind") {
            std::mem::swap(&mut batch, &mut self.pending);
        }
        batch.append(&mut self.pending);
        self.pending = batch;
        self.since = Some(now);
        self.has_failed = true;
    }

    /// When what is pending is to be committed.
    #[inline]
    pub(super) fn due(&self) -> Option<Timestamp> {
        let since = self.since?;
        let is_full = self.pending.len() >= self.max_writes;
        Some(if self.has_failed {
            since.saturating_add(self.interval.max(FAILED_PAUSE))
        } else if is_full {
            since
        } else {
            since.saturating_add(self.interval)
        })
    }
}
