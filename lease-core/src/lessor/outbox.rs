use std::collections::VecDeque;

use super::sleepers::Sleepers;
use crate::{ExpiredBatch, Timestamp};

/// The batches between the lessor and the host.
pub(super) struct Outbox {
    // Oldest first.
    pub(super) batches: VecDeque<ExpiredBatch>,
    capacity: usize,
    // Since when there is one and nobody has taken any.
    lies_since: Timestamp,
    // Whether somebody was told of that.
    is_told: bool,
    pub(super) receivers: Sleepers,
}

impl Outbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            capacity,
            lies_since: Timestamp::ZERO,
            is_told: false,
            receivers: Sleepers::default(),
        }
    }

    pub(super) fn put(&mut self, now: Timestamp, batch: ExpiredBatch) {
        if self.batches.is_empty() {
            (self.lies_since, self.is_told) = (now, false);
        }
        self.batches.push_back(batch);
    }

    pub(super) fn take(&mut self, now: Timestamp) -> Option<ExpiredBatch> {
        let batch = self.batches.pop_front()?;
        (self.lies_since, self.is_told) = (now, false);
        Some(batch)
    }

    /// Since when nobody has taken a batch that is there, unless somebody was told of it.
    #[inline]
    pub(super) fn lies_since(&self) -> Option<Timestamp> {
        let is_news = !self.batches.is_empty() && !self.is_told;
        is_news.then_some(self.lies_since)
    }

    pub(super) const fn note_told(&mut self) {
        self.is_told = true;
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.batches.len() >= self.capacity
    }
}
